//! map_fixed
//!
//! Map one page of memory, A, and store the letter A at its beginning. Then try to
//! map another page, B, at the very same address:
//! first with MAP_FIXED_NOREPLACE. It is refused: print `refused: ` and the name
//! of the error. Then with MAP_FIXED. Store the letter B at the beginning of the
//! new page, and print `A is now: ` with the byte that is at A's address.
//!
//!     $ map_fixed
//!     refused: EEXIST
//!     A is now: B
//!
//! Never unmap A: it is the kernel that is to refuse, or to replace.
//!
//! Why: an address alone is only a hint. MAP_FIXED makes it an order, and whatever
//! was there is gone without a word: a library, your stack, your heap. That is why
//! MAP_FIXED_NOREPLACE was made (Linux 4.17).
//!
//! Read: mmap(2), MAP_FIXED, MAP_FIXED_NOREPLACE, and NOTES on using MAP_FIXED safely.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    // TODO: map page A, anonymous, and store b'A'.
    // TODO: ask for its address with MAP_FIXED_NOREPLACE. Which error is it?
    // TODO: ask again with MAP_FIXED, and store b'B' there.
    // TODO: what is at A's address now? Load it, volatile, and print it.
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_fixed");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
