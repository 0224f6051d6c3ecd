//! map_sigbus FILE
//!
//! Map FILE whole, print `ready`, and wait for a line on standard input. Meanwhile
//! somebody may truncate FILE. Then load a byte of every page of the mapping, in
//! order. At the first that is gone print `gone at page N`, N counted from 0; if
//! none is gone print `all there`. Exit status 0 in both cases.
//!
//!     $ map_sigbus big            (in another terminal: truncate -s 10000 big)
//!     ready
//!                                 (press return)
//!     gone at page 3
//!
//! Do not read FILE with read, and do not ask for its size again: it may change
//! between the question and the load. Survive the load.
//!
//! Why: a mapped page whose file has lost it cannot be an error code, for a load
//! returns none. The kernel sends SIGBUS. Whoever maps files of others has to be
//! ready for it: a handler, or a process that may die.
//!
//! Read: mmap(2) SIGBUS; sigaction(2) SA_SIGINFO; signal-safety(7); waitpid(2).
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
    // TODO: open the file, and map all of it.
    // TODO: print `ready`, and wait for a line.
    // TODO: who is to touch the pages? This process with a handler for SIGBUS, or a child?
    // TODO: how does it become known how far it came?
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_sigbus FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
