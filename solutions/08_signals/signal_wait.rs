//! Two signals and the end of children, in one loop that misses none.
//!
//! usage: signal_wait N
//!
//! Prints SIGUSR1 and SIGTERM as they come, and how each of its N children has
//! ended; they read standard input to its end. Ends when SIGTERM has come and the
//! children have gone.
//!
//! The signals are blocked from the beginning, so that one that comes while the
//! program does something else stays pending until sigwait takes it.
//!
//! See sigprocmask(2), sigwait(3), signal(7), waitpid(2) (WNOHANG).

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

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

fn run(count: i32) -> Result<(), String> {
    let signals = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGCHLD]);
    signals.thread_block().map_err(failed("sigprocmask"))?;

    let mut children = Vec::new();
    let result = start(&mut children, count).and_then(|()| watch(&signals, &mut children));
    // Only after a failure: nobody is left behind.
    for (child, _) in children {
        let _ = kill(child, Signal::SIGKILL);
        let _ = waitpid(child, None);
    }
    result
}

/// Forks the children, and notes which is which.
fn start(children: &mut Vec<(Pid, i32)>, count: i32) -> Result<(), String> {
    for n in 1..=count {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(failed("fork"))? {
            ForkResult::Child => {
                let read = io::stdin().read_to_end(&mut Vec::new());
                // SAFETY: _exit asks for nothing and does not return.
                unsafe { libc::_exit(if read.is_ok() { n } else { 101 }) }
            }
            ForkResult::Parent { child } => children.push((child, n)),
        }
    }
    Ok(())
}

fn watch(signals: &SigSet, children: &mut Vec<(Pid, i32)>) -> Result<(), String> {
    let mut asked_to_end = false;
    while !asked_to_end || !children.is_empty() {
        match signals.wait().map_err(failed("sigwait"))? {
            Signal::SIGCHLD => reap(children)?,
            signal => {
                say(signal.as_str())?;
                asked_to_end |= signal == Signal::SIGTERM;
            }
        }
    }
    Ok(())
}

/// Takes all children that have ended: one SIGCHLD may stand for many.
fn reap(children: &mut Vec<(Pid, i32)>) -> Result<(), String> {
    while !children.is_empty() {
        let (pid, end) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, format!("exit {status}")),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, format!("killed by {signal}")),
            Ok(_) => break,
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(failed("wait child")(error)),
        };
        if let Some(at) = children.iter().position(|(child, _)| *child == pid) {
            let (_, n) = children.swap_remove(at);
            say(&format!("child {n}: {end}"))?;
        }
    }
    Ok(())
}

fn say(line: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
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
