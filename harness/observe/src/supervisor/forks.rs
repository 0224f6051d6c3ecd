//! Forks of a program that nobody traces and no namespace holds: the supervisor is asked before each, so that a bomb is
//! as large as its limit when it is met, and stands still from then on. Without that it takes the machine's processors,
//! and whoever is to find and kill it comes late.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use seccompiler::sock_filter;

use super::filters;
use super::run::Run;
use super::usage::too_many_processes;
use crate::process_files;

/// Makes this process, and all that it starts, ask before it forks: of whoever reads what is returned. Fails on kernels
/// before 5.5, and where somebody else is asked already.
pub(super) fn ask_first() -> io::Result<OwnedFd> {
    const LISTENER: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Once the question is read, only SIGKILL ends the wait for the answer (from Linux 5.19): fork knows no EINTR.
    const PATIENT: libc::c_ulong = LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    install(PATIENT).or_else(|_| install(LISTENER))
}

fn install(flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let statement = |code: u32, k| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // Steps over so many statements if the number is this one.
    let over = |jt, number: libc::c_long| sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf: 0,
        k: number as u32,
    };
    // Calls of other interfaces, and `clone3`, are refused by filters that were there before.
    let filter = [
        // The number is the first word of `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        over(3, libc::SYS_clone),
        over(2, libc::SYS_fork),
        over(1, libc::SYS_vfork),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
    ];
    let fd = filters::install(&filter, flags)?;
    // SAFETY: the kernel has just made this descriptor for us; it is closed by exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The questions of one launch.
pub(super) struct Forks {
    listener: OwnedFd,
    /// This many may be granted before the processes have to be counted.
    left: u64,
}

impl AsFd for Forks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Forks {
    pub(super) fn new(listener: OwnedFd) -> Forks {
        Forks { listener, left: 0 }
    }

    /// Whether somebody asks; an error once nobody ever will.
    fn asked(&self) -> Result<bool, ()> {
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        match fds[0].revents().unwrap_or(PollFlags::empty()) {
            found if found.contains(PollFlags::POLLIN) => Ok(true),
            found if found.is_empty() => Ok(false),
            _ => Err(()),
        }
    }

    /// Takes a question and grants it. Who was killed meanwhile needs no answer.
    fn grant(&mut self) {
        // SAFETY: all zeros is a valid question, and what the kernel wants to find.
        let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let fd = self.listener.as_raw_fd();
        // SAFETY: the kernel writes a question into the structure, whose size is part of the request.
        if unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut question) } < 0 {
            return;
        }
        self.left = self.left.saturating_sub(1);
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        let mut answer = libc::seccomp_notif_resp { id: question.id, val: 0, error: 0, flags };
        // SAFETY: the kernel reads the structure, whose size is part of the request.
        unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer) };
    }
}

impl Run<'_> {
    /// Answers everybody who asks. At the limit nobody is answered any more: the launch is at its end.
    pub(super) fn answer_forks(&mut self) {
        while let Some(forks) = &self.forks {
            match forks.asked() {
                Ok(true) if self.usage.over().is_none() => {}
                Ok(_) => return,
                Err(()) => {
                    self.forks = None;
                    return;
                }
            }
            if forks.left == 0 {
                self.count_for_forks();
            } else if let Some(forks) = &mut self.forks {
                self.activity += 1;
                forks.grant();
            }
        }
    }

    fn count_for_forks(&mut self) {
        let limits = self.launch.limits;
        let tasks: u64 =
            self.living().into_iter().filter_map(process_files::size).map(|size| size.threads.max(1)).sum();
        let left = limits.processes.saturating_sub(tasks);
        if left == 0 {
            self.usage.exceeded(too_many_processes(&limits));
        }
        if let Some(forks) = &mut self.forks {
            forks.left = left;
        }
    }
}
