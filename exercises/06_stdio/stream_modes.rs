//! stream_modes
//!
//! A buffered stream of your own, over standard output. A script on standard input
//! drives it, a command a line:
//!
//!     full N       keep what is written, up to N bytes (1 to 65536)
//!     line         keep only what comes after the last newline
//!     none         keep nothing
//!     write TEXT   write TEXT to the stream; \n in it stands for a newline
//!     flush        what is kept leaves
//!     close        the same, and the script is at its end
//!
//! What leaves, leaves in one write(2). It begins with `full 4096`.
//! - full: if TEXT does not fit beside what is kept, what is kept leaves first; a
//!   TEXT longer than N then leaves at once, by itself and undivided.
//! - line: what is kept and TEXT leave together, up to the last newline in TEXT.
//! - none: TEXT leaves.
//!
//! Every change of mode is a flush, and so is the end of the script. An empty flush
//! makes no write.
//!
//!     $ printf 'full 8\nwrite abc\nwrite defghi\nline\nwrite j\\nk\n' | strace -e write stream_modes
//!     write(1, "abc", 3) … write(1, "defghi", 6) … write(1, "j\n", 2) … write(1, "k", 1)
//!
//! Any other line is an error (`line 3: …` on standard error, exit status 1); what
//! was kept until then still leaves.
//!
//! Why: whoever has written such a buffer knows where its bytes are, and when.
//!
//! Read: setvbuf(3); write(2). A call that fails is reported as `CALL OBJECT: REASON`.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
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
    // TODO: a stream: its mode, and the bytes that it keeps.
    // TODO: the script, line by line.
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: stream_modes   (a script on standard input)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
