//! fault_kinds MINOR INVALID FILE PAGE…
//!
//! Make page faults of each kind on purpose, and print how many there were:
//!
//!     $ fault_kinds 300 4 /usr/bin/perl 17 18 900
//!     minor: 300
//!     major: 3
//!     invalid: 4
//!
//! minor: store to MINOR new pages of memory. major: drop FILE from memory
//! (posix_fadvise), map it, and load a byte of each page given; each must be a fault
//! of its own, though the kernel likes to read neighbours along (madvise). Take both
//! figures from getrusage, around the touching alone. invalid: INVALID times, touch
//! memory that is not mapped or may not be used so, survive it (let a child do it, or
//! have a handler), and count the SIGSEGVs that came of it.
//!
//! Why: the processor knows one kind of fault; what becomes of it is the kernel's
//! decision. A frame of zeros costs a microsecond, a page from the device a hundred,
//! and what nobody mapped costs a process its life.
//!
//! Read: getrusage(2); posix_fadvise(2); madvise(2), MADV_RANDOM; mmap(2), PROT_NONE.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [minor, invalid, file, pages @ ..] = arguments.as_slice() else {
        return usage();
    };
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok();
    let pages: Option<Vec<usize>> = pages.iter().map(number).collect();
    let (Some(minor), Some(invalid), Some(pages)) = (number(minor), number(invalid), pages) else {
        return usage();
    };
    if minor == 0 || pages.is_empty() {
        return usage();
    }
    match run(minor, invalid, Path::new(file), &pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(minor: usize, invalid: usize, file: &Path, pages: &[usize]) -> Result<(), String> {
    // TODO: map MINOR pages of no file; count ru_minflt around a store to each.
    // TODO: drop FILE from memory, map it, and count ru_majflt around a load from each page.
    // TODO: make INVALID faults, and survive them.
    // TODO: print the three figures.
    let _ = (minor, invalid, file, pages);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fault_kinds MINOR INVALID FILE PAGE…");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
