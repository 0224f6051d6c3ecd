//! map_anonymous PAGES STRIDE
//!
//! Map PAGES pages of 4096 bytes that belong to no file. Store one byte in every
//! STRIDE-th page, beginning with the first, and touch no other. See that all
//! else in the pages you touch is zero. Print how many pages that was, and how
//! many minor faults it cost: the getrusage(2) counts around the touching alone.
//!
//!     $ map_anonymous 1000 10
//!     touched 100 faults 100
//!
//! Up to eight faults more are forgiven; twice as many are not.
//!
//! Why: malloc of a gigabyte succeeds at once, because nothing is there yet. Each
//! page is made, full of zeros, when it is first touched. A first load and a first
//! store are not the same: what does a load of such a page give you, and what must
//! a store that follows it do?
//!
//! Read: mmap(2) MAP_ANONYMOUS, MAP_POPULATE; getrusage(2) ru_minflt.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pages, stride] = arguments.as_slice() else {
        return usage();
    };
    let (Some(pages), Some(stride)) = (number(pages), number(stride)) else {
        return usage();
    };
    match run(pages, stride) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pages: usize, stride: usize) -> Result<(), String> {
    // TODO: map the pages: no file, and private.
    // TODO: ask how many minor faults there have been so far.
    // TODO: in every STRIDE-th page store a byte, and look at the others.
    // TODO: ask again, and print the line.
    let _ = (pages, stride);
    Err("not written yet".into())
}

/// A number of at least 1.
fn number(argument: &OsStr) -> Option<usize> {
    argument.to_str()?.parse().ok().filter(|number| *number > 0)
}

fn usage() -> ExitCode {
    complain("usage: map_anonymous PAGES STRIDE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
