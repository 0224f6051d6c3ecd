//! cow_pages N K   (K from 0 to N, N from 1)
//!
//! Map N pages of private memory, write to each of them, and fork. The child
//! writes to K of them. It prints how many page faults that has cost, and how
//! much of the mapping is now its own (Private_Clean and Private_Dirty of that
//! mapping in /proc/self/smaps):
//!
//!     $ cow_pages 200 50
//!     faults 50
//!     private 200 KiB
//!
//! Some faults and pages more do not matter: the program writes elsewhere too.
//! The pages must stay those of the parent as well until the child has printed.
//!
//! Why: fork does not copy memory, it promises to. The promise is kept page by
//! page, by whoever writes first, and this shows the bill.
//!
//! Read: fork(2), NOTES; mmap(2), MAP_PRIVATE; getrusage(2), ru_minflt;
//! proc_pid_smaps(5).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[all, written]) if all > 0 && written <= all => run(all, written).unwrap_or_else(|message| {
            complain(&message);
            ExitCode::FAILURE
        }),
        _ => usage(),
    }
}

fn run(all: usize, written: usize) -> Result<ExitCode, String> {
    // TODO: map `all` pages of private memory, and write a byte in each; fork.
    // TODO: the child takes its count of faults before and after it writes a
    //       byte in each of the first `written` pages.
    // TODO: it finds the mapping in /proc/self/smaps, prints, and leaves by _exit.
    // TODO: the parent waits (again after EINTR).
    let _ = (all, written);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: cow_pages N K   (K from 0 to N, N from 1)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
