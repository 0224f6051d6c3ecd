//! `y` for ever, until nobody reads.
//!
//! usage: sigpipe_default
//!
//! Prints lines of `y` until its reader goes away: then SIGPIPE ends it, without
//! a word. Rust's runtime has set that signal to be ignored, so it is set back.
//!
//! See yes(1), pipe(7) (SIGPIPE), signal(2), write(2) (EPIPE).

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::sys::signal::{SigHandler, Signal, signal};

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    let Err(message) = run();
    complain(&message);
    ExitCode::FAILURE
}

/// Comes back only with an error other than EPIPE, which SIGPIPE forestalls.
fn run() -> Result<Infallible, String> {
    // SAFETY: no handler takes part; the default action ends the process.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map_err(failed("signal SIGPIPE"))?;

    let mut stdout = io::stdout().lock();
    loop {
        stdout.write_all(b"y\n").map_err(failed("write stdout"))?;
    }
}

fn usage() -> ExitCode {
    complain("usage: sigpipe_default");
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
