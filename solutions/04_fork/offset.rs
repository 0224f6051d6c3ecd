//! One file offset for two processes, or one for each.
//!
//! usage: fork_offset FILE
//!
//! What was opened before fork is one open file with one offset, whoever reads:
//! the parent's piece follows the child's. Whoever opens FILE for himself begins
//! at its beginning. The parent reads only when the child has ended, so the
//! order is not left to chance.
//!
//! See open(2) ("open file description"), fork(2), read(2), wait(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Bytes of a piece.
const PIECE: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    run(Path::new(path)).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path) -> Result<ExitCode, String> {
    let shared = open(path)?;
    if shared.metadata().map_err(failed(format!("stat {}", path.display())))?.len() < 2 * PIECE as u64 {
        return Err(format!("{}: too short", path.display()));
    }
    let together = in_turn(|who| piece(&shared, path).and_then(|piece| say("shared", who, piece)))?;
    if together != ExitCode::SUCCESS {
        return Ok(together);
    }
    in_turn(|who| piece(&open(path)?, path).and_then(|piece| say("own", who, piece)))
}

/// Does this in a child, and when that has ended in the parent.
fn in_turn(work: impl Fn(&str) -> Result<(), String>) -> Result<ExitCode, String> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(work("child")),
        ForkResult::Parent { child } => {
            let status = wait_for(child)?;
            if status == ExitCode::SUCCESS {
                work("parent")?;
            }
            Ok(status)
        }
    }
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(failed(format!("open {}", path.display())))
}

/// The next piece of the file, and nothing beyond it: a buffered reader would take more.
fn piece(mut file: &File, path: &Path) -> Result<[u8; PIECE], String> {
    let mut piece = [0; PIECE];
    file.read_exact(&mut piece).map_err(failed(format!("read {}", path.display())))?;
    Ok(piece)
}

/// Prints at once: nothing stays in a buffer that two processes could flush.
fn say(offset: &str, who: &str, piece: [u8; PIECE]) -> Result<(), String> {
    let line = [format!("{offset} {who}: ").as_bytes(), &piece, b"\n"].concat();
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
            Ok(WaitStatus::Signaled(_, signal, _)) => return Err(format!("child: killed by {signal}")),
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
    complain("usage: fork_offset FILE");
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
