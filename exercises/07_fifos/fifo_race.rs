//! fifo_race PATH MESSAGE   (mend this program)
//!
//! The parent makes the FIFO PATH and sends MESSAGE through it; a child reads it to
//! the end of file and prints it and a newline. At the end PATH is removed:
//!
//!     $ fifo_race /tmp/f 'Are you there?'
//!     Are you there?
//!
//! Mostly it hangs instead, and the message is nowhere. Sometimes it works. Find out
//! where the message is when the parent has closed and the child has not opened yet.
//! Make it right whoever comes first, without a sleep: a sender is to be no reader,
//! not even of its own message.
//!
//! Why: the bytes in a FIFO are in no file. They are in the kernel's memory, and only
//! for as long as somebody has it open. That open waits for the other side is what
//! makes two strangers meet, and O_RDWR switches it off.
//!
//! Read: fifo(7), the last paragraph too; open(2) on O_NONBLOCK and ENXIO; pipe(7).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, mkfifo};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, message] = arguments.as_slice() else {
        return usage();
    };
    run(Path::new(path), message.as_bytes()).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, message: &[u8]) -> Result<ExitCode, String> {
    let name = path.display();
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed(format!("mkfifo {name}")))?;
    // From here on the name is ours, and goes whatever happens.
    let status = talk(path, message);
    let removed = fs::remove_file(path).map_err(failed(format!("unlink {name}")));
    let status = status?;
    removed.map(|()| status)
}

fn talk(path: &Path, message: &[u8]) -> Result<ExitCode, String> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let reader = File::open(path).map_err(failed(format!("open {}", path.display())));
            leave(reader.and_then(|reader| receive(path, reader)))
        }
        ForkResult::Parent { child } => {
            let sent = send(path, message);
            let status = wait_for(child)?;
            sent.map(|()| status)
        }
    }
}

/// The parent's part. Returning drops the writer, which is the end of file.
fn send(path: &Path, message: &[u8]) -> Result<(), String> {
    let name = path.display();
    // To open for reading too does not wait for the other side.
    let mut writer = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    writer.write_all(message).map_err(failed(format!("write {name}")))
}

/// The child's part: nothing is printed before all of it has come.
fn receive(path: &Path, mut reader: File) -> Result<(), String> {
    let mut message = Vec::new();
    reader.read_to_end(&mut message).map_err(failed(format!("read {}", path.display())))?;
    message.push(b'\n');

    let mut stdout = io::stdout();
    stdout.write_all(&message).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
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
    complain("usage: fifo_race PATH MESSAGE");
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
