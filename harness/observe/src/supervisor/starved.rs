//! Threads that are ready to run and that the machine does not let.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::run::{GLANCE, Run};
use crate::process_files::{self, Times};

/// On a machine that does not let it run, a launch is given its deadline so many times more.
const PUT_OFF: u32 = 2;

/// Who waits for a processor at the moment. The kernel counts a wait when it is over, and one that began long before the
/// deadline may not be.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    looked: Option<Instant>,
    /// What a thread had got when it was first seen to be ready with no more than that, and when.
    since: HashMap<i32, (Times, Instant)>,
}

impl Waiting {
    /// For how long a thread has been waiting that has got this much by now.
    fn since(&self, tid: i32, times: Times) -> Duration {
        match self.since.get(&tid) {
            Some((before, since)) if *before == times => since.elapsed(),
            _ => Duration::ZERO,
        }
    }
}

impl Run<'_> {
    /// Notes who is ready and does not run: whoever has slept meanwhile has run before that, and has another account. Only
    /// when half of the time has gone, which most launches are over before; then the code is read as well, once, for what
    /// there may be to explain.
    pub(super) fn look_who_waits(&mut self) {
        let now = Instant::now();
        let early = self.killed_at.is_none_or(|at| now + self.launch.deadline / 2 < at);
        if early || self.waiting.looked.is_some_and(|looked| now < looked + GLANCE) {
            return;
        }
        if self.waiting.looked.replace(now).is_none() {
            self.read_code();
        }
        let mut since = HashMap::new();
        for (pid, tid) in self.tasks() {
            if process_files::letter(pid, tid) == Some('R') {
                let times = Times::of(pid, tid);
                let known = self.waiting.since.get(&tid).filter(|(before, _)| *before == times);
                since.insert(tid, known.copied().unwrap_or((times, now)));
            }
        }
        self.waiting.since = since;
    }

    /// The deadline is for the program, not for a machine that does not let it run: time in which one of its threads or
    /// its tracer was ready and waited for a processor is added, less what the launch got meanwhile; up to a bound.
    pub(super) fn put_off(&mut self) {
        let tasks = self.tasks();
        let times: Vec<(i32, Times)> = tasks.iter().map(|(pid, tid)| (*tid, Times::of(*pid, *tid))).collect();
        let ready = |(tid, times): &(i32, Times)| times.delay + self.waiting.since(*tid, *times);
        let ready = times.iter().map(ready).max().unwrap_or_default();
        let got: Duration = times.iter().map(|(_, times)| times.cpu).sum();
        let waited = ready + own_delay().saturating_sub(self.delay_before);
        let starved = waited.saturating_sub(got).min(self.launch.deadline.saturating_mul(PUT_OFF));
        if starved > self.starved + GLANCE {
            self.killed_at = self.killed_at.map(|at| at + (starved - self.starved));
            self.starved = starved;
        }
    }

    /// For how long its threads, one after the other, those that have ended during a hold and its tracer have been ready
    /// and waited for a processor; up to the same bound.
    pub(super) fn delayed(&mut self) -> Duration {
        let delays: Duration = self.tasks().iter().map(|(pid, tid)| Times::of(*pid, *tid).delay).sum();
        let delays = delays + self.holds.delay_of_ended + own_delay().saturating_sub(self.delay_before);
        delays.min(self.launch.deadline.saturating_mul(PUT_OFF))
    }
}

/// For how long this process was ready to run and was not let.
pub(super) fn own_delay() -> Duration {
    let pid = std::process::id().cast_signed();
    Times::of(pid, pid).delay
}
