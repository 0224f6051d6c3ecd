//! sigpipe_default   (mend this program)
//!
//! Prints `y` and a newline for ever, as yes(1) does. Who reads takes what he wants
//! and goes; that ends the program, and nobody says anything:
//!
//!     $ sigpipe_default | head -1
//!     y
//!
//! This one panics there. Make it end as a C program would: killed by SIGPIPE,
//! silently. (A shell shows that as status 141, but do not exit with 141: a program
//! that was killed and one that has decided to exit are not the same to whoever
//! waits for it.) A write that fails for another reason, such as a full disk, is one
//! line on standard error, `write stdout: REASON`, and exit 1.
//!
//! Why: `yes | head -1` would never end without this signal: head can tell yes only
//! by closing the pipe. Rust's runtime ignores SIGPIPE before main begins, and that
//! is inherited by what you exec. So every filter written in Rust has to choose.
//!
//! Read: pipe(7) on SIGPIPE and EPIPE; signal(2) on SIG_DFL; signal(7) on what exec
//! and fork do with it. In Rust: nix::sys::signal::signal, Write::write_all.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    loop {
        println!("y");
    }
}

fn usage() -> ExitCode {
    complain("usage: sigpipe_default");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
