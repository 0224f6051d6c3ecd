//! tlb_reach model SETS WAYS TRACE
//! tlb_reach measure PAGES
//!
//! *model*: TRACE has an address (`0x…`) on each line, or the word `flush`. Pages have
//! 4096 bytes. The TLB has SETS sets (a power of two) of WAYS entries each; the lowest
//! bits of a page's number choose its set. A page that is there is a hit; else it comes
//! into its set, and if that is full, the page in it that was not used for the
//! longest time goes. `flush` empties all. It is no access.
//!
//!     $ tlb_reach model 16 4 trace
//!     reach 262144 bytes
//!     accesses 500
//!     hits 421
//!     misses 79
//!
//! *measure*: for 1, 2, 4 … PAGES pages (a power of two) tell how long an access takes
//! that goes round them again and again, and for which of these numbers it takes one and
//! a half times as long as for the one before (knees; `none` if there are none):
//!
//!     pages 1: 1.61 ns
//!     pages 2: 1.60 ns
//!     …
//!     knees: 64 2048
//!
//! A line that is neither address nor `flush` is an error: say its number, exit 1.
//!
//! Why: every access needs a translation; what the TLB does not reach must be walked for.
//!
//! Read: the lesson beside this file, "What is remembered"; std::time::Instant.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok().filter(|number| *number > 0);
    let result = match arguments.as_slice() {
        [mode, sets, ways, trace] if mode == "model" => match (number(sets), number(ways)) {
            (Some(sets), Some(ways)) if sets.is_power_of_two() => model(sets, ways, Path::new(trace)),
            _ => return usage(),
        },
        [mode, pages] if mode == "measure" => match number(pages) {
            Some(pages) if pages.is_power_of_two() => measure(pages),
            _ => return usage(),
        },
        _ => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn model(sets: usize, ways: usize, trace: &Path) -> Result<(), String> {
    // TODO: read TRACE, look every page up in its set, and count.
    let _ = (sets, ways, trace);
    Err("not written yet".into())
}

fn measure(pages: usize) -> Result<(), String> {
    // TODO: memory of so many pages; a chain through the first of them; how long is a step?
    let _ = pages;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: tlb_reach model SETS WAYS TRACE | tlb_reach measure PAGES");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
