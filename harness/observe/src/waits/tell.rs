//! The graph in words: who waits in what on what, who could end it, and why they do not.

use super::graph::{Wait, wait_of};
use super::lines::{Finder, Place};
use super::look::{Kind, Look, Snapshot, Tables, Task, stop_signal};
use super::proof::{self, Surroundings};
use super::words::{self, Naming};
use crate::calls::Sysno;
use crate::hang::{Culprit, Waiter};
use crate::objects::Registry;
use crate::observation::{Event, ObjectId, ProcessId};
use crate::process_files::Times;

/// Descriptors named as culprits of one wait, at most.
const CULPRITS: usize = 16;
/// Who was ready for so many times longer than it ran did not spin: it was kept from running.
const HARDLY: u32 = 50;
/// Less waiting than this is nothing unusual.
const NOTICED: std::time::Duration = std::time::Duration::from_millis(100);

/// Processor time that every program uses before its own part begins.
const BARELY: std::time::Duration = std::time::Duration::from_millis(5);

/// A waiter, and how near it is to the heart of the hang.
pub(super) struct Told {
    pub(super) rank: u8,
    pub(super) kind: &'static str,
    pub(super) waiter: Waiter,
    /// When it began to wait, if that is known.
    pub(super) since: Option<std::time::Duration>,
    /// The process, and those that could end its wait and are alive.
    pub(super) pid: i32,
    pub(super) on: Vec<i32>,
}

impl Told {
    /// Of those that wait for one another in a circle: what is surely a mistake comes before what may be patience, and
    /// what is held through a descriptor made by a known line before the rest.
    pub(super) fn order(&self) -> (u8, bool) {
        let patience = match self.kind {
            "end-of-file-never-comes" => 2,
            "pipe-full" => 1,
            _ => 0,
        };
        (patience, self.waiter.culprits.iter().all(|c| c.made_at.is_none()))
    }
}

/// How near a wait is to the heart of a hang.
pub(super) mod rank {
    /// Somebody stopped it.
    pub(in super::super) const STOPPED: u8 = 0;
    /// It waits for what only it could bring.
    pub(in super::super) const OWN: u8 = 1;
    /// It runs, and comes to no end.
    pub(in super::super) const SPINNING: u8 = 2;
    /// It waits for what others hold.
    pub(in super::super) const PLAIN: u8 = 3;
    /// It waits for what others hold who wait for something else.
    pub(in super::super) const BEHIND: u8 = 4;
    /// It waits for a signal, as those do who have nothing to do.
    pub(in super::super) const IDLE: u8 = 5;
    /// It sleeps.
    pub(in super::super) const SLEEPING: u8 = 6;
    /// It waits for another to end; the other is the cause.
    pub(in super::super) const CONSEQUENCE: u8 = 7;
    /// It does something.
    pub(in super::super) const RUNNING: u8 = 8;
}

/// All that an explanation is made from.
pub(super) struct Teller<'a> {
    pub(super) look: &'a Look,
    pub(super) tables: &'a Tables,
    pub(super) around: &'a Surroundings,
    pub(super) events: &'a [Event],
    /// Every read and write is among the events.
    pub(super) transfers: bool,
    pub(super) now: std::time::Duration,
    /// Nobody runs, and nobody ever will.
    pub(super) proven: bool,
    pub(super) names: &'a Naming<'a>,
    pub(super) registry: &'a mut Registry,
}

