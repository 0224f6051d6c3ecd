//! map_unmap FILE
//!
//! Map three pages of FILE, for reading and private, and unmap the middle one.
//! Print the regions that are left of the mapping as /proc/self/maps lists them,
//! a line each: how many pages, and the permissions. Then fork a child that loads
//! a byte from the hole, wait for it, and print what became of it.
//!
//!     $ map_unmap /bin/ls
//!     1 r--p
//!     1 r--p
//!     child: SIGSEGV
//!
//! Why: the address space is a list of regions, and munmap cuts pieces out of it,
//! by whole pages, wherever you say. What is not in the list does not exist; the
//! processor asks the kernel, and the kernel ends who asked.
//!
//! Read: munmap in mmap(2), and ERRORS EINVAL; proc_pid_maps(5); waitpid(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    // TODO: open the file, and map three pages of it.
    // TODO: unmap the one in the middle.
    // TODO: find what is left in /proc/self/maps, and print it.
    // TODO: fork; the child reads a byte of the hole. volatile, or the compiler may leave it out.
    // TODO: wait for the child, and print the signal that ended it.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_unmap FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
