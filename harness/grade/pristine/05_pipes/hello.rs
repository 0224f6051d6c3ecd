//! pipe_hello MESSAGE
//!
//! Send MESSAGE from the parent to its child through a pipe. The child reads to
//! the end of file and prints what came, and a newline.
//!
//!     $ pipe_hello 'Hi Child!'
//!     Hi Child!
//!
//! MESSAGE may be empty, may be any bytes, and may be longer than a pipe holds:
//! then the child must read while the parent still writes. A read or a write may
//! move less than you asked for, or be interrupted and move nothing.
//!
//! Why: a pipe is a stream with two ends, and after fork each end exists twice.
//! What you do not use you must close, or the end of file never comes.
//!
//! Read: pipe(2) with its EXAMPLES; pipe(7); fork(2); read(2) and write(2),
//! RETURN VALUE; waitpid(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [message] = arguments.as_slice() else {
        return usage();
    };
    run(message.as_bytes()).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(message: &[u8]) -> Result<ExitCode, String> {
    // TODO: make a pipe, then fork.
    // TODO: the parent closes the end it does not use, writes all of the
    //       message, closes the other end, and only then waits for the child.
    // TODO: the child closes the end it does not use, reads until read gives 0,
    //       prints, flushes, and leaves by _exit.
    let _ = message;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_hello MESSAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
