//! A launch in which nothing happens: whether anything still can, and why not.

use std::time::{Duration, Instant};

use super::run::{GLANCE, Run};
use super::tracee::Member;
use crate::observation::{Descriptors, Ending, ProcessId, Tracing};
use crate::plan::Rung;
use crate::process_files;
use crate::symbols::AddressSpace;
use crate::waits::{self, Asking, Question, Surroundings};

/// The launch is to be over soon after its deadline, wherever its threads are.
const ASKING: Duration = Duration::from_millis(150);

impl Run<'_> {
    /// Nothing has happened between two looks, and nothing can.
    pub(super) fn deadlocked(&mut self) -> bool {
        if self.holds.any() || !self.early.is_empty() || self.somebody_is_ending() {
            self.quiet_since = None;
            return false;
        }
        match self.quiet_since {
            Some((activity, since)) if activity == self.activity => {
                if since.elapsed() < GLANCE {
                    return false;
                }
            }
            _ => {
                self.quiet_since = Some((self.activity, Instant::now()));
                self.glanced = None;
                return false;
            }
        }
        self.quiet_since = Some((self.activity, Instant::now()));
        let Some(look) = waits::look_if_quiet(&self.living()) else {
            self.glanced = None;
            return false;
        };
        let same = self
            .glanced
            .as_ref()
            .is_some_and(|(activity, before)| *activity == self.activity && before.unchanged(&look));
        let stuck = same && waits::stuck(&look, &self.surroundings(), &self.events);
        self.glanced = Some((self.activity, look));
        if stuck {
            self.diagnose(true);
            self.ending = Some(Ending::Deadlocked);
        }
        stuck
    }

    /// A process has said that it ends, and has not ended: until its memory is given back its descriptors are open, and
    /// nobody is told of its end.
    fn somebody_is_ending(&self) -> bool {
        self.threads.values().any(|thread| self.members[thread.process.0 as usize].seen.ended.is_some())
    }

    /// All processes of the launch that are alive, the program itself first, by their numbers outside the box.
    pub(super) fn living(&mut self) -> Vec<i32> {
        if self.traced() {
            self.members.iter().filter(|m| m.seen.ended.is_none()).map(|m| m.pid).collect()
        } else {
            // One more than there may be is enough to know.
            let most = if self.launch.here { usize::MAX } else { self.launch.limits.processes as usize + 1 };
            self.descendants = process_files::some_descendants(self.started.guardian.as_raw(), most);
            let program = self.started.program.as_raw();
            self.descendants.sort_unstable_by_key(|pid| (*pid != program, *pid));
            self.descendants.clone()
        }
    }

    fn surroundings(&self) -> Surroundings {
        let mut live = Vec::new();
        if self.streams.input_open() || self.launch.here {
            live.push((self.streams.identities[0], true));
        }
        if self.streams.terminal {
            live.push((self.streams.identities[1], true));
        }
        for (identity, drain) in self.streams.identities[1..].iter().zip([&self.streams.stdout, &self.streams.stderr]) {
            if drain.fd().is_some() {
                live.push((*identity, false));
            }
        }
        // Actions still to come are no way out: each has been tried since the launch became quiet, and waits for
        // something that the program would have to do.
        Surroundings {
            live,
            closed_world: !self.launch.here,
            own_namespaces: self.rung == Rung::F && !self.launch.here,
            timers_seen: self.traced() && !self.truncated,
        }
    }

    /// Reads what tells lines from addresses ahead of the deadline: to map a file waits for the kernel's lock on all
    /// mappings of that file, and where many launches begin and end, the C library's is seldom free.
    pub(super) fn read_code(&mut self) {
        if self.asking() != Asking::Never
            && let Some(program) = self.living().first()
        {
            let mut space = AddressSpace::default();
            space.reload(*program, self.images, self.program);
            space.warm_up();
        }
    }

    /// How its running threads may be asked where they are.
    fn asking(&self) -> Asking {
        match (&self.tracing, self.rung) {
            (Tracing::On, _) => Asking::Traced,
            (Tracing::NotAsked, Rung::F | Rung::K) => Asking::Attach,
            _ => Asking::Never,
        }
    }

    pub(super) fn diagnose(&mut self, proven: bool) {
        let living = self.living();
        if !self.traced() {
            self.meet(&living);
        }
        let look = if proven || self.traced() { waits::look(&living) } else { waits::look_for_long(&living) };
        let members = &self.members;
        let index =
            |pid: i32| members.iter().position(|m| m.pid == pid && m.seen.ended.is_none()).map(|n| ProcessId(n as u32));
        let question = Question {
            look: &look,
            around: &self.surroundings(),
            events: &self.events,
            transfers: self.launch.watch.transfers && self.traced(),
            now: self.now(),
            proven,
            asking: self.asking(),
            patience: ASKING,
            born: members.len(),
            names: &[],
            program: self.program,
        };
        self.hang = Some(waits::explain(&question, &index, &mut self.registry, self.images));
    }

    /// Without a tracer, the program's children are met only when they are looked for.
    pub(super) fn meet(&mut self, living: &[i32]) {
        for pid in living {
            if !self.members.iter().any(|m| m.pid == *pid) {
                let parent = process_files::parent(*pid)
                    .and_then(|parent| self.members.iter().position(|m| m.pid == parent))
                    .map(|n| ProcessId(n as u32));
                let inner = process_files::inner_pid(*pid).unwrap_or(*pid);
                let member = Member::new((*pid, inner), parent, Duration::ZERO, Descriptors::new());
                self.members.push(member);
            }
        }
    }
}
