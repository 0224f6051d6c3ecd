//! A buffered stream over standard output, driven by a script.
//!
//! usage: stream_modes   (a script on standard input)
//!
//! Commands: full N, line, none, write TEXT, flush, close. What leaves the stream
//! leaves in one write(2); a change of mode flushes, and so does the end.
//!
//! See setvbuf(3), write(2).

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::{env, fmt, mem};

use nix::errno::Errno;
use nix::unistd::write;

const LARGEST: usize = 65_536;

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut stream = Stream { mode: Mode::Full(4096), kept: Vec::new() };
    let played = play(&mut stream);
    // Whatever the script came to, what was written goes out.
    let flushed = stream.flush();
    played.and(flushed)
}

/// Plays the script until it closes the stream or ends.
fn play(stream: &mut Stream) -> Result<(), String> {
    for (at, line) in io::stdin().lock().split(b'\n').enumerate() {
        let line = line.map_err(failed("read stdin"))?;
        let line = String::from_utf8_lossy(&line);
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("write", text) => stream.write(text.replace("\\n", "\n").as_bytes())?,
            ("flush", "") => stream.flush()?,
            ("line", "") => stream.change(Mode::Line)?,
            ("none", "") => stream.change(Mode::Unbuffered)?,
            ("close", "") => break,
            ("full", size) => match size.parse() {
                Ok(size @ 1..=LARGEST) => stream.change(Mode::Full(size))?,
                _ => return Err(format!("line {}: {line}: a number from 1 to {LARGEST} is wanted", at + 1)),
            },
            _ => return Err(format!("line {}: {line}: no such command", at + 1)),
        }
    }
    Ok(())
}

enum Mode {
    Full(usize),
    Line,
    Unbuffered,
}

struct Stream {
    mode: Mode,
    kept: Vec<u8>,
}

impl Stream {
    fn change(&mut self, mode: Mode) -> Result<(), String> {
        self.flush()?;
        self.mode = mode;
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> Result<(), String> {
        match self.mode {
            Mode::Full(size) => {
                if self.kept.len() + text.len() > size {
                    self.flush()?;
                }
                if text.len() > size {
                    return put(text);
                }
                self.kept.extend_from_slice(text);
            }
            Mode::Line => {
                self.kept.extend_from_slice(text);
                if let Some(newline) = self.kept.iter().rposition(|byte| *byte == b'\n') {
                    let tail = self.kept.split_off(newline + 1);
                    self.flush()?;
                    self.kept = tail;
                }
            }
            Mode::Unbuffered => return put(text),
        }
        Ok(())
    }

    /// What was kept is kept no longer, even if it cannot be written.
    fn flush(&mut self) -> Result<(), String> {
        put(&mem::take(&mut self.kept))
    }
}

/// One write, unless the kernel takes less; none for nothing.
fn put(mut bytes: &[u8]) -> Result<(), String> {
    while !bytes.is_empty() {
        match write(io::stdout(), bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("write stdout")(error)),
        }
    }
    Ok(())
}

fn usage() -> ExitCode {
    complain("usage: stream_modes   (a script on standard input)");
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
