//! save_atomic FILE
//!
//! Save standard input as FILE so that, killed at any call or cut off from power,
//! FILE is the old one or the new one, whole. Print nothing. When you exit with 0
//! the new one is on the device.
//!
//! In this order: write a new file in FILE's directory; fsync it; rename it to
//! FILE; fsync the directory. If something fails before the rename, FILE is as it
//! was and the new file is gone.
//!
//! Why: write puts bytes into memory and rename changes a directory in memory; the
//! device gets both some time, in any order. Without the first fsync a power cut
//! leaves an empty file under the good name, and without the second the old one,
//! after you said that it was saved. Editors have lost files to each.
//!
//! Read: fsync(2), DESCRIPTION; rename(2); open(2), O_EXCL; fchmod(2).

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [file] = arguments.as_slice() else {
        return usage();
    };
    match save(Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn save(file: &Path) -> Result<(), String> {
    // TODO: make a new file in FILE's directory; fill it from standard input.
    // TODO: bring it to the device, then give it FILE's name; on failure remove it.
    // TODO: bring the directory to the device too.
    let _ = file;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: save_atomic FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
