//! The first and last byte of a file, seen in memory.
//!
//! usage: map_read FILE
//!
//! Maps FILE for reading and prints its first byte, its last byte and its
//! length; of a file without bytes, which cannot be mapped, it says `empty`.
//!
//! See mmap(2), fstat(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::Mmap;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    let length = file.metadata().map_err(failed(format!("fstat {name}")))?.len();
    if length == 0 {
        return print(b"empty\n");
    }

    // SAFETY: only read. If somebody changes FILE meanwhile we may see either
    // byte; if somebody truncates it the kernel ends this process by SIGBUS.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {name}")))?;
    let first = shown(mapping[0]);
    let last = shown(mapping[mapping.len() - 1]);
    print(format!("first: {first}\nlast: {last}\nbytes: {}\n", mapping.len()).as_bytes())
}

/// A printable byte as it is, any other as `\x` and two hexadecimal digits.
fn shown(byte: u8) -> String {
    match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_read FILE");
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
