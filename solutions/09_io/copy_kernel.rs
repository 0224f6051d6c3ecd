//! Copies a file inside the kernel: copy_file_range, where that cannot be sendfile, and where that cannot be
//! either, read and write.
//!
//! usage: copy_kernel SRC DST
//!
//! DST becomes equal to SRC, with its permission bits, or stays as it was.
//!
//! See copy_file_range(2), sendfile(2), rename(2), open(2) (O_EXCL), fchmod(2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt};

use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::sys::sendfile::sendfile;

/// What the kernel is asked to copy at once: all, of most files.
const PIECE_BYTES: usize = 1 << 30;
const BLOCK_BYTES: usize = 256 * 1024;

/// Copies on from where both files stand; 0 at the end of the first one.
type Step = fn(&File, &File) -> nix::Result<usize>;

/// The kernel's own ways, the best first. Both leave the files' positions behind what they have copied.
const KERNEL_WAYS: [(&str, Step); 2] = [
    ("copy_file_range", |file, new| copy_file_range(file, None, new, None, PIECE_BYTES)),
    ("sendfile", |file, new| sendfile(new, file, None, PIECE_BYTES)),
];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [src, dst] = arguments.as_slice() else {
        return usage();
    };
    match copy(Path::new(src), Path::new(dst)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Copies to a new file beside DST, which takes DST's name only when whole:
/// until then DST is as it was, and after a failure too.
fn copy(src: &Path, dst: &Path) -> Result<(), String> {
    let file = File::open(src).map_err(failed(format!("open {}", src.display())))?;
    let status = file.metadata().map_err(failed(format!("fstat {}", src.display())))?;
    refuse_same(&status, src, dst)?;

    let (temporary, new) = create_beside(dst)?;
    let copied = fill(&new, dst, &file, src)
        .and_then(|()| {
            // After the contents: writing may clear bits of the mode.
            new.set_permissions(status.permissions()).map_err(failed(format!("fchmod {}", dst.display())))
        })
        .and_then(|()| fs::rename(&temporary, dst).map_err(failed(format!("rename {}", dst.display()))));
    if copied.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    copied
}

/// One file may have many names: only device and inode tell.
fn refuse_same(src_status: &Metadata, src: &Path, dst: &Path) -> Result<(), String> {
    match fs::metadata(dst) {
        Ok(status) if status.is_dir() => Err(failed(format!("open {}", dst.display()))(Errno::EISDIR)),
        Ok(status) if (status.dev(), status.ino()) == (src_status.dev(), src_status.ino()) => {
            Err(format!("copy {}: {} is the same file", src.display(), dst.display()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(format!("stat {}", dst.display()))(error)),
    }
}

/// A new file of our own in DST's directory: rename stays within one file system.
fn create_beside(dst: &Path) -> Result<(PathBuf, File), String> {
    let directory = dst.parent().unwrap_or(Path::new(""));
    let mut attempt = 0;
    loop {
        let path = directory.join(format!(".copy-{}-{attempt}", process::id()));
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(failed(format!("open {}", path.display()))(error)),
        }
    }
}

/// The contents, by the first way that there is between these two files.
fn fill(new: &File, dst: &Path, file: &File, src: &Path) -> Result<(), String> {
    for (call, step) in KERNEL_WAYS {
        match by_kernel(file, new, step) {
            Ok(()) => return Ok(()),
            Err(error) if is_no_way(error) => {} // the next one goes on where this one stopped
            Err(error) => return Err(failed(format!("{call} {} {}", src.display(), dst.display()))(error)),
        }
    }
    by_read_write(new, dst, file, src)
}

fn by_kernel(file: &File, new: &File, step: Step) -> nix::Result<()> {
    loop {
        match step(file, new) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the kernel says that it cannot copy in this way at all: two file systems, one that knows nothing of it, an
/// old kernel, a filter. Any other failure would meet the next way too.
fn is_no_way(error: Errno) -> bool {
    matches!(error, Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM)
}

fn by_read_write(mut new: &File, dst: &Path, mut file: &File, src: &Path) -> Result<(), String> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(format!("read {}", src.display()))(error)),
        };
        new.write_all(&block[..length]).map_err(failed(format!("write {}", dst.display())))?;
    }
}

fn usage() -> ExitCode {
    complain("usage: copy_kernel SRC DST");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
