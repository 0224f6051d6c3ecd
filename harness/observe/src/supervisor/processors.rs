//! One processor for a program and its tracer, as long as no two of them have anything to do at the same time.
//!
//! To make a box is a conversation, and so is to trace: whoever has spoken waits for the answer. On two processors each
//! word has to wake one that sleeps, which takes longer than the answer, on a virtual machine several times as long.
//!
//! That ends with the program's first fork: who of two processes on one processor comes first is the scheduler's whim,
//! more than on two. Whoever does not mind that, and has asked for quickness ([`crate::Launch::turns`]), keeps them
//! together until somebody computes.

use std::time::{Duration, Instant};

use libc::c_long;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

use super::run::Run;

/// Who runs for longer than this from one watched call to the next computes, …
const TURN: Duration = Duration::from_micros(500);
/// … and when that has happened this many times more often than not, they take no turns.
const LONG_TURNS: u32 = 8;

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

/// Whether a call makes a process or a thread.
fn forks(sysno: c_long) -> bool {
    matches!(sysno, libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3)
}

/// How threads that are kept together take their turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many more long ones there were than short ones since these were last as many.
    long: u32,
}

impl Turns {
    /// One of so many threads has ended its turn. Whether that was one too many.
    fn end_after(&mut self, ran: Duration, threads: usize) -> bool {
        if ran < TURN {
            self.long = self.long.saturating_sub(1);
        } else if threads > 1 {
            self.long += 1;
        }
        self.long >= LONG_TURNS
    }
}

impl Run<'_> {
    /// A watched call begins: after it somebody may have something to do at the same time as others. And what a program
    /// asks and says of its processors is between it and the kernel.
    pub(super) fn part_before(&mut self, tid: i32, sysno: c_long) {
        match sysno {
            _ if forks(sysno) && !self.launch.turns => self.part(),
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
        for tid in self.threads.keys().chain(self.early.keys()) {
            together.release(Pid::from_raw(*tid));
        }
    }

    /// A thread goes on.
    pub(super) fn turn_begins(&mut self, tid: i32) {
        if self.launch.turns
            && self.together.is_some()
            && let Some(thread) = self.threads.get_mut(&tid)
        {
            thread.resumed = Some(Instant::now());
        }
    }

    /// A thread is about to make a watched call: until now it has run, or waited for its turn to. One alone, or who
    /// never computes for long, is as quick on the processor of its tracer.
    pub(super) fn turn_ends(&mut self, tid: i32) {
        let Some(ran) = self.threads.get_mut(&tid).and_then(|thread| thread.resumed.take()) else { return };
        if self.turns.end_after(ran.elapsed(), self.threads.len()) {
            self.part();
        }
    }

    /// A child was just made. If everybody was let go meanwhile, it may still have the processor that its parent had.
    pub(super) fn inherits(&self, parent: i32, child: i32) {
        if !self.launch.turns || self.together.is_some() {
            return;
        }
        let [parent, child] = [parent, child].map(Pid::from_raw);
        if let (Ok(of_parent), Ok(of_child)) = (sched_getaffinity(parent), sched_getaffinity(child))
            && of_parent != of_child
        {
            // One that is gone needs it no more.
            let _ = sched_setaffinity(child, &of_parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(2);
    const SHORT: Duration = Duration::from_micros(50);

    fn ends(turns: impl IntoIterator<Item = Duration>, threads: usize) -> bool {
        let mut state = Turns::default();
        turns.into_iter().any(|ran| state.end_after(ran, threads))
    }

    #[test]
    fn two_that_compute_part() {
        assert!(ends([LONG; LONG_TURNS as usize], 2));
        assert!(ends([LONG, LONG, SHORT].repeat(LONG_TURNS as usize), 2));
    }

    #[test]
    fn one_that_computes_has_nobody_to_part_from() {
        assert!(!ends([LONG; 1000], 1));
    }

    #[test]
    fn those_who_talk_stay_together_though_one_of_them_is_held_up_now_and_then() {
        assert!(!ends([LONG, SHORT].repeat(1000), 3));
    }
}
