//! Lines to a child and back, over two pipes.
//!
//! usage: pipe_reply   (text on standard input)
//!
//! One thread of the parent sends standard input to the child, the other prints
//! what the child sends back. So neither pipe can stay full for ever, however
//! much there is, and every piece is passed on as soon as it has come.
//!
//! See pipe(2), pipe(7), fork(2), poll(2) for a way without threads.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::{env, fmt, thread};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    if env::args_os().len() != 1 {
        return usage();
    }
    run().unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, String> {
    let (questions, ask) = io::pipe().map_err(failed("pipe"))?;
    let (answers, answer) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(ask);
            drop(answers);
            leave(relay(questions, "pipe", answer, "pipe", <[u8]>::make_ascii_uppercase))
        }
        ForkResult::Parent { child } => {
            drop(questions);
            drop(answer);
            // The sender owns `ask`: that it ends is the end of file for the child.
            let sender = thread::Builder::new()
                .spawn(|| relay(io::stdin(), "stdin", ask, "pipe", |_| {}))
                .map_err(failed("spawn thread"))?;
            relay(answers, "pipe", io::stdout(), "stdout", |_| {})?;
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                sender.join().map_err(|_| "thread: panicked")??;
            }
            Ok(status)
        }
    }
}

/// Passes on each piece as it comes, changed, until the end of file.
fn relay(
    mut from: impl Read,
    source: &str,
    mut to: impl Write,
    sink: &str,
    change: fn(&mut [u8]),
) -> Result<(), String> {
    let mut buffer = [0; 8192];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(format!("read {source}"))(error)),
        };
        let piece = &mut buffer[..length];
        change(piece);
        to.write_all(piece).and_then(|()| to.flush()).map_err(failed(format!("write {sink}")))?;
    }
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
    complain("usage: pipe_reply   (text on standard input)");
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
