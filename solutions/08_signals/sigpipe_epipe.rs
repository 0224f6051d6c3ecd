//! A server that outlives its readers.
//!
//! usage: sigpipe_epipe N K
//!
//! Sends each line of standard input to N children, over a pipe each. The first
//! K children leave after their first line: the server learns it from EPIPE,
//! serves the others on, and prints at the end how many it has lost. (SIGPIPE
//! would kill it, were it not ignored: Rust's runtime has seen to that.)
//!
//! See pipe(7) (SIGPIPE, EPIPE), write(2), fork(2), signal(7).

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let (&[readers, leaving], 2) = (numbers.as_slice(), arguments.len()) else {
        return usage();
    };
    if readers == 0 || leaving > readers {
        return usage();
    }
    match run(readers, leaving) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(readers: usize, leaving: usize) -> Result<(), String> {
    let (mut children, mut pipes) = (Vec::new(), Vec::new());
    let started = (0..readers).try_for_each(|n| start(&mut children, &mut pipes, n < leaving));
    let served = started.and_then(|()| serve(&mut pipes));
    // Whatever has failed: the end of file sends the readers home.
    drop(pipes);
    let ended = children.into_iter().map(wait_for).fold(Ok(()), Result::and);

    let lost = served.and_then(|lost| ended.map(|()| lost))?;
    let mut stdout = io::stdout();
    writeln!(stdout, "lost {lost}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn start(children: &mut Vec<Pid>, pipes: &mut Vec<PipeWriter>, leaves: bool) -> Result<(), String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            // Its own end of file would never come, and that of the readers before it only with its end.
            drop(writer);
            pipes.clear();
            leave(listen(reader, leaves))
        }
        ForkResult::Parent { child } => {
            // Otherwise this process were a reader itself, and the next child another.
            drop(reader);
            children.push(child);
            pipes.push(writer);
            Ok(())
        }
    }
}

/// Sends each line to all who are left; how many were not.
fn serve(pipes: &mut Vec<PipeWriter>) -> Result<usize, String> {
    let readers = pipes.len();
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    while stdin.read_until(b'\n', &mut line).map_err(failed("read stdin"))? > 0 {
        let mut failure = None;
        pipes.retain_mut(|pipe| match pipe.write_all(&line) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => false,
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        if let Some(error) = failure {
            return Err(failed("write pipe")(error));
        }
        line.clear();
    }
    Ok(readers - pipes.len())
}

/// A reader: takes lines to the end, or one.
fn listen(pipe: PipeReader, leaves: bool) -> Result<(), String> {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).map_err(failed("read pipe"))? > 0 && !leaves {
        line.clear();
    }
    Ok(())
}

/// Waits for a child; one that failed has said why itself.
fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(status) => return Err(format!("child: {status:?}")),
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
    complain("usage: sigpipe_epipe N K   (K of N readers go away)");
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
