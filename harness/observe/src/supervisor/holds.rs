//! Schedules: threads held at a stop until the others have nothing left to do without them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::interfere::{self, Dice};
use super::run::Run;
use super::tracee::{Member, Resume};
use crate::observation::{ProcessId, What};
use crate::plan::{Hold, Launch, Schedule, Side};
use crate::process_files::{self, Times};

/// Others that never block (they spin) do not keep a thread for longer than this after they last got anything done, …
const LONGEST: Duration = Duration::from_millis(300);
/// … unless they have not had this much of the processor since, which on a busy machine takes its time, …
const SHOWN: Duration = Duration::from_millis(40);
/// … but then no longer than this, and what the machine keeps from them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Others must look blocked, unchanged, for this long.
const SETTLED: Duration = Duration::from_millis(1);

/// Where a thread may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// A held thread.
#[derive(Debug)]
struct Held {
    tid: i32,
    /// How it goes on; `None` for a thread whose first stop has not come yet.
    resume: Option<Resume>,
    since: Instant,
    /// It goes on after the others that are held.
    last: bool,
    /// Processor time of everybody there when the hold began.
    cpu: Vec<Duration>,
}

/// The schedule of a launch and who is held for it.
#[derive(Debug)]
pub(super) struct Holds {
    schedule: Schedule,
    dice: Option<Dice>,
    counts: HashMap<(usize, ProcessId), u32>,
    held: Vec<Held>,
    /// When the others were first seen blocked, and with which context switches.
    settled: Option<(Instant, Vec<(i32, u64)>)>,
    /// When last a thread was held, or anybody transferred bytes, was born or ended.
    progressed: Instant,
    /// Which of these moments was the last to be looked back at, and everybody's processor time then.
    looked_back: (Instant, Vec<Duration>),
    /// For how long threads that ended while somebody was held had been ready to run and had not been let.
    pub(super) delay_of_ended: Duration,
}

impl Holds {
    pub(super) fn new(launch: &Launch) -> Holds {
        let dice = match launch.schedule {
            Schedule::Random(seed) => Some(Dice::new(seed)),
            _ => None,
        };
        let now = Instant::now();
        Holds {
            schedule: launch.schedule.clone(),
            dice,
            counts: HashMap::new(),
            held: Vec::new(),
            settled: None,
            progressed: now,
            looked_back: (now, Vec::new()),
            delay_of_ended: Duration::ZERO,
        }
    }

    pub(super) fn any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn holds(&self, tid: i32) -> bool {
        self.held.iter().any(|h| h.tid == tid)
    }

    pub(super) fn forget(&mut self, tid: i32) {
        self.held.retain(|h| h.tid != tid);
    }

    /// Whether threads may be held at the exits of calls.
    pub(super) fn after_calls(&self) -> bool {
        matches!(&self.schedule, Schedule::Holds(holds) if holds.iter().any(|hold| hold.side == Side::After))
    }

    /// Whether to hold the parent, and the child, of a fork.
    pub(super) fn at_fork(&mut self) -> (bool, bool) {
        match (&self.schedule, &mut self.dice) {
            (Schedule::ChildFirst, _) => (true, false),
            (Schedule::ParentFirst, _) => (false, true),
            (Schedule::Random(_), Some(dice)) => match dice.roll(3) {
                0 => (true, false),
                1 => (false, true),
                _ => (false, false),
            },
            _ => (false, false),
        }
    }

    pub(super) fn add(&mut self, tid: i32, resume: Option<Resume>, members: &[Member]) {
        self.put(tid, resume, false, members);
    }

    fn put(&mut self, tid: i32, resume: Option<Resume>, last: bool, members: &[Member]) {
        let cpu = members.iter().map(Member::cpu).collect();
        let held = Held { tid, resume, since: Instant::now(), last, cpu };
        // Whoever is the next to go on is the first in the row.
        let place = self.held.iter().position(|other| other.last && !last).unwrap_or(self.held.len());
        self.held.insert(place, held);
        self.settled = None;
        self.progressed();
    }

    /// Threads end: what the machine kept from them has made the hold last all the same.
    pub(super) fn ends(&mut self, pid: i32, threads: impl IntoIterator<Item = i32>) {
        if self.any() {
            let delays = threads.into_iter().map(|tid| Times::of(pid, tid).delay);
            self.delay_of_ended += delays.sum::<Duration>();
        }
    }

    /// Somebody got something done.
    pub(super) fn progressed(&mut self) {
        self.progressed = Instant::now();
    }
}

