//! One launch from the supervisor's side: an event loop over stops of the program's threads, its streams and time.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use super::actions::Actions;
use super::boxes::{Started, Trouble};
use super::forks::Forks;
use super::holds::Holds;
use super::interfere::Faults;
use super::processors::{OneProcessor, Turns};
use super::starved::{Waiting, own_delay};
use super::streams::Streams;
use super::tracee::{Member, Thread};
use super::usage::Usage;
use crate::hang::Hang;
use crate::objects::Registry;
use crate::observation::{
    Access, Descriptor, Descriptors, Ending, Event, Exit, ObjectKind, Observation, ProcessId, Stack, Tracing, What,
};
use crate::plan::{Launch, Rung};
use crate::process_files;
use crate::symbols::Images;
use crate::waits;

/// How often a quiet launch is looked at for a deadlock.
pub(super) const GLANCE: Duration = Duration::from_millis(20);
/// How often held processes are looked at.
const HOLD_GLANCE: Duration = Duration::from_micros(500);
/// What is left of a program gets this long after its end.
const GRACE: Duration = Duration::from_millis(150);
/// A look-up of a source line that takes longer than this has read debug information for the first time.
const LOOK_UP: Duration = Duration::from_micros(200);
/// A program that was refused this often for the sake of a limit does not come to terms with it.
const REFUSALS: u32 = 100;
/// Events kept.
const EVENTS: usize = 200_000;
/// The same of a program that had to be stopped: one that asks again and again for what does not come makes as many as
/// there is time for, and all alike.
pub(super) const EVENTS_OF_STOPPED: usize = 20_000;

/// Bytes of transfers kept, over all events.
const TRANSFER_BYTES: usize = 32 << 20;
/// Bytes of paths kept, over all events.
const NAME_BYTES: usize = 16 << 20;
/// The same of a program that had to be stopped.
const NAME_BYTES_OF_STOPPED: usize = 1 << 20;

