//! fifo_hello PATH MESSAGE
//!
//! Make the FIFO PATH with mode 0600. A child opens it to read, and prints what
//! comes and a newline; the parent opens it to write, and sends MESSAGE.
//!
//!     $ fifo_hello /tmp/f 'Hello!'
//!     Hello!
//!
//! Remove PATH at the end, also after a failure. If PATH is there already, that
//! is the error `mkfifo PATH: File exists`, and what is there stays as it is:
//! never look first and make afterwards. Nobody opens the FIFO O_RDWR.
//!
//! Why: a FIFO is a pipe with a name, for processes that were not forked from one
//! another. To open one end waits for the other, and a name outlives a process.
//! Think of this: what if the child fails before it has opened its end?
//!
//! Read: mkfifo(3); fifo(7); open(2), O_NONBLOCK and ENXIO; unlink(2).

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, message] = arguments.as_slice() else {
        return usage();
    };
    run(Path::new(path), message.as_bytes()).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, message: &[u8]) -> Result<ExitCode, String> {
    // TODO: make the FIFO. From here on it is yours to remove.
    // TODO: fork; the child opens it to read, the parent to write.
    // TODO: send, receive to the end of file, print, wait: as through a pipe.
    // TODO: remove the name, whatever has happened.
    let _ = (path, message);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fifo_hello PATH MESSAGE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
