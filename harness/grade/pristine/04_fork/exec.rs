//! fork_exec CMD ARGS…
//!
//! Run CMD in a child, found along PATH. Give it your standard output a second
//! time, as descriptor 3, and nothing else that you have open besides 0, 1 and
//! 2. When it has ended, print its status, 128 + N if signal N has killed it:
//!
//!     $ fork_exec sh -c 'echo hello >&3; exit 7'
//!     hello
//!     exit 7
//!
//! If CMD cannot be executed, the child lets the parent know why, over a pipe
//! that a successful exec closes, and the parent says so; nothing is printed on
//! standard output, and the exit status is 127:
//!
//!     $ fork_exec no-such-command
//!     exec no-such-command: No such file or directory
//!
//! A command that itself exits with 127 is no such case: it was executed.
//!
//! Why: exec keeps what is open, and a forgotten descriptor in a command that
//! runs for weeks is a pipe that never ends. And after exec has failed there
//! are two parents, unless the child leaves.
//!
//! Read: fork(2); exec(3); dup2(2); fcntl(2), FD_CLOEXEC; pipe(2), O_CLOEXEC.
//! Other calls that fail are reported as `CALL OBJECT: REASON`, exit status 1.

use std::env;
use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The system hands on arguments with no NUL in them.
    let command: Vec<CString> =
        env::args_os().skip(1).filter_map(|argument| CString::new(argument.into_vec()).ok()).collect();
    if command.is_empty() {
        return usage();
    }
    run(&command).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(command: &[CString]) -> Result<ExitCode, String> {
    // TODO: a pipe for the bad news, close-on-exec; fork.
    // TODO: the child has descriptor 3 and execs; if that fails, it sends the
    //       errno and leaves by _exit.
    // TODO: the parent reads the pipe to its end, waits for the child (again
    //       after EINTR), and prints the status or the bad news.
    let _ = command;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: fork_exec CMD ARGS…");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
