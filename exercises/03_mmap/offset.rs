//! map_offset FILE OFFSET LEN
//!
//! Print LEN bytes of FILE from OFFSET on, as they are, and nothing else. Where
//! the file ends earlier print what there is; at its end or behind it print
//! nothing, which is no error. Map only the pages in which these bytes lie.
//!
//!     $ printf hello > f; map_offset f 1 3; echo
//!     ell
//!
//! OFFSET and LEN may be any numbers of 64 bits, FILE may have many gigabytes.
//!
//! Why: a database does not map all of its file to look at one record. mmap takes
//! an offset, but only a multiple of the page size; the rest is arithmetic, and
//! behind the end of the file there are zeros that are not the file's.
//!
//! Read: mmap(2), offset and ERRORS EINVAL; getpagesize(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, offset, length] = arguments.as_slice() else {
        return usage();
    };
    let (Some(offset), Some(length)) = (number(offset), number(length)) else {
        return usage();
    };
    match run(Path::new(path), offset, length) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, offset: u64, length: u64) -> Result<(), String> {
    // TODO: open the file, and ask for its size.
    // TODO: where does the piece end? Beware of sums that do not fit.
    // TODO: at which page does it begin, and how far into it?
    // TODO: map these pages, and print the piece.
    let _ = (path, offset, length);
    Err("not written yet".into())
}

fn number(argument: &OsStr) -> Option<u64> {
    argument.to_str()?.parse().ok()
}

fn usage() -> ExitCode {
    complain("usage: map_offset FILE OFFSET LEN");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
