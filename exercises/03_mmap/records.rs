//! map_records FILE ID DELTA
//!
//! FILE is a row of records of 32 bytes: an id (u64), a balance (i64) and a name
//! (16 bytes), numbers little-endian. Add DELTA to the balance of every record
//! that has this ID, in place, through a shared mapping: no read and no write of
//! FILE. Print `updated` and how many they were.
//!
//!     $ map_records accounts 17 -250
//!     updated 2
//!
//! All or nothing: if a balance would overflow, say `record N: …` on standard
//! error, N counted from 0, and change nothing. So too, with FILE's name, if its
//! size is no multiple of 32. Exit status 1. An empty FILE has no records.
//!
//! Why: a file of records is an array, and only the pages you store to are written
//! back. But these are bytes from outside: a &i64 must be aligned, bytes need not.
//!
//! Read: mmap(2) MAP_SHARED; the documentation of i64::from_le_bytes.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, id, delta] = arguments.as_slice() else {
        return usage();
    };
    let (Some(id), Some(delta)) = (number(id), number(delta)) else {
        return usage();
    };
    match run(Path::new(path), id, delta) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, id: u64, delta: i64) -> Result<(), String> {
    // TODO: open the file. Is its size a whole number of records?
    // TODO: map it, shared and writable.
    // TODO: find the records with this id. Will every sum fit?
    // TODO: only then store the new balances, and print how many.
    let _ = (path, id, delta);
    Err("not written yet".into())
}

fn number<N: FromStr>(argument: &OsStr) -> Option<N> {
    argument.to_str()?.parse().ok()
}

fn usage() -> ExitCode {
    complain("usage: map_records FILE ID DELTA");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
