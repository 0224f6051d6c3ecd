//! free_list SCRIPT IMAGE
//!
//! The free blocks of a heap are in a circle. Each has tags as in block_tags, and as its
//! payload two links: the offset of the first tag of the block that comes next, and then
//! that of the one before it (8 bytes each, little-endian). Run the lines of SCRIPT:
//!
//!     heap COUNT       the first line: COUNT blocks (at most 2000) of 32 bytes, all allocated
//!     insert BLOCK     BLOCK is free now, and the first of the circle: it comes between
//!                      the one that was last and the one that was first
//!     remove BLOCK     BLOCK is allocated again, and not in the circle; if it was the
//!                      first, the one next to it is
//!     list             print the blocks from the first on, by the links to the next one
//!     back             the same by the links to the one before; or print `empty`
//!
//!     $ free_list script image
//!     64 0 32
//!     64 32 0
//!
//! At the end write the heap's bytes to IMAGE; what is in the payload of an allocated
//! block does not matter. A line that is not of this form, what is no block, a block
//! that is inserted twice or removed without being in the circle are errors: one line on
//! standard error that has the line's number, exit 1, no output and no IMAGE.
//!
//! Why: a list that lies in the free memory itself costs none, and a block that is
//! joined with its neighbour must come out of the middle of it without a search.
//!
//! Read: the lesson beside this file, "The list of what is free".

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [script, image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(script), Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(script: &Path, image: &Path) -> Result<(), String> {
    // TODO: write insert and remove; the accessors are those of block_tags, and two for the links.
    // TODO: read SCRIPT, and run every line of it before anything is printed or written.
    // TODO: write IMAGE, and print the lists.
    let _ = (script, image);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: free_list SCRIPT IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
