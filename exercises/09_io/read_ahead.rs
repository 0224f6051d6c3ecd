//! read_ahead FILE CMD [ARG…]
//!
//! Run CMD with FILE on a pipe as its standard input, as `cat FILE | CMD` would,
//! and exit with CMD's status. Use two buffers: while CMD takes one block from the
//! pipe, and your write waits for it, the next block is being read into the other.
//! Never have more than 1 MiB of FILE in memory beyond what CMD was given.
//!
//! CMD may end before it has read everything: that is its right, and no error.
//!
//! Why: one buffer means that either the disk or the command is waiting, always.
//! With two both work at once, and it takes as long as the slower one alone. All
//! of FILE in memory first would be as bad as none: nothing runs side by side.
//!
//! The reading needs a thread of its own. Think about who closes the write end,
//! about the last block, and about how each thread learns that the other is done.
//!
//! Read: read(2); pipe(7); std::process::Command; std::thread::scope; std::sync::mpsc.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, command, arguments @ ..] = arguments.as_slice() else {
        complain("usage: read_ahead FILE CMD [ARG...]");
        return ExitCode::from(2);
    };
    run(Path::new(path), Command::new(command).args(arguments)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, command: &mut Command) -> Result<ExitCode, String> {
    // TODO: open FILE, and start CMD with a pipe as its standard input.
    // TODO: one thread reads FILE block by block, another writes what is read.
    // TODO: close the pipe, wait for CMD, and exit as it did.
    let _ = (path, command);
    Err("not written yet".into())
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
