//! Page tables of x86-64 in four levels, with pages of three sizes.
//!
//! usage: four_level REQUESTS IMAGE
//!
//! The walk is the processor's own: from the root down, nine bits of the address
//! at each level, until the level at which a page of the size asked for has its
//! entry. Tables that are missing on the way are made, with all rights.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const TABLE: usize = 4096;
/// The bit of the address at which the index of the root begins.
const ROOT_SHIFT: u32 = 39;

/// One line of REQUESTS.
struct Request {
    address: u64,
    frame: u64,
    /// The page has 2^shift bytes.
    shift: u32,
    /// The flags of its entry.
    flags: u64,
}

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
    let mut memory = Memory::new();
    for (number, line) in (1..).zip(text.lines()) {
        let request = parse(line).map_err(|why| format!("{name}, line {number}: {why}"))?;
        memory.map(&request).map_err(|why| format!("{name}, line {number}: {why}"))?;
    }
    let name = image.display();
    let mut file = File::create(image).map_err(failed(format_args!("open {name}")))?;
    file.write_all(&memory.bytes).map_err(failed(format_args!("write {name}")))
}

fn parse(line: &str) -> Result<Request, &'static str> {
    let words: Vec<&str> = line.split(' ').collect();
    let [address, frame, size, rights] = words.as_slice() else {
        return Err("VA PA SIZE RIGHTS are wanted");
    };
    let (shift, large) = match *size {
        "4K" => (12, 0),
        "2M" => (21, LARGE),
        "1G" => (30, LARGE),
        _ => return Err("a page has 4K, 2M or 1G"),
    };
    let (address, frame) = (number(address)?, number(frame)?);
    if (address | frame) & ((1 << shift) - 1) != 0 {
        return Err("an address is not of such a page");
    }
    if ((address << 16) as i64 >> 16) as u64 != address {
        return Err("the address is not canonical: bits 48 to 63 are not what bit 47 is");
    }
    if frame & !ADDRESS != 0 {
        return Err("there is no such frame");
    }
    Ok(Request { address, frame, shift, flags: flags(rights)? | large | PRESENT })
}

fn number(text: &str) -> Result<u64, &'static str> {
    let digits = text.strip_prefix("0x").ok_or("an address begins with 0x")?;
    u64::from_str_radix(digits, 16).map_err(|_| "an address has 64 bits, in hexadecimal")
}

/// The bits of an entry that rights like `rw-u` stand for.
fn flags(rights: &str) -> Result<u64, &'static str> {
    let &[b'r', write, execute, user] = rights.as_bytes() else {
        return Err("the rights are r, w, x and u, or dashes");
    };
    let mut flags = 0;
    for (given, letter, if_given, if_not) in
        [(write, b'w', WRITE, 0), (execute, b'x', 0, NO_EXECUTE), (user, b'u', USER, 0)]
    {
        flags |= match given {
            b'-' => if_not,
            given if given == letter => if_given,
            _ => return Err("the rights are r, w, x and u, or dashes"),
        };
    }
    Ok(flags)
}

/// Physical memory, from 0 on: the root, and then the other tables.
struct Memory {
    bytes: Vec<u8>,
}

impl Memory {
    fn new() -> Memory {
        Memory { bytes: vec![0; TABLE] }
    }

    fn map(&mut self, request: &Request) -> Result<(), &'static str> {
        let mut table = 0;
        let mut shift = ROOT_SHIFT;
        while shift > request.shift {
            table = self.below(table, request.address >> shift & 0x1ff)?;
            shift -= 9;
        }
        let index = request.address >> shift & 0x1ff;
        if self.entry(table, index) != 0 {
            return Err("something of the page is mapped already");
        }
        self.set_entry(table, index, request.frame | request.flags);
        Ok(())
    }

    /// The table that this entry leads to; it is made if there is none.
    fn below(&mut self, table: u64, index: u64) -> Result<u64, &'static str> {
        match self.entry(table, index) {
            0 => {
                let new = self.bytes.len() as u64;
                self.bytes.resize(self.bytes.len() + TABLE, 0);
                self.set_entry(table, index, new | USER | WRITE | PRESENT);
                Ok(new)
            }
            entry if entry & LARGE != 0 => Err("the page lies in a large page"),
            entry => Ok(entry & ADDRESS),
        }
    }

    fn entry(&self, table: u64, index: u64) -> u64 {
        let bytes = self.bytes[place(table, index)..].iter().take(8);
        bytes.rev().fold(0, |entry, byte| entry << 8 | u64::from(*byte))
    }

    fn set_entry(&mut self, table: u64, index: u64, entry: u64) {
        self.bytes[place(table, index)..][..8].copy_from_slice(&entry.to_le_bytes());
    }
}

fn place(table: u64, index: u64) -> usize {
    (table + 8 * index) as usize
}

fn usage() -> ExitCode {
    complain("usage: four_level REQUESTS IMAGE");
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
