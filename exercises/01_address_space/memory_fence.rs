//! memory_fence FENCE IMAGE
//!
//! FENCE is an address, in hexadecimal: below it is the operating system. Write to
//! IMAGE a table of three segment descriptors. The first, of zeros, is never used. The
//! second is the system's (privilege 0): data, all 4 GiB of it. The third is for user
//! code (privilege 3): data too, from base 0, so that addresses stay what they are, but
//! nothing below FENCE can be reached by it, and everything from there to the last of
//! 4 GiB can. Both may be stored to.
//!
//!     $ memory_fence 0x100000 image
//!
//! A FENCE of 0, one of 4 GiB and more, and one above 1 MiB that is no multiple of 4096
//! (a limit has 20 bits, and counts bytes or pages) are bad usage.
//!
//! Why: one comparison was the first protection that there was.
//!
//! Read: the lesson beside this file, "Before there were pages"; Intel SDM volume 3A,
//! "Segment Descriptors" (figure, and "expand-down") and "Limit Checking".

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [fence, image] = arguments.as_slice() else {
        return usage();
    };
    match run(fence, Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(fence: &OsString, image: &Path) -> Result<(), String> {
    // TODO: is it an address that a limit can say? If not, that is bad usage.
    // TODO: three descriptors; the third is of data that expands down.
    // TODO: write IMAGE.
    let _ = (fence, image);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: memory_fence FENCE IMAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
