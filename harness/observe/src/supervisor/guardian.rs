//! The guardian at work: it reaps what is left to it, tells how the program ended, and ends when its supervisor says
//! so or is no more. Without namespaces it then first kills whatever it is an ancestor of, and removes the working
//! directory: that is what makes a killed supervisor leave nothing.
//!
//! Where the kernel lets it signal its descendants and nobody else, one `kill(-1)` reaches all of them: the kernel
//! sends it with the list of processes locked, and a fork that has got a signal to die comes to nothing. Elsewhere they
//! are looked for in /proc, and a bomb forks meanwhile.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::scratch::Scratch;
use crate::process_files;

/// Processes that hop from number to number are killed as they come, rather than all found first.
const LOOKS: usize = 16;

/// What the guardian tells its supervisor once the program's process is there.
pub(super) struct Ready {
    /// By its number in the box.
    pub(super) program: i32,
    /// The guardian can signal everything of the program at one moment.
    pub(super) all_at_once: bool,
}

impl Ready {
    pub(super) fn to_bytes(&self) -> [u8; 5] {
        let [a, b, c, d] = self.program.to_ne_bytes();
        [a, b, c, d, self.all_at_once.into()]
    }

    pub(super) fn read(pipe: &mut File) -> io::Result<Ready> {
        let mut bytes = [0; 5];
        pipe.read_exact(&mut bytes)?;
        let [a, b, c, d, all_at_once] = bytes;
        Ok(Ready { program: i32::from_ne_bytes([a, b, c, d]), all_at_once: all_at_once != 0 })
    }
}

/// The guardian, once the program's process is there.
pub(super) struct Guardian {
    pub(super) program: Pid,
    /// Where the program's end is told.
    pub(super) status: File,
    /// It is the first process of a PID namespace, which ends with it.
    pub(super) namespaced: bool,
    pub(super) all_at_once: bool,
}

impl Guardian {
    /// Never returns.
    pub(super) fn watch(&mut self, mut lifeline: UnixStream, scratch: Option<&Scratch>) -> ! {
        let kept = [Some(self.status.as_raw_fd()), Some(lifeline.as_raw_fd()), scratch.map(AsRawFd::as_raw_fd)];
        close_all_but(&mut kept.into_iter().flatten().collect::<Vec<_>>());
        loop {
            self.reap();
            let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::POLLIN)];
            // SIGCHLD is blocked except while waiting here.
            let _ = ppoll(&mut fds, None, Some(SigSet::empty()));
            let told = fds[0].revents().is_some_and(|r| !r.is_empty());
            if told && !self.obey(&mut lifeline) {
                break;
            }
        }
        if !self.namespaced {
            self.sweep();
            if let Some(scratch) = scratch {
                scratch.remove();
            }
        }
        // SAFETY: _exit runs no destructor and no atexit handler of the supervisor that this is a copy of.
        unsafe { libc::_exit(0) }
    }

    /// Sends everybody the signal that the supervisor says, and says so; false once there is no supervisor.
    fn obey(&self, lifeline: &mut UnixStream) -> bool {
        let mut order = [0];
        if lifeline.read_exact(&mut order).is_err() {
            return false;
        }
        if self.all_at_once
            && let Ok(signal) = Signal::try_from(i32::from(order[0]))
        {
            signal_descendants(signal);
        }
        lifeline.write_all(&order).is_ok()
    }

    /// Reaps every child that has ended; false once there are none.
    fn reap(&mut self) -> bool {
        loop {
            let word = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.program => code << 8,
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.program => signal as i32,
                Ok(WaitStatus::StillAlive) | Err(nix::Error::EINTR) => return true,
                Ok(_) => continue,
                Err(_) => return false,
            };
            // A supervisor that is gone needs no telling.
            let _ = self.status.write_all(&word.to_ne_bytes());
        }
    }

    /// Kills all descendants until there are none.
    fn sweep(&mut self) {
        loop {
            if self.all_at_once {
                signal_descendants(Signal::SIGKILL);
            } else {
                put_down(std::process::id() as i32);
            }
            if !self.reap() {
                return;
            }
            let _ = ppoll(&mut [], Some(TimeSpec::from(Duration::from_millis(2))), Some(SigSet::empty()));
        }
    }
}

/// Everybody whom this process may signal: only for a guardian that is known to reach nobody else.
fn signal_descendants(signal: Signal) {
    let _ = kill(Pid::from_raw(-1), signal);
}

/// Kills all descendants of a process that are to be found now. First each is made to stand still as soon as it is
/// met, so that it neither forks nor keeps its killer from the processor; what was forked meanwhile is looked for in
/// turn.
pub(super) fn put_down(ancestor: i32) {
    let mut found = BTreeSet::new();
    for _ in 0..LOOKS {
        let before = found.len();
        let mut open = vec![ancestor];
        while let Some(next) = open.pop() {
            for child in process_files::children(next) {
                if found.insert(child) {
                    halt(child);
                }
                open.push(child);
            }
        }
        if found.len() == before {
            break;
        }
    }
    for pid in found {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// From now on its forks fail with EAGAIN, and so do those of what it forks meanwhile; and it is stopped.
fn halt(pid: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the new limit is read from a live structure; the old one is not asked for. A process that is gone, or
    // has become another user's, is an error that changes nothing.
    unsafe { libc::prlimit(pid, libc::RLIMIT_NPROC, &none, std::ptr::null_mut()) };
    let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
}

/// The guardian must hold no end of any pipe of the program, or it would keep it open.
fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut next = 0;
    for fd in kept.iter().chain([&RawFd::MAX]) {
        if *fd > next {
            // SAFETY: closes descriptors that nothing in this process uses any more; those in use are left out.
            unsafe { libc::syscall(libc::SYS_close_range, next, *fd - 1, 0) };
        }
        next = fd.saturating_add(1);
    }
}
