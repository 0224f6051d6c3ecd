//! How much a pipe holds: by asking, and by filling it.
//!
//! usage: pipe_capacity [BYTES]
//!
//! The pipe does not block, so the write that finds it full fails with EAGAIN;
//! that, and not a write that took less, is the end. Writes of whole pages
//! leave no gap: the pipe keeps its bytes in pages.
//!
//! See pipe2(2), fcntl(2) (F_GETPIPE_SZ, F_SETPIPE_SZ), pipe(7), write(2).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, write};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let least = match arguments.as_slice() {
        [] => None,
        [bytes] => match bytes.to_str().and_then(|text| text.parse().ok()) {
            Some(bytes) => Some(bytes),
            None => return usage(),
        },
        _ => return usage(),
    };
    match run(least) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(least: Option<u32>) -> Result<(), String> {
    // The read end stays open: without it a write would be refused for another reason.
    let (_reader, writer) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).map_err(failed("pipe2"))?;
    if let Some(bytes) = least {
        let bytes = i32::try_from(bytes).map_err(|_| "fcntl F_SETPIPE_SZ: number too large")?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(bytes)).map_err(failed("fcntl F_SETPIPE_SZ"))?;
    }
    let capacity = fcntl(&writer, FcntlArg::F_GETPIPE_SZ).map_err(failed("fcntl F_GETPIPE_SZ"))?;
    let filled = fill(&writer).map_err(failed("write pipe"))?;
    writeln!(io::stdout(), "capacity {capacity} filled {filled}").map_err(failed("write stdout"))
}

/// Writes until the pipe refuses; says how many bytes it took.
fn fill(writer: &OwnedFd) -> nix::Result<usize> {
    let page = [0; 4096];
    let mut filled = 0;
    loop {
        match write(writer, &page) {
            Ok(taken) => filled += taken,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(filled),
            Err(error) => return Err(error),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: pipe_capacity [BYTES]");
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
