//! sigpipe_handler   (mend this program)
//!
//! A child writes to a pipe. Its parent closes the read end; the child's next
//! write should raise SIGPIPE, whose handler writes a line, and then the child
//! prints `Done`:
//!
//!     $ sigpipe_handler
//!     No one is listening!
//!     Done
//!
//! Only `Done` comes. Find out who is still listening. And the sleep is no way to
//! know that the parent has closed: make it right when either process is slow,
//! with no sleep at all. SIGPIPE must come once, whatever the schedule.
//!
//! Why: a server whose reader goes away dies of this signal, silently, unless it
//! has decided otherwise. (Rust's runtime ignores it, and write fails with EPIPE.)
//!
//! Read: pipe(7) on SIGPIPE and EPIPE; fork(2) on descriptors; signal-safety(7):
//! a handler may call write(2), not println!.

use std::io::{self, PipeReader, PipeWriter, Write};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, fmt, thread};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const NEWS: &[u8] = b"No one is listening!\n";

extern "C" fn no_one_listening(_: libc::c_int) {
    // SAFETY: NEWS is a constant of that length; write(2) may be called here.
    unsafe { libc::write(libc::STDOUT_FILENO, NEWS.as_ptr().cast(), NEWS.len()) };
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

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(write_to_nobody(reader, writer)),
        ForkResult::Parent { child } => {
            drop(writer);
            drop(reader); // not listening any more
            wait_for(child)
        }
    }
}

fn write_to_nobody(reader: PipeReader, mut writer: PipeWriter) -> Result<(), String> {
    // SA_RESETHAND: were standard output a broken pipe too, the handler's own
    // write would call the handler again, for ever.
    let action = SigAction::new(SigHandler::Handler(no_one_listening), SaFlags::SA_RESETHAND, SigSet::empty());
    // SAFETY: the handler calls nothing but write(2).
    unsafe { sigaction(Signal::SIGPIPE, &action) }.map_err(failed("sigaction SIGPIPE"))?;

    writer.write_all(b"One").map_err(failed("write pipe"))?;
    thread::sleep(Duration::from_secs(2));
    // Will this write raise SIGPIPE?
    match writer.write_all(b"Two") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.map_err(failed("write pipe"))?,
    }
    drop(reader);
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
