//! pipe_capacity [BYTES]
//!
//! Make a pipe, of at least BYTES if that is given. Fill it until nothing more
//! goes in, without blocking, and print its capacity and how much went in:
//!
//!     $ pipe_capacity 100000
//!     capacity 131072 filled 131072
//!
//! The first number is what the kernel says of this pipe; the second is what
//! your writes have put in, the last of which the kernel refused.
//!
//! Why: who writes more than a pipe holds waits for a reader. How much that is
//! you can ask and, within limits, choose; it is no constant.
//!
//! Read: pipe(7), "Pipe capacity" and O_NONBLOCK under "PIPE_BUF"; fcntl(2),
//! F_GETPIPE_SZ, F_SETPIPE_SZ, F_SETFL; pipe2(2); write(2), EAGAIN.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let least: Option<u32> = match arguments.as_slice() {
        [] => None,
        [bytes] => match bytes.to_str().and_then(|text| text.parse().ok()) {
            Some(bytes) => Some(bytes),
            None => return usage(),
        },
        _ => return usage(),
    };
    match run(least) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(least: Option<u32>) -> Result<(), String> {
    // TODO: make a pipe whose write end does not block.
    // TODO: set its capacity if `least` is given, then ask for it.
    // TODO: write until write says EAGAIN, and add up what it took.
    // TODO: print `capacity C filled F`.
    let _ = least;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_capacity [BYTES]");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
