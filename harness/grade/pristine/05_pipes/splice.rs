//! pipe_splice FILE
//!
//! FILE to standard output, without its bytes passing through your program: the
//! kernel moves them from one descriptor to the other.
//!
//!     $ pipe_splice story.txt | wc -c
//!     150000
//!
//! One call moves what it can, often less than you asked for. And it cannot do it
//! for every pair of descriptors: to a file that is opened with O_APPEND it says
//! EINVAL or EBADF. Then copy by read and write, and say so in one line on standard
//! error (exit status 0 all the same):
//!
//!     $ pipe_splice story.txt >>stories.txt
//!     pipe_splice: sendfile to standard output: Invalid argument: copying by read and write
//!
//! Why: a copy into your memory and out of it again is work for nothing, if you do
//! not look at the bytes. But a fast way needs a slow one beside it.
//!
//! Read: sendfile(2), splice(2), copy_file_range(2): RETURN VALUE, ERRORS, NOTES.
//! Any other call that fails is reported as `CALL OBJECT: REASON`, exit status 1.

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
    // TODO: open FILE; have the kernel move it until a call moves nothing.
    // TODO: if it cannot, say so and go on by read and write.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_splice FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
