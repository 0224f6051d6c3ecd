//! SIGPIPE comes when the last reader is gone, and not before.
//!
//! usage: sigpipe_handler
//!
//! A child writes to a pipe that its parent reads no longer. Once every copy of
//! the read end is closed, the child's own among them, its next write raises
//! SIGPIPE; the handler says `No one is listening!`, and the child, whose write
//! has failed with EPIPE, prints `Done`.
//!
//! See pipe(7), sigaction(2) (SA_RESETHAND), signal-safety(7), write(2).

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const NEWS: &[u8] = b"No one is listening!\n";

/// Whether the handler could write all of its news.
static SAID: AtomicBool = AtomicBool::new(false);

/// Only write(2): a handler may have interrupted anything, a print or an
/// allocation included, so it must take no lock that they hold.
extern "C" fn no_one_listening(_: libc::c_int) {
    // SAFETY: NEWS is a constant of that length; write(2) may be called here.
    let written = unsafe { libc::write(libc::STDOUT_FILENO, NEWS.as_ptr().cast(), NEWS.len()) };
    SAID.store(usize::try_from(written) == Ok(NEWS.len()), Ordering::Relaxed);
}

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    run().unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode, String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
    // A second pipe, over which nothing is sent: its end of file tells the
    // child that the parent has closed the first.
    let (closed, closing) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(closing);
            leave(write_to_nobody(reader, writer, closed))
        }
        ForkResult::Parent { child } => {
            drop(writer);
            drop(reader); // not listening any more
            drop(closing); // and this says so
            wait_for(child)
        }
    }
}

fn write_to_nobody(reader: PipeReader, mut writer: PipeWriter, mut closed: PipeReader) -> Result<(), String> {
    // Once only: were standard output a broken pipe too, the handler's own
    // write would call the handler again, for ever.
    let action = SigAction::new(SigHandler::Handler(no_one_listening), SaFlags::SA_RESETHAND, SigSet::empty());
    // SAFETY: the handler calls nothing but write(2), and stores to an atomic.
    unsafe { sigaction(Signal::SIGPIPE, &action) }.map_err(failed("sigaction SIGPIPE"))?;

    // There is a reader as yet, this process, whatever the parent has done.
    writer.write_all(b"One").map_err(failed("write pipe"))?;
    drop(reader);
    closed.read_to_end(&mut Vec::new()).map_err(failed("read pipe"))?;

    match writer.write_all(b"Two") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(failed("write pipe")(error)),
        Ok(()) => return Err("write pipe: someone is listening".into()),
    }
    if !SAID.load(Ordering::Relaxed) {
        return Err("write stdout: the handler's line is lost".into());
    }
    let mut stdout = io::stdout();
    stdout.write_all(b"Done\n").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
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
    complain("usage: sigpipe_handler");
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
