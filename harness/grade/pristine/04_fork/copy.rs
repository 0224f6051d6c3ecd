//! fork_copy A B   (integers)
//!
//! Set a variable to A, and fork. The child sets the variable to B and prints
//! what it has; when it has ended, the parent prints what it has:
//!
//!     $ fork_copy 1 2
//!     child: 2
//!     parent: 1
//!
//! Why: fork copies the memory of a process, and from then on there are two of
//! every variable. That holds for the buffers of streams too: what is in one at
//! fork may be printed twice.
//!
//! Read: fork(2); wait(2); _exit(2), and exit(3) on what it does more.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<i64>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[a, b]) = numbers.as_deref() else {
        return usage();
    };
    run(a, b).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(a: i64, b: i64) -> Result<ExitCode, String> {
    // TODO: a variable, then fork.
    // TODO: the child changes it, prints, flushes, and leaves by _exit.
    // TODO: the parent waits for the child (again after EINTR), then prints.
    let _ = (a, b);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fork_copy A B   (integers)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
