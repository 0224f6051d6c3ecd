//! One variable before fork, two after it.
//!
//! usage: fork_copy A B   (integers)
//!
//! The child stores B in its copy of a variable that was A; the parent's copy
//! does not change. The parent prints when the child has ended, so the order of
//! the two lines is not left to chance.
//!
//! See fork(2), wait(2), _exit(2).

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<i64>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[a, b]) = numbers.as_deref() else {
        return usage();
    };
    run(a, b).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(a: i64, b: i64) -> Result<ExitCode, String> {
    let mut x = a;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            x = b; // in this process only
            leave(say("child", x))
        }
        ForkResult::Parent { child } => {
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                say("parent", x)?;
            }
            Ok(status)
        }
    }
}

/// Prints at once: nothing stays in a buffer that two processes could flush.
fn say(who: &str, x: i64) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(format!("{who}: {x}\n").as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Err(format!("child: killed by {signal}"));
            }
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

/// Ends the child, without running again what the parent set up for its own end.
fn leave(result: Result<(), String>) -> ! {
    let status = match result {
        Ok(()) => 0,
        Err(message) => {
            complain(&message);
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

fn usage() -> ExitCode {
    complain("usage: fork_copy A B   (integers)");
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
