//! scan_number
//!
//! Read integers (64 bits, signed) from standard input, with blanks, tabs or
//! newlines between them, and print each on a line of its own:
//!
//!     $ printf '10 -20\n30' | scan_number
//!     10
//!     -20
//!     30
//!
//! Print a number as soon as it is complete: when the byte after it has come, be it
//! a newline or a blank, without waiting for more. `12` alone is not complete, for
//! 34 may follow; the end of file completes the last. A word that is no number, or
//! one too large for 64 bits, is an error: one line on standard error, exit 1.
//!
//! Why: a pipe has no messages. What one read brings may end in the middle of a
//! number, and who writes may be waiting for your answer before it writes more.
//!
//! Read: scanf(3) and what ends a %ld; read(2) on fewer bytes than asked for;
//! strtol(3) on ERANGE. In Rust: BufRead::fill_buf and consume, or Read::read.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    // TODO: take what one read brings, until it brings nothing.
    // TODO: collect the bytes of a word; at a delimiter parse and print it.
    // TODO: what is collected at the end of file is a word too.
    Err(failed("read stdin")(io::Error::other("not written yet")))
}

fn usage() -> ExitCode {
    complain("usage: scan_number   (integers on standard input)");
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
