//! map_lazy FILE PAGE…
//!
//! Map FILE whole, for reading; it may be large. Load one byte of each PAGE that is
//! given (pages of 4096 bytes, counted from 0), and of no other. Print how many KiB
//! of the mapping were resident before and after: its Rss in /proc/self/smaps.
//!
//!     $ map_lazy big 7 9000 1
//!     resident before: 0 after: 12
//!
//! It may be somewhat more than 4 KiB a page: the kernel likes to bring neighbours
//! that are in memory anyway. A PAGE that FILE does not have is an error.
//!
//! Why: mmap loads nothing. It draws up a region, and each page comes when it is
//! touched; a gigabyte of which you need three pages costs three pages. smaps shows,
//! region by region, what has come so far.
//!
//! Read: proc_pid_smaps(5); mmap(2) MAP_POPULATE; madvise(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, pages @ ..] = arguments.as_slice() else {
        return usage();
    };
    let Some(pages) = pages.iter().map(|page| number(page)).collect::<Option<Vec<usize>>>() else {
        return usage();
    };
    if pages.is_empty() {
        return usage();
    }
    match run(Path::new(path), &pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, pages: &[usize]) -> Result<(), String> {
    // TODO: open the file, and map all of it.
    // TODO: find the mapping in /proc/self/smaps: how many KiB are its Rss?
    // TODO: load a byte of each page. volatile, or the compiler may leave it out.
    // TODO: look again, and print both.
    let _ = (path, pages);
    Err("not written yet".into())
}

fn number(argument: &OsStr) -> Option<usize> {
    argument.to_str()?.parse().ok()
}

fn usage() -> ExitCode {
    complain("usage: map_lazy FILE PAGE…");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
