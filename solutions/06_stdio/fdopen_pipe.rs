//! Formatted text through a pipe: a buffer over each of its ends.
//!
//! usage: fdopen_pipe A B C
//!
//! One process writes the line `A B C` into a pipe through a buffered writer,
//! reads it back through a buffered reader, and prints
//! `3 values parsed: A B C`. The writer is flushed before anything is read:
//! what is still in its buffer is not yet in the pipe.
//!
//! See fdopen(3), fflush(3), setvbuf(3), pipe(7).

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<i64>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[a, b, c]) = numbers.as_deref() else {
        return usage();
    };
    match run([a, b, c]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run([a, b, c]: [i64; 3]) -> Result<(), String> {
    let (reader, writer) = io::pipe().map_err(failed("pipe"))?;
    let mut reader = BufReader::new(reader);
    let mut writer = BufWriter::new(writer);

    // Three numbers fit in any pipe, so one process may write before it reads.
    writeln!(writer, "{a} {b} {c}").and_then(|()| writer.flush()).map_err(failed("write pipe"))?;

    let mut line = String::new();
    reader.read_line(&mut line).map_err(failed("read pipe"))?;
    let values: Vec<i64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let &[a, b, c] = values.as_slice() else {
        return Err(format!("read pipe: {} values where 3 were sent", values.len()));
    };

    let mut stdout = io::stdout();
    writeln!(stdout, "{} values parsed: {a} {b} {c}", values.len())
        .and_then(|()| stdout.flush())
        .map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: fdopen_pipe A B C   (integers)");
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
