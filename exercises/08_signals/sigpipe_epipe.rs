//! sigpipe_epipe N K
//!
//! A server and its N readers, of whom K go away:
//!
//! - fork N children, each the reader of a pipe of its own;
//! - send every line of standard input, as it comes, to each reader that is still
//!   there; at the end of file close all pipes and wait for all children;
//! - the first K readers leave after their first line; the others read to the end.
//!
//! At the end print how many readers were gone when there was a line for them:
//!
//!     $ (echo one; sleep 1; echo two; sleep 1; echo three) | sigpipe_epipe 5 2
//!     lost 2
//!
//! N is at least 1, K at most N. What the server knows of a reader it learns from
//! the write: do not count the children that have ended, and K is for the children
//! only. A reader lost is counted once, and the others miss nothing.
//!
//! Why: SIGPIPE is right for `| head -1`, and wrong for a server: one reader that
//! leaves must not kill what serves the others. With the signal ignored write says
//! EPIPE, but only when the *last* copy of the read end is closed.
//!
//! Read: pipe(7) on SIGPIPE and EPIPE; write(2); fork(2) on descriptors. In Rust:
//! io::pipe, ErrorKind::BrokenPipe, Vec::retain_mut.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let (&[readers, leaving], 2) = (numbers.as_slice(), arguments.len()) else {
        return usage();
    };
    if readers == 0 || leaving > readers {
        return usage();
    }
    match run(readers, leaving) {
        Ok(lost) => {
            println!("lost {lost}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(_readers: usize, _leaving: usize) -> Result<usize, String> {
    // TODO: for each reader a pipe and a child; which ends must the child close?
    // TODO: send each line of standard input to all that are left.
    // TODO: close the pipes, and wait for every child.
    Err(failed("fork")(io::Error::other("not written yet")))
}

fn usage() -> ExitCode {
    complain("usage: sigpipe_epipe N K   (K of N readers go away)");
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
