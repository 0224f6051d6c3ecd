//! The working directory from outside: what actions do in it and what is left in it. Names in it were chosen by the
//! program, so no symbolic link is ever followed.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::observation::{FileKind, FileLeft};

/// Bytes kept of a file that is left.
const KEPT: u64 = 8 << 20;
/// Names listed, and how deep.
const NAMES: usize = 4096;
const DEPTH: usize = 32;

/// Opens a name in the working directory, and never one outside it.
pub(super) fn open(work: &File, path: &Path, flags: i32, mode: u32) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all zeros is a valid open_how: no flags, no mode, no resolve restrictions.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = u64::from(if flags & libc::O_CREAT != 0 { mode } else { 0 });
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    // SAFETY: the name ends with NUL and the structure is as large as its size says.
    let fd =
        unsafe { libc::syscall(libc::SYS_openat2, work.as_raw_fd(), name.as_ptr(), &how, std::mem::size_of_val(&how)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

pub(super) fn write(work: &File, path: &Path, bytes: &[u8], append: bool) -> io::Result<()> {
    let how = if append { libc::O_APPEND } else { libc::O_TRUNC };
    open(work, path, libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK | how, 0o644)?.write_all(bytes)
}

pub(super) fn truncate(work: &File, path: &Path, len: u64) -> io::Result<()> {
    open(work, path, libc::O_WRONLY | libc::O_NONBLOCK, 0)?.set_len(len)
}

/// Everything that the working directory holds.
pub(super) fn left(work: &File) -> Vec<FileLeft> {
    let root = PathBuf::from(format!("/proc/self/fd/{}", work.as_raw_fd()));
    let mut found = Vec::new();
    let mut open_directories = vec![(PathBuf::new(), 0)];
    while let Some((directory, depth)) = open_directories.pop() {
        let Ok(entries) = fs::read_dir(root.join(&directory)) else { continue };
        for entry in entries.flatten() {
            if found.len() >= NAMES {
                return found;
            }
            let path = directory.join(entry.file_name());
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && depth < DEPTH {
                open_directories.push((path.clone(), depth + 1));
            }
            found.push(one(work, &entry.path(), path, &metadata));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn one(work: &File, real: &Path, path: PathBuf, metadata: &fs::Metadata) -> FileLeft {
    let kind = metadata.file_type();
    let kind = if kind.is_file() {
        FileKind::File
    } else if kind.is_dir() {
        FileKind::Directory
    } else if kind.is_fifo() {
        FileKind::Fifo
    } else if kind.is_symlink() {
        FileKind::Symlink(fs::read_link(real).unwrap_or_default())
    } else {
        FileKind::Other
    };
    let mut bytes = Vec::new();
    if kind == FileKind::File {
        // The supervisor owns the file as the program does: a mode without read permission is lifted for the look.
        let unreadable = metadata.permissions().mode() & 0o400 == 0;
        if unreadable {
            let _ = fs::set_permissions(real, fs::Permissions::from_mode(0o600));
        }
        if let Ok(file) = open(work, &path, libc::O_RDONLY | libc::O_NOFOLLOW, 0) {
            // A file that cannot be read to its end is kept as far as it went.
            let _ = file.take(KEPT).read_to_end(&mut bytes);
        }
    }
    FileLeft {
        path,
        kind,
        mode: metadata.permissions().mode() & 0o7777,
        len: metadata.len(),
        inode: metadata.ino(),
        bytes,
    }
}
