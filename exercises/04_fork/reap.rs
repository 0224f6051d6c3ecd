//! fork_reap N   (1 to 100)
//!
//! Make N children. Child i exits with status i, but every third one (3, 6, …)
//! dies by a SIGKILL that it sends to itself. Print how each ended, in order of
//! i, whichever ends first:
//!
//!     $ fork_reap 4
//!     1: exit 1
//!     2: exit 2
//!     3: killed by SIGKILL
//!     4: exit 4
//!
//! Print what wait says, not what you know. No zombie may be left, also when
//! only some of the children could be made; then nothing is printed.
//!
//! Why: a status word says in its bits whether a child exited or was killed, and
//! a child that nobody waits for stays in the process table.
//!
//! Read: fork(2); wait(2), all of it; signal(7), on interrupted calls; raise(3).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [count] = arguments.as_slice() else {
        return usage();
    };
    let count = match count.to_str().and_then(|text| text.parse().ok()) {
        Some(count @ 1..=100) => count,
        _ => return usage(),
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(count: u8) -> Result<(), String> {
    // TODO: fork `count` times; child i ends as it should, and runs no further.
    // TODO: wait for every child, and again after EINTR; keep apart who is who.
    // TODO: print, in order, what the status words say.
    let _ = count;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fork_reap N   (1 to 100)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
