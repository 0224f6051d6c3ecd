//! map_private FILE BYTE
//!
//! Map FILE privately, store BYTE over its first byte in memory, and print one
//! line that shows both: what the mapping holds, and what FILE still holds.
//!
//!     $ printf hello > f; map_private f J
//!     mapped: J file: h
//!
//! FILE must not change, and you may open it only for reading: a private mapping
//! is never written back. An empty FILE or a directory is an error.
//!
//! Why: every program is loaded so. Its data is a private mapping of the file it
//! lies in; the first store to a page makes a copy of that page, and of no other.
//!
//! Read: mmap(2) MAP_PRIVATE and PROT_WRITE, and under ERRORS EACCES and EINVAL;
//! open(2); pread(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, byte] = arguments.as_slice() else {
        return usage();
    };
    let &[byte] = byte.as_bytes() else {
        return usage();
    };
    run(Path::new(path), byte).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, byte: u8) -> Result<ExitCode, String> {
    // TODO: open the file, for reading only.
    // TODO: how long is it? A mapping has at least one byte.
    // TODO: map it privately, readable and writable, and store the byte.
    // TODO: ask the file itself, not the mapping, for its first byte.
    // TODO: print `mapped: BYTE file: OLD`, the bytes as they are.
    let _ = (path, byte);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_private FILE BYTE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
