//! clock_hand FRAMES GAP TRACE
//!
//! TRACE has the number of a page on each line, in the order of the accesses. There
//! are FRAMES frames. Print for each of six policies how many accesses were faults,
//! and for the first three also which pages had to go, in order:
//!
//!     $ tr '\n' ' ' < trace
//!     1 2 3 1 4 1 5 2 1
//!     $ clock_hand 3 2 trace
//!     clock 7: 1 2 3 4
//!     two-handed 6: 3 2 4
//!     second-chance 7: 1 2 3 4
//!     fifo 7
//!     lru 6
//!     opt 5
//!
//! Pages fill the frames from the first on; an access sets the page's bit. When no
//! frame is free, the first three go by the bits. *clock*: if the bit at the hand is
//! set it is cleared, else that page goes and the new one takes its frame; either way
//! the hand goes on by a frame. *two-handed*: a front hand is GAP frames ahead (at
//! least 1, less than FRAMES) and clears the bit where it is; then the page at the back
//! hand goes if its bit is clear; either way both go on. *second-chance*: pages wait
//! in the order in which they came; the first goes, but if its bit is set, which is
//! cleared, it waits once more at the end. OPT evicts what is used again last.
//! A line that is no number: say so on standard error with the line's number, exit 1.
//!
//! Why: no processor tells who was used last; one bit a page is what there is.
//!
//! Read: the lesson beside this file, "Which page has to go".

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [frames, gap, trace] = arguments.as_slice() else {
        return usage();
    };
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok();
    let (Some(frames), Some(gap)) = (number(frames), number(gap)) else {
        return usage();
    };
    // TODO: do they make sense together? If not, return usage().
    match run(frames, gap, Path::new(trace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(frames: usize, gap: usize, trace: &Path) -> Result<(), String> {
    // TODO: read TRACE, and understand every line of it.
    // TODO: let each policy run over it, and print what it came to.
    let _ = (frames, gap, trace);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: clock_hand FRAMES GAP TRACE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
