//! shared_counter P N   (P from 1 to 32)
//!
//! Make P children that run side by side. Each adds 1 to one counter in shared
//! memory, N times. When all have ended, print the counter:
//!
//!     $ shared_counter 4 250000
//!     1000000
//!
//! No addition may be lost. `*counter += 1` loses some: it is a load, an
//! addition and a store, and another child may come between.
//!
//! Why: this is the smallest program in which two processes disturb each other.
//! A sum that is right on Monday proves nothing; here it must be right always.
//!
//! Read: mmap(2), MAP_SHARED and MAP_ANONYMOUS; fork(2); wait(2);
//! std::sync::atomic, fetch_add. With a lock instead:
//! pthread_mutexattr_setpshared(3).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1;
//! children that were already made are waited for all the same.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<u32>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[children @ 1..=32, each]) = numbers.as_deref() else {
        return usage();
    };
    match run(children, each) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(children: u32, each: u32) -> Result<(), String> {
    // TODO: map shared memory for the counter.
    // TODO: fork all children; each counts, and leaves by _exit.
    // TODO: wait for all of them (again after EINTR), then print the counter.
    let _ = (children, each);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: shared_counter P N   (P from 1 to 32)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
