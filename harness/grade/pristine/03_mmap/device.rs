//! map_device FILE
//!
//! Write the first block of FILE (4096 bytes, or all if it is shorter) to standard
//! output, and let io_uring read it: no read, no pread, no mapping of FILE.
//!
//!     $ map_device text | cmp - text
//!
//! io_uring_setup makes a descriptor. Map its three parts (the ring of requests at
//! offset 0, the ring of completions at 0x8000000, the requests themselves at
//! 0x10000000), all of them MAP_SHARED. Put one request there by stores: opcode 22
//! (IORING_OP_READ), descriptor, address, length; its index into the array; then
//! move the tail (Release). Call io_uring_enter to have it taken and to wait for one
//! completion, again after EINTR. Load the completion: its result is the count
//! of bytes, or a negative errno. Then move the head.
//!
//! libc has the numbers of the calls but not the structures: write them down from
//! the man page, with #[repr(C)].
//!
//! Why: a device is mapped to talk to it without system calls. Network cards,
//! graphics and this ring all work so: stores, an index, a bell.
//!
//! Read: io_uring(7), with an example; io_uring_setup(2); io_uring_enter(2).
//! What fails is reported as `CALL OBJECT: REASON`, with exit status 1 (`read FILE:
//! …` for a request that failed).

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

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
    // TODO: open FILE; make the ring, with libc::syscall and SYS_io_uring_setup,
    //       and map its parts as long as the parameters say.
    // TODO: place the request, move the tail, enter, look for the completion.
    // TODO: write as many bytes as it says.
    let _ = path;
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: map_device FILE");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
