//! Children that end in different ways, each asked how.
//!
//! usage: fork_reap N   (1 to 100)
//!
//! Child i exits with status i; every third one kills itself instead. The
//! parent keeps their ids in order and waits for each by its own, so that it
//! does not matter which of them ends first.
//!
//! See fork(2), wait(2) (the W* macros, zombies), signal(7), raise(3), _exit(2).

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [count] = arguments.as_slice() else {
        return usage();
    };
    let count = match count.to_str().and_then(|text| text.parse().ok()) {
        Some(count @ 1..=100) => count,
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

fn run(count: u8) -> Result<(), String> {
    let mut children = Vec::new();
    let mut forked = Ok(());
    for i in 1..=count {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => end(i),
            Ok(ForkResult::Parent { child }) => children.push(child),
            Err(error) => {
                forked = Err(failed("fork")(error));
                break;
            }
        }
    }
    // Those that were made are waited for even if not all could be.
    let ends: Vec<_> = children.into_iter().map(wait_for).collect();
    forked?;

    let mut text = String::new();
    for (end, i) in ends.into_iter().zip(1..) {
        text += &match end? {
            WaitStatus::Exited(_, status) => format!("{i}: exit {status}\n"),
            WaitStatus::Signaled(_, signal, _) => format!("{i}: killed by {signal}\n"),
            other => return Err(format!("wait child {i}: {other:?}")),
        };
    }
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The child's part.
fn end(i: u8) -> ! {
    if i.is_multiple_of(3)
        && let Err(error) = raise(Signal::SIGKILL)
    {
        complain(&failed("raise SIGKILL")(error));
    }
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(i.into()) }
}

/// How this child ended. With this it is gone from the process table.
fn wait_for(child: Pid) -> Result<WaitStatus, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            result => return result.map_err(failed("wait child")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: fork_reap N   (1 to 100)");
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
