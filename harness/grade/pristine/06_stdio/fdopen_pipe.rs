//! fdopen_pipe A B C
//!
//! In one process: make a pipe, put a buffered writer over its write end and a
//! buffered reader over its read end. Print the line `A B C` into the writer,
//! take it back from the reader, parse it, and print what you parsed.
//!
//!     $ fdopen_pipe 10 20 30
//!     3 values parsed: 10 20 30
//!
//! Why: formatted text over a descriptor needs a buffer, and what lies in a
//! buffer is not yet in the pipe. A process that waits for its own bytes, or for
//! an end of file that only it could cause, waits for ever.
//!
//! Read: fdopen(3), fflush(3), setvbuf(3); pipe(7) on capacity and end of file.
//! In Rust: std::io::pipe, BufWriter, BufReader, or your own over nix or libc.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<i64>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[a, b, c]) = numbers.as_deref() else {
        return usage();
    };
    run([a, b, c]).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run([a, b, c]: [i64; 3]) -> Result<ExitCode, String> {
    // TODO: make a pipe, and a buffered stream over each end.
    // TODO: print the line into the writer. Where are the bytes now?
    // TODO: read one line, and parse it.
    // TODO: print `3 values parsed: A B C`.
    let _ = (a, b, c);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fdopen_pipe A B C   (integers)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
