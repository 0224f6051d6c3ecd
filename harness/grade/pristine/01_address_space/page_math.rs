//! page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]
//!
//! Addresses have VA_BITS bits (at most 64), pages PAGE_BYTES bytes, and an entry
//! of a page table ENTRY_BYTES (both powers of two, the entry less than a page).
//! Print how many pages there are, how large one flat table for all of them is,
//! how many bits of the address choose an entry at each level of a multi-level
//! table (from the root on), and the least memory that such tables take:
//!
//!     $ page_math 32 4096 4
//!     pages 1048576
//!     flat 4194304 bytes
//!     levels 10 10
//!     least 12288 bytes
//!
//! Without LEVEL_BITS each table fills one page, and the root takes the bits that
//! are left: `page_math 64 4096 8` has levels 7 9 9 9 9 9. With them, those are the
//! levels; together they must have the bits that number the pages.
//! The least memory is that of a process with two pages, the lowest (code) and the
//! highest (stack): two tables at each level but the root. A table takes whole
//! pages, however small it is. Numbers that make no sense together are bad usage.
//!
//! Why: 2⁵² entries are the reason why tables are trees.
//!
//! Read: the lesson beside this file, "What a table costs"; u64::trailing_zeros,
//! u64::next_multiple_of. 2⁶⁴ does not fit into 64 bits.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = env::args_os().skip(1).map(|word| word.to_str()?.parse().ok()).collect();
    let Some([va_bits, page_bytes, entry_bytes, levels @ ..]) = numbers.as_deref() else {
        return usage();
    };
    // TODO: do the numbers make sense together? If not, return usage().
    match run(*va_bits, *page_bytes, *entry_bytes, levels) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(va_bits: u64, page_bytes: u64, entry_bytes: u64, levels: &[u64]) -> Result<(), String> {
    // TODO: pages, the flat table, the levels, and the least memory.
    let _ = (va_bits, page_bytes, entry_bytes, levels);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
