//! Copies a file out of a mapping of it.
//!
//! usage: copy_mmap SRC DST
//!
//! DST becomes equal to SRC, with its permission bits, or stays as it was. SRC
//! is mapped and never read: write takes the bytes from the mapping, that is,
//! from the page cache.
//!
//! See mmap(2), write(2), madvise(2), rename(2), open(2) (O_EXCL), fchmod(2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt};

use memmap2::MmapOptions;
use nix::errno::Errno;

/// What one write is given: much per call, and little held up by each.
const CHUNK_BYTES: usize = 1024 * 1024;

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
    if !status.is_file() {
        return Err(format!("mmap {}: not a regular file", src.display()));
    }
    refuse_same(&status, src, dst)?;

    let (temporary, new) = create_beside(dst)?;
    let copied = fill(&new, dst, &file, src, status.len())
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

/// The contents, as long as the file was when its length was taken.
fn fill(mut new: &File, dst: &Path, file: &File, path: &Path, length: u64) -> Result<(), String> {
    if length == 0 {
        return Ok(()); // a mapping has at least one byte
    }
    let length = usize::try_from(length).map_err(|_| failed(format!("mmap {}", path.display()))(Errno::EFBIG))?;
    // SAFETY: this process never looks at the bytes, it only hands their
    // address to write(2). If another program truncates or changes the file
    // meanwhile, write fails with EFAULT or takes the new bytes.
    let mapping =
        unsafe { MmapOptions::new().len(length).map(file) }.map_err(failed(format!("mmap {}", path.display())))?;
    for chunk in mapping.chunks(CHUNK_BYTES) {
        new.write_all(chunk).map_err(failed(format!("write {}", dst.display())))?;
    }
    Ok(())
}

fn usage() -> ExitCode {
    complain("usage: copy_mmap SRC DST");
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
