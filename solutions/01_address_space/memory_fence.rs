//! A fence in memory: below it is the system, and no user code.
//!
//! usage: memory_fence FENCE IMAGE
//!
//! A data segment that expands down allows what is above its limit, so that the
//! limit is the last address below the fence, and the base stays 0.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PRESENT: u8 = 1 << 7;
const FOR_USERS: u8 = 3 << 5;
const ORDINARY: u8 = 1 << 4;
const EXPANDS_DOWN: u8 = 1 << 2;
const WRITABLE: u8 = 1 << 1;
const IN_PAGES: u8 = 1 << 7;
/// The upper end of a segment that expands down is that of 32 bits, not of 16.
const WIDE: u8 = 1 << 6;
const MEBIBYTE: u64 = 1 << 20;
const PAGE: u64 = 4096;
const EVERYTHING: u64 = 1 << 32;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [fence, image] = arguments.as_slice() else {
        return usage();
    };
    let Some(fence) = parse(fence) else {
        return usage();
    };
    match run(fence, Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// The fence, if a limit can say it.
fn parse(fence: &OsStr) -> Option<u64> {
    let fence = u64::from_str_radix(fence.to_str()?.strip_prefix("0x")?, 16).ok()?;
    let sayable = fence <= MEBIBYTE || fence % PAGE == 0;
    (sayable && (1..EVERYTHING).contains(&fence)).then_some(fence)
}

fn run(fence: u64, image: &Path) -> Result<(), String> {
    let data = PRESENT | ORDINARY | WRITABLE;
    let table = [[0; 8], descriptor(EVERYTHING, data), descriptor(fence, data | FOR_USERS | EXPANDS_DOWN)];
    let name = image.display();
    let mut file = File::create(image).map_err(failed(format_args!("open {name}")))?;
    file.write_all(table.as_flattened()).map_err(failed(format_args!("write {name}")))
}

/// A descriptor of base 0, whose limit is the last of so many bytes.
fn descriptor(bytes: u64, access: u8) -> [u8; 8] {
    let (limit, granularity) = if bytes <= MEBIBYTE { (bytes - 1, 0) } else { (bytes / PAGE - 1, IN_PAGES) };
    let limit = limit.to_le_bytes();
    [limit[0], limit[1], 0, 0, 0, access, limit[2] | granularity | WIDE, 0]
}

fn usage() -> ExitCode {
    complain("usage: memory_fence FENCE IMAGE");
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
