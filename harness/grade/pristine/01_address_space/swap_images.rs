//! swap_images BACKING
//!
//! There is memory for one process, and there are two. The first half of BACKING is
//! the image of process A, the second that of B, each of whole pages of 4096 bytes.
//! A line of standard input gives one of them a turn: then it must be in memory.
//! If the other is there it is written back to its half first, and this one is read
//! into the same memory, so that both find themselves at the same addresses. Who is
//! there already is not moved. In its turn a process adds 1 to each of its bytes (255
//! becomes 0); print the sum that they have then. At the end of input, who is in memory
//! goes back to BACKING too. Say how often a process was brought in:
//!
//!     $ printf '%s\n' A A B A | swap_images backing
//!     A 522311
//!     A 522599
//!     B 521084
//!     A 523911
//!     swaps 3
//!
//! BACKING that is empty, or no two images of whole pages, and a line that is neither A
//! nor B (say its number) are errors: one line on standard error, exit status 1.
//!
//! Why: time-sharing began like this, a whole process at a time. Paging swaps too, but
//! only what it must.
//!
//! Read: pread(2), pwrite(2); std::os::unix::fs::FileExt; the lesson beside this file,
//! "Before there were pages".

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [backing] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(backing)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(backing: &Path) -> Result<(), String> {
    // TODO: open BACKING, and make room for one image.
    // TODO: for each line of standard input, swap if that process is not in memory.
    // TODO: add 1 to each byte, and print the sum. At the end, write back and print.
    let _ = backing;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: swap_images BACKING");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
