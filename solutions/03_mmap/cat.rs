//! A file to standard output, straight from where it lies in memory.
//!
//! usage: map_cat FILE
//!
//! Maps FILE once and writes all of it to standard output from the mapping. When
//! nobody reads any more there is nothing left to do, and that is no error.
//!
//! See mmap(2), write(2), pipe(7) about EPIPE.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
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
        return Ok(());
    }

    // SAFETY: only read. If somebody truncates FILE meanwhile the write below
    // fails with EFAULT: the kernel reads the mapping, not this program.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {name}")))?;
    let mut stdout = io::stdout();
    match stdout.write_all(&mapping).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(failed("write stdout")),
    }
}

fn usage() -> ExitCode {
    complain("usage: map_cat FILE");
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
