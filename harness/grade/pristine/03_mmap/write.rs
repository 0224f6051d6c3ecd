//! map_write FILE
//!
//! Make FILE exactly 40 bytes: ten numbers of type i32 in this machine's own byte
//! order, 0x12345678, 0xdeadc0de and eight zeros. Store them through a mapping; no
//! write(2). Then print the file's bytes, 16 a line, after their offset, unmap it.
//!
//!     $ map_write f
//!     0000: 78 56 34 12 de c0 ad de 00 00 00 00 00 00 00 00
//!     0010: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
//!     0020: 00 00 00 00 00 00 00 00
//!
//! FILE may be there already, longer or shorter, with anything in it.
//!
//! Why: a store to memory is the write, but it cannot make the file longer. A page
//! of the mapping that has no file behind it is a trap: SIGBUS.
//!
//! Read: mmap(2) MAP_SHARED and ERRORS EACCES; ftruncate(2); munmap(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    // TODO: open the file, or make it. What does a writable shared mapping need?
    // TODO: give it its length.
    // TODO: map it, and store the ten numbers. What was in it before?
    // TODO: print its bytes, 16 a line.
    // TODO: unmap it, if nobody does it for you.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_write FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
