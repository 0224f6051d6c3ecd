//! map_ring TEXT
//!
//! Make a memory file of one page (memfd_create) and map it twice, side by side,
//! so that the same bytes can be had at two addresses, 4096 apart. Store TEXT so
//! that it begins near the end of the first mapping and ends in the second. Print
//! it, and a newline, as one slice that lies across the seam.
//!
//!     $ map_ring 'round and round'
//!     round and round
//!
//! TEXT has 1 to 4096 bytes.
//!
//! Why: a ring buffer's data comes round its end, and every reader has to take it
//! in two parts. With the ring mapped twice there is no end: the address behind
//! the last byte is that of the first. But who says that the room beside your first
//! mapping is free, and stays so until you ask for it?
//!
//! Read: memfd_create(2); mmap(2), MAP_FIXED and PROT_NONE.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [text] = arguments.as_slice() else {
        return usage();
    };
    let text = text.as_bytes();
    if text.is_empty() || text.len() > PAGE {
        return usage();
    }
    match run(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(text: &[u8]) -> Result<(), String> {
    // TODO: make the memory file, and give it its page.
    // TODO: make room for two pages, so that nobody else can take it.
    // TODO: map the file there, once in each half.
    // TODO: store the text across the seam, and print it in one piece.
    let _ = text;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_ring TEXT");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
