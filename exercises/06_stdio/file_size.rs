//! file_size PATH
//!
//! Open PATH once and ask twice how long it is: fstat, and lseek to the end. Put the
//! offset back where it was, and look whether it is there:
//!
//!     $ file_size disk.img
//!     fstat: 5368709120
//!     seek: 5368709120
//!     offset kept: yes
//!
//! A pipe has no offset. For a FIFO print two lines only, and exit with 0 too:
//!
//!     fstat: 0
//!     seek: not seekable
//!
//! Do not read the file, and ask the descriptor, not the name: between two looks at a
//! name somebody may have put another file there. Print nothing before you know all.
//!
//! Why: "seek to the end, ftell, rewind" is how many programs find a size. It moves an
//! offset that others may share, ends at 2 GiB where a long has 4 bytes, and says
//! nothing at all about a pipe. fstat asks the file itself.
//!
//! Read: fstat(2); lseek(2) on ESPIPE; ftell(3) and why there is ftello. In Rust:
//! File::metadata, Seek (stream_position), io::ErrorKind::NotSeekable.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    // TODO: open, fstat, and three seeks: where am I, to the end, and back.
    Err(failed(format_args!("open {}", path.display()))(io::Error::other("not written yet")))
}

fn usage() -> ExitCode {
    complain("usage: file_size PATH");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
