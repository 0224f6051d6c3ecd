//! fdopen_file PATH NAME SCORE
//!
//! Open PATH by yourself, as open(2) does: for writing, made if it is not there,
//! emptied if it is, mode 0600 if it is new. Wrap the descriptor in a buffered
//! stream (C: fdopen), print one line into it, and close it. Standard output gets
//! nothing.
//!
//!     $ fdopen_file scores.txt Ada 123 && cat scores.txt
//!     Name:Ada Score:123
//!
//! The line must reach the kernel in one write(2), whatever pieces you print it
//! in. The descriptor now belongs to the stream: it is closed once, by it.
//!
//! Why: open says things that fopen cannot (a mode, O_EXCL, O_CLOEXEC), and a
//! stream formats. Together you have both, and one owner too many.
//!
//! Read: open(2) on O_CREAT, O_TRUNC and mode; fdopen(3); fclose(3) on errors that
//! only show when the buffer is flushed; umask(2).
//! In Rust: File::options and OpenOptionsExt::mode, BufWriter.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, name, score] = arguments.as_slice() else {
        return usage();
    };
    let Some(score) = score.to_str().and_then(|score| score.parse().ok()) else {
        return usage();
    };
    match run(Path::new(path), name.as_bytes(), score) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, name: &[u8], score: i64) -> Result<(), String> {
    // TODO: open path: to write, made or emptied, mode 0600.
    // TODO: put a buffered stream over it and print the line `Name:NAME Score:SCORE`.
    // TODO: flush it and look at the result; then close it, once.
    let _ = (path, name, score);
    Err(failed("open")(io::Error::other("not written yet")))
}

fn usage() -> ExitCode {
    complain("usage: fdopen_file PATH NAME SCORE   (SCORE an integer)");
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
