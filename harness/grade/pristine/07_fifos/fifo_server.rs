//! fifo_server PATH N   (N from 1 to 1000)
//!
//! Make the FIFO PATH and serve N clients: each opens it, writes one line of at most
//! PIPE_BUF bytes, and closes it. Print each line when it has come, and end after
//! the N-th. At the end, also after a failure, PATH is removed:
//!
//!     $ fifo_server /tmp/f 2 &
//!     $ echo one >/tmp/f
//!     one
//!     $ echo two >/tmp/f
//!     two
//!
//! Clients come when they like: a second one while the first is still there, so that
//! one read gives both lines; or none for an hour, in which no processor time is used.
//! Whoever opens PATH between two clients finds a reader: no line is ever lost.
//! SIGTERM, whenever it comes, ends the server: PATH is removed, exit status 0.
//! What is at PATH already is an error (1), and stays.
//!
//! Why: the end of file says that nobody is writing now. To a server that is no end.
//!
//! Read: fifo(7); open(2), O_NONBLOCK; poll(2); signalfd(2) or ppoll(2); signal-safety(7).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, clients] = arguments.as_slice() else {
        return usage();
    };
    let clients = match clients.to_str().and_then(|text| text.parse().ok()) {
        Some(clients @ 1..=1000) => clients,
        _ => return usage(),
    };
    match run(Path::new(path), clients) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, clients: u32) -> Result<(), String> {
    // TODO: decide how SIGTERM is noticed while you wait, and also just before that.
    // TODO: make the FIFO; from then on every way out removes it.
    // TODO: open it so that the last client's close is not the end of all reading.
    // TODO: read, split at newlines, print each line, until there were enough.
    let _ = (path, clients);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fifo_server PATH N   (N from 1 to 1000)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
