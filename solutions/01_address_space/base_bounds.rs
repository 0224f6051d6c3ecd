//! Two segments for each program: base and limit relocate and confine it.
//!
//! usage: base_bounds REQUESTS IMAGE
//!
//! The limit has 20 bits. Up to 1 MiB it counts bytes, above that pages; either
//! way it is the last one inside, one less than the size.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PRESENT: u8 = 1 << 7;
const FOR_USERS: u8 = 3 << 5;
const ORDINARY: u8 = 1 << 4;
const CODE: u8 = 1 << 3;
/// Of data: it may be stored to; of code: it may be loaded from.
const GRANTS: u8 = 1 << 1;
const IN_PAGES: u8 = 1 << 7;
const WIDE: u8 = 1 << 6;
const MEBIBYTE: u64 = 1 << 20;
const PAGE: u64 = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [requests, image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(requests), Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(requests: &Path, image: &Path) -> Result<(), String> {
    let name = requests.display();
    let mut text = String::new();
    let mut file = File::open(requests).map_err(failed(format_args!("open {name}")))?;
    file.read_to_string(&mut text).map_err(failed(format_args!("read {name}")))?;
    let mut table = vec![0; 8];
    for (number, line) in (1..).zip(text.lines()) {
        let (base, size) = parse(line).map_err(|why| format!("{name}, line {number}: {why}"))?;
        let access = PRESENT | FOR_USERS | ORDINARY | GRANTS;
        table.extend(descriptor(base, size, access | CODE));
        table.extend(descriptor(base, size, access));
    }
    let name = image.display();
    let mut file = File::create(image).map_err(failed(format_args!("open {name}")))?;
    file.write_all(&table).map_err(failed(format_args!("write {name}")))
}

/// Base and size, if a limit can say them.
fn parse(line: &str) -> Result<(u32, u64), &'static str> {
    let (base, size) = line.split_once(' ').ok_or("BASE SIZE are wanted")?;
    let base = u32::try_from(number(base)?).map_err(|_| "the base has 32 bits")?;
    let size = number(size)?;
    if size == 0 || size > (1 << 32) - u64::from(base) {
        return Err("the program has no bytes, or ends behind 4 GiB");
    }
    if size > MEBIBYTE && size % PAGE != 0 {
        return Err("more than 1 MiB must be a multiple of 4096");
    }
    Ok((base, size))
}

fn number(text: &str) -> Result<u64, &'static str> {
    let digits = text.strip_prefix("0x").ok_or("a number begins with 0x")?;
    u64::from_str_radix(digits, 16).map_err(|_| "numbers are hexadecimal")
}

/// A descriptor: base and limit are scattered over its eight bytes.
fn descriptor(base: u32, size: u64, access: u8) -> [u8; 8] {
    // The limit is the last offset inside; in pages, if 20 bits are not enough for bytes.
    let (limit, granularity) = if size <= MEBIBYTE { (size - 1, 0) } else { (size / PAGE - 1, IN_PAGES) };
    let (base, limit) = (base.to_le_bytes(), (limit as u32).to_le_bytes());
    [limit[0], limit[1], base[0], base[1], base[2], access, limit[2] | granularity | WIDE, base[3]]
}

fn usage() -> ExitCode {
    complain("usage: base_bounds REQUESTS IMAGE");
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
