//! pipe_poll N   (1 to 64)
//!
//! Make N children, each with a pipe of its own. Child i sends the one line
//! `child i` and ends. The parent prints each line when it has come, and ends
//! when every pipe has ended:
//!
//!     $ pipe_poll 3
//!     child 2
//!     child 3
//!     child 1
//!
//! Which comes first nobody knows: a child may be slow, and it may pause in the
//! middle of its line. The others do not wait for it, and no line is torn by
//! another. While nobody speaks the parent uses no processor.
//!
//! Why: a server has many clients and one place to wait. Who reads from one of
//! them waits for that one; who has been told "ready" may read once.
//!
//! Read: poll(2), POLLIN and POLLHUP; pipe(7); read(2); select_tut(2) on what
//! goes wrong.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1;
//! children that were already made are waited for all the same.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [count] = arguments.as_slice() else {
        return usage();
    };
    let count = match count.to_str().and_then(|text| text.parse().ok()) {
        Some(count @ 1..=64) => count,
        _ => return usage(),
    };
    match run(count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(count: u32) -> Result<(), String> {
    // TODO: for each child a pipe, and a fork; the child sends its line and leaves.
    // TODO: the parent closes the write ends, and polls all read ends at once.
    // TODO: read from those that are ready, once each; print a line when it is
    //       whole; take a pipe that has ended out of the list.
    // TODO: wait for all children (again after EINTR).
    let _ = count;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_poll N   (1 to 64)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