impl Run<'_> {
    /// Holds a thread at a call if the schedule says so.
    pub(super) fn hold_at(
        &mut self,
        tid: i32,
        process: ProcessId,
        event: Option<usize>,
        moment: Moment,
        resume: Resume,
    ) -> bool {
        let Some(index) = event else { return false };
        let What::Called { sysno, .. } = &self.events[index].what else {
            return false;
        };
        let name = sysno.name();
        let hold = match &self.holds.schedule {
            Schedule::Holds(holds) => {
                let holds = holds.clone();
                self.planned(&holds, process, name, event, moment)
            }
            Schedule::Random(_) => {
                let begins = moment == Moment::Before && matches!(name, "read" | "write" | "close" | "open" | "openat");
                (begins && self.holds.dice.as_mut().is_some_and(|d| d.roll(4) == 0)).then_some(false)
            }
            _ => None,
        };
        // Alone, a process would only be held for itself.
        let others = self.threads.values().any(|t| t.process != process);
        let Some(last) = hold.filter(|_| others) else { return false };
        self.holds.put(tid, Some(resume), last, &self.members);
        true
    }

    /// Whether it is held, and then whether it goes on last.
    fn planned(
        &mut self,
        holds: &[Hold],
        process: ProcessId,
        name: &str,
        event: Option<usize>,
        moment: Moment,
    ) -> Option<bool> {
        let on = self.object_of(event);
        let mut hit = None;
        for (n, hold) in holds.iter().enumerate() {
            let side = if hold.side == Side::Before { Moment::Before } else { Moment::After };
            if side != moment
                || hold.call != name
                || !interfere::is(hold.who, process)
                || !interfere::on_matches(hold.on.as_ref(), &self.registry, on)
            {
                continue;
            }
            let count = self.holds.counts.entry((n, process)).or_insert(0);
            *count += 1;
            if hold.nth == 0 || *count == hold.nth {
                hit = Some(hold.last);
            }
        }
        hit
    }

    /// Lets a held thread go when the others are all blocked or gone, or will not block.
    pub(super) fn step_holds(&mut self) {
        let Some(first) = self.holds.held.first() else { return };
        let waited = first.since.elapsed();
        let late = waited > PATIENCE && waited > PATIENCE + self.delayed();
        if self.holds.looked_back.0 != self.holds.progressed {
            self.holds.looked_back = (self.holds.progressed, self.members.iter().map(Member::cpu).collect());
        }
        // Those who hand bytes to each other are never all running: one look at each may find them all asleep.
        let idle = self.holds.progressed.elapsed() > LONGEST;
        if late || (idle && !self.others_starve()) || self.others_settled() {
            self.release_first();
        }
    }

    /// Whether one of the others wants the processor and has had little of it since anybody got something done.
    fn others_starve(&self) -> bool {
        let (_, cpu_then) = &self.holds.looked_back;
        self.threads.iter().filter(|(tid, _)| !self.holds.holds(**tid) && !self.early.contains_key(tid)).any(
            |(tid, thread)| {
                let pid = self.members[thread.process.0 as usize].pid;
                let before = cpu_then.get(thread.process.0 as usize).copied().unwrap_or_default();
                process_files::thread_state(pid, *tid).is_some_and(|state| !state.blocked())
                    && process_files::process_cpu(pid).saturating_sub(before) < SHOWN
            },
        )
    }

    fn others_settled(&mut self) -> bool {
        let mut seen = Vec::new();
        for (tid, thread) in &self.threads {
            if self.holds.holds(*tid) || self.early.contains_key(tid) {
                continue;
            }
            let pid = self.members[thread.process.0 as usize].pid;
            match process_files::thread_state(pid, *tid) {
                Some(state) if state.blocked() => seen.push((*tid, state.switches)),
                // Gone, or about to be reported.
                None => {}
                Some(_) => {
                    self.holds.settled = None;
                    return false;
                }
            }
        }
        seen.sort_unstable();
        match &self.holds.settled {
            Some((since, before)) if *before == seen => seen.is_empty() || since.elapsed() >= SETTLED,
            _ => {
                let nobody = seen.is_empty();
                self.holds.settled = Some((Instant::now(), seen));
                nobody
            }
        }
    }

    fn release_first(&mut self) {
        let held = self.holds.held.remove(0);
        self.holds.settled = None;
        self.activity += 1;
        for (n, member) in self.members.iter_mut().enumerate() {
            // Who was born since began with nothing.
            let before = held.cpu.get(n).copied().unwrap_or_default();
            member.seen.cpu_while_alone = member.seen.cpu_while_alone.max(member.cpu().saturating_sub(before));
        }
        self.actions_at_release();
        match (self.early.remove(&held.tid), held.resume) {
            (Some(status), _) => self.handle(held.tid, status),
            (None, Some(resume)) => self.resume(held.tid, resume),
            // Its first stop is still to come and will be handled as any other.
            (None, None) => {}
        }
    }
}
