//! pipe_eof MESSAGE   (mend this program)
//!
//! The parent sends MESSAGE to its child, which reads it a byte at a time until
//! the end of file, prints it and a newline. That is what should happen:
//!
//!     $ pipe_eof 'Hi Child!'
//!     Hi Child!
//!
//! It prints nothing and never ends (press Ctrl-C). Find out why, and mend it:
//! the child has to end by itself, because read has returned 0. An end marker
//! such as `!` is no answer, nor is killing the child: any message must work.
//!
//! Why: this is the commonest mistake with pipes. A reader is told that the end
//! has come when nobody can write any more; who can still write here?
//! There is a second mistake, which you will see when the first is gone.
//!
//! Read: pipe(7), "I/O on pipes and FIFOs"; fork(2) on descriptors; read(2),
//! RETURN VALUE; _exit(2) on what it does not do.

use std::ffi::OsString;
use std::io::{self, BufWriter, PipeReader, PipeWriter, Read, Write};
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
    let (reader, mut writer) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(print_all(&reader)),
        ForkResult::Parent { child } => {
            let sent = send(&mut writer, message);
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                sent?;
            }
            Ok(status)
        }
    }
}

/// The parent's part.
fn send(writer: &mut PipeWriter, message: &[u8]) -> Result<(), String> {
    writer.write_all(message).map_err(failed("write pipe"))
}

/// The child's part: one byte at a time, through a buffer.
fn print_all(mut reader: &PipeReader) -> Result<(), String> {
    let mut out = BufWriter::new(io::stdout());
    let mut byte = [0];
    loop {
        match reader.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => out.write_all(&byte).map_err(failed("write stdout"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read pipe")(error)),
        }
    }
    let result = out.write_all(b"\n").map_err(failed("write stdout"));
    leave(result)
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
