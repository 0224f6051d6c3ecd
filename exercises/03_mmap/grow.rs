//! map_grow FILE
//!
//! Append the lines of standard input to FILE, by stores to a shared mapping of
//! it; no write. There is no saying how much will come: where the mapping is full,
//! make the file longer with ftruncate and the mapping with mremap, and go on. In
//! the end FILE is exactly as long as what it holds. Nothing is printed.
//!
//!     $ seq 3 > f; seq 4 100000 | map_grow f; wc -l f
//!     100000 f
//!
//! FILE is there already, and may be empty. Input is to be kept as it comes.
//!
//! Why: logs and databases grow in this way, by large steps. The order matters (a
//! mapping that is longer than its file is a trap), and so does who remembers an
//! address: mremap may move the mapping, and copies not a byte for it.
//!
//! Read: mremap(2), MREMAP_MAYMOVE; ftruncate(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

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
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    // TODO: open the file. How much is in it?
    // TODO: make it longer, and map all of it.
    // TODO: read standard input behind what is there, until it ends.
    // TODO: full? ftruncate, mremap, and on. By steps that grow, too.
    // TODO: in the end, whatever happened, cut the file to what it holds.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_grow FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
