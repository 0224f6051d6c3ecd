//! The waits that depend on several at once, in words: children, locks, futexes, polls; and what the others do
//! meanwhile.

use super::graph::{Polled, Wait, Which};
use super::lines::Place;
use super::look::{Kind, Snapshot, Task};
use super::proof;
use super::tell::{Teller, Told, rank};
use super::words::{self, Awaited};
use crate::memory;
use crate::process_files;

/// Others named in one explanation, at most.
const NAMED: usize = 8;

impl Teller<'_> {
    /// What a process does, in a clause: that of its first thread.
    pub(super) fn does(&mut self, pid: i32) -> Option<String> {
        let look = self.look;
        let process = look.process(pid)?;
        let task = process.tasks.first()?;
        let wait = self.wait(process, task);
        self.clause(process, &wait)
    }

    fn clause(&mut self, process: &Snapshot, wait: &Wait) -> Option<String> {
        let pid = process.pid;
        Some(match wait {
            Wait::Alive | Wait::Running => "is running".into(),
            Wait::Hidden => return None,
            Wait::Read(fd) => format!("waits to read {} (fd {fd})", self.label(pid, *fd)),
            Wait::Write(fd) => format!("waits to write to {} (fd {fd})", self.label(pid, *fd)),
            Wait::Connect(fd) => format!("waits to connect {} (fd {fd})", self.label(pid, *fd)),
            Wait::OpenFifo { path, writing, .. } => {
                format!("waits to open FIFO {} for {}", path.display(), if *writing { "writing" } else { "reading" })
            }
            Wait::Child(which) => match self.meant(process, *which).as_slice() {
                [one] => format!("waits for {} to end", self.names.who(*one)),
                _ => "waits for its children to end".into(),
            },
            Wait::Vfork => "waits in vfork()".into(),
            Wait::Futex(_) => "waits on a futex".into(),
            Wait::Poll(_) => "waits in a poll".into(),
            Wait::Lock(fd) => format!("waits for a lock on {}", self.label(pid, *fd)),
            Wait::Signal(_) => "waits for a signal".into(),
            Wait::Stopped => "is stopped".into(),
            Wait::Queue(what) => format!("waits for {what}"),
            Wait::Page => "waits for a missing page".into(),
            Wait::Completion(ring) => format!("waits for {} (fd {ring})", self.label(pid, *ring)),
            Wait::Timed(what, seconds) => words::timed(what, *seconds, false),
        })
    }

    /// What everybody else does.
    pub(super) fn others(&mut self, told: &mut Told, process: &Snapshot) {
        let pids: Vec<i32> = self.look.processes.iter().map(|p| p.pid).filter(|p| *p != process.pid).collect();
        if pids.is_empty() && process.tasks.len() == 1 {
            told.waiter.because.push("there is nobody else in the program".into());
        }
        for pid in pids.into_iter().take(NAMED) {
            if let Some(does) = self.does(pid) {
                let who = self.names.who(pid);
                told.waiter.because.push(format!("{who} {does}"));
            }
        }
    }

    fn meant(&self, process: &Snapshot, which: Which) -> Vec<i32> {
        let living = process.children.iter().filter_map(|c| self.look.process(*c));
        living
            .filter(|c| match which {
                Which::Any => true,
                Which::Inner(pid) => pid == c.inner,
                Which::Outer(pid) => pid == c.pid,
            })
            .map(|c| c.pid)
            .collect()
    }

    pub(super) fn child(&mut self, told: &mut Told, process: &Snapshot, which: Which) {
        let children = self.meant(process, which);
        self.ends(told, "waits", children);
    }

    /// Waits for the end of any of these.
    fn ends(&mut self, told: &mut Told, waits: &str, children: Vec<i32>) {
        (told.kind, told.rank) = ("waits-for-child", rank::CONSEQUENCE);
        told.on.extend(&children);
        let names: Vec<String> = children.iter().map(|c| self.names.who(*c)).collect();
        told.waiter.waits = match names.as_slice() {
            [] => format!("{waits} for a child"),
            [one] => format!("{waits} for {one} to end"),
            _ => format!("{waits} for one of {} to end", names.join(", ")),
        };
        for (pid, name) in children.into_iter().zip(names).take(NAMED) {
            let does = self.does(pid).map(|d| format!(": it {d}")).unwrap_or_default();
            told.waiter.because.push(format!("{name} does not end{does}"));
        }
    }

    /// A fault that somebody is to serve.
    pub(super) fn page(&mut self, told: &mut Told, process: &Snapshot, task: &Task) {
        told.kind = "missing-page";
        told.waiter.waits = "waits for a page of its memory, which is missing".into();
        let serving: Vec<(i32, i32)> =
            self.tables.all().filter(|(_, _, open)| open.kind == Kind::Faults).map(|(pid, fd, _)| (pid, fd)).collect();
        if process.tasks.len() == 1 && serving.iter().all(|(pid, _)| *pid == process.pid) {
            told.rank = rank::OWN;
        }
        for (pid, fd) in serving.into_iter().take(NAMED) {
            let end = match words::unread_faults(pid, fd) {
                0 => "tells of the fault, and was read, but nobody brings the page",
                _ => "tells of the fault, and nobody reads it",
            };
            let sentence = format!("{} (fd {fd}) {end}", self.label(pid, fd));
            told.waiter.because.push(sentence);
            self.blame(told, pid, fd);
        }
        self.siblings(told, process, task);
        self.others(told, process);
    }

    pub(super) fn lock(&mut self, told: &mut Told, process: &Snapshot, fd: i32) {
        told.kind = "file-lock";
        let call = told.waiter.call.clone().unwrap_or_else(|| "flock".into());
        let label = self.label(process.pid, fd);
        told.waiter.object = self.object(process.pid, fd).map(|(id, _)| id);
        told.waiter.waits = format!("waits in {call}() for a lock on {label} (fd {fd})");
        for (pid, held) in proof::lock_holders(self.tables, process.pid, fd) {
            let who = self.names.who(pid);
            let sentence = if pid == process.pid {
                told.rank = rank::OWN;
                format!("{label} is locked by {who} itself, through fd {held}")
            } else {
                let does = self.does(pid).map(|d| format!(", and {who} {d}")).unwrap_or_default();
                format!("{label} is locked by {who}, through fd {held}{does}")
            };
            told.on.extend((pid != process.pid).then_some(pid));
            told.waiter.because.push(sentence);
            self.blame(told, pid, held);
        }
    }

    pub(super) fn poll(&mut self, told: &mut Told, process: &Snapshot, list: &[Polled]) {
        let call = told.waiter.call.clone().unwrap_or_else(|| "poll".into());
        if list.is_empty() {
            (told.kind, told.rank) = ("signal-never-comes", rank::IDLE);
            told.waiter.waits = format!("waits in {call}() for nothing but a signal");
            self.others(told, process);
            return;
        }
        let process_of = |p: &Polled| match self.tables.get(process.pid, p.fd)?.kind {
            Kind::Process(pid) => Some(pid),
            _ => None,
        };
        if let Some(children) = list.iter().map(process_of).collect() {
            self.ends(told, &format!("waits in {call}(), without a time limit,"), children);
            return;
        }
        let named: Vec<String> =
            list.iter().take(NAMED).map(|p| format!("{} (fd {})", self.label(process.pid, p.fd), p.fd)).collect();
        told.waiter.waits = format!("waits in {call}(), without a time limit, on {}", named.join(", "));
        told.waiter.object = list.first().and_then(|p| self.object(process.pid, p.fd)).map(|(id, _)| id);
        for polled in list {
            self.polled(told, process, *polled);
        }
        if told.waiter.because.is_empty() {
            self.others(told, process);
        }
    }

    fn polled(&mut self, told: &mut Told, process: &Snapshot, polled: Polled) {
        let Some(open) = self.tables.get(process.pid, polled.fd).cloned() else { return };
        let label = self.label(process.pid, polled.fd);
        match open.kind {
            Kind::Pipe if self.around.serves(open.identity, polled.read) => {
                told.waiter.because.push(format!("{label} is still open at its other end, outside the program"));
            }
            Kind::Pipe if polled.read => {
                told.kind = "end-of-file-never-comes";
                let holders = self.tables.holders(open.identity, true);
                self.holders(told, process, &format!("{label}'s write end"), &holders);
                self.unwritten(told);
            }
            Kind::Pipe => {
                told.kind = "pipe-full";
                let holders = self.tables.holders(open.identity, false);
                self.holders(told, process, &format!("{label}'s read end"), &holders);
            }
            Kind::Socket => {
                let whole = told.waiter.object;
                told.waiter.object = self.object(process.pid, polled.fd).map(|(id, _)| id);
                self.socket(told, process);
                told.waiter.object = whole;
            }
            kind => told.waiter.because.push(format!("{label} (fd {}): {}", polled.fd, words::nobody_brings(&kind))),
        }
    }

    pub(super) fn futex(&mut self, told: &mut Told, process: &Snapshot, task: &Task, address: u64, place: &Place) {
        told.kind = "futex";
        if let Some(joined) = joined(process, task, address) {
            self.join(told, process, task, joined);
            return;
        }
        if matches!(words::awaited(&place.functions), Awaited::Idle(_)) {
            told.rank = rank::IDLE;
        }
        let awaited = words::awaited(&place.functions);
        let value = memory::half(task.tid, address).map(|w| format!(", which reads {w}")).unwrap_or_default();
        told.waiter.waits = match awaited {
            Awaited::Unknown => {
                format!("waits on a futex (a lock, condition or semaphore) at {address:#x}{value}")
            }
            known => format!("waits {} (a futex at {address:#x}{value})", known.words()),
        };
        if proof::is_shared(process.door, address) {
            self.shared_futex(told, process, address);
        } else if process.tasks.len() == 1 {
            told.rank = rank::OWN;
            told.waiter.because.push(match awaited {
                Awaited::Lock(_) => {
                    "no other thread is left: it holds the lock itself, or one that ended kept it".into()
                }
                _ => "no other thread is left that could wake it".into(),
            });
            if self.look.processes.len() > 1 {
                told.waiter
                    .because
                    .push("the memory is private: what another process does with its copy is not seen".into());
            }
        } else {
            told.waiter.because.push(match awaited {
                Awaited::Lock(_) => "whoever holds the lock waits as well, or ended without unlocking".into(),
                _ => "nobody who is still running can wake it".into(),
            });
            self.siblings(told, process, task);
        }
    }

    fn join(&mut self, told: &mut Told, process: &Snapshot, task: &Task, joined: &Task) {
        told.rank = if self.joined_in_turn(process, task, joined) { rank::PLAIN } else { rank::CONSEQUENCE };
        let number = words::thread_number(process, joined);
        told.waiter.waits = format!("waits for its thread {number} to end");
        let wait = self.wait(process, joined);
        let does = self.clause(process, &wait).map(|d| format!(": it {d}")).unwrap_or_default();
        told.waiter.because.push(format!("thread {number} does not end{does}"));
    }

    /// Whether the thread that is joined waits, directly or not, for the end of the one that joins it.
    fn joined_in_turn(&self, process: &Snapshot, task: &Task, first: &Task) -> bool {
        let mut next = Some(first);
        for _ in 0..process.tasks.len() {
            let Some(at) = next else { return false };
            if at.tid == task.tid {
                return true;
            }
            next = match self.wait(process, at) {
                Wait::Futex(address) => joined(process, at, address),
                _ => None,
            };
        }
        false
    }

    fn siblings(&mut self, told: &mut Told, process: &Snapshot, task: &Task) {
        for other in process.tasks.iter().filter(|t| t.tid != task.tid).take(NAMED) {
            let wait = self.wait(process, other);
            if let Some(does) = self.clause(process, &wait) {
                let number = words::thread_number(process, other);
                told.waiter.because.push(format!("thread {number} {does}"));
            }
        }
    }

    fn shared_futex(&mut self, told: &mut Told, process: &Snapshot, address: u64) {
        let place = words::mapping(process.door, address);
        told.waiter.object = words::mapped_object(self.events, told.waiter.process, address);
        let sharers: Vec<i32> = self
            .look
            .processes
            .iter()
            .filter(|p| p.pid != process.pid && place.is_some_and(|place| words::maps(p.door, place)))
            .map(|p| p.pid)
            .collect();
        if sharers.is_empty() {
            told.rank = rank::OWN;
            told.waiter.because.push("no other living process has this memory mapped".into());
        }
        told.on.extend(&sharers);
        for pid in sharers.into_iter().take(NAMED) {
            let who = self.names.who(pid);
            let does = self.does(pid).unwrap_or_else(|| "does not wake it".into());
            told.waiter.because.push(format!("{who}, which shares the memory, {does}"));
        }
        told.waiter.because.extend(words::ended_sharers(self.events, told.waiter.object, self.names));
    }
}

/// The thread whose end this futex tells of: its word holds the id of a living thread until then.
fn joined<'a>(process: &'a Snapshot, task: &Task, address: u64) -> Option<&'a Task> {
    // The kernel wakes whoever waits for a thread's end as it would another process; locks within one are private.
    let operation = task.state.call?.1[1] as i32;
    let word = memory::half(task.tid, address).filter(|_| operation & libc::FUTEX_PRIVATE_FLAG == 0)? as i32;
    process.tasks.iter().find(|t| t.tid != task.tid && process_files::inner_pid(t.tid) == Some(word))
}
