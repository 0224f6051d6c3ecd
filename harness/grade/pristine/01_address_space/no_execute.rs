//! no_execute
//!
//! Write the machine code of `return 42` into a page of memory. Let a child call it
//! while the page is data, and print what became of the child; then make the page
//! executable, call it, and print what it returns:
//!
//!     $ no_execute
//!     child: SIGSEGV
//!     42
//!
//! On x86-64 the code is b8 2a 00 00 00 c3 (mov eax, 42; ret). At no time may the
//! page be writable and executable at once.
//!
//! Why: whoever can write a program's memory, by a buffer that is too short, could
//! once run what he had written there. Bit 63 of the page-table entry, NX, ends that;
//! a just-in-time compiler writes first, gives up the right to write, and runs then.
//!
//! Read: mprotect(2); mmap(2), PROT_EXEC; waitpid(2); std::mem::transmute, to make a
//! function of a pointer. A call that fails is reported as `CALL: REASON`, with exit
//! status 1.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        complain("usage: no_execute");
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    // TODO: map a page, and write the code into it.
    // TODO: fork; the child calls the code, the parent waits and prints the signal that ended the child.
    // TODO: change what may be done with the page, call the code, and print what it returns.
    Err("not written yet".into())
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
