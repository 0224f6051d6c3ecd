//! direct_copy SRC DST
//!
//! Copy SRC to DST as copy_read_write does, with the same promises (the bytes, the
//! mode, DST whole or as it was, never onto itself), but past the page cache: open
//! both with O_DIRECT. Where a file system has none, open fails with EINVAL, and
//! you report that.
//!
//! The device then reads into your memory and writes from it. So the buffer's
//! address, the offset in the file and the length of each read and write must be
//! multiples of the device's unit; 4096 bytes are enough for all. SRC's length need
//! be no multiple: find a way for the tail, which is less than one unit (write too
//! much and cut it off, or write the tail without O_DIRECT).
//!
//! Why: a copy of much that nobody reads again drives everything else out of the
//! page cache; databases have a cache of their own. But nobody reads ahead for you,
//! and nobody gathers your writes: small blocks are slow.
//!
//! Read: open(2), O_DIRECT and NOTES; posix_memalign(3); ftruncate(2); fcntl(2).

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
    // TODO: open SRC with O_DIRECT. Is DST the same file? Make a new file beside it.
    // TODO: get a buffer that begins at a multiple of 4096.
    // TODO: read and write whole units. What does the last read bring?
    // TODO: give the new file SRC's mode, and DST's name; on failure remove it.
    let _ = (src, dst);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: direct_copy SRC DST");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
