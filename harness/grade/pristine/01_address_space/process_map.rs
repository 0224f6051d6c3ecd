//! process_map PID
//!
//! Print what the process PID has in memory, in KiB: its executable, its libraries,
//! its heap, its stack, and of the libraries the C library once more by itself. For
//! each what is resident (RSS), and its proportional share (PSS), in which a page
//! that three processes have counts a third:
//!
//!     $ process_map 4711
//!     executable: rss 424 pss 424
//!     libraries: rss 1908 pss 112
//!     heap: rss 12 pss 12
//!     stack: rss 24 pss 24
//!     libc: rss 1480 pss 51
//!
//! /proc/PID/smaps has some lines for each region; add up those of one kind. The
//! executable is the file that /proc/PID/exe leads to; libraries are the other files
//! with `.so` in their name; heap and stack are named so, in brackets; the C library's
//! file begins with `libc.so`. What there is none of is 0.
//!
//! Why: the memory of all processes, added up by RSS, is far more than the machine
//! has. There is one copy of libc for all of them; PSS adds up to what is used.
//!
//! Read: proc_pid_smaps(5) (Rss, Pss), proc_pid_maps(5), proc_pid_exe(5).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pid] = arguments.as_slice() else {
        return usage();
    };
    let Some(pid) = pid.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(pid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pid: u32) -> Result<(), String> {
    // TODO: read /proc/PID/smaps. A region begins with a line of its addresses; the others are `Key: value`.
    // TODO: find out which file is the executable.
    // TODO: add up Rss and Pss of each kind of region, and print five lines.
    let _ = pid;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: process_map PID");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
