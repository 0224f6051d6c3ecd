//! double_flush TEXT   (mend this program)
//!
//! One buffered stream over standard output, which behaves as C's does: line by
//! line on a terminal, block by block elsewhere. The program prints a line, forks,
//! lets the child print a line, waits for it, and prints another:
//!
//!     $ double_flush hello
//!     before: hello
//!     child: hello
//!     parent: hello
//!
//! On a terminal that is what you see. Now try `double_flush hello | cat`: a line
//! comes twice. Find out who writes it the second time, and mend it: each line once,
//! in this order, on a terminal and on a pipe, and still through the buffer, a line
//! in one write at least.
//!
//! Why: fork copies the process's memory, and a buffer is memory. This bug shows
//! itself only where nobody looks: in a pipe, a log file, a test.
//!
//! Read: fork(2); fflush(3); setvbuf(3) on the three kinds of stream; _exit(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [text] = arguments.as_slice() else {
        return usage();
    };
    run(text.as_bytes()).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(text: &[u8]) -> Result<ExitCode, String> {
    let mut out = stream()?;
    print(&mut out, "before", text)?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let printed = print(&mut out, "child", text);
            drop(out); // which flushes it
            leave(printed)
        }
        ForkResult::Parent { child } => {
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                print(&mut out, "parent", text)?;
                out.flush().map_err(failed("write stdout"))?;
            }
            Ok(status)
        }
    }
}

/// A stream over standard output, as C's stdio makes it: line by line on a
/// terminal, block by block elsewhere.
fn stream() -> Result<Box<dyn Write>, String> {
    let stdout = io::stdout();
    let terminal = stdout.is_terminal();
    let file = File::from(stdout.as_fd().try_clone_to_owned().map_err(failed("dup stdout"))?);
    Ok(if terminal { Box::new(LineWriter::new(file)) } else { Box::new(BufWriter::new(file)) })
}

fn print(out: &mut dyn Write, who: &str, text: &[u8]) -> Result<(), String> {
    let line = [who.as_bytes(), b": ", text, b"\n"].concat();
    out.write_all(&line).map_err(failed("write stdout"))
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
    complain("usage: double_flush TEXT");
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