impl Teller<'_> {
    pub(super) fn wait(&self, process: &Snapshot, task: &Task) -> Wait {
        wait_of(process, task, self.tables, proof::resumed(self.events, task))
    }

    pub(super) fn object(&mut self, pid: i32, fd: i32) -> Option<(ObjectId, String)> {
        let door = self.look.process(pid).map_or(pid, |p| p.door);
        let id = self.registry.named(door, fd)?;
        Some((id, self.registry.get(id).label.clone()))
    }

    pub(super) fn label(&mut self, pid: i32, fd: i32) -> String {
        self.object(pid, fd).map_or_else(|| format!("fd {fd}"), |(_, label)| label)
    }

    /// Tells of one thread.
    pub(super) fn tell(&mut self, process: &Snapshot, task: &Task, finder: &mut Finder<'_>) -> Told {
        let place = finder.place(process, task);
        let wait = self.wait(process, task);
        let call = task.state.call.map(|(number, _)| Sysno(number).name().to_owned()).filter(|n| n != "?");
        let mut told = Told {
            rank: rank::PLAIN,
            kind: "waiting",
            since: place.since,
            pid: process.pid,
            on: Vec::new(),
            waiter: Waiter {
                process: (self.names.index)(process.pid).unwrap_or(ProcessId(u32::MAX)),
                pid: process.inner,
                waits: String::new(),
                because: Vec::new(),
                object: None,
                call,
                source: place.line.clone(),
                spinning: false,
                since_ms: place.since.map_or(0, |at| self.now.saturating_sub(at).as_millis() as u64),
                culprits: Vec::new(),
            },
        };
        if !self.proven
            && let Some(calls) = words::busy(self.events, task.tid, self.now)
            && !matches!(wait, Wait::Timed(..) | Wait::Stopped)
        {
            self.spins(&mut told, task, Some(calls));
        } else if let Some(sleep) = words::last_sleep(self.events, task.tid)
            && matches!(wait, Wait::Running | Wait::Alive)
        {
            (told.kind, told.rank) = ("sleeping", rank::SLEEPING);
            told.waiter.source = sleep.source.clone();
            told.waiter.waits = "sleeps again and again, and looks for something in between".into();
        } else {
            self.tell_wait(&mut told, process, task, &wait, &place);
        }
        if process.tasks.len() > 1 {
            told.waiter.waits.push_str(&words::thread(process, task));
        }
        told
    }

    fn tell_wait(&mut self, told: &mut Told, process: &Snapshot, task: &Task, wait: &Wait, place: &Place) {
        match wait {
            Wait::Running => self.runs(told, process, task),
            Wait::Read(fd) => self.read(told, process, *fd),
            Wait::Write(fd) => self.write(told, process, *fd),
            Wait::Connect(fd) => {
                let label = self.label(process.pid, *fd);
                told.waiter.object = self.object(process.pid, *fd).map(|(id, _)| id);
                told.waiter.waits = format!("waits in connect() of {label} (fd {fd})");
                told.waiter.because.push("nobody accepts those who wait to be connected already".into());
                self.others(told, process);
            }
            Wait::OpenFifo { path, seen, writing } => {
                told.kind = "fifo-no-peer";
                let (own, peer) = if *writing { ("writing", "reading") } else { ("reading", "writing") };
                told.waiter.object = words::fifo(self.registry, path, seen);
                told.waiter.waits = format!("waits in open() of FIFO {} for {own}", path.display());
                told.waiter.because.push(format!("nobody opens it for {peer}"));
                self.others(told, process);
            }
            Wait::Child(which) => self.child(told, process, *which),
            Wait::Vfork => {
                told.kind = "waits-for-child";
                told.rank = rank::CONSEQUENCE;
                told.waiter.waits = "waits in vfork() until its child ends or becomes another program".into();
                told.on.extend(&process.children);
                self.others(told, process);
            }
            Wait::Futex(address) => self.futex(told, process, task, *address, place),
            Wait::Poll(list) => self.poll(told, process, list),
            Wait::Lock(fd) => self.lock(told, process, *fd),
            Wait::Signal(set) => {
                (told.kind, told.rank) = ("signal-never-comes", rank::IDLE);
                told.waiter.waits = format!("waits for {}", words::signals(*set));
                let why_not = words::blocked(process, task).unwrap_or_else(|| "nobody sends one".into());
                told.waiter.because.push(why_not);
                told.waiter.because.extend(words::ignored(process.pid, *set));
                told.waiter.because.extend(words::came_before(self.events, told.waiter.process, place.since));
                self.others(told, process);
            }
            Wait::Stopped => {
                (told.kind, told.rank) = ("stopped", rank::STOPPED);
                told.waiter.waits =
                    format!("is stopped{} until somebody sends SIGCONT", words::stopped_by(stop_signal(process.pid)));
                told.waiter.because.push("nobody sends SIGCONT".into());
            }
            Wait::Queue(what) => {
                told.waiter.waits = format!("waits for {what}");
                told.waiter.because.push("nobody who is still running can bring it".into());
                self.others(told, process);
            }
            Wait::Page => self.page(told, process, task),
            Wait::Completion(ring) => {
                let label = self.label(process.pid, *ring);
                told.waiter.waits = format!("waits for completions of {label} (fd {ring})");
                told.waiter
                    .because
                    .push("what it asked for through the ring is no system call: it cannot be seen".into());
                self.others(told, process);
            }
            Wait::Timed(what, seconds) => {
                (told.kind, told.rank) = ("sleeping", rank::SLEEPING);
                told.waiter.waits = words::timed(what, *seconds, words::last_sleep(self.events, task.tid).is_some());
            }
            Wait::Hidden => {
                (told.kind, told.rank) = ("waiting", rank::CONSEQUENCE);
                told.waiter.waits = "waits, for what may not be looked at: no permission".into();
            }
            Wait::Alive => goes_on(told),
        }
    }

    fn runs(&self, told: &mut Told, process: &Snapshot, task: &Task) {
        let Times { cpu: got, delay: waited } = Times::of(process.pid, task.tid);
        // One that has hardly had the processor only waits its turn on a busy machine.
        if waited > NOTICED && waited > got * HARDLY {
            let (got, waited) = (got.as_secs_f64(), waited.as_secs_f64());
            (told.kind, told.rank) = ("starved", rank::RUNNING);
            told.waiter.waits = "is ready to run, and the machine hardly lets it".into();
            told.waiter.because.push(format!(
                "it got {got:.2} s of processor time and waited {waited:.1} s for more: try again with less load"
            ));
        } else if task.state.cpu > BARELY {
            self.spins(told, task, None);
        } else {
            goes_on(told);
        }
    }

    fn spins(&self, told: &mut Told, task: &Task, calls: Option<(usize, &'static str)>) {
        let used = task.state.cpu;
        (told.kind, told.rank) = ("spinning", rank::SPINNING);
        told.waiter.spinning = true;
        told.waiter.since_ms = 0;
        told.waiter.waits = "uses the processor and waits for nothing".into();
        if let Some((count, call)) = calls {
            told.waiter.waits = format!("calls {call}() again and again ({count} times in the last half second)");
        }
        let used = used.as_secs_f64();
        told.waiter.because.push(format!("it has used {used:.2} s of processor time: a loop that never blocks"));
    }

    fn read(&mut self, told: &mut Told, process: &Snapshot, fd: i32) {
        let pid = process.pid;
        let label = self.label(pid, fd);
        told.waiter.object = self.object(pid, fd).map(|(id, _)| id);
        let call = told.waiter.call.clone().unwrap_or_else(|| "read".into());
        let Some(open) = self.tables.get(pid, fd).cloned() else {
            told.waiter.waits = format!("waits in {call}() on fd {fd}");
            return;
        };
        let what = words::brought_by(&open.kind, &call);
        told.waiter.waits = format!("waits in {call}() on {label} (fd {fd}) for {what}");
        match open.kind {
            Kind::Pipe if self.around.serves(open.identity, true) => {
                told.waiter.because.push(format!("{label} is still open at its other end, outside the program"));
            }
            Kind::Pipe => {
                told.kind = "end-of-file-never-comes";
                let holders = self.tables.holders(open.identity, true);
                self.holders(told, process, &format!("{label}'s write end"), &holders);
                self.unwritten(told);
            }
            Kind::Socket if call.starts_with("accept") => {
                told.waiter.because.push("nobody connects".into());
                self.others(told, process);
            }
            Kind::Socket => self.socket(told, process),
            Kind::Event | Kind::Signal | Kind::Timer(_) | Kind::Changes | Kind::Faults => {
                match open.kind {
                    Kind::Signal => (told.kind, told.rank) = ("signal-never-comes", rank::IDLE),
                    // Whoever waits for the page is the heart.
                    Kind::Faults => told.rank = rank::IDLE,
                    _ => {}
                }
                told.waiter.because.push(words::nobody_brings(&open.kind).into());
                self.others(told, process);
            }
            _ => {}
        }
    }

    fn write(&mut self, told: &mut Told, process: &Snapshot, fd: i32) {
        let label = self.label(process.pid, fd);
        told.waiter.object = self.object(process.pid, fd).map(|(id, _)| id);
        told.kind = "pipe-full";
        let call = told.waiter.call.clone().unwrap_or_else(|| "write".into());
        told.waiter.waits = format!("waits in {call}() on {label} (fd {fd}), which is full");
        let Some(open) = self.tables.get(process.pid, fd).cloned() else { return };
        match open.kind {
            Kind::Pipe if self.around.serves(open.identity, false) => {
                told.waiter.because.push(format!("{label} is still open at its other end, outside the program"));
            }
            Kind::Pipe => {
                let holders = self.tables.holders(open.identity, false);
                self.holders(told, process, &format!("{label}'s read end"), &holders);
            }
            Kind::Socket => self.socket(told, process),
            _ => self.others(told, process),
        }
    }

    /// Who holds the end that matters: the waiter itself first, as that is the surest mistake.
    pub(super) fn holders(&mut self, told: &mut Told, process: &Snapshot, end: &str, holders: &[(i32, i32)]) {
        let (own, others): (Vec<_>, Vec<_>) = holders.iter().partition(|(pid, _)| *pid == process.pid);
        if !own.is_empty() {
            told.rank = rank::OWN;
        }
        told.on.extend(others.iter().map(|(pid, _)| *pid));
        if holders.is_empty() {
            let nowhere =
                "is open in no process of the program: it may be on its way through a socket, or held outside";
            told.waiter.because.push(format!("{end} {nowhere}"));
        }
        for (pid, fd) in own.iter().chain(&others).take(CULPRITS) {
            let who = self.names.who(*pid);
            let sentence = if *pid == process.pid {
                format!("{end} is still open in {who} itself, as fd {fd}")
            } else {
                let does = self.does(*pid).map(|d| format!(", and {who} {d}")).unwrap_or_default();
                format!("{end} is still open in {who}, as fd {fd}{does}")
            };
            told.waiter.because.push(sentence);
            self.blame(told, *pid, *fd);
        }
    }

    pub(super) fn blame(&self, told: &mut Told, pid: i32, fd: i32) {
        if let Some(process) = (self.names.index)(pid) {
            let made_at = words::made_at(self.events, process, fd, told.waiter.object);
            told.waiter.culprits.push(Culprit { process, fd, made_at });
        }
    }

    pub(super) fn unwritten(&self, told: &mut Told) {
        if let Some(object) = told.waiter.object
            && self.transfers
            && !words::ever_written(self.events, object)
        {
            told.waiter
                .because
                .push("nobody has ever written to it: the bytes may still lie in a buffer that was not flushed".into());
        }
    }

    /// Who holds the other socket of a pair that the program made.
    pub(super) fn socket(&mut self, told: &mut Told, process: &Snapshot) {
        if told.kind != "pipe-full" {
            told.kind = "end-of-file-never-comes";
        }
        let peer = told.waiter.object.and_then(|o| words::peer(self.events, o));
        let Some(peer) = peer else {
            told.kind = "waiting";
            told.waiter.because.push("nobody at its other end does anything".into());
            self.others(told, process);
            return;
        };
        let identity = self.registry.get(peer).identity;
        let holders = self.tables.holders(identity, true);
        let end = format!("{}, its other end,", self.registry.get(peer).label);
        self.holders(told, process, &end, &holders);
    }
}

fn goes_on(told: &mut Told) {
    (told.kind, told.rank) = ("running", rank::RUNNING);
    told.waiter.waits = match &told.waiter.call {
        Some(call) => format!("is in {call}()"),
        None => "is running".into(),
    };
}
