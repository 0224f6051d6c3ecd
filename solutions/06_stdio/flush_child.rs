//! A child's word, through a buffer that nobody else empties.
//!
//! usage: flush_child SCORE
//!
//! The child sends the line `Score N` through a buffered stream over a pipe and
//! leaves by _exit; the parent parses it and prints
//! `The child says the score is N`. _exit flushes nothing, so the child does;
//! and the number is complete for the parent once the newline has come.
//!
//! See fflush(3), _exit(2), exit(3), scanf(3), pipe(7).

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
            drop(reader);
            leave(send(writer, score))
        }
        ForkResult::Parent { child } => {
            drop(writer); // else a child that sends nothing is waited for in vain
            let heard = receive(reader);
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                say(heard?)?;
            }
            Ok(status)
        }
    }
}

/// The child's part.
fn send(writer: PipeWriter, score: i64) -> Result<(), String> {
    let mut writer = BufWriter::new(writer);
    writeln!(writer, "Score {score}").and_then(|()| writer.flush()).map_err(failed("write pipe"))
}

/// The parent's part: the line may come in pieces, and the newline ends it.
fn receive(reader: PipeReader) -> Result<i64, String> {
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
