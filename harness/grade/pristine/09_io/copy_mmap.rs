//! copy_mmap SRC DST
//!
//! Copy SRC to DST as copy_read_write does, with the same promises (the bytes, the
//! mode, DST whole or as it was, never onto itself), but never read SRC: map it,
//! and let write(2) take the bytes from the mapping, a bounded piece at a time.
//!
//! Why: read copies each byte from the page cache into your buffer, and write
//! copies it back into the page cache; from a mapping it is copied once. Whether
//! that is faster is another question, because each page that is touched for the
//! first time costs a fault. Measure it: `syslings bench`.
//!
//! Mind an empty SRC, and a length that is no multiple of the page: the last page
//! of the mapping goes on, with zeros, where the file has ended.
//!
//! Read: mmap(2), EINVAL and "SIGBUS"; write(2); munmap(2); rename(2).

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
    // TODO: open SRC and take its length. Is DST the same file?
    // TODO: make a new file in DST's directory, one that was not there before.
    // TODO: map SRC, if there is anything to map, and write it piece by piece.
    // TODO: give the new file SRC's mode, and DST's name; on failure remove it.
    let _ = (src, dst);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: copy_mmap SRC DST");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
