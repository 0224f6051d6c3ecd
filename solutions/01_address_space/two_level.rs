//! Page tables of IA-32: a directory at address 0, and a page table for each
//! part of the address space of 4 MiB that has a page in it.
//!
//! usage: two_level REQUESTS IMAGE
//!
//! Nothing is written before every request has been understood, so that there
//! is no image where one of them is wrong.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PRESENT: u32 = 1;
const WRITE: u32 = 1 << 1;
const USER: u32 = 1 << 2;
const PAGE: usize = 4096;

/// One line of REQUESTS.
struct Request {
    address: u32,
    frame: u32,
    write: bool,
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
    let [address, frame, rights] = words.as_slice() else {
        return Err("VA PA RIGHTS are wanted");
    };
    let write = match *rights {
        "rw" => true,
        "r-" => false,
        _ => return Err("the rights are rw or r-"),
    };
    Ok(Request { address: page_aligned(address)?, frame: page_aligned(frame)?, write })
}

fn page_aligned(text: &str) -> Result<u32, &'static str> {
    let digits = text.strip_prefix("0x").ok_or("an address begins with 0x")?;
    let address = u32::from_str_radix(digits, 16).map_err(|_| "an address has 32 bits, in hexadecimal")?;
    if address.is_multiple_of(PAGE as u32) { Ok(address) } else { Err("an address is not of a page") }
}

/// Physical memory, from 0 on: the directory, and then the page tables.
struct Memory {
    bytes: Vec<u8>,
}

impl Memory {
    fn new() -> Memory {
        Memory { bytes: vec![0; PAGE] }
    }

    fn map(&mut self, request: &Request) -> Result<(), &'static str> {
        let (directory_index, table_index) = (request.address >> 22, request.address >> 12 & 0x3ff);
        let table = match self.entry(0, directory_index) {
            0 => {
                let table = self.bytes.len() as u32;
                self.bytes.resize(self.bytes.len() + PAGE, 0);
                // All rights here: those of the pages are decided below.
                self.set_entry(0, directory_index, table | USER | WRITE | PRESENT);
                table
            }
            entry => entry & !0xfff,
        };
        if self.entry(table, table_index) != 0 {
            return Err("the page is mapped already");
        }
        let write = if request.write { WRITE } else { 0 };
        self.set_entry(table, table_index, request.frame | USER | write | PRESENT);
        Ok(())
    }

    fn entry(&self, table: u32, index: u32) -> u32 {
        let at = place(table, index);
        u32::from_le_bytes([self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]])
    }

    fn set_entry(&mut self, table: u32, index: u32, entry: u32) {
        let at = place(table, index);
        self.bytes[at..at + 4].copy_from_slice(&entry.to_le_bytes());
    }
}

fn place(table: u32, index: u32) -> usize {
    (table + 4 * index) as usize
}

fn usage() -> ExitCode {
    complain("usage: two_level REQUESTS IMAGE");
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
