//! pipe_atomic W N   (W from 1 to 26, N from 1 to 1000)
//!
//! W children write N records each into one and the same pipe; the parent reads
//! them, checks every one, and says what came:
//!
//!     $ pipe_atomic 5 200
//!     records 1000 torn 0
//!
//! A record is one line of at most PIPE_BUF bytes: `ID:SEQ:FILL`. ID is the child,
//! from 1 to W; SEQ counts its records from 1 to N; FILL is the child's own letter
//! (`a` for child 1, `b` for child 2, …), many times over. The first number is
//! that of the lines that are whole records, the second that of all other lines.
//!
//! Nobody tells the children when it is their turn; yet no record may come with
//! another's bytes in it.
//!
//! Why: many programs write to one log or one pipe. The kernel keeps together what
//! one write hands over, if it is small enough, and nothing else.
//!
//! Read: pipe(7), PIPE_BUF; write(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let number = |at: usize, most: u32| {
        let number = arguments.get(at)?.to_str()?.parse().ok()?;
        (1..=most).contains(&number).then_some(number)
    };
    let (2, Some(writers), Some(records)) = (arguments.len(), number(0, 26), number(1, 1000)) else {
        return usage();
    };
    match run(writers, records) {
        Ok(torn) => ExitCode::from(u8::from(torn > 0)),
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// How many records were torn.
fn run(writers: u32, records: u32) -> Result<u32, String> {
    // TODO: a pipe, and W children that write their records into it.
    // TODO: read to the end of file, line by line; is each a whole record?
    // TODO: wait for all children (again after EINTR), and print the two numbers.
    let _ = (writers, records);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_atomic W N   (W from 1 to 26, N from 1 to 1000)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
