//! Six ways to end, none of which loses what was printed before.
//!
//! usage: lost_output return|exit|_exit|panic|abort|kill
//!
//! Prints `before` through a buffer, flushes it, and ends as asked: main returns
//! (status 0), exit (3), _exit (4), a panic (101), SIGABRT, or SIGKILL.
//!
//! See exit(3), _exit(2), abort(3), stdio(3), signal(7).

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::{env, fmt, process};

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(way), None) = (arguments.next(), arguments.next()) else {
        return usage();
    };
    if !["return", "exit", "_exit", "panic", "abort", "kill"].contains(&way.as_str()) {
        return usage();
    }
    match run(&way) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(way: &str) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout());
    // Not left to drop, which most ways out pass by, and which could not say that it failed.
    out.write_all(b"before\n").and_then(|()| out.flush()).map_err(failed("write stdout"))?;
    end(way)
}

/// Comes back only for `return`.
fn end(way: &str) -> Result<(), String> {
    match way {
        "exit" => process::exit(3),
        // SAFETY: _exit asks for nothing and does not return.
        "_exit" => unsafe { libc::_exit(4) },
        "panic" => panic!("as asked"),
        "abort" => process::abort(),
        "kill" => kill(getpid(), Signal::SIGKILL).map_err(failed("kill")),
        _ => Ok(()),
    }
}

fn usage() -> ExitCode {
    complain("usage: lost_output return|exit|_exit|panic|abort|kill");
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
