//! pipe_line 'CMD | CMD | …'
//!
//! Run a line of commands as a shell does. It is one argument: commands between
//! bars, words between blanks, no quotes. All commands run at once, each with a
//! pipe to the next; exit with the status of the last.
//!
//!     $ pipe_line 'ls -1 | cut -d. -f1 | sort | uniq | tee listing'
//!
//! A command gets its two ends and no others; none is left open in the parent.
//! A command whose reader has gone dies of SIGPIPE, silently. A command that
//! does not exist is named in one line on standard error; its status is 127.
//! A line with an empty command is bad usage.
//!
//! Why: this is what a shell does all day, and every mistake with the ends of
//! pipes shows here as a line that never comes back.
//!
//! Read: pipe(2); fork(2); dup2(2); execvp(3); wait(2); fcntl(2), FD_CLOEXEC;
//! signal(7), on what exec keeps (Rust's runtime ignores SIGPIPE!).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [line] = arguments.as_slice() else {
        return usage();
    };
    let Some(commands) = parse(line.as_bytes()) else {
        return usage();
    };
    run(&commands).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

/// The words of each command; nothing if a command has none.
fn parse(line: &[u8]) -> Option<Vec<Vec<CString>>> {
    let words = |command: &[u8]| -> Option<Vec<CString>> {
        let words = command.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty());
        let words: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>().ok()?;
        (!words.is_empty()).then_some(words)
    };
    line.split(|byte| *byte == b'|').map(words).collect()
}

fn run(commands: &[Vec<CString>]) -> Result<ExitCode, String> {
    // TODO: for each command: a pipe to the next, if there is one; fork.
    // TODO: the child puts the ends in place of standard input and output, has
    //       SIGPIPE back as it was, and execs; if that fails it says so and leaves.
    // TODO: the parent closes what the child has now, and goes on to the next.
    // TODO: wait for all of them; the last one's status is yours.
    let _ = commands;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: pipe_line 'CMD | CMD | …'");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
