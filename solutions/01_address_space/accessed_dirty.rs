//! The pages that were used, from the marks that the processor left in the tables.
//!
//! usage: accessed_dirty IMAGE
//!
//! Only an entry of a page that is present says anything of the page: the bits of
//! the directory entry above it are those of the table.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PRESENT: u32 = 1;
const ACCESSED: u32 = 1 << 5;
const DIRTY: u32 = 1 << 6;
const LARGE: u32 = 1 << 7;
const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(image: &Path) -> Result<(), String> {
    let name = image.display();
    let mut memory = Vec::new();
    let mut file = File::open(image).map_err(failed(format_args!("open {name}")))?;
    file.read_to_end(&mut memory).map_err(failed(format_args!("read {name}")))?;
    let mut text = String::new();
    for (directory_index, entry) in (0..).zip(table(&memory, 0).map_err(|why| format!("{name}: {why}"))?) {
        let first: u32 = directory_index << 22;
        if entry & (PRESENT | LARGE) == PRESENT | LARGE {
            text.push_str(&line(first, entry));
        } else if entry & PRESENT != 0 {
            let entries = table(&memory, entry & !0xfff).map_err(|why| format!("{name}: {why}"))?;
            for (table_index, entry) in (0..).zip(entries) {
                text.push_str(&line(first | table_index << 12, entry));
            }
        }
    }
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The entries of the table at this address.
fn table(memory: &[u8], at: u32) -> Result<impl Iterator<Item = u32>, String> {
    let start = at as usize;
    let bytes = memory.get(start..start + PAGE).ok_or(format!("the table at {at:#x} is behind the end"))?;
    Ok(bytes.chunks_exact(4).map(|entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]])))
}

/// What is to be said of a page; nothing if it is not there or was not accessed.
fn line(address: u32, entry: u32) -> String {
    if entry & (PRESENT | ACCESSED) != PRESENT | ACCESSED {
        return String::new();
    }
    let dirty = if entry & DIRTY != 0 { " dirty" } else { "" };
    format!("{address:#010x} accessed{dirty}\n")
}

fn usage() -> ExitCode {
    complain("usage: accessed_dirty IMAGE");
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
