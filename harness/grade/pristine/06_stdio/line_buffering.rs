//! line_buffering [-u] N
//!
//! Print `line 1` to `line N` through a buffer of your own that does exactly what
//! C's stdio does with standard output:
//!
//! - to a terminal, one write(2) for each line;
//! - to a pipe or a file, writes of exactly 4096 bytes, wherever in a line they
//!   end, and one write of what is left at the end;
//! - with -u (before or after N), one write for each print.
//!
//! Why: this is why a program that prints at once on your screen says nothing for
//! minutes when you pipe it into `grep`. Rust's own standard output is different:
//! it writes every line, wherever it goes. See yours with
//! `strace -e write ./line_buffering 1000 | cat`.
//!
//! Read: setvbuf(3); stdio(3); isatty(3); write(2), RETURN VALUE: a write may
//! take less than it was given, or be interrupted.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (unbuffered, count) = match arguments.as_slice() {
        [count] => (false, count),
        [flag, count] | [count, flag] if flag == "-u" => (true, count),
        _ => return usage(),
    };
    let Some(count) = count.to_str().and_then(|count| count.parse().ok()) else {
        return usage();
    };
    run(unbuffered, count).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(unbuffered: bool, count: u64) -> Result<ExitCode, String> {
    // TODO: what is standard output? Choose how to buffer.
    // TODO: a type with a buffer of 4096 bytes and a print that takes text,
    //       and writes when, and only when, its kind of buffering must.
    // TODO: print the lines.
    // TODO: what is left in the buffer? And if that write fails?
    let _ = (unbuffered, count);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: line_buffering [-u] N");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