/// All that is known of a launch under way.
pub(super) struct Run<'a> {
    pub(super) launch: &'a Launch,
    pub(super) program: &'a File,
    pub(super) images: &'a mut Images,
    pub(super) started: Started<'a>,
    pub(super) streams: Streams,
    pub(super) tracing: Tracing,
    pub(super) rung: Rung,
    /// The program's start, later by whatever time is not the program's.
    pub(super) begin: Instant,
    /// The deadline.
    pub(super) killed_at: Option<Instant>,
    /// What it was put off by.
    pub(super) starved: Duration,
    /// When its clock stood still, and for how long.
    pub(super) left_out: Vec<(Duration, Duration)>,
    /// The supervisor's own waiting for a processor when the launch began.
    pub(super) delay_before: Duration,
    pub(super) waiting: Waiting,
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
    /// Bytes of transfers that may still be kept with events.
    pub(super) room: usize,
    /// Bytes of paths kept with events.
    pub(super) names: Cell<usize>,
    /// So many events come before there are too many of those for a program that has to be stopped.
    pub(super) well_named: usize,
    /// Counts stops and bytes: a launch in which it stays the same is quiet.
    pub(super) activity: u64,
    pub(super) root_exit: Option<(Exit, Instant)>,
    pub(super) ending: Option<Ending>,
    pub(super) hang: Option<Hang>,
    pub(super) glanced: Option<(u64, waits::Look)>,
    pub(super) quiet_since: Option<(u64, Instant)>,
    pub(super) descendants: Vec<i32>,
    pub(super) usage: Usage<'a>,
    /// What an untraced program asks before it forks.
    pub(super) forks: Option<Forks>,
    /// Calls that the kernel has refused for the sake of a limit.
    pub(super) refusals: u32,
    /// Descriptor tables may change by what is not seen: they are shared between processes, or a ring works on them.
    pub(super) tables_uncertain: bool,
    /// Where this one and the program are, as long as they take turns.
    pub(super) together: Option<OneProcessor>,
    pub(super) turns: Turns,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        launch: &'a Launch,
        program: &'a File,
        images: &'a mut Images,
        started: Started<'a>,
        streams: Streams,
        (tracing, together): (Tracing, Option<OneProcessor>),
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
        let usage = Usage::new(launch.limits, rung, &started.work, started.group);
        let pid = started.program.as_raw();
        let inner = process_files::inner_pid(pid).unwrap_or(pid);
        let root = Member::new((pid, inner), None, Duration::ZERO, table);
        Run {
            launch,
            program,
            images,
            started,
            streams,
            tracing,
            rung,
            begin,
            killed_at: None,
            starved: Duration::ZERO,
            left_out: Vec::new(),
            delay_before: own_delay(),
            waiting: Waiting::default(),
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
            room: TRANSFER_BYTES,
            names: Cell::default(),
            well_named: 0,
            activity: 0,
            root_exit: None,
            ending: None,
            hang: None,
            glanced: None,
            quiet_since: None,
            descendants: Vec::new(),
            usage,
            forks: None,
            refusals: 0,
            tables_uncertain: false,
            together,
            turns: Turns::default(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Debug information was read for this long while the program was stopped: its clock did not run. The few
    /// microseconds of an ordinary look-up are not worth the jump.
    pub(super) fn leave_out(&mut self, took: Duration) {
        if took > LOOK_UP {
            self.begin += took;
            self.left_out.push((self.now(), took));
        }
    }

    pub(super) fn traced(&self) -> bool {
        self.tracing == Tracing::On
    }

    /// Adds an event and returns its index, unless there are too many.
    pub(super) fn record(&mut self, process: ProcessId, thread: i32, what: What) -> Option<usize> {
        if self.events.len() >= EVENTS || self.names.get() > NAME_BYTES {
            self.truncated = true;
            return None;
        }
        if self.names.get() <= NAME_BYTES_OF_STOPPED {
            self.well_named = self.events.len() + 1;
        }
        let at = self.now();
        let startup = !self.members[process.0 as usize].main_began;
        self.events.push(Event {
            at,
            until: at,
            process,
            thread,
            startup,
            source: None,
            stack: Stack::default(),
            pages: Vec::new(),
            what,
        });
        Some(self.events.len() - 1)
    }

    /// Runs the launch to its end. `lifeline` is the harness: if it goes away, so does the launch (and `None` is
    /// returned).
    pub(super) fn complete(mut self, lifeline: BorrowedFd<'_>) -> Result<Option<Observation>, Trouble> {
        if self.traced() {
            let tid = self.started.program.as_raw();
            self.threads.insert(tid, Thread::new(ProcessId(0)));
        }
        self.begin = Instant::now();
        self.killed_at = self.begin.checked_add(self.launch.deadline);
        self.started.release().map_err(|e| format!("the box: {e}"))?;
        self.forks = self.started.forks();
        if !self.traced() {
            self.part();
        }
        self.streams.feed();
        let alive = loop {
            self.reap_and_step();
            self.answer_forks();
            self.streams.stdout.take(self.begin);
            self.streams.stderr.take(self.begin);
            self.step_actions();
            self.step_holds();
            self.look_at_usage();
            self.look_who_waits();
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
        fds.extend(self.forks.iter().map(|forks| PollFd::new(forks.as_fd(), PollFlags::POLLIN)));
        if !self.traced() && self.root_exit.is_none() {
            fds.push(PollFd::new(self.started.status.as_fd(), PollFlags::POLLIN));
        }
        let pause = if self.holds.any() { HOLD_GLANCE } else { GLANCE };
        // SIGCHLD is blocked except while waiting here, so that none is missed between looking and waiting.
        let outcome = ppoll(&mut fds, Some(TimeSpec::from(pause)), Some(SigSet::empty()));
        let quiet = outcome == Ok(0);
        let gone = fds[0].revents().is_some_and(|r| !r.is_empty());
        drop(fds);
        if quiet && !self.holds.any() {
            // Somebody computes, and that is no turn of a conversation.
            self.part();
        }
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
            return nobody || since.elapsed() > GRACE || self.usage.over().is_some();
        }
        if self.usage.over().is_some() || self.refusals > REFUSALS {
            self.ending = Some(Ending::OverLimit);
            return true;
        }
        if self.killed_at.is_some_and(|at| Instant::now() > at) {
            self.put_off();
        }
        if self.killed_at.is_some_and(|at| Instant::now() > at) {
            if self.streams.stdout.pours() || self.streams.stderr.pours() {
                self.ending = Some(Ending::Flooded);
            } else {
                self.diagnose(false);
                self.ending = Some(Ending::Deadline);
            }
            return true;
        }
        let stuck = self.launch.watch.early_hang && self.deadlocked();
        if stuck && self.is_over_limit() {
            self.ending = Some(Ending::OverLimit);
        }
        stuck
    }

    /// A last look: a program that has taken too much may come to stand still before the next one is due.
    fn is_over_limit(&mut self) -> bool {
        if !self.launch.here {
            let living = self.living();
            self.usage.look(&living, &self.started.work);
        }
        self.usage.over().is_some()
    }

    /// Its threads, each with its process.
    pub(super) fn tasks(&mut self) -> Vec<(i32, i32)> {
        let threads = |pid: i32| process_files::threads(pid).into_iter().map(move |tid| (pid, tid));
        self.living().into_iter().flat_map(threads).collect()
    }

    /// What no limit of the kernel's keeps within bounds.
    fn look_at_usage(&mut self) {
        if self.usage.due() && !self.launch.here {
            let living = self.living();
            self.usage.look(&living, &self.started.work);
        }
    }

    /// Takes every stop and end that is waiting, and handles each. A program that never lets the queue run empty does
    /// not keep the loop from looking at the time.
    fn reap_and_step(&mut self) {
        let until = Instant::now() + GLANCE / 4;
        let mut ticking = None;
        while Instant::now() < until {
            let mut status = 0;
            let options = if ticking.is_some() { libc::__WALL } else { libc::__WALL | libc::WNOHANG };
            // SAFETY: waitpid writes the status it is given room for.
            let pid = unsafe { libc::waitpid(-1, &mut status, options) };
            if pid <= 0 {
                break;
            }
            // A call that is watched stops twice, and seldom comes alone: to wait for the next stop costs a third of
            // going round by way of everything else.
            if ticking.is_none() && self.traced() && !self.holds.any() {
                ticking = Some(Ticking::start());
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
}

/// While it lives, SIGALRM interrupts every wait that lasts.
struct Ticking;

impl Ticking {
    fn start() -> Ticking {
        const TICK: i64 = 1000;
        Ticking::every(TICK);
        Ticking
    }

    fn every(microseconds: i64) {
        let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: the kernel only reads the structure; the signal's handler does nothing.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        Ticking::every(0);
    }
}
