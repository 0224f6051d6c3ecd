//! A line of commands, each reading what the one before it writes.
//!
//! usage: pipe_line 'CMD | CMD | …'
//!
//! For each bar a pipe, for each command a child with its ends as standard
//! input and output. All pipes are close-on-exec, so a command begins with no
//! other end open; the parent drops its copies as it goes. The exit status is
//! that of the last command.
//!
//! See pipe(2), fork(2), dup2(2), execvp(3), wait(2), signal(7), pipe(7).

use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, dup2_stdin, dup2_stdout, execvp, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [line] = arguments.as_slice() else {
        return usage();
    };
    let Some(commands) = parse(line.as_bytes()) else {
        return usage();
    };
    run(&commands).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

/// The words of each command; nothing if a command has none.
fn parse(line: &[u8]) -> Option<Vec<Vec<CString>>> {
    let words = |command: &[u8]| -> Option<Vec<CString>> {
        let words = command.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
        let words: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>().ok()?;
        (!words.is_empty()).then_some(words)
    };
    line.split(|byte| *byte == b'|').map(words).collect()
}

fn run(commands: &[Vec<CString>]) -> Result<ExitCode, String> {
    let mut children = Vec::new();
    let started = start(commands, &mut children);
    // Whatever was started has lost its parent's ends by now, and comes to its end.
    let mut status = Ok(ExitCode::SUCCESS);
    for child in children {
        status = wait_for(child);
    }
    started?;
    status
}

/// Starts the commands from left to right.
fn start(commands: &[Vec<CString>], children: &mut Vec<Pid>) -> Result<(), String> {
    let mut input = None;
    for (command, left) in commands.iter().zip((0..commands.len()).rev()) {
        let (next, output) = if left > 0 {
            let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
            (Some(reader), Some(writer))
        } else {
            (None, None)
        };
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(failed("fork"))? {
            ForkResult::Child => become_command(command, input, output),
            ForkResult::Parent { child } => children.push(child),
        }
        input = next; // closes what the child just started has now
    }
    Ok(())
}

/// The child's part. What it still holds of pipes is closed by exec.
fn become_command(words: &[CString], input: Option<PipeReader>, output: Option<PipeWriter>) -> ! {
    let result = connect(input, output).and_then(|()| {
        let name = words[0].to_string_lossy();
        execvp(&words[0], words).map_err(failed(format!("exec {name}")))
    });
    let Err(message) = result;
    complain(&message);
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(127) }
}

fn connect(input: Option<PipeReader>, output: Option<PipeWriter>) -> Result<(), String> {
    if let Some(input) = input {
        dup2_stdin(input).map_err(failed("dup2 stdin"))?;
    }
    if let Some(output) = output {
        dup2_stdout(output).map_err(failed("dup2 stdout"))?;
    }
    // Rust's runtime ignores SIGPIPE, and exec would hand that on.
    // SAFETY: the default action is no handler, so there is nothing to be unsafe in.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }.map_err(failed("signal SIGPIPE")).map(drop)
}

/// The status as a shell has it: 128 and the signal's number for a command that was killed.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, status)) => return Ok(ExitCode::from(status as u8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(ExitCode::from(128 + signal as u8)),
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: pipe_line 'CMD | CMD | …'");
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
