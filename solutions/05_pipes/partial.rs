//! A writer that never blocks in write, and loses nothing.
//!
//! usage: pipe_partial FILE
//!
//! The parent's end of the pipe is non-blocking. A write takes what there is
//! room for; the rest is offered again, after poll has said that there is room.
//!
//! See pipe(7), write(2) (EAGAIN), fcntl(2) (F_SETFL, O_NONBLOCK), poll(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    run(Path::new(path)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path) -> Result<ExitCode, String> {
    let file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
    // The two ends are two open files: the reader goes on blocking.
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed("fcntl pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(writer);
            leave(receive(reader))
        }
        ForkResult::Parent { child } => {
            drop(reader);
            let sent = send(file, writer, path);
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                sent?;
            }
            Ok(status)
        }
    }
}

/// The parent's part. Returning drops the writer, which is the end of file.
fn send(mut file: File, mut writer: PipeWriter, path: &Path) -> Result<(), String> {
    let mut buffer = vec![0; 32768];
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(format!("read {}", path.display()))(error)),
        };
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match writer.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => await_room(&writer)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("write pipe")(error)),
            }
        }
    }
}

/// Blocks until the pipe has room, or nobody reads it any more (which the next write finds out).
fn await_room(writer: &PipeWriter) -> Result<(), String> {
    let mut fds = [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()), // after a signal the write is just tried again
        Err(error) => Err(failed("poll pipe")(error)),
    }
}

/// The child's part.
fn receive(mut reader: PipeReader) -> Result<(), String> {
    let mut stdout = io::stdout();
    let mut buffer = vec![0; 8192];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => stdout.write_all(&buffer[..length]).map_err(failed("write stdout"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read pipe")(error)),
        }
    }
    stdout.flush().map_err(failed("write stdout"))
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
    complain("usage: pipe_partial FILE");
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
