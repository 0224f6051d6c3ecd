//! The working directory from outside: what actions do in it and what is left in it. Names in it were chosen by the
//! program, so no symbolic link is ever followed, nothing is waited for, and what is kept has a bound.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstatat};

use super::scratch::{names, subdirectory};
use crate::observation::{FileKind, FileLeft};
use crate::process_files;

/// Bytes kept of all files together that are left.
pub(super) const KEPT_IN_ALL: u64 = 32 << 20;
/// The same of a program that met a limit or had to be stopped: it has failed whatever it left, and is to be gone soon.
pub(super) const KEPT_OF_FAILED: u64 = 1 << 20;
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

/// Everything that the working directory holds, with so many bytes of each file and of all; to be called when nobody is
/// left to change it.
pub(super) fn left(work: &File, of_each: u64, of_all: u64) -> Vec<FileLeft> {
    let mut listing = Listing { found: Vec::new(), of_each, room: of_all };
    listing.add(work.as_fd(), Path::new(""), 0);
    listing.found.sort_by(|a, b| a.path.cmp(&b.path));
    listing.found
}

struct Listing {
    found: Vec<FileLeft>,
    of_each: u64,
    /// Bytes that may still be kept.
    room: u64,
}

impl Listing {
    fn add(&mut self, directory: BorrowedFd<'_>, path: &Path, depth: usize) {
        for name in names(directory).unwrap_or_default() {
            if self.found.len() >= NAMES {
                return;
            }
            let Ok(status) = fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            let path = path.join(&*name.to_string_lossy());
            let entry = self.one(directory, &name, path.clone(), &status);
            let descend = entry.kind == FileKind::Directory && depth < DEPTH;
            self.found.push(entry);
            if descend && let Ok(inner) = subdirectory(directory, &name) {
                self.add(inner.as_fd(), &path, depth + 1);
            }
        }
    }

    fn one(&mut self, directory: BorrowedFd<'_>, name: &CStr, path: PathBuf, status: &FileStat) -> FileLeft {
        let kind = match status.st_mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::File,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFLNK => FileKind::Symlink(target(directory, name)),
            _ => FileKind::Other,
        };
        let mut bytes = Vec::new();
        let room = self.of_each.min(self.room);
        if kind == FileKind::File
            && let Some(file) = open_to_read(directory, name, status.st_mode)
        {
            // A file that cannot be read to its end is kept as far as it went.
            bytes.reserve_exact(room.min(status.st_size as u64) as usize);
            let _ = file.take(room).read_to_end(&mut bytes);
            self.room -= bytes.len() as u64;
        }
        FileLeft { path, kind, mode: status.st_mode & 0o7777, len: status.st_size as u64, inode: status.st_ino, bytes }
    }
}

fn target(directory: BorrowedFd<'_>, name: &CStr) -> PathBuf {
    process_files::readable(Path::new(&readlinkat(directory, name).unwrap_or_default()))
}

/// The supervisor owns the file as the program does: a mode without read permission is lifted for the look.
fn open_to_read(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Option<File> {
    if mode & 0o400 == 0 {
        // Known to be a regular file, and nobody is left to change that.
        let _ = fchmodat(directory, name, Mode::S_IRUSR | Mode::S_IWUSR, FchmodatFlags::FollowSymlink);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty()).ok().map(File::from)
}
