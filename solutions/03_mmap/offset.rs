//! Any piece of a file, through a mapping of the pages that it lies in.
//!
//! usage: map_offset FILE OFFSET LEN
//!
//! Prints the LEN bytes of FILE that begin at OFFSET, or as many as there are.
//! Only the pages in which they lie are mapped.
//!
//! See mmap(2), sysconf(3) _SC_PAGE_SIZE.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapOptions;

const PAGE: u64 = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, offset, length] = arguments.as_slice() else {
        return usage();
    };
    let (Some(offset), Some(length)) = (number(offset), number(length)) else {
        return usage();
    };
    match run(Path::new(path), offset, length) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, offset: u64, length: u64) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    let size = file.metadata().map_err(failed(format!("fstat {name}")))?.len();
    let end = offset.saturating_add(length).min(size);
    if offset >= end {
        return Ok(());
    }

    // A mapping begins at a page of the file, the piece anywhere in that page.
    let skipped = offset % PAGE;
    let start = offset - skipped;
    let length = usize::try_from(end - start).map_err(|_| format!("mmap {name}: too long a piece"))?;
    // SAFETY: only read. If somebody truncates FILE meanwhile the kernel ends
    // this process by SIGBUS.
    let mapping = unsafe { MmapOptions::new().offset(start).len(length).map(&file) };
    let mapping = mapping.map_err(failed(format!("mmap {name}")))?;
    print(&mapping[skipped as usize..])
}

fn number(argument: &OsStr) -> Option<u64> {
    argument.to_str()?.parse().ok()
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_offset FILE OFFSET LEN");
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
