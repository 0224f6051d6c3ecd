//! buffer_sizes FILE BYTES   (BYTES from 1 to 1048576)
//!
//! Copy FILE to standard output with a buffer of BYTES, and say on standard error
//! how many system calls that took:
//!
//!     $ buffer_sizes story.txt 4096 >copy
//!     reads 26 writes 25
//!     $ buffer_sizes story.txt 1 >copy
//!     reads 100001 writes 100000
//!
//! Each read asks for BYTES, and no write hands over more. The numbers are those
//! that the kernel would give, of reads of FILE and of writes to standard output:
//! every call counts, the last read too, and a write that took less than it was
//! given is followed by another.
//!
//! Why: a buffer is there to make few calls of many. Who uses a library's buffer
//! should know how many it makes; strace -c tells, and so will you.
//!
//! Read: read(2) and write(2), RETURN VALUE; std::io::BufReader, on large reads;
//! strace(1). A call that fails is reported as `CALL OBJECT: REASON`, with exit
//! status 1 and no numbers.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Calls made.
struct Calls {
    reads: u64,
    writes: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, bytes] = arguments.as_slice() else {
        return usage();
    };
    let bytes = match bytes.to_str().and_then(|text| text.parse().ok()) {
        Some(bytes @ 1..=1_048_576) => bytes,
        _ => return usage(),
    };
    match copy(Path::new(path), bytes) {
        Ok(Calls { reads, writes }) => {
            complain(&format!("reads {reads} writes {writes}"));
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn copy(path: &Path, bytes: usize) -> Result<Calls, String> {
    // TODO: open FILE; read into a buffer of that size until a read gives 0.
    // TODO: write all that came (io::stdout() has a buffer of its own).
    // TODO: count every call, where it is made.
    let _ = (path, bytes);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: buffer_sizes FILE BYTES   (BYTES from 1 to 1048576)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
