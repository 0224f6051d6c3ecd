//! uring_copy SRC DST
//!
//! Copy SRC to DST as copy_read_write does, with the same promises (the bytes, the
//! mode, DST whole or as it was, never onto itself), but ask for it by io_uring:
//! blocks of at most 64 KiB, and, as long as there is enough to copy, at least 4
//! requests in flight at once. Where the kernel lets you have no ring (EPERM,
//! ENOSYS), report that. The crate io_uring is there; raw calls are as good.
//!
//! You put requests into a ring in shared memory, one call submits them and waits,
//! and the results come in another ring, in any order. A request may do less than
//! it was asked for, as read and write may. The buffer of a request is the kernel's
//! until its result has come, even when you want to give up.
//!
//! Why: read and write do one thing at a time and make you wait for each. A device
//! that can do 32 at once is then idle most of the time.
//!
//! Read: io_uring(7); io_uring_enter(2); docs.rs/io-uring.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [src, dst] = arguments.as_slice() else {
        return usage();
    };
    run(Path::new(src), Path::new(dst)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(src: &Path, dst: &Path) -> Result<ExitCode, String> {
    // TODO: open SRC and take its length. Is DST the same file? Make a new file beside it.
    // TODO: a ring, and some blocks of memory. Ask for the first blocks of SRC.
    // TODO: for each result: write what was read; when that is written, read the next.
    // TODO: give the new file SRC's mode, and DST's name; on failure remove it.
    let _ = (src, dst);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: uring_copy SRC DST");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
