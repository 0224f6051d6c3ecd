//! shared_ring [--from N] FILE   (N below 2^32)
//!
//! Send FILE from the child to the parent through a ring of 64 KiB in shared
//! memory; the parent writes it to standard output. The child fills what is
//! free, the parent empties what is filled, both at once:
//!
//!     $ shared_ring large.bin | cmp - large.bin
//!
//! Two counters of 32 bits say how many bytes were ever put in and taken out.
//! They begin at N (0 if it is not given), and a file of more than 4 GiB makes
//! them run over, as N = 4294967295 does at once: nothing may go wrong then.
//!
//! Who finds the ring full, or empty, sleeps in a futex; nobody looks again and
//! again. Who has put in or taken out wakes the other, at most once for all that
//! it did at a time, not for each byte. And between your look at the ring and
//! your sleep the other may do its last work: then you must not sleep.
//!
//! Why: this is what is inside of fast channels, of io_uring, of sound servers.
//!
//! Read: futex(2), all of it; mmap(2), MAP_SHARED and MAP_ANONYMOUS; fork(2);
//! std::sync::atomic, on Acquire and Release; u32::wrapping_sub.
//! A call that fails is reported as `CALL OBJECT: REASON`, with exit status 1.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (from, path) = match arguments.as_slice() {
        [path] if path != "--from" => (Some(0), path),
        [option, from, path] if option == "--from" => (from.to_str().and_then(|text| text.parse().ok()), path),
        _ => return usage(),
    };
    let Some(from) = from else { return usage() };
    run(Path::new(path), from).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, from: u32) -> Result<ExitCode, String> {
    // TODO: shared memory for the ring, its two counters, and what else the two
    //       must tell each other; open FILE; fork.
    // TODO: the child reads FILE into the free part, up to the ring's seam; counts;
    //       wakes; sleeps when there is no free part; says when it is done.
    // TODO: the parent writes the filled part, counts, wakes, and sleeps when
    //       there is none; waits for the child (again after EINTR).
    let _: (&Path, u32) = (path, from);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: shared_ring [--from N] FILE   (N below 2^32)");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
