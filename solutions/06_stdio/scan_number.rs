//! Numbers from a pipe, each as soon as it is complete.
//!
//! usage: scan_number
//!
//! Reads integers, with blanks or newlines between, from standard input and
//! prints each on a line of its own. A number is complete when the first byte
//! after it has come, or the end of file. What is no integer of 64 bits is an
//! error.
//!
//! See scanf(3), read(2), strtol(3) (ERANGE), pipe(7).

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::{env, fmt};

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
    let mut stdin = io::stdin().lock();
    let mut word = Vec::new();
    loop {
        let piece = match stdin.fill_buf() {
            Ok([]) => break,
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed("read stdin")(error)),
        };
        for &byte in piece {
            if byte.is_ascii_whitespace() {
                finish(&mut word)?;
            } else {
                word.push(byte);
            }
        }
        let length = piece.len();
        stdin.consume(length);
    }
    finish(&mut word) // the end of file is a delimiter too
}

/// The word is complete: prints its number, and leaves it empty.
fn finish(word: &mut Vec<u8>) -> Result<(), String> {
    if word.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(word);
    let number: i64 = text.parse().map_err(|reason| format!("read stdin: {text}: {reason}"))?;
    word.clear();

    let mut stdout = io::stdout();
    writeln!(stdout, "{number}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: scan_number   (integers on standard input)");
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
