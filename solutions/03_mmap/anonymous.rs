//! Memory that costs nothing until it is touched.
//!
//! usage: map_anonymous PAGES STRIDE
//!
//! Maps PAGES pages of no file, stores a byte in every STRIDE-th of them, sees
//! that all else in these is zero, and prints how many pages it touched and
//! how many minor faults the kernel counted for it meanwhile.
//!
//! See mmap(2) MAP_ANONYMOUS, getrusage(2).

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;
use nix::sys::resource::{UsageWho, getrusage};

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pages, stride] = arguments.as_slice() else {
        return usage();
    };
    let (Some(pages), Some(stride)) = (number(pages), number(stride)) else {
        return usage();
    };
    match run(pages, stride) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pages: usize, stride: usize) -> Result<(), String> {
    let length = pages.saturating_mul(PAGE);
    let mut mapping = MmapMut::map_anon(length).map_err(failed(format!("mmap {pages} pages")))?;

    let before = minor_faults()?;
    let mut touched = 0;
    for page in mapping.chunks_exact_mut(PAGE).step_by(stride) {
        // The store comes first. A load would fault too, and bring the one page
        // of zeros that all share; the store after it would fault once more.
        page[0] = 1;
        if page[1..].iter().any(|byte| *byte != 0) {
            return Err(format!("mmap {pages} pages: not all of it is zero"));
        }
        touched += 1;
    }
    let faults = minor_faults()? - before;
    print(format!("touched {touched} faults {faults}\n").as_bytes())
}

/// Faults of this process so far that needed no device.
fn minor_faults() -> Result<i64, String> {
    Ok(getrusage(UsageWho::RUSAGE_SELF).map_err(failed("getrusage"))?.minor_page_faults())
}

/// A number of at least 1.
fn number(argument: &OsStr) -> Option<usize> {
    argument.to_str()?.parse().ok().filter(|number| *number > 0)
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_anonymous PAGES STRIDE");
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
