//! One launch from the supervisor's side: an event loop over stops of the program's threads, its streams and time.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::actions::Actions;
use super::boxes::Started;
use super::holds::Holds;
use super::interfere::Faults;
use super::streams::Streams;
use super::tracee::{Member, Thread};
use crate::hang::Hang;
use crate::objects::Registry;
use crate::observation::{
    Access, Descriptor, Descriptors, Ending, Event, Exit, ObjectKind, Observation, Process, ProcessId, Tracing, What,
};
use crate::plan::{Launch, Rung};
use crate::process_files;
use crate::symbols::Images;
use crate::waits::{self, Surroundings};

/// How often a quiet launch is looked at for a deadlock.
const GLANCE: Duration = Duration::from_millis(20);
/// How often held processes are looked at.
const HOLD_GLANCE: Duration = Duration::from_micros(500);
/// What is left of a program gets this long after its end.
const GRACE: Duration = Duration::from_millis(150);
/// Events kept.
const EVENTS: usize = 200_000;

/// All that is known of a launch under way.
pub(super) struct Run<'a> {
    pub(super) launch: &'a Launch,
    pub(super) program: &'a File,
    pub(super) images: &'a mut Images,
    pub(super) started: Started,
    pub(super) streams: Streams,
    pub(super) tracing: Tracing,
    pub(super) rung: Rung,
    pub(super) begin: Instant,
    pub(super) threads: HashMap<i32, Thread>,
    pub(super) members: Vec<Member>,
    /// Stops of threads whose birth has not been announced yet.
    pub(super) early: HashMap<i32, i32>,
    pub(super) events: Vec<Event>,
    pub(super) truncated: bool,
    pub(super) registry: Registry,
    pub(super) holds: Holds,
    pub(super) faults: Faults,
    pub(super) actions: Actions,
    pub(super) anonymous: u64,
    /// Counts stops and bytes: a launch in which it stays the same is quiet.
    pub(super) activity: u64,
    root_exit: Option<(Exit, Instant)>,
    ending: Option<Ending>,
    hang: Option<Hang>,
    glanced: Option<(u64, waits::Look)>,
    quiet_since: Option<(u64, Instant)>,
    descendants: Vec<i32>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        launch: &'a Launch,
        program: &'a File,
        images: &'a mut Images,
        started: Started,
        streams: Streams,
        tracing: Tracing,
        rung: Rung,
    ) -> Run<'a> {
        let mut registry = Registry::new(&started.work_path);
        let mut table = Descriptors::new();
        for (n, identity) in streams.identities.iter().enumerate() {
            let kind = if streams.terminal && n == 1 { ObjectKind::Terminal } else { ObjectKind::Standard(n as u8) };
            let object = registry.add(*identity, kind);
            let access = Access { read: n == 0 || streams.terminal, write: n != 0 || streams.terminal };
            table.insert(n as i32, Descriptor { object, access, close_on_exec: false });
        }
        let begin = Instant::now();
        let root = Member::new(started.program.as_raw(), None, Duration::ZERO, table);
        Run {
            launch,
            program,
            images,
            started,
            streams,
            tracing,
            rung,
            begin,
            threads: HashMap::new(),
            members: vec![root],
            early: HashMap::new(),
            events: Vec::new(),
            truncated: false,
            registry,
            holds: Holds::new(launch),
            faults: Faults::new(launch),
            actions: Actions::new(launch),
            anonymous: 0,
            activity: 0,
            root_exit: None,
            ending: None,
            hang: None,
            glanced: None,
            quiet_since: None,
            descendants: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(super) fn traced(&self) -> bool {
        self.tracing == Tracing::On
    }

    /// Adds an event and returns its index, unless there are too many.
    pub(super) fn record(&mut self, process: ProcessId, thread: i32, what: What) -> Option<usize> {
        if self.events.len() >= EVENTS {
            self.truncated = true;
            return None;
        }
        let at = self.now();
        let startup = !self.members[process.0 as usize].main_began;
        self.events.push(Event { at, until: at, process, thread, startup, source: None, stack: Vec::new(), what });
        Some(self.events.len() - 1)
    }

    /// Runs the launch to its end. `lifeline` is the harness: if it goes away, so does the launch (and `None` is
    /// returned).
    pub(super) fn complete(mut self, lifeline: BorrowedFd<'_>) -> Result<Option<Observation>, String> {
        if self.traced() {
            let tid = self.started.program.as_raw();
            self.threads.insert(tid, Thread::new(ProcessId(0)));
        }
        self.begin = Instant::now();
        self.started.release().map_err(|e| format!("the box: {e}"))?;
        self.streams.feed();
        let alive = loop {
            self.reap_and_step();
            self.streams.stdout.take(self.begin);
            self.streams.stderr.take(self.begin);
            self.step_actions();
            self.step_holds();
            if self.over() {
                break true;
            }
            if !self.wait(lifeline) {
                break false;
            }
        };
        self.finish(alive)
    }

    /// Blocks until something happens or it is time to look. False if the harness is gone.
    fn wait(&mut self, lifeline: BorrowedFd<'_>) -> bool {
        let mut fds = vec![PollFd::new(lifeline, PollFlags::POLLIN)];
        for drain in [&self.streams.stdout, &self.streams.stderr] {
            fds.extend(drain.fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        }
        fds.extend(self.streams.wants_to_feed().map(|fd| PollFd::new(fd, PollFlags::POLLOUT)));
        if !self.traced() && self.root_exit.is_none() {
            fds.push(PollFd::new(self.started.status.as_fd(), PollFlags::POLLIN));
        }
        let pause = if self.holds.any() { HOLD_GLANCE } else { GLANCE };
        // SIGCHLD is blocked except while waiting here, so that none is missed between looking and waiting.
        let outcome = ppoll(&mut fds, Some(TimeSpec::from(pause)), Some(SigSet::empty()));
        let gone = fds[0].revents().is_some_and(|r| !r.is_empty());
        drop(fds);
        self.streams.feed();
        !(gone && outcome.is_ok())
    }

    /// Whether the launch is to end now; decides how.
    fn over(&mut self) -> bool {
        if self.streams.stdout.flooded() || self.streams.stderr.flooded() {
            self.ending = Some(Ending::Flooded);
            return true;
        }
        if let Some((exit, since)) = self.root_exit {
            self.ending = Some(Ending::Ended(exit));
            let nobody = if self.traced() {
                self.threads.is_empty() && self.early.is_empty()
            } else {
                process_files::children(self.started.guardian.as_raw()).is_empty()
            };
            return nobody || since.elapsed() > GRACE;
        }
        if self.begin.elapsed() > self.launch.deadline {
            self.diagnose(false);
            self.ending = Some(Ending::Deadline);
            return true;
        }
        self.launch.watch.early_hang && self.deadlocked()
    }

    /// Nothing has happened between two looks, and nothing can.
    fn deadlocked(&mut self) -> bool {
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

    fn diagnose(&mut self, proven: bool) {
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

    /// Takes every stop and end that is waiting, and handles each.
    fn reap_and_step(&mut self) {
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes the status it is given room for.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
            if pid <= 0 {
                break;
            }
            self.activity += 1;
            if pid == self.started.guardian.as_raw() && !libc::WIFSTOPPED(status) {
                // Without its guardian everything in the box is dying too.
                continue;
            }
            self.handle(pid, status);
        }
        if !self.traced() && self.root_exit.is_none() {
            self.untraced_exit();
        }
    }

    /// Without a tracer the guardian tells how the program ended.
    fn untraced_exit(&mut self) {
        use std::io::Read;
        let ready = {
            let mut fds = [PollFd::new(self.started.status.as_fd(), PollFlags::POLLIN)];
            nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO).is_ok_and(|n| n > 0)
        };
        let mut raw = [0; 4];
        if ready && self.started.status.read_exact(&mut raw).is_ok() {
            let status = i32::from_ne_bytes(raw);
            let exit = if libc::WIFEXITED(status) {
                Exit::Code(libc::WEXITSTATUS(status))
            } else {
                Exit::Signal(libc::WTERMSIG(status))
            };
            self.root_ended(exit);
            self.members[0].seen.ended = Some(self.now());
            self.members[0].seen.exit = Some(exit);
        }
    }

    pub(super) fn root_ended(&mut self, exit: Exit) {
        if self.root_exit.is_none() {
            self.root_exit = Some((exit, Instant::now()));
        }
    }

    /// Kills what is left, and proves that nothing is.
    fn finish(mut self, alive: bool) -> Result<Option<Observation>, String> {
        let wall = self.root_exit.map_or_else(|| self.begin.elapsed(), |(_, at)| at.duration_since(self.begin));
        let survivors: Vec<ProcessId> = if self.root_exit.is_some() && self.traced() {
            (1..self.members.len())
                .filter(|n| self.members[*n].seen.ended.is_none())
                .map(|n| ProcessId(n as u32))
                .collect()
        } else {
            Vec::new()
        };
        let left = super::workdir_unless_here(self.launch, &self.started.work);
        self.kill_all();
        self.streams.stdout.take(self.begin);
        self.streams.stderr.take(self.begin);
        if let Some(text) = self.started.trouble() {
            return Err(text);
        }
        if !alive {
            return Ok(None);
        }
        let now = self.now();
        for member in &mut self.members {
            if member.seen.ended.is_none() {
                member.seen.killed = true;
                member.seen.ended = Some(now);
            }
        }
        let cpu = self.members.iter().map(|m| m.seen.cpu).sum();
        let processes: Vec<Process> = self.members.into_iter().map(|m| m.seen).collect();
        Ok(Some(Observation {
            ending: self.ending.unwrap_or(Ending::Deadline),
            stdout: self.streams.stdout.into_output(),
            stderr: self.streams.stderr.into_output(),
            processes,
            events: self.events,
            objects: self.registry.into_objects(),
            files: left,
            survivors,
            hang: self.hang,
            fifo_bytes: self.actions.fifo_bytes(),
            actions_done: self.actions.done(),
            faults_hit: self.faults.hits(),
            wall,
            cpu,
            tracing: self.tracing,
            rung: self.rung,
            over_limit: None,
            truncated: self.truncated,
        }))
    }

    fn kill_all(&mut self) {
        let guardian = self.started.guardian;
        let kill = |pid: i32| {
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        };
        let namespaced = self.rung == Rung::F && !self.launch.here;
        loop {
            if !namespaced {
                for tid in self.threads.keys().chain(self.early.keys()) {
                    kill(*tid);
                }
                for pid in process_files::descendants(guardian.as_raw()) {
                    kill(pid);
                }
            }
            if namespaced || process_files::children(guardian.as_raw()).is_empty() {
                kill(guardian.as_raw());
            }
            let mut status = 0;
            // SAFETY: waitpid writes the status it is given room for.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
            if pid < 0 && Errno::last() == Errno::ECHILD {
                break;
            }
            if pid > 0 {
                if libc::WIFSTOPPED(status) {
                    // The last stop of a dying thread.
                    let _ = super::ptrace::go_on(pid, 0);
                } else {
                    self.threads.remove(&pid);
                    self.early.remove(&pid);
                }
                continue;
            }
            let _ = ppoll(&mut [], Some(TimeSpec::from(Duration::from_millis(5))), Some(SigSet::empty()));
        }
    }
}
