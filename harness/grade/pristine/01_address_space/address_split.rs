//! address_split PAGE_BYTES ADDR…
//!
//! Print, for each address, on which page it lies and how far from the page's
//! beginning, both in hexadecimal:
//!
//!     $ address_split 4096 0x12345678 0xfff
//!     page 0x12345 offset 0x678
//!     page 0x0 offset 0xfff
//!
//! PAGE_BYTES is decimal, any power of two that 64 bits can hold, from 1 on. Each
//! ADDR is hexadecimal, begins with 0x, and is any number of 64 bits. Anything
//! else is bad usage: a line with `usage:` on standard error, exit status 2, and
//! nothing on standard output.
//!
//! Why: this is what the processor does with every address, before anything else.
//! It divides without dividing.
//!
//! Read: the lesson beside this file, "Pages"; u64::trailing_zeros.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Option<Vec<String>> = env::args_os().skip(1).map(|word| word.into_string().ok()).collect();
    let Some((page_bytes, addresses)) = arguments.as_deref().and_then(parse) else {
        return usage();
    };
    match run(page_bytes, &addresses) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// The page size and the addresses, if all of them are what they should be.
fn parse(arguments: &[String]) -> Option<(u64, Vec<u64>)> {
    // TODO: the first is a power of two; the others, one or more, are hexadecimal.
    let _ = arguments;
    None
}

fn run(page_bytes: u64, addresses: &[u64]) -> Result<(), String> {
    // TODO: print `page P offset O` for each address.
    let _ = (page_bytes, addresses);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: address_split PAGE_BYTES ADDR…");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
