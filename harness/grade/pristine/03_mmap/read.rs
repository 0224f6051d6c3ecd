//! map_read FILE
//!
//! Map FILE for reading and print its first byte, its last byte and its length,
//! a line each. A byte that is not printable ASCII is shown as \x and two
//! hexadecimal digits. A file without bytes is no error: print `empty`.
//!
//!     $ printf 'hello\n' > f; map_read f
//!     first: h
//!     last: \x0a
//!     bytes: 6
//!
//! Open FILE for reading only, and never read(2) it: its bytes are already there,
//! where mmap says.
//!
//! Why: this is the whole idea. After mmap a file is memory, and a byte of it is
//! found by an index; but the last index, and a length of 0, are as easy to get
//! wrong as in any array.
//!
//! Read: mmap(2), the description of length and ERRORS EINVAL; fstat(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

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
    // TODO: open the file, for reading only, and ask how long it is.
    // TODO: nothing can be mapped of an empty file: print `empty`.
    // TODO: map it, readable, and look at its first and its last byte.
    // TODO: print the three lines.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_read FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
