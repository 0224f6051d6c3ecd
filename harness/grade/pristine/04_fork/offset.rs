//! fork_offset FILE
//!
//! Read FILE in four pieces of 4 bytes each. First open it and fork: the child
//! reads a piece, then the parent reads one from the same open file. Then each
//! opens FILE for itself, and again first the child and then the parent reads a
//! piece. Print the pieces in that order:
//!
//!     $ cat letters
//!     abcdefghijkl
//!     $ fork_offset letters
//!     shared child: abcd
//!     shared parent: efgh
//!     own child: abcd
//!     own parent: abcd
//!
//! Use read, not pread, and no lseek. Each piece is read by the one whose it is;
//! the lines may be printed by either. A FILE shorter than two pieces is refused
//! in one line that names it, with exit status 1.
//!
//! Why: a descriptor is a number for an open file, and it is the open file that
//! has the offset. fork copies the numbers. That is how the commands of a shell
//! script write one after another into the same log.
//!
//! Read: open(2), "open file description"; fork(2); read(2); wait(2).
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
    run(Path::new(path)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path) -> Result<ExitCode, String> {
    // TODO: open FILE, fork; the child reads 4 bytes and leaves by _exit.
    // TODO: the parent waits for it (again after EINTR), then reads 4 bytes.
    // TODO: the same again, but now each opens FILE for itself.
    // A read may bring less than was asked for; and how much does a buffered
    // reader read?
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fork_offset FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
