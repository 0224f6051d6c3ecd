//! The guardian at work: it reaps what is left to it, tells how the program ended, and ends when its supervisor says
//! so or is no more. Without namespaces it then first kills whatever it is an ancestor of, and removes the working
//! directory: that is what makes a killed supervisor leave nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::scratch::Scratch;
use crate::plan::Rung;
use crate::process_files;

/// Processes that hop from number to number are killed as they come, rather than all found first.
const LOOKS: usize = 16;

/// Never returns: on rung F the box ends with this process.
pub(super) fn watch(program: Pid, mut status: File, lifeline: File, rung: Rung, scratch: Option<&Scratch>) -> ! {
    let kept = [Some(status.as_raw_fd()), Some(lifeline.as_raw_fd()), scratch.map(AsRawFd::as_raw_fd)];
    close_all_but(&mut kept.into_iter().flatten().collect::<Vec<_>>());
    loop {
        reap(program, &mut status);
        let mut fds = [PollFd::new(lifeline.as_fd(), PollFlags::empty())];
        // SIGCHLD is blocked except while waiting here. End-of-file is a hang-up, which is always reported.
        let _ = ppoll(&mut fds, None, Some(SigSet::empty()));
        if fds[0].revents().is_some_and(|r| !r.is_empty()) {
            break;
        }
    }
    if rung != Rung::F {
        sweep();
        if let Some(scratch) = scratch {
            scratch.remove();
        }
    }
    // SAFETY: _exit runs no destructor and no atexit handler of the supervisor that this is a copy of.
    unsafe { libc::_exit(0) }
}

/// Reaps every child that has ended; false once there are none.
fn reap(program: Pid, status: &mut File) -> bool {
    loop {
        let word = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == program => code << 8,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => signal as i32,
            Ok(WaitStatus::StillAlive) | Err(nix::Error::EINTR) => return true,
            Ok(_) => continue,
            Err(_) => return false,
        };
        // A supervisor that is gone needs no telling.
        let _ = status.write_all(&word.to_ne_bytes());
    }
}

/// Kills all descendants until there are none. Each is first kept from forking, so that this comes to an end.
fn sweep() {
    loop {
        let none = SigSet::empty();
        put_down(std::process::id() as i32);
        while matches!(waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)), Ok(s) if s != WaitStatus::StillAlive)
        {
        }
        if process_files::children(std::process::id() as i32).is_empty() {
            return;
        }
        let _ = ppoll(&mut [], Some(TimeSpec::from(Duration::from_millis(2))), Some(none));
    }
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
