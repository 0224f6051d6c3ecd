//! base_bounds REQUESTS IMAGE
//!
//! Each line of REQUESTS is a program's memory, where it begins and how many bytes it
//! has, in hexadecimal:
//!
//!     0x400000 0x5000
//!
//! Write to IMAGE a table of segment descriptors: the first, of zeros, is never used;
//! then come two for each program, of code and of data, for user code (privilege 3)
//! in 32 bits. The code may also be loaded from, the data may be stored to. Offset 0 of
//! both is where the program's memory begins, and its last byte is the last offset
//! that they allow.
//!
//! A limit has 20 bits, and counts bytes or pages of 4096. So a size above 1 MiB that
//! is no multiple of 4096, one of 0, an end behind 4 GiB, and a line that is not of this
//! form are errors: one line on standard error with the line's number, exit
//! status 1, and no IMAGE.
//!
//! Why: an addition and a comparison are all that it takes to give each program a
//! memory of its own, that begins at 0 and can be moved.
//!
//! Read: the lesson beside this file, "Before there were pages"; Intel SDM volume 3A,
//! "Segment Descriptors" and "Limit Checking".

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
    // TODO: a null descriptor, and two for each program.
    // TODO: write IMAGE.
    let _ = (requests, image);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: base_bounds REQUESTS IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
