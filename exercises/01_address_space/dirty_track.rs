//! dirty_track N < OFFSETS   (N from 1)
//!
//! Have N pages of memory, store a byte at each offset that standard input gives (in
//! bytes, a line each), and print the numbers of the pages that were written, as the
//! processor found out:
//!
//!     $ printf '5000\n12\n4096\n' | dirty_track 4
//!     dirty: 0 1
//!
//! Without any it is `dirty: none`. Do not compute the pages from the offsets: map
//! the memory so that it may only be read. The first store to a page is a fault, and
//! the kernel tells a handler of SIGSEGV the address. The handler notes the page,
//! allows stores to that page alone (mprotect), and returns; the store is made again.
//! So a page costs one fault, and later stores to it none. The handler may do only
//! what is safe in one: no println!, no Vec that grows.
//!
//! Why: a *write barrier*. Garbage collectors, databases, emulators and live
//! migration all ask which pages have changed since; the dirty bit in the page table
//! knows, but it belongs to the kernel.
//!
//! Read: mprotect(2); sigaction(2), SA_SIGINFO and si_addr; signal-safety(7).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pages] = arguments.as_slice() else {
        return usage();
    };
    let Some(pages) = pages.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pages: NonZeroUsize) -> Result<(), String> {
    // TODO: map so many pages that may only be read.
    // TODO: have a handler of SIGSEGV that notes the page and allows stores to it.
    // TODO: store a byte (volatile) at each offset of standard input.
    // TODO: print which pages are dirty.
    let _ = pages;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: dirty_track N < OFFSETS   (N from 1)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
