//! A copy that knows how many system calls it took.
//!
//! usage: buffer_sizes FILE BYTES   (BYTES from 1 to 1048576)
//!
//! Reads FILE into a buffer of BYTES, writes what came to standard output, and
//! counts the calls where they are made: the bare ones, with no buffer between.
//!
//! See read(2), write(2), strace(1).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::unistd::{read, write};

/// Calls made.
#[derive(Default)]
struct Calls {
    reads: u64,
    writes: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, bytes] = arguments.as_slice() else {
        return usage();
    };
    let bytes = match bytes.to_str().and_then(|text| text.parse().ok()) {
        Some(bytes @ 1..=1_048_576) => bytes,
        _ => return usage(),
    };
    match copy(Path::new(path), bytes) {
        Ok(Calls { reads, writes }) => {
            complain(&format!("reads {reads} writes {writes}"));
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn copy(path: &Path, bytes: usize) -> Result<Calls, String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    let mut calls = Calls::default();
    let mut buffer = vec![0; bytes];
    loop {
        calls.reads += 1;
        match read(&file, &mut buffer) {
            Ok(0) => return Ok(calls),
            Ok(length) => write_all(&buffer[..length], &mut calls.writes)?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed(format!("read {name}"))(error)),
        }
    }
}

/// Writes to the descriptor itself: io::stdout() would buffer what comes after the last newline.
fn write_all(mut bytes: &[u8], calls: &mut u64) -> Result<(), String> {
    while !bytes.is_empty() {
        *calls += 1;
        match write(io::stdout(), bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("write stdout")(error)),
        }
    }
    Ok(())
}

fn usage() -> ExitCode {
    complain("usage: buffer_sizes FILE BYTES   (BYTES from 1 to 1048576)");
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
