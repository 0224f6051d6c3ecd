//! A working directory where the launch can have no memory file system of its own: in the machine's, if that has room,
//! for it is removed in no time, else among the temporary files. Made, and removed with
//! whatever a program has put into it. Names, depths and modes in it are the program's choice.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{AccessFlags, UnlinkatFlags, access, unlinkat};

use crate::plan::Limits;

const PREFIX: &str = "syslings-box-";
const MEMORY: &str = "/dev/shm";
/// A directory without a lock that is younger may be one that is just being made.
const YOUNG: Duration = Duration::from_secs(10);

/// A directory for one launch. While a process that cares for it is alive, it is locked: the guardian, which makes it,
/// and the supervisor, either of which removes it when the other was killed.
pub(super) struct Scratch {
    path: PathBuf,
    lock: File,
}

impl AsRawFd for Scratch {
    fn as_raw_fd(&self) -> RawFd {
        self.lock.as_raw_fd()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Scratch {
    pub(super) fn new(limits: &Limits) -> Result<Scratch, String> {
        let failed = |e: io::Error| format!("no working directory: {e}");
        let path = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place(limits)).map_err(failed)?.keep();
        Scratch::shared(path).map_err(failed)
    }

    /// A directory that the guardian has made.
    pub(super) fn shared(path: PathBuf) -> io::Result<Scratch> {
        let lock = File::open(&path)?;
        lock.lock_shared()?;
        Ok(Scratch { path, lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory; harmless if another has done so already. No process of the launch may be alive.
    pub(super) fn remove(&self) {
        // What cannot be removed is left to `sweep`, and to whoever looks into the directory for temporary files.
        let _ = empty(&self.lock);
        let _ = fs::remove_dir(&self.path);
    }
}

/// Where the directory is made; the user's own word for it counts first.
fn place(limits: &Limits) -> PathBuf {
    let memory = Path::new(MEMORY);
    let roomy = |found: Statvfs| {
        found.blocks_available() * found.fragment_size() >= 2 * limits.disk && found.files_free() >= 2 * limits.files
    };
    let fit = std::env::var_os("TMPDIR").is_none()
        && statfs(memory).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
        && statvfs(memory).is_ok_and(roomy)
        && access(memory, AccessFlags::W_OK).is_ok();
    if fit { memory.to_owned() } else { std::env::temp_dir() }
}

/// Removes what launches of this user have left whose every guard was killed.
pub(super) fn sweep() {
    let places = BTreeSet::from([std::env::temp_dir(), PathBuf::from(MEMORY)]);
    for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let mine = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if mine && let Some(lock) = abandoned(&entry) {
            Scratch { path: entry.path(), lock }.remove();
        }
    }
}

fn abandoned(entry: &fs::DirEntry) -> Option<File> {
    let metadata = entry.metadata().ok()?;
    let own = metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw();
    if !own || metadata.modified().ok()?.elapsed().ok()? < YOUNG {
        return None;
    }
    if metadata.mode() & 0o700 != 0o700 {
        // In a directory for temporary files only its owner, this user, can replace the name.
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700)).ok()?;
    }
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
    let directory = File::options().read(true).custom_flags(flags).open(entry.path()).ok()?;
    directory.try_lock().ok()?;
    Some(directory)
}

/// Names in a directory, `.` and `..` left out.
pub(super) fn names(directory: BorrowedFd<'_>) -> nix::Result<Vec<CString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut opened = Dir::openat(directory, ".", flags, Mode::empty())?;
    let all = opened.iter().filter_map(Result::ok).map(|e| e.file_name().to_owned());
    Ok(all.filter(|n| !matches!(n.to_bytes(), b"." | b"..")).collect())
}

/// Opens a directory by its name in another, and never what a symbolic link names.
pub(super) fn subdirectory(parent: BorrowedFd<'_>, name: &CStr) -> nix::Result<Dir> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Dir::openat(parent, name, flags, Mode::empty())
}

/// Removes everything in a directory. A tree is made flat on the way, directories of directories being moved up to the
/// top, so that its depth costs neither descriptors nor stack nor long paths.
fn empty(top: &File) -> nix::Result<()> {
    top.set_permissions(fs::Permissions::from_mode(0o700)).map_err(|_| Errno::last())?;
    let mut moved = 0_u64;
    loop {
        let found = names(top.as_fd())?;
        if found.is_empty() {
            return Ok(());
        }
        let mut progress = false;
        for name in &found {
            progress |= match unlinkat(top, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Err(Errno::EISDIR | Errno::EPERM) => flatten(top, name, &mut moved).is_ok(),
                outcome => outcome.is_ok(),
            };
        }
        if !progress {
            return Err(Errno::ENOTEMPTY);
        }
    }
}

/// Removes a directory of `top`, after its files are removed and its directories moved up.
fn flatten(top: &File, name: &CStr, moved: &mut u64) -> nix::Result<()> {
    let open_up = |parent: BorrowedFd<'_>, name: &CStr| {
        // Known to be a directory, and nobody is left to change that.
        fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)
    };
    if unlinkat(top, name, UnlinkatFlags::RemoveDir).is_ok() {
        return Ok(());
    }
    open_up(top.as_fd(), name)?;
    let directory = subdirectory(top.as_fd(), name)?;
    for child in names(directory.as_fd())? {
        match unlinkat(&directory, child.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::EISDIR | Errno::EPERM) => {}
            _ => continue,
        }
        // Moving a directory rewrites its `..`, for which it must be writable.
        open_up(directory.as_fd(), &child)?;
        loop {
            *moved += 1;
            match renameat(&directory, child.as_c_str(), top, format!("{moved}").as_str()) {
                // The program has used that name.
                Err(Errno::EEXIST | Errno::ENOTEMPTY | Errno::ENOTDIR) => {}
                outcome => break outcome?,
            }
        }
    }
    unlinkat(top, name, UnlinkatFlags::RemoveDir)
}
