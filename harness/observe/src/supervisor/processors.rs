//! One processor for a program and its tracer, as long as no two of them have anything to do at the same time.
//!
//! To make a box is a conversation, and so is to trace: whoever has spoken waits for the answer. On two processors each
//! word has to wake one that sleeps, which takes longer than the answer, on a virtual machine several times as long.
//!
//! That ends with the program's first fork: who of two processes on one processor comes first is the scheduler's whim,
//! more than on two.

use libc::c_long;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::run::Run;

/// The calling thread.
const ITSELF: Pid = Pid::from_raw(0);

/// While it lives this process has one processor, and so has what it starts, until that is let go.
pub(super) struct OneProcessor {
    one: CpuSet,
    all: CpuSet,
}

impl OneProcessor {
    /// The one that this process is on. `None` where the kernel does not let it choose.
    pub(super) fn here() -> Option<OneProcessor> {
        let all = sched_getaffinity(ITSELF).ok()?;
        let mut one = CpuSet::new();
        one.set(sched_getcpu().ok()?).ok()?;
        sched_setaffinity(ITSELF, &one).ok()?;
        Some(OneProcessor { one, all })
    }

    /// Lets the calling thread run wherever the supervisor could.
    pub(super) fn leave(&self) {
        self.release(ITSELF);
    }

    fn release(&self, thread: Pid) {
        // One that is gone needs it no more.
        let _ = sched_setaffinity(thread, &self.all);
    }

    fn keep(&self, thread: Pid) {
        let _ = sched_setaffinity(thread, &self.one);
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Run<'_> {
    /// A watched call begins: after it somebody may have something to do at the same time as others. And what a program
    /// asks and says of its processors is between it and the kernel.
    pub(super) fn part_before(&mut self, tid: i32, sysno: c_long) {
        match sysno {
            libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3 => self.part(),
            libc::SYS_io_uring_setup | libc::SYS_sched_setaffinity => self.part(),
            libc::SYS_sched_getaffinity => {
                // The C library does, before `main`, and not for the sake of the answer.
                if let Some(together) = &self.together {
                    together.release(Pid::from_raw(tid));
                }
            }
            _ => {}
        }
    }

    /// Its answer was given.
    pub(super) fn join_after(&self, tid: i32, sysno: c_long) {
        if sysno == libc::SYS_sched_getaffinity
            && let Some(together) = &self.together
        {
            together.keep(Pid::from_raw(tid));
        }
    }

    /// From now on everybody runs wherever the supervisor could.
    pub(super) fn part(&mut self) {
        let Some(together) = self.together.take() else { return };
        together.release(self.started.guardian);
        for tid in self.threads.keys() {
            together.release(Pid::from_raw(*tid));
        }
    }
}
