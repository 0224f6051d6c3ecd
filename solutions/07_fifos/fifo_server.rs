//! A server that clients find by a name.
//!
//! usage: fifo_server PATH N   (N from 1 to 1000)
//!
//! Prints the line of each of N clients. The server holds a write end of its own,
//! so that there is no end of file when the last client has gone. SIGTERM is
//! blocked and taken from a descriptor: one call waits for it and for clients.
//!
//! See fifo(7), open(2) (O_NONBLOCK), poll(2), signalfd(2), unlink(2).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, clients] = arguments.as_slice() else {
        return usage();
    };
    let clients = match clients.to_str().and_then(|text| text.parse().ok()) {
        Some(clients @ 1..=1000) => clients,
        _ => return usage(),
    };
    match run(Path::new(path), clients) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, clients: u32) -> Result<(), String> {
    // Before there is anything to clean up: from here on SIGTERM waits until it is asked for.
    let term = SigSet::from(Signal::SIGTERM);
    term.thread_block().map_err(failed("sigprocmask"))?;
    let term = SignalFd::with_flags(&term, SfdFlags::SFD_CLOEXEC).map_err(failed("signalfd"))?;

    let name = path.display();
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed(format!("mkfifo {name}")))?;
    let served = serve(path, clients, &term);
    let removed = fs::remove_file(path).map_err(failed(format!("unlink {name}")));
    served.and(removed)
}

fn serve(path: &Path, clients: u32, term: &SignalFd) -> Result<(), String> {
    let name = path.display();
    // Non-blocking, for a reader is not to wait for its first writer in open.
    let mut options = File::options();
    let mut reader =
        options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed(format!("open {name}")))?;
    // Never written to: while it is open there is no end of file.
    let _writer = File::options().write(true).open(path).map_err(failed(format!("open {name}")))?;

    let mut left = clients;
    let mut text = Vec::new();
    while left > 0 && client_speaks(&reader, term)? {
        let mut piece = [0; 4096];
        match reader.read(&mut piece) {
            Ok(length) => text.extend_from_slice(&piece[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(failed(format!("read {name}"))(error)),
        }
        while let Some(end) = text.iter().position(|byte| *byte == b'\n').filter(|_| left > 0) {
            let line: Vec<u8> = text.drain(..=end).collect();
            let mut stdout = io::stdout();
            stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed("write stdout"))?;
            left -= 1;
        }
    }
    Ok(())
}

/// Waits until there is something to read, or SIGTERM has come: then false.
fn client_speaks(reader: &File, term: &SignalFd) -> Result<bool, String> {
    let mut fds = [PollFd::new(term.as_fd(), PollFlags::POLLIN), PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(fds[0].any() != Some(true)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("poll")(error)),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: fifo_server PATH N   (N from 1 to 1000)");
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
