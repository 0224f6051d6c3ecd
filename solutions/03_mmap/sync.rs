//! Records that are said to be durable when they are, and not before.
//!
//! usage: map_sync FILE N
//!
//! Writes the records 1 to N, of eight bytes each, through a shared mapping of
//! FILE, and prints `durable I` as soon as record I is on the device.
//!
//! See msync(2) MS_SYNC.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;

const RECORD: usize = size_of::<u64>();

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
    let name = path.display();
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(failed(format!("open {name}")))?;
    let size = count.checked_mul(RECORD as u64).ok_or_else(|| format!("ftruncate {name}: too many records"))?;
    file.set_len(size).map_err(failed(format!("ftruncate {name}")))?;
    // SAFETY: the file has these bytes; if somebody truncates it meanwhile the
    // kernel ends this process by SIGBUS.
    let mut mapping = unsafe { MmapMut::map_mut(&file) }.map_err(failed(format!("mmap {name}")))?;

    for record in 1..=count {
        let start = (record as usize - 1) * RECORD;
        mapping[start..start + RECORD].copy_from_slice(&record.to_le_bytes());
        // Returns when the device has these bytes; memmap2 rounds down to the page.
        mapping.flush_range(start, RECORD).map_err(failed(format!("msync {name}")))?;
        // Only now it is true, and it must be said now.
        print(format!("durable {record}\n").as_bytes())?;
    }
    Ok(())
}

/// A number of at least 1.
fn number(argument: &OsStr) -> Option<u64> {
    argument.to_str()?.parse().ok().filter(|number| *number > 0)
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_sync FILE N");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
