//! Copies a file past the page cache.
//!
//! usage: direct_copy SRC DST
//!
//! DST becomes equal to SRC, with its permission bits, or stays as it was. Both are opened with O_DIRECT, which not
//! every file system has.
//!
//! See open(2) (O_DIRECT), read(2), ftruncate(2), rename(2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt};

use memmap2::MmapMut;
use nix::errno::Errno;

/// What addresses, offsets and lengths are multiples of: enough for every device.
const UNIT_BYTES: usize = 4096;
/// Much per call, for there is nobody to read ahead.
const BLOCK_BYTES: usize = 1 << 20;

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
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(src)
        .map_err(failed(format!("open {}", src.display())))?;
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
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_DIRECT);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(failed(format!("open {}", path.display()))(error)),
        }
    }
}

/// The contents, in whole units; what the last one has too much is cut off.
fn fill(mut new: &File, dst: &Path, mut file: &File, src: &Path) -> Result<(), String> {
    // A mapping begins at a page; a Vec<u8> may begin anywhere.
    let mut block = MmapMut::map_anon(BLOCK_BYTES).map_err(failed("mmap block"))?;
    let mut copied = 0;
    loop {
        let length = match file.read(&mut block) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(format!("read {}", src.display()))(error)),
        };
        copied += length as u64;
        let padded = length.next_multiple_of(UNIT_BYTES);
        block[length..padded].fill(0);
        new.write_all(&block[..padded]).map_err(failed(format!("write {}", dst.display())))?;
        // Only at the end of the file does a read bring a part of a unit.
        if length == 0 || length < padded {
            return new.set_len(copied).map_err(failed(format!("ftruncate {}", dst.display())));
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: direct_copy SRC DST");
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
