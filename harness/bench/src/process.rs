//! Children of this process that share what the workload needs, made by fork(2).

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Two processors that this process may use, for two processes that are each to
/// have one of its own.
#[derive(Debug, Clone, Copy)]
pub struct Seats {
    pub first: usize,
    pub second: usize,
}

impl Seats {
    /// The first two; `None` where there is only one.
    pub fn find() -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut seats = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
        Some(Self { first: seats.next()?, second: seats.next()? })
    }
}

/// Binds this thread to one processor. Makes one system call, so a child may
/// call it.
pub fn sit(cpu: usize) {
    let mut set = CpuSet::new();
    // Unbound it works too, only less evenly.
    let _ = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
}

/// Binds this thread to one processor until it is dropped.
#[derive(Debug)]
pub struct Seated(Option<CpuSet>);

impl Seated {
    pub fn on(cpu: usize) -> Self {
        let before = sched_getaffinity(Pid::from_raw(0)).ok();
        sit(cpu);
        Self(before)
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // What was allowed before is allowed now.
            let _ = sched_setaffinity(Pid::from_raw(0), before);
        }
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

/// A forked child; killed and waited for when it is dropped before its end.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
}

impl Child {
    /// Forks a child that does `what` and exits with its value. It dies with
    /// the thread that made it, leaves no core, and has the default action for
    /// the signals that a memory or pipe access may raise.
    ///
    /// # Errors
    /// What fork(2) says.
    ///
    /// # Safety
    /// The process may have threads: `what` must keep to plain memory accesses
    /// and async-signal-safe calls, and must not allocate, lock or panic.
    pub unsafe fn fork(what: impl FnOnce() -> i32) -> io::Result<Self> {
        // SAFETY: the child keeps to what the caller promised.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                // SAFETY: async-signal-safe calls with valid arguments.
                unsafe {
                    libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
                    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGPIPE] {
                        libc::signal(signal, libc::SIG_DFL);
                    }
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                }
                let code = what();
                // SAFETY: ends the child without running anything of the parent's.
                unsafe { libc::_exit(code) }
            }
            pid => Ok(Self { pid }),
        }
    }

    /// Its number, until it is waited for.
    pub fn id(&self) -> libc::pid_t {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What waitpid(2) says.
    pub fn wait(self) -> io::Result<End> {
        let pid = self.pid;
        std::mem::forget(self);
        wait(pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: not yet waited for, so the number is still the child's.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // It is gone either way.
        let _ = wait(self.pid);
    }
}

fn wait(pid: libc::pid_t) -> io::Result<End> {
    let mut status = 0;
    loop {
        // SAFETY: waits for a child of this process; `status` is valid.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFSIGNALED(status) {
        End::Killed(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_not_waited_for_is_killed() {
        // SAFETY: the child only sleeps.
        let child = unsafe { Child::fork(|| libc::pause()) }.unwrap();
        let pid = child.pid;
        drop(child);
        // SAFETY: signal 0 only asks.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }

    #[test]
    fn an_end_is_told_as_it_was() {
        // SAFETY: the children end at once.
        let (exited, killed) = unsafe { (Child::fork(|| 7), Child::fork(|| libc::raise(libc::SIGKILL))) };
        assert_eq!(exited.unwrap().wait().unwrap(), End::Exited(7));
        assert_eq!(killed.unwrap().wait().unwrap(), End::Killed(libc::SIGKILL));
    }
}
