//! map_cat FILE
//!
//! Map FILE, once and whole, and write it to standard output from there: no read,
//! and no buffer of your own between the mapping and write. FILE may be empty,
//! or have a hundred megabytes.
//!
//!     $ map_cat /etc/hostname
//!     penguin
//!
//! When whoever reads your output has gone (map_cat big | head -1) end quietly:
//! exit status 0, or dead of SIGPIPE as other programs are; no message.
//!
//! Why: write takes its bytes from any memory that you have, and a mapped file is
//! memory. It may take fewer than you offer. Read and write in a loop would copy
//! each byte twice, once to you and once from you.
//!
//! Read: mmap(2); write(2), RETURN VALUE; pipe(7), EPIPE and SIGPIPE.
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
    // TODO: open the file. Of an empty one there is nothing to map.
    // TODO: map all of it, readable.
    // TODO: write the mapping to standard output, until all of it is written.
    // TODO: nobody reads any more? Then that was enough. (Rust ignores SIGPIPE, so write fails with EPIPE.)
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_cat FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
