//! fifo_nonblock PATH
//!
//! PATH is a FIFO that somebody else has made. If nobody has it open for reading, say
//! so at once; then wait until somebody opens it, write `hello` and a newline into it,
//! and end. If a reader is there already, write without a word:
//!
//!     $ mkfifo /tmp/f; fifo_nonblock /tmp/f &
//!     no reader
//!     $ cat /tmp/f
//!     hello
//!
//! The wait may take an hour and uses no processor time: no looking again and again,
//! with or without a sleep between. You write, and never have the FIFO open for
//! reading yourself.
//!
//! Why: open on a FIFO is a meeting. Whether you come to it to wait or only to see who
//! is there is your choice, each time you open.
//!
//! Read: fifo(7); open(2), O_NONBLOCK and ENXIO.
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
    // TODO: open for writing without waiting; one error means that nobody reads.
    // TODO: say so, and wait in a call that a reader's open ends.
    // TODO: write all of it.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fifo_nonblock PATH");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
