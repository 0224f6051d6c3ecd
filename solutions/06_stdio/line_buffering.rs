//! When a buffered line really leaves: what C's stdio does, done by hand.
//!
//! usage: line_buffering [-u] N
//!
//! Prints `line 1` to `line N`. To a terminal each line is one write; to a pipe
//! or a file only full blocks of 4096 bytes are written, and what is left at
//! the end; with -u each print is one write at once.
//!
//! See setvbuf(3), stdio(3), isatty(3), write(2).

use std::ffi::OsString;
use std::io::{self, IsTerminal, Stdout, Write};
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::unistd::write;

/// What stdio asks for with BUFSIZ and what pipes and most files report as
/// their block size.
const BLOCK_BYTES: usize = 4096;

/// The three kinds of stream that setvbuf(3) names.
#[derive(Clone, Copy)]
enum Buffering {
    Full,
    Line,
    None,
}

/// A stream over standard output. Nothing is flushed on drop, because drop
/// could not say that it failed: call [`Stream::flush`].
struct Stream {
    stdout: Stdout,
    buffering: Buffering,
    buffer: Vec<u8>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (unbuffered, count) = match arguments.as_slice() {
        [count] => (false, count),
        [flag, count] | [count, flag] if flag == "-u" => (true, count),
        _ => return usage(),
    };
    let Some(count) = count.to_str().and_then(|count| count.parse().ok()) else {
        return usage();
    };
    match run(unbuffered, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&failed("write stdout")(error));
            ExitCode::FAILURE
        }
    }
}

fn run(unbuffered: bool, count: u64) -> nix::Result<()> {
    let stdout = io::stdout();
    let buffering = match (unbuffered, stdout.is_terminal()) {
        (true, _) => Buffering::None,
        (false, true) => Buffering::Line,
        (false, false) => Buffering::Full,
    };
    let mut stream = Stream { stdout, buffering, buffer: Vec::with_capacity(BLOCK_BYTES) };
    for number in 1..=count {
        stream.print(format!("line {number}\n").as_bytes())?;
    }
    stream.flush()
}

impl Stream {
    /// Takes `text`, and writes as much of what it holds as its kind must.
    fn print(&mut self, text: &[u8]) -> nix::Result<()> {
        let due = match self.buffering {
            Buffering::Full => 0,
            Buffering::Line => text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1),
            Buffering::None => text.len(),
        };
        let (due, later) = text.split_at(due);
        self.fill(due)?;
        if !due.is_empty() {
            self.flush()?;
        }
        self.fill(later)
    }

    /// Puts `text` in the buffer. A full buffer goes out when room is needed
    /// for the next byte, not before.
    fn fill(&mut self, mut text: &[u8]) -> nix::Result<()> {
        while !text.is_empty() {
            if self.buffer.len() == BLOCK_BYTES {
                self.flush()?;
            }
            let room = BLOCK_BYTES - self.buffer.len();
            let (fits, rest) = text.split_at(room.min(text.len()));
            self.buffer.extend_from_slice(fits);
            text = rest;
        }
        Ok(())
    }

    /// Writes all that is buffered, in one write unless the kernel cuts it.
    fn flush(&mut self) -> nix::Result<()> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            match write(&self.stdout, rest) {
                Ok(length) => rest = &rest[length..],
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

fn usage() -> ExitCode {
    complain("usage: line_buffering [-u] N");
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
