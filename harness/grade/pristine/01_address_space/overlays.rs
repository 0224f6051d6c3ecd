//! overlays PROGRAM
//!
//! PROGRAM is a file of 200 KiB that must run in 100 KiB of memory. It has five
//! routines, one behind the other: A of 40 KiB, B of 60, C of 40, D of 40, E of 20.
//! A is always needed, and stays. The others share the 60 KiB behind it, one at a
//! time: B gives way to C, C to D or E, as they are called.
//!
//! Each line of standard input calls a routine. Add up its bytes where they lie in
//! memory, and print the sum, and whether the routine had to be brought in for it:
//!
//!     $ printf '%s\n' A B B A C B | overlays program
//!     A 5217303 loaded
//!     B 7833917 loaded
//!     B 7833917
//!     A 5217303
//!     C 5227068 loaded
//!     B 7833917 loaded
//!     loads 4
//!
//! Make sure of 100 KiB of addresses first. Then map each routine from PROGRAM when it
//! is called and not there, with MAP_FIXED over what is in its place. PROGRAM of
//! another size, and a line that is no routine (say its number), are errors: one
//! line on standard error, exit status 1.
//!
//! Why: before there was paging, a program that was larger than memory had to say
//! itself which of its parts may overwrite each other.
//!
//! Read: mmap(2), "MAP_FIXED"; the lesson beside this file, "Before there were pages".

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [program] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(program: &Path) -> Result<(), String> {
    // TODO: open PROGRAM, and reserve 100 KiB of addresses.
    // TODO: for each line of standard input, bring the routine in if it is not there.
    // TODO: add up its bytes in memory, and print.
    let _ = program;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: overlays PROGRAM");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
