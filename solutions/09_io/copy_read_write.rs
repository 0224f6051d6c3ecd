//! Copies a file with read and write, block by block.
//!
//! usage: copy_read_write SRC DST [--block N]
//!
//! DST becomes equal to SRC, with its permission bits, or stays as it was.
//! N is the number of bytes asked of each read.
//!
//! See read(2), write(2), rename(2), open(2) (O_EXCL), fchmod(2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt};

use nix::errno::Errno;

const DEFAULT_BLOCK_BYTES: usize = 256 * 1024;
const MAX_BLOCK_BYTES: usize = 64 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (src, dst, block) = match arguments.as_slice() {
        [src, dst] => (src, dst, Some(DEFAULT_BLOCK_BYTES)),
        [src, dst, flag, block] if flag == "--block" => (src, dst, block.to_str().and_then(|block| block.parse().ok())),
        _ => return usage(),
    };
    let Some(block @ 1..=MAX_BLOCK_BYTES) = block else {
        return usage();
    };
    match copy(Path::new(src), Path::new(dst), block) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Copies to a new file beside DST, which takes DST's name only when whole:
/// until then DST is as it was, and after a failure too.
fn copy(src: &Path, dst: &Path, block: usize) -> Result<(), String> {
    let file = File::open(src).map_err(failed(format!("open {}", src.display())))?;
    let status = file.metadata().map_err(failed(format!("fstat {}", src.display())))?;
    refuse_same(&status, src, dst)?;

    let (temporary, new) = create_beside(dst)?;
    let copied = fill(&new, dst, &file, src, block)
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

/// The contents, up to the end of file wherever it has moved meanwhile.
fn fill(mut new: &File, dst: &Path, mut file: &File, path: &Path, block: usize) -> Result<(), String> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(block).map_err(|_| failed("allocate block")(Errno::ENOMEM))?;
    buffer.resize(block, 0);
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(format!("read {}", path.display()))(error)),
        };
        new.write_all(&buffer[..length]).map_err(failed(format!("write {}", dst.display())))?;
    }
}

fn usage() -> ExitCode {
    complain("usage: copy_read_write SRC DST [--block N]   (1 to 67108864 bytes)");
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
