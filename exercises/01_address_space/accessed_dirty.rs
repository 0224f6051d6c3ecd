//! accessed_dirty IMAGE
//!
//! IMAGE is the physical memory of an IA-32 machine, from address 0 on, as it was
//! after a program had run: the page directory at 0, and the page tables behind it
//! (the pages themselves lie elsewhere). List the pages that were accessed, in the
//! order of their addresses, and say of those that were stored to that they are dirty:
//!
//!     $ accessed_dirty image
//!     0x00403000 accessed
//!     0x00405000 accessed dirty
//!
//! A page of 4 MiB (bit 7 of a directory entry) is listed once, by its first address.
//! Tables may not lie in IMAGE: if one that is needed does not, all of it, print
//! nothing but a line on standard error that says so, with exit status 1.
//!
//! Why: an operating system that must take a page away asks these bits which one is
//! missed least, and whether it has to be written back first.
//!
//! Read: the lesson beside this file, "What an entry says"; Intel SDM volume 3A,
//! "Accessed and Dirty Flags". An entry that is not present says nothing at all.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(image: &Path) -> Result<(), String> {
    // TODO: read IMAGE.
    // TODO: for each directory entry that is present: a large page, or a table of pages.
    // TODO: print the pages that are present and accessed.
    let _ = image;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: accessed_dirty IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
