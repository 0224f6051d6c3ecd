//! Saves standard input as a file, so that whatever happens the file is the old one or the new one.
//!
//! usage: save_atomic FILE
//!
//! When it exits with 0, FILE is the new one even after a power cut.
//!
//! See fsync(2), rename(2), open(2) (O_EXCL), fchmod(2).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt};

const BLOCK_BYTES: usize = 64 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [file] = arguments.as_slice() else {
        return usage();
    };
    match save(Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// First the contents, then the name, then the directory that the name is in: each on the device before the next.
fn save(file: &Path) -> Result<(), String> {
    let (temporary, new) = create_beside(file)?;
    let saved = fill(&new, file)
        .and_then(|()| keep_mode(&new, file))
        .and_then(|()| new.sync_all().map_err(failed(format!("fsync {}", file.display()))))
        .and_then(|()| fs::rename(&temporary, file).map_err(failed(format!("rename {}", file.display()))));
    if saved.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
        return saved;
    }
    sync_directory(directory_of(file))
}

/// A new file of our own in the file's directory: rename stays within one file system.
fn create_beside(file: &Path) -> Result<(PathBuf, File), String> {
    let mut attempt = 0;
    loop {
        let path = directory_of(file).join(format!(".save-{}-{attempt}", process::id()));
        match File::create_new(&path) {
            Ok(new) => return Ok((path, new)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(failed(format!("open {}", path.display()))(error)),
        }
    }
}

fn fill(mut new: &File, file: &Path) -> Result<(), String> {
    let mut stdin = io::stdin().lock();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = match stdin.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read standard input")(error)),
        };
        new.write_all(&block[..length]).map_err(failed(format!("write {}", file.display())))?;
    }
}

/// The mode of the file that is there, if one is.
fn keep_mode(new: &File, file: &Path) -> Result<(), String> {
    match fs::metadata(file) {
        Ok(status) => new.set_permissions(status.permissions()).map_err(failed(format!("fchmod {}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(format!("stat {}", file.display()))(error)),
    }
}

/// A rename changes the directory, which is in memory too until it is synced.
fn sync_directory(directory: &Path) -> Result<(), String> {
    let opened = File::open(directory).map_err(failed(format!("open {}", directory.display())))?;
    opened.sync_all().map_err(failed(format!("fsync {}", directory.display())))
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn usage() -> ExitCode {
    complain("usage: save_atomic FILE");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed(call: impl fmt::Display) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let error = error.to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
