//! flush_child SCORE   (mend this program)
//!
//! The child sends `Score N` to its parent through a buffered stream over a pipe,
//! and leaves by _exit. The parent parses it and prints what it has heard:
//!
//!     $ flush_child 20
//!     The child says the score is 20
//!
//! It prints nothing and never ends (press Ctrl-C). Two things are wrong, and each
//! alone is enough. Where are the child's bytes when the child is gone? And when
//! they have come: how is the parent to know that 20 is not the beginning of 2000?
//! The parent must print only what came through the pipe, and only after it came.
//!
//! Why: a buffer dies with its process. Returning from main or exit(3) empties C's
//! streams first; _exit, a signal or an abort does not, and Rust's never empties
//! more than what is dropped.
//!
//! Read: _exit(2) on what it does not do; fflush(3); pipe(7) on the end of file.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, PipeReader, PipeWriter, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let score = match arguments.as_slice() {
        [score] => score.to_str().and_then(|score| score.parse().ok()),
        _ => None,
    };
    let Some(score) = score else {
        return usage();
    };
    run(score).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(score: i64) -> Result<ExitCode, String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let mut writer = BufWriter::new(&writer);
            let sent = send(&mut writer, score);
            leave(sent)
        }
        ForkResult::Parent { child } => {
            let heard = receive(&reader);
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                say(heard?)?;
            }
            Ok(status)
        }
    }
}

/// The child's part.
fn send(writer: &mut BufWriter<&PipeWriter>, score: i64) -> Result<(), String> {
    write!(writer, "Score {score}").map_err(failed("write pipe"))
}

/// The parent's part.
fn receive(reader: &PipeReader) -> Result<i64, String> {
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).map_err(failed("read pipe"))?;
    let score = line.strip_prefix("Score ").and_then(|score| score.trim_end().parse().ok());
    score.ok_or_else(|| format!("read pipe: no score in {line:?}"))
}

fn say(score: i64) -> Result<(), String> {
    let mut stdout = io::stdout();
    writeln!(stdout, "The child says the score is {score}")
        .and_then(|()| stdout.flush())
        .map_err(failed("write stdout"))
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
    complain("usage: flush_child SCORE   (an integer)");
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
