//! Standard streams from the supervisor's side: input fed, output drained and kept within bounds.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{self, LocalFlags, OutputFlags, SetArg};
use nix::unistd::pipe2;

use super::boxes::Ends;
use crate::observation::Output;
use crate::plan::{Launch, Stdin, Stdout};

/// How much more than the kept part may be written before the launch is stopped.
const FLOOD: u64 = 4;
/// What is written at the deadline still, after this much, has no end.
const MUCH: u64 = 1 << 10;
const FRESH: Duration = Duration::from_millis(500);
/// Pieces of arrival times kept.
const ARRIVALS: usize = 10_000;

/// One output stream.
#[derive(Debug)]
pub(super) struct Drain {
    source: Option<File>,
    output: Output,
    limit: usize,
    closes_after: Option<usize>,
    /// When something came last.
    latest: Option<Instant>,
}

/// All streams of one launch.
#[derive(Debug)]
pub(super) struct Streams {
    stdin: Option<File>,
    pending: Vec<u8>,
    keep_open: bool,
    pub(super) stdout: Drain,
    pub(super) stderr: Drain,
    /// Device and inode of the three streams, and whether the terminal is one of them.
    pub(super) identities: [(u64, u64); 3],
    pub(super) terminal: bool,
}

fn describe(error: impl std::fmt::Display) -> String {
    format!("standard streams: {error}")
}

fn nonblocking(fd: impl AsFd) -> Result<(), String> {
    let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL).map_err(describe)?;
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
    fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags)).map_err(describe)?;
    Ok(())
}

fn identity(fd: &OwnedFd) -> Result<(u64, u64), String> {
    let metadata = File::from(fd.try_clone().map_err(describe)?).metadata().map_err(describe)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Makes the streams of a launch: the supervisor's side and the program's.
pub(super) fn make(launch: &Launch) -> Result<(Streams, Ends), String> {
    let (err_read, err_write) = pipe2(OFlag::O_CLOEXEC).map_err(describe)?;
    let terminal = launch.stdout == Stdout::Terminal;
    let (out_read, out_write) = if terminal {
        let pty = openpty(None, None).map_err(describe)?;
        for fd in [&pty.master, &pty.slave] {
            fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).map_err(describe)?;
        }
        plain_terminal(&pty.slave)?;
        (pty.master, pty.slave)
    } else {
        pipe2(OFlag::O_CLOEXEC).map_err(describe)?
    };
    let (stdin, in_read, pending, keep_open) = match &launch.stdin {
        Stdin::Terminal if terminal => (None, out_write.try_clone().map_err(describe)?, Vec::new(), false),
        Stdin::Empty | Stdin::Terminal => {
            let null = File::open("/dev/null").map_err(describe)?;
            (None, OwnedFd::from(null), Vec::new(), false)
        }
        Stdin::Bytes(bytes) | Stdin::Open(bytes) => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(describe)?;
            nonblocking(&write)?;
            let keep = matches!(launch.stdin, Stdin::Open(_));
            (Some(File::from(write)), read, bytes.clone(), keep)
        }
    };
    nonblocking(&out_read)?;
    nonblocking(&err_read)?;
    let identities = [identity(&in_read)?, identity(&out_write)?, identity(&err_write)?];
    let closes_after = match launch.stdout {
        Stdout::ClosesAfter(n) => Some(n),
        _ => None,
    };
    let drain = |fd: OwnedFd, closes_after| Drain {
        source: Some(File::from(fd)),
        output: Output::default(),
        limit: launch.output_limit,
        closes_after,
        latest: None,
    };
    let streams = Streams {
        stdin,
        pending,
        keep_open,
        stdout: drain(out_read, closes_after),
        stderr: drain(err_read, None),
        identities,
        terminal,
    };
    Ok((streams, Ends { stdin: in_read, stdout: out_write, stderr: err_write, terminal }))
}

/// Bytes come out as they went in, and nothing is echoed.
fn plain_terminal(slave: &OwnedFd) -> Result<(), String> {
    let mut settings = termios::tcgetattr(slave).map_err(describe)?;
    settings.output_flags.remove(OutputFlags::OPOST);
    settings.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(slave, SetArg::TCSANOW, &settings).map_err(describe)
}

impl Drain {
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.output.bytes
    }

    pub(super) fn flooded(&self) -> bool {
        self.output.total > FLOOD * self.limit as u64
    }

    /// More came than is kept; or much, and more comes all the time.
    pub(super) fn pours(&self) -> bool {
        let fresh = self.latest.is_some_and(|at| at.elapsed() < FRESH);
        self.output.total > self.limit as u64 || self.output.total > MUCH && fresh
    }

    pub(super) fn into_output(self) -> Output {
        self.output
    }

    /// Takes what there is, without waiting; true if anything came.
    pub(super) fn take(&mut self, begin: Instant) -> bool {
        let mut any = false;
        let mut buffer = [0; 1 << 16];
        while let Some(source) = &mut self.source {
            if self.output.total > FLOOD * self.limit as u64 {
                break;
            }
            match source.read(&mut buffer) {
                Ok(0) => self.source = None,
                Ok(n) => {
                    any = true;
                    self.keep(&buffer[..n], begin);
                    if self.closes_after.is_some_and(|limit| self.output.total >= limit as u64) {
                        self.source = None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A terminal whose last user has gone says EIO.
                Err(_) => self.source = None,
            }
        }
        any
    }

    fn keep(&mut self, bytes: &[u8], begin: Instant) {
        self.latest = Some(Instant::now());
        if self.output.arrivals.len() < ARRIVALS {
            self.output.arrivals.push((self.output.total, begin.elapsed()));
        }
        self.output.total += bytes.len() as u64;
        let room = self.limit.saturating_sub(self.output.bytes.len()).min(bytes.len());
        self.output.bytes.extend_from_slice(&bytes[..room]);
        let rest = &bytes[room..];
        if !rest.is_empty() {
            let tail = &mut self.output.tail;
            tail.extend_from_slice(rest);
            let excess = tail.len().saturating_sub(self.limit.min(1 << 16));
            tail.drain(..excess);
        }
    }
}

impl Streams {
    /// The input pipe, while there is something to put into it.
    pub(super) fn wants_to_feed(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// More may still come on standard input.
    pub(super) fn input_open(&self) -> bool {
        self.stdin.is_some() || self.terminal
    }

    pub(super) fn add_input(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        self.feed();
    }

    pub(super) fn close_input_when_fed(&mut self) {
        self.keep_open = false;
        self.feed();
    }

    /// Puts into the input pipe what fits, and closes it when there is no more.
    pub(super) fn feed(&mut self) {
        while let Some(stdin) = &mut self.stdin {
            if self.pending.is_empty() {
                if !self.keep_open {
                    self.stdin = None;
                }
                return;
            }
            match stdin.write(&self.pending) {
                Ok(n) => {
                    self.pending.drain(..n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The program reads no more.
                Err(_) => self.stdin = None,
            }
        }
    }
}
