//! two_level REQUESTS IMAGE
//!
//! Each line of REQUESTS asks for a page of 4096 bytes to be mapped: a virtual
//! address, the address of its frame, and rw or r- (user code may always load):
//!
//!     0x00403000 0x0012f000 rw
//!
//! Write to IMAGE a physical memory, from address 0 on, in which an IA-32
//! processor finds these mappings and no others. The page directory is at 0;
//! each page table, of 4096 bytes too, lies where you put it. IMAGE ends with
//! the last of them, and has no table in which there is nothing.
//!
//! A line that is not of this form, an address that is not a multiple of 4096, and
//! a page that was asked for before are errors: one line on standard error that
//! has the line's number, exit status 1, and no IMAGE.
//!
//! Why: these tables are what an operating system calls a process's memory.
//!
//! Read: the lesson beside this file, "What an entry says"; Intel SDM volume 3A,
//! "32-Bit Paging". Entries are little-endian; rights are the least of both levels.

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
    complain("usage: two_level REQUESTS IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
