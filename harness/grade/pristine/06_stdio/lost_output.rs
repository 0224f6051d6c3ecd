//! lost_output WAY   (mend this program)
//!
//! Prints `before` through a buffer, and then ends in the way asked for:
//!
//!     return   main returns, status 0
//!     exit     std::process::exit, status 3
//!     _exit    libc::_exit, status 4
//!     panic    a panic that nobody catches, status 101
//!     abort    SIGABRT
//!     kill     SIGKILL, sent to itself
//!
//! `before` must be out in every case, once, in one write. It is not: find out which
//! ways lose it. A write that fails is one line on standard error and exit 1, whatever
//! WAY says.
//!
//! Why: a destructor empties a BufWriter, and exit handlers empty C's streams, but
//! many ways lead out of a process past both. What must not be lost you flush yourself,
//! and only a flush can tell you that the disk is full.
//!
//! Read: exit(3) against _exit(2); stdio(3) on what exit flushes; abort(3);
//! std::process::exit and BufWriter on destructors.

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
    out.write_all(b"before\n").map_err(failed("write stdout"))?;
    end(way)
    // The buffer is emptied here, when `out` goes.
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
