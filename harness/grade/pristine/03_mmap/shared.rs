//! map_shared FILE BYTE
//!
//! Map FILE shared and store BYTE over its first byte, through the mapping: no
//! write(2). Then a child that opens FILE and read()s it prints what it found.
//!
//!     $ printf hello > f; map_shared f J
//!     file: J
//!
//! The child must read after the store, whoever is scheduled first, and you must
//! wait for the child. The rest of FILE, and its length, stay as they are.
//!
//! Why: the mapping and read(2) look at the same page of the page cache. There is
//! nothing to flush between processes; msync(2) is about the device.
//!
//! Read: mmap(2) MAP_SHARED; fork(2); waitpid(2); msync(2), NOTES.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, byte] = arguments.as_slice() else {
        return usage();
    };
    let &[byte] = byte.as_bytes() else {
        return usage();
    };
    run(Path::new(path), byte).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, byte: u8) -> Result<ExitCode, String> {
    // TODO: open the file. What does a shared, writable mapping ask for?
    // TODO: map it shared, and store the byte through the mapping.
    // TODO: fork. The child opens the file, reads a byte, prints `file: BYTE`,
    //       and leaves by _exit.
    // TODO: the parent waits for the child, also when the wait is interrupted.
    let _ = (path, byte);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_shared FILE BYTE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
