//! pipe_partial FILE
//!
//! Send FILE from the parent to its child through a pipe whose write end does
//! not block; the child reads to the end of file and prints what came.
//!
//! The child may be slow. Then the pipe is full, and a write takes only part of
//! what it is offered, or nothing at all and says EAGAIN. All of FILE must
//! arrive all the same. While there is no room the parent waits in poll, and
//! uses no processor.
//!
//! Why: a server with many clients may not stand still in a write to one of
//! them. What it then has to do itself, write_all cannot do for it.
//!
//! Read: pipe(7), the table under "PIPE_BUF"; write(2), RETURN VALUE and EAGAIN;
//! fcntl(2), F_SETFL and O_NONBLOCK; poll(2), POLLOUT.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1; if
//! the child fails, the parent's status says so too.

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
    run(Path::new(path)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path) -> Result<ExitCode, String> {
    // TODO: open the file, make a pipe, fork.
    // TODO: make the parent's end non-blocking (only that one).
    // TODO: the parent writes piece by piece: what was not taken is offered
    //       again; after EAGAIN it waits in poll until there is room.
    // TODO: the child copies the pipe to standard output, and leaves by _exit.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_partial FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
