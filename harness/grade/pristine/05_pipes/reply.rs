//! pipe_reply   (text on standard input)
//!
//! Send the lines of standard input to a child, which makes them upper case
//! (A to Z only, every other byte stays) and sends them back; print what comes.
//!
//!     $ printf 'one\ntwo\n' | pipe_reply
//!     ONE
//!     TWO
//!
//! Two pipes, one for each way. A line is answered before the next is needed,
//! so that somebody may type. The input may be of any size and hold any bytes:
//! both pipes fill, and then whoever only writes, or only reads, stops all.
//!
//! Why: question and answer over pipes is how programs use other programs as
//! parts. It is also the shortest way to a deadlock.
//!
//! Read: pipe(7), "Pipe capacity"; fork(2); poll(2), if you do it in one thread.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() != 1 {
        return usage();
    }
    run().unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, String> {
    // TODO: make a pipe for the questions and one for the answers, then fork.
    // TODO: the child closes the two ends it does not use, answers until the
    //       questions end, and leaves by _exit.
    // TODO: the parent closes its two. It must send and print at the same time:
    //       who sends while you wait for an answer?
    // TODO: closing the questions ends the child; then wait for it.
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_reply   (text on standard input)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
