//! quit_flag MS
//!
//! Make a child that counts 1, 2, 3, … as fast as it can, in a loop that ends
//! when a flag in shared memory is raised. The parent raises it after MS
//! milliseconds. The child leaves its count in the shared memory and ends; the
//! parent then prints it:
//!
//!     $ quit_flag 100
//!     counted 33175622
//!
//! The parent uses no processor while it waits. The child is not killed, and its
//! loop makes no system call. It must end in an optimised program too: this one
//! is compiled with opt-level 3.
//!
//! Why: this is how a worker is asked to stop. As an ordinary variable the flag
//! is loaded once, before the loop, and the loop has no end.
//!
//! Read: std::sync::atomic; mmap(2), MAP_SHARED and MAP_ANONYMOUS; fork(2);
//! nanosleep(2); wait(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<u32>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[milliseconds]) = numbers.as_deref() else {
        return usage();
    };
    match run(Duration::from_millis(milliseconds.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(time: Duration) -> Result<(), String> {
    // TODO: map shared memory for the flag and the count, then fork.
    // TODO: the child counts until the flag is raised, stores its count, and
    //       leaves by _exit.
    // TODO: the parent sleeps, raises the flag, waits for the child (again after
    //       EINTR), and prints the count.
    let _ = time;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: quit_flag MS");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
