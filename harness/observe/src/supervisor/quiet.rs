//! A launch in which nothing happens: whether anything still can, and why not.

use std::time::{Duration, Instant};

use super::run::{GLANCE, Run};
use super::tracee::Member;
use crate::hang::Hang;
use crate::observation::{Descriptors, Ending, ProcessId, What};
use crate::process_files;
use crate::waits::{self, Surroundings};

impl Run<'_> {
    /// Nothing has happened between two looks, and nothing can.
    pub(super) fn deadlocked(&mut self) -> bool {
        if self.holds.any() || !self.early.is_empty() {
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
        let look = waits::look(&self.living());
        let same = self
            .glanced
            .as_ref()
            .is_some_and(|(activity, before)| *activity == self.activity && before.unchanged(&look));
        let stuck = same && waits::stuck(&look, &self.surroundings());
        self.glanced = Some((self.activity, look));
        if stuck {
            self.diagnose(true);
            self.ending = Some(Ending::Deadlocked);
        }
        stuck
    }

    /// All processes of the launch that are alive, the program itself first, by their numbers outside the box.
    fn living(&mut self) -> Vec<i32> {
        if self.traced() {
            self.members.iter().filter(|m| m.seen.ended.is_none()).map(|m| m.pid).collect()
        } else {
            self.descendants = process_files::descendants(self.started.guardian.as_raw());
            self.descendants.sort_unstable();
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
        Surroundings { live, more_to_come: self.actions.left() > 0, closed_world: !self.launch.here }
    }

    pub(super) fn diagnose(&mut self, proven: bool) {
        let living = self.living();
        if !self.traced() {
            self.meet(&living);
        }
        let look = waits::look(&living);
        let surroundings = self.surroundings();
        let members = &self.members;
        let name =
            |pid: i32| members.iter().position(|m| m.pid == pid && m.seen.ended.is_none()).map(|n| ProcessId(n as u32));
        let mut hang = waits::explain(&look, &surroundings, proven, &name, &mut self.registry);
        self.add_sources(&mut hang);
        self.hang = Some(hang);
    }

    /// Without a tracer, the program's children are met only when they are looked for.
    fn meet(&mut self, living: &[i32]) {
        for pid in living {
            if !self.members.iter().any(|m| m.pid == *pid) {
                let parent = process_files::parent(*pid)
                    .and_then(|parent| self.members.iter().position(|m| m.pid == parent))
                    .map(|n| ProcessId(n as u32));
                let member = Member::new(*pid, parent, Duration::ZERO, Descriptors::new());
                self.members.push(member);
            }
        }
    }

    /// What only the trace knows: source lines, who made a descriptor, and that nobody ever wrote.
    fn add_sources(&mut self, hang: &mut Hang) {
        let now = self.now();
        for waiter in &mut hang.waiters {
            let pending = self
                .events
                .iter()
                .rev()
                .find(|e| e.process == waiter.process && matches!(e.what, What::Called { result: None, .. }));
            let last = || self.events.iter().rev().find(|e| e.process == waiter.process && e.source.is_some());
            if let Some(event) = pending.filter(|_| !waiter.spinning) {
                waiter.since_ms = now.saturating_sub(event.at).as_millis() as u64;
            }
            let seen = if waiter.spinning { last() } else { pending };
            waiter.source = seen.and_then(|e| e.source.clone());
            if waiter.source.is_none() {
                waiter.source = self
                    .members
                    .get(waiter.process.0 as usize)
                    .map(|m| m.pid)
                    .and_then(|pid| waits::live_source(pid, self.images, self.program));
            }
            for culprit in &mut waiter.culprits {
                culprit.made_at = waits::made_at(&self.events, waiter.object);
            }
        }
        waits::retell(hang, &self.events, self.launch.watch.transfers && self.traced());
    }
}
