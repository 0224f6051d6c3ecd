//! shared_flag FILE
//!
//! FILE begins with a number, an i32 as this machine stores it, which is 1. Map
//! FILE in two processes. The child changes the number to 2 by a store; the
//! parent waits until that has happened, and prints what it loads:
//!
//!     $ shared_flag flag.bin
//!     seen 2
//!
//! While it waits the parent uses no processor, and does not look again and
//! again with sleeps between. If the child dies and the number is still 1, the
//! parent says `child died` on standard error, with exit status 1. A FILE that
//! is too short or begins with another number is refused in one line that names
//! it, with exit status 1, and is not changed.
//!
//! Why: `while *flag == 1 {}` is the oldest way to wait for a process, and wrong
//! three times: it burns a processor, an optimising compiler may load only once,
//! and nobody tells it that the other has died.
//!
//! Read: mmap(2), MAP_SHARED; pipe(7), on the end of file; futex(2), eventfd(2);
//! wait(2).
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
    // TODO: open FILE to read and write, map its first number shared, look at it.
    // TODO: choose what the parent is to block in, and make it; then fork.
    // TODO: the child stores 2, and the parent learns of it, or of the child's end.
    // TODO: wait for the child (again after EINTR); print.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: shared_flag FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
