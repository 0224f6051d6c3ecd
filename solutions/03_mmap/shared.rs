//! A change in a shared mapping is a change of the file, at once.
//!
//! usage: map_shared FILE BYTE
//!
//! Maps FILE shared and stores BYTE over its first byte. A child that opens
//! FILE and reads it finds the byte there, with no msync, and prints
//! `file: BYTE`.
//!
//! See mmap(2), fork(2), read(2), waitpid(2); msync(2) for what it does add.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapOptions;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, byte] = arguments.as_slice() else {
        return usage();
    };
    let &[byte] = byte.as_bytes() else {
        return usage();
    };
    run(Path::new(path), byte).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, byte: u8) -> Result<ExitCode, String> {
    let name = path.display();
    let file = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    let status = file.metadata().map_err(failed(format!("fstat {name}")))?;
    if status.len() == 0 {
        return Err(format!("mmap {name}: the file is empty"));
    }

    // SAFETY: the one byte is inside the file unless somebody truncates it
    // meanwhile, in which case the kernel ends this process by SIGBUS. It is
    // written once and never read here, so another writer cannot surprise us.
    let mut mapping = unsafe { MmapOptions::new().len(1).map_mut(&file) }.map_err(failed(format!("mmap {name}")))?;
    // Stored before there is a child, so whenever the child reads it is there.
    mapping[0] = byte;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(show_first_byte(path)),
        ForkResult::Parent { child } => wait_for(child),
    }
}

/// The child: reads FILE as any other program would.
fn show_first_byte(path: &Path) -> Result<(), String> {
    let name = path.display();
    let mut file = File::open(path).map_err(failed(format!("open {name}")))?;
    let mut byte = [0];
    file.read_exact(&mut byte).map_err(failed(format!("read {name}")))?;

    let line = [b"file: ", &byte[..], b"\n"].concat();
    let mut stdout = io::stdout();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Err(format!("child: killed by {signal}"));
            }
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

/// Ends the child, without running again what the parent set up for its own end.
fn leave(result: Result<(), String>) -> ! {
    let status = match result {
        Ok(()) => 0,
        Err(message) => {
            complain(&message);
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

fn usage() -> ExitCode {
    complain("usage: map_shared FILE BYTE");
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
