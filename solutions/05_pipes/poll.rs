//! Lines from many children, printed as they come.
//!
//! usage: pipe_poll N   (1 to 64)
//!
//! Each child sends one line over a pipe of its own. The parent waits in poll
//! for all pipes at once, reads what is there from those that are ready, and
//! prints a line when it is whole. A pipe that has ended is polled no more.
//!
//! See pipe(7), poll(2) (POLLIN, POLLHUP), read(2), wait(2).

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What comes from one child.
struct Source {
    pipe: PipeReader,
    /// The part of its line that has come.
    line: Vec<u8>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [count] = arguments.as_slice() else {
        return usage();
    };
    let count = match count.to_str().and_then(|text| text.parse().ok()) {
        Some(count @ 1..=64) => count,
        _ => return usage(),
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(count: u32) -> Result<(), String> {
    let (mut sources, mut children) = (Vec::new(), Vec::new());
    let printed = start(count, &mut sources, &mut children).and_then(|()| print_all(&mut sources));
    // Whatever went wrong, their lines find room in the pipes, and they end.
    let ends: Vec<_> = children.into_iter().map(wait_for).collect();
    printed?;
    ends.into_iter().collect()
}

fn start(count: u32, sources: &mut Vec<Source>, children: &mut Vec<Pid>) -> Result<(), String> {
    for i in 1..=count {
        let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(failed("fork"))? {
            ForkResult::Child => {
                drop(reader);
                sources.clear(); // the ends of the others
                speak(i, writer)
            }
            ForkResult::Parent { child } => {
                children.push(child);
                sources.push(Source { pipe: reader, line: Vec::new() });
                // Here `writer` is dropped: the child has the only one.
            }
        }
    }
    Ok(())
}

/// The child's part.
fn speak(i: u32, mut writer: PipeWriter) -> ! {
    let status = match writer.write_all(format!("child {i}\n").as_bytes()) {
        Ok(()) => 0,
        Err(error) => {
            complain(&failed("write pipe")(error));
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

/// The parent's part: until every pipe has ended.
fn print_all(sources: &mut Vec<Source>) -> Result<(), String> {
    while !sources.is_empty() {
        for place in ready(sources)?.into_iter().rev() {
            if !listen(&mut sources[place])? {
                sources.remove(place);
            }
        }
    }
    Ok(())
}

/// Waits until there are some from which a read would not wait: bytes are there, or the end is.
fn ready(sources: &[Source]) -> Result<Vec<usize>, String> {
    let mut fds: Vec<PollFd> = sources.iter().map(|s| PollFd::new(s.pipe.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => Ok((0..fds.len()).filter(|place| fds[*place].any() == Some(true)).collect()),
        Err(Errno::EINTR) => Ok(Vec::new()),
        Err(error) => Err(failed("poll pipes")(error)),
    }
}

/// Takes what is there, with one read; false at the end of file.
fn listen(source: &mut Source) -> Result<bool, String> {
    let mut buffer = [0; 256];
    match source.pipe.read(&mut buffer) {
        Ok(0) => return Ok(false),
        Ok(length) => source.line.extend_from_slice(&buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        Err(error) => return Err(failed("read pipe")(error)),
    }
    if source.line.ends_with(b"\n") {
        let mut stdout = io::stdout();
        stdout.write_all(&source.line).and_then(|()| stdout.flush()).map_err(failed("write stdout"))?;
        source.line.clear();
    }
    Ok(true)
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(other) => return Err(format!("child {child}: {other:?}")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: pipe_poll N   (1 to 64)");
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
