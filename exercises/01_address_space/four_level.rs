//! four_level REQUESTS IMAGE
//!
//! As two_level, for x86-64: four levels, entries of 8 bytes, pages of three sizes.
//! A line of REQUESTS is a virtual address, the frame's address, 4K, 2M or 1G, and
//! the rights: r, then w, x and u or a dash for each that is missing.
//!
//!     0x00007f0000403000 0x12f000 4K rw-u
//!     0xffff800000200000 0x400000 2M r-x-
//!
//! Without u the page is the supervisor's, without x no jump to it succeeds (NX).
//! IMAGE has the root (PML4) at 0 and, behind it, the tables that it takes: no
//! more of them, and no other page mapped.
//!
//! Errors, told with the line's number, with exit status 1 and no IMAGE: a line that
//! is not of this form, an address that is not a multiple of the page's size, an
//! address that is not canonical, and a page that has anything in common with an
//! earlier one.
//!
//! Why: this is how the machine in front of you does it.
//!
//! Read: the lesson beside this file; Intel SDM volume 3A, "4-Level Paging". A large
//! page has its entry one or two levels higher, with bit 7 set.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [requests, image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(requests), Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(requests: &Path, image: &Path) -> Result<(), String> {
    // TODO: read REQUESTS and understand every line of it, before IMAGE is made.
    // TODO: lay the tables: the root at 0, the others behind it.
    // TODO: write IMAGE.
    let _ = (requests, image);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: four_level REQUESTS IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
