//! block_tags SCRIPT IMAGE
//!
//! A block of a heap begins and ends with a tag of 8 bytes: the block's size, which
//! includes both tags. It is a multiple of 8, at least 16, so that its lowest bit is free
//! to say whether the block is allocated. Numbers in memory are little-endian. BLOCK
//! is the offset of a block's first tag. Run the lines of SCRIPT on a heap of zeros:
//!
//!     heap BYTES        the first line: the heap's size, at most 65536
//!     size BLOCK SIZE   both tags are made, of SIZE and the bit that is at BLOCK
//!     allocate BLOCK    both tags get the bit; the size stays
//!     free BLOCK        both tags lose it
//!     show BLOCK        print the block and its neighbours:
//!
//!     $ block_tags script image
//!     40: 24 free, previous 0 allocated, next 64 allocated
//!     64: 32 allocated, previous 40 free, next none
//!
//! At the end write the heap's bytes to IMAGE. A line that is not of this form, a number
//! that is no multiple of 8, and a block that does not fit into the heap are errors: one
//! line on standard error that has the line's number, exit 1, no output and no IMAGE.
//!
//! Why: with a tag at both ends a block finds both of its neighbours at once, and can be
//! joined with them when it is freed. Nobody but these few functions knows of the bit.
//!
//! Read: the lesson beside this file, "Boundary tags"; u64::to_le_bytes.

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
    // TODO: write the accessors: size, allocated, end tag, next, previous.
    // TODO: read SCRIPT, and run every line of it before anything is printed or written.
    // TODO: write IMAGE, and print what was shown.
    let _ = (script, image);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: block_tags SCRIPT IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
