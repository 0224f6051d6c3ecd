//! A child that reads until end of file, and therefore ends.
//!
//! usage: pipe_eof MESSAGE
//!
//! The parent sends MESSAGE through a pipe; the child passes on each piece as
//! it comes, stops when read returns 0, and ends the line. read returns 0 only
//! once every copy of the write end is closed: the parent's when it has sent
//! all, and the child's own, which fork made and nobody asked for.
//!
//! See pipe(7) ("I/O on pipes and FIFOs"), fork(2), read(2), close(2), _exit(2).

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [message] = arguments.as_slice() else {
        return usage();
    };
    run(message.as_bytes()).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(message: &[u8]) -> Result<ExitCode, String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(writer); // a reader never sees the end of what it could write
            leave(relay(reader))
        }
        ForkResult::Parent { child } => {
            drop(reader);
            let sent = send(writer, message); // closes the writer: only then wait
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                sent?;
            }
            Ok(status)
        }
    }
}

/// The parent's part. Returning drops the writer, which is the end of file.
fn send(mut writer: PipeWriter, message: &[u8]) -> Result<(), String> {
    writer.write_all(message).map_err(failed("write pipe"))
}

/// The child's part: pipe to standard output, until the end of file.
fn relay(mut reader: PipeReader) -> Result<(), String> {
    let mut stdout = io::stdout();
    let mut piece = [0; 4096];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => stdout.write_all(&piece[..length]).map_err(failed("write stdout"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read pipe")(error)),
        }
    }
    // _exit flushes nothing, so what is still buffered must go out here.
    stdout.write_all(b"\n").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
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
    complain("usage: pipe_eof MESSAGE");
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
