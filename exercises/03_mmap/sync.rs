//! map_sync FILE N
//!
//! Make FILE N records long, eight bytes each, and store the records 1 to N through
//! a shared mapping: record I is the number I, little-endian, at 8 * (I - 1). Print
//! `durable I` after each, once it is on the device and before the next is stored.
//!
//!     $ map_sync f 3
//!     durable 1
//!     durable 2
//!     durable 3
//!
//! FILE may be there already, or not.
//!
//! Why: a store changes the page cache, which every process sees and no loss of
//! power survives. A database may say "committed" only when msync(MS_SYNC) has
//! returned, and must say it then: somebody waits for the line.
//!
//! Read: msync(2), MS_SYNC, MS_ASYNC and ERRORS EINVAL (whose address must be a
//! multiple of what?).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, count] = arguments.as_slice() else {
        return usage();
    };
    let Some(count) = number(count) else {
        return usage();
    };
    match run(Path::new(path), count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, count: u64) -> Result<(), String> {
    // TODO: open or make the file, give it its length, and map it, shared.
    // TODO: for each record: store it,
    // TODO: have it written to the device, and wait for that,
    // TODO: and print the line, so that it is out before you go on.
    let _ = (path, count);
    Err("not written yet".into())
}

/// A number of at least 1.
fn number(argument: &OsStr) -> Option<u64> {
    argument.to_str()?.parse().ok().filter(|number| *number > 0)
}

fn usage() -> ExitCode {
    complain("usage: map_sync FILE N");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
