//! fault_report unmapped|protected OFFSET   (OFFSET below 4096)
//!
//! Touch the byte OFFSET of a page that is not mapped (any more), or of one that may
//! only be read (store there). A handler of SIGSEGV writes to standard error which
//! address it was, in hexadecimal, and what was wrong with it; then the process dies
//! of SIGSEGV all the same, by the default action:
//!
//!     $ fault_report protected 100; echo $?
//!     SIGSEGV at 0x7f3a52c81064: protected
//!     139
//!
//! The kernel tells the handler both. It may be called anywhere, in the middle of
//! malloc or of println!, so it may do only what signal-safety(7) lists: no format!,
//! no eprintln!, nothing that allocates or locks; make the digits yourself.
//!
//! Why: this is how crash reporters, debuggers and garbage collectors begin. Who
//! swallows the signal and exits with 139 lies to whoever waits for the process.
//!
//! Read: sigaction(2), "The siginfo_t argument to a SA_SIGINFO handler", SA_RESETHAND.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [kind, offset] = arguments.as_slice() else {
        return usage();
    };
    let offset = offset.to_str().and_then(|word| word.parse().ok()).filter(|offset| *offset < PAGE);
    let survived = match (kind.to_str(), offset) {
        (Some("unmapped"), Some(offset)) => load_from_nowhere(offset),
        (Some("protected"), Some(offset)) => store_where_only_loads_are_allowed(offset),
        _ => return usage(),
    };
    complain(&survived.err().unwrap_or_else(|| "the access was allowed".into()));
    ExitCode::FAILURE
}

fn load_from_nowhere(_offset: usize) -> Result<(), String> {
    // TODO: have an address at which nothing is mapped, arrange for SIGSEGV, load a byte (volatile).
    Err("not written yet".into())
}

fn store_where_only_loads_are_allowed(_offset: usize) -> Result<(), String> {
    // TODO: map a page that may only be read, arrange for SIGSEGV, store a byte (volatile).
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fault_report unmapped|protected OFFSET   (OFFSET below 4096)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
