//! signal_wait N
//!
//! One process waits for everything at once. It has N children (at most 100), which
//! read standard input to its end and then exit, child 1 with status 1, and so on;
//! and it prints, as each thing comes,
//!
//!     SIGUSR1            whenever it gets that signal
//!     SIGTERM            when it gets that one
//!     child 2: exit 2    when a child has ended (in any order)
//!
//! It ends, with status 0, when SIGTERM has come and all children have ended. Try it:
//! `signal_wait 2` in one terminal, `kill -USR1 PID` in another, then Ctrl-D.
//!
//! Wait in one call that blocks, without sleeping and without looking again and again.
//! A signal may come at any moment, also between your look at a flag and the call that
//! waits: it must not get lost there. And signals of one kind do not queue: two
//! children that end together may send a single SIGCHLD.
//!
//! Why: every server's main loop is this program.
//!
//! Read: signal(7); sigprocmask(2), and then one of sigwait(3), signalfd(2),
//! sigsuspend(2) and ppoll(2) (their EXAMPLES and the race they speak of), or "the
//! self-pipe trick"; waitpid(2) on WNOHANG; signal-safety(7).

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

const MOST_CHILDREN: i32 = 100;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (Some(count), None) = (arguments.next(), arguments.next()) else {
        return usage();
    };
    let count = match count.parse() {
        Ok(count) if (0..=MOST_CHILDREN).contains(&count) => count,
        _ => return usage(),
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(_count: i32) -> Result<(), String> {
    // TODO: block the signals before the first child is there.
    // TODO: fork the children.
    // TODO: wait for a signal; of children, reap all that have ended.
    Err(failed("sigprocmask")(io::Error::other("not written yet")))
}

fn usage() -> ExitCode {
    complain("usage: signal_wait N   (children, at most 100)");
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
