//! shm_pair NAME VALUE   (NAME begins with a slash, VALUE is an integer)
//!
//! Let two children meet in memory that has a name. The writer makes the POSIX
//! shared memory NAME, for your user alone (mode 0600), gives it its size and
//! stores VALUE. The reader opens it by its name, read-only, and prints what it
//! finds there; it has no other way to the memory:
//!
//!     $ shm_pair /meeting 42
//!     42
//!
//! The reader must not come too early, whoever is scheduled first: memory that
//! has no size yet kills it, and before the store there is a zero. When the
//! program ends NAME is gone, also if something has failed.
//!
//! Why: processes that are no relatives share memory in this way. A name is
//! there for everybody and for ever: for those whom it is not meant for, and
//! after the last process that used it has ended.
//!
//! Read: shm_overview(7); shm_open(3); ftruncate(2); mmap(2); fork(2); wait(2).
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let Some(&[name, value]) = words.as_deref() else {
        return usage();
    };
    let Ok(value) = value.parse() else { return usage() };
    if !name.starts_with('/') {
        return usage();
    }
    run(name, value).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(name: &str, value: i64) -> Result<ExitCode, String> {
    // TODO: a child that makes the memory, sizes it, maps it and stores the value.
    // TODO: a child that opens it by its name, maps it and prints what is there.
    //       How does it know that it may begin?
    // TODO: wait for both (again after EINTR); remove the name in any case.
    let _: (&str, i64) = (name, value);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: shm_pair NAME VALUE   (NAME begins with a slash, VALUE is an integer)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
