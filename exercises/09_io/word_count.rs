//! word_count FILE [--mmap]
//!
//! Count as wc does, and print lines, words and bytes:
//!
//!     $ word_count poem.txt
//!     14 103 602
//!
//! Without --mmap read FILE, in blocks of 4 KiB to 1 MiB, one after another into
//! the same buffer. With --mmap map it, and read nothing. Both say the same, of any
//! bytes: a line is a newline (a rest without one is none), a word is a run of
//! bytes that are not white space (blank, \t, \n, \v, \f, \r). FILE may be empty.
//!
//! Why: it is the smallest program that looks at every byte, so it shows what the
//! bytes cost to get. Small blocks cost calls; a buffer as large as the file costs
//! the faults of memory that is used once; a mapping costs the faults on the file.
//! Which is least depends: `syslings bench scan` says, and times yours beside them
//! (--mine 'mine=./word_count {src}').
//!
//! Read: read(2); mmap(2); isspace(3).

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let counted = match arguments.as_slice() {
        [path] => count_read(Path::new(path)),
        [path, flag] if flag == "--mmap" => count_mapped(Path::new(path)),
        _ => {
            complain("usage: word_count FILE [--mmap]");
            return ExitCode::from(2);
        }
    };
    match counted {
        Ok(counts) => {
            println!("{} {} {}", counts.lines, counts.words, counts.bytes);
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

fn count_read(path: &Path) -> Result<Counts, String> {
    // TODO: read block after block. A word may begin in one and end in the next.
    let _ = (path, Counts::default());
    Err("not written yet".into())
}

fn count_mapped(path: &Path) -> Result<Counts, String> {
    // TODO: map FILE, if there is anything to map, and count in the mapping.
    let _ = (path, Counts::default());
    Err("not written yet".into())
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
