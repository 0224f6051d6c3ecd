//! A file of records, changed in place.
//!
//! usage: map_records FILE ID DELTA
//!
//! FILE has records of 32 bytes: id (u64), balance (i64), name (16 bytes), all
//! little-endian. Adds DELTA to the balance of each record with this ID, through
//! a shared mapping, and prints how many they were. If one balance overflows, or
//! FILE is no whole number of records, nothing is changed.
//!
//! See mmap(2).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::{env, fmt};

use memmap2::MmapMut;

const RECORD: usize = 32;
/// Where a record has its fields.
const ID: Range<usize> = 0..8;
const BALANCE: Range<usize> = 8..16;

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
    let name = path.display();
    let file = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    let size = file.metadata().map_err(failed(format!("fstat {name}")))?.len();
    if size % RECORD as u64 != 0 {
        return Err(format!("{name}: {size} bytes are no whole number of records"));
    }
    if size == 0 {
        return print(b"updated 0\n");
    }

    // SAFETY: if somebody changes FILE meanwhile we may see either value; if
    // somebody truncates it the kernel ends this process by SIGBUS.
    let mut mapping = unsafe { MmapMut::map_mut(&file) }.map_err(failed(format!("mmap {name}")))?;
    // All or nothing: every sum is made before the first one is stored.
    let mut updates = Vec::new();
    for (index, record) in mapping.chunks_exact(RECORD).enumerate() {
        if u64::from_le_bytes(field(record, ID)) == id {
            let balance = i64::from_le_bytes(field(record, BALANCE)).checked_add(delta);
            updates.push((index, balance.ok_or_else(|| format!("record {index} of {name}: the balance overflows"))?));
        }
    }
    for (index, balance) in &updates {
        // A store to one record touches one page; all others stay clean.
        mapping[index * RECORD..][BALANCE].copy_from_slice(&balance.to_le_bytes());
    }
    print(format!("updated {}\n", updates.len()).as_bytes())
}

/// The bytes of a field: a copy, which may lie anywhere.
fn field(record: &[u8], range: Range<usize>) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[range]);
    bytes
}

fn number<N: FromStr>(argument: &OsStr) -> Option<N> {
    argument.to_str()?.parse().ok()
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_records FILE ID DELTA");
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
