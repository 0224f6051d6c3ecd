//! frames PAGES PAGE…
//!
//! Write to each of PAGES pages of private memory, fork, and let the child write to the
//! pages named, which are numbered from 0. Three times ask /proc/self/pagemap what a
//! process has alone, and print a letter for each page: `o` if it is its own, `s` if
//! another process has the same frame, `-` if there is no frame. The parent asks before
//! fork; the child before it writes, and after:
//!
//!     $ frames 8 2 5
//!     parent alone: oooooooo
//!     child forked: ssssssss
//!     child wrote: ssossoss
//!     page 2: 0x1f3a2 became 0x20b71
//!     page 5: 0x1f3a5 became 0x20b7c
//!
//! The last lines are the numbers of the child's frames before and after it wrote.
//! Only privileged processes may know them, others read 0: for that say `hidden`.
//!
//! /proc/PID/pagemap has 8 bytes for each page of the process's address space, in the
//! machine's byte order: at N * 8 those of page N. Bit 63 says that there is a frame,
//! bit 56 that nobody else has it, and bits 0 to 54 are its number.
//!
//! Why: fork copies no memory, only the tables; a page is copied when it is written.
//!
//! Read: proc_pid_pagemap(5); fork(2); Documentation/admin-guide/mm/pagemap.rst.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    match numbers.as_deref() {
        Some([all, written @ ..]) if !written.is_empty() && written.iter().all(|page| page < all) => {
            match run(*all, written) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => {
                    complain(&message);
                    ExitCode::FAILURE
                }
            }
        }
        _ => usage(),
    }
}

fn run(all: usize, written: &[usize]) -> Result<(), String> {
    // TODO: private memory, written; what does the page map say of it?
    // TODO: fork. In the child ask, write the pages named, ask again, and print.
    // TODO: wait for the child.
    let _ = (all, written);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: frames PAGES PAGE…");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
