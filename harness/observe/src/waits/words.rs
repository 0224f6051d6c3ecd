//! Small pieces of an explanation: names, signals, and what the trace knows of the past.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use super::look::{Kind, Snapshot, Task};
use crate::calls::{Call, Sysno};
use crate::objects::Registry;
use crate::observation::{Disposition, Event, Exit, ObjectId, ObjectKind, ProcessId, SourceLine, What};
use crate::process_files;

/// How processes are called.
pub(super) struct Naming<'a> {
    /// The index of a process in the observation, by its id outside the box.
    pub(super) index: &'a dyn Fn(i32) -> Option<ProcessId>,
    /// How many processes there have been.
    pub(super) born: usize,
    /// What their user calls them, by index; empty where they are called by their places in the family.
    pub(super) known: &'a [String],
}

impl Naming<'_> {
    pub(super) fn who(&self, pid: i32) -> String {
        (self.index)(pid).map_or_else(|| format!("process {pid}"), |id| self.of(id))
    }

    /// As [`crate::Observation::name_of`] calls it.
    pub(super) fn of(&self, id: ProcessId) -> String {
        if let Some(name) = self.known.get(id.0 as usize) {
            return name.clone();
        }
        match (id.0, self.born.saturating_sub(1)) {
            (u32::MAX, _) => "a process".into(),
            (0, 0) => "the program".into(),
            (0, _) => "the parent".into(),
            (_, 1) => "the child".into(),
            (n, _) => format!("child {n}"),
        }
    }
}

/// The thread's place among the threads of its process, from 1 for the first.
pub(super) fn thread_number(process: &Snapshot, task: &Task) -> usize {
    let mut tids: Vec<i32> = process.tasks.iter().map(|t| t.tid).collect();
    tids.sort_unstable();
    tids.iter().position(|t| *t == task.tid).unwrap_or(0) + 1
}

pub(super) fn thread(process: &Snapshot, task: &Task) -> String {
    match task.tid == process.pid {
        true => ", in its main thread".into(),
        false => format!(", in its thread {}", thread_number(process, task)),
    }
}

/// What ends a read of this kind of object.
pub(super) fn brought_by(kind: &Kind, call: &str) -> &'static str {
    match kind {
        Kind::Socket if call.starts_with("accept") => "a connection",
        Kind::Event => "a count",
        Kind::Signal => "a signal",
        Kind::Timer(_) => "a timer",
        Kind::Changes => "a change of a file",
        Kind::Faults => "a page fault",
        Kind::Pipe | Kind::Socket => "bytes or end-of-file",
        _ => "input",
    }
}

/// Why nothing comes from this kind of object.
pub(super) fn nobody_brings(kind: &Kind) -> &'static str {
    match kind {
        Kind::Event => "nobody adds to its count",
        Kind::Signal => "nobody sends one of its signals",
        Kind::Timer(_) => "the timer is not set",
        Kind::Changes => "nobody changes what it watches",
        Kind::Faults => "it has no fault to tell of that was not read",
        Kind::Process(_) => "that process does not end",
        Kind::Epoll(_) => "none of its members is ready",
        _ => "nothing comes from it",
    }
}

/// Faults that a userfaultfd has told nobody of yet.
pub(super) fn unread_faults(pid: i32, fd: i32) -> u64 {
    let information = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    information.lines().find_map(|line| line.strip_prefix("pending:")?.trim().parse().ok()).unwrap_or(0)
}

fn calls(event: &Event) -> Option<&'static str> {
    match &event.what {
        What::Called { sysno, .. } => Some(sysno.name()),
        _ => None,
    }
}

/// A thread that has made one call over and over just now does not wait, whatever it is in at this moment: how many
/// calls, and which.
pub(super) fn busy(events: &[Event], tid: i32, now: Duration) -> Option<(usize, &'static str)> {
    const LATELY: Duration = Duration::from_millis(500);
    const MANY: usize = 40;
    let since = now.checked_sub(LATELY)?;
    let mut lately: HashMap<Sysno, usize> = HashMap::new();
    for event in events.iter().rev().take_while(|e| e.at >= since).filter(|e| e.thread == tid) {
        if let What::Called { sysno, .. } = &event.what {
            *lately.entry(*sysno).or_default() += 1;
        }
    }
    let all: usize = lately.values().sum();
    let sleeps = lately.keys().any(|call| matches!(call.name(), "nanosleep" | "clock_nanosleep"));
    let (call, count) = lately.into_iter().max_by_key(|(_, count)| *count)?;
    (count > MANY && 2 * count > all && !sleeps).then(|| (count, call.name()))
}

/// The last sleep of a thread whose last calls are sleeps over and over.
pub(super) fn last_sleep(events: &[Event], tid: i32) -> Option<&Event> {
    let sleeps = |e: &&Event| {
        matches!(
            calls(e),
            Some("nanosleep" | "clock_nanosleep" | "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait")
        )
    };
    let made = events.iter().rev().filter(|e| e.thread == tid && calls(e).is_some());
    let lately: Vec<&Event> = made.take(12).filter(sleeps).collect();
    lately.first().copied().filter(|_| lately.len() > 3)
}

pub(super) fn timed(what: &str, seconds: Option<f64>, repeated: bool) -> String {
    let limit = match seconds {
        Some(s) if s >= 1.0 => format!(" of {s:.0} s"),
        Some(s) => format!(" of {:.0} ms", s * 1000.0),
        None => String::from(" with a time limit"),
    };
    format!("is in {what}{limit}{}", if repeated { ", again and again" } else { "" })
}

const SIGNALS: [(i32, &str); 16] = [
    (libc::SIGHUP, "SIGHUP"),
    (libc::SIGINT, "SIGINT"),
    (libc::SIGQUIT, "SIGQUIT"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGUSR1, "SIGUSR1"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGUSR2, "SIGUSR2"),
    (libc::SIGPIPE, "SIGPIPE"),
    (libc::SIGALRM, "SIGALRM"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGCHLD, "SIGCHLD"),
    (libc::SIGCONT, "SIGCONT"),
    (libc::SIGWINCH, "SIGWINCH"),
    (libc::SIGURG, "SIGURG"),
    (libc::SIGIO, "SIGIO"),
];

fn signal(number: i32) -> String {
    let known = SIGNALS.iter().find(|(n, _)| *n == number);
    known.map_or_else(|| format!("signal {number}"), |(_, name)| (*name).to_owned())
}

/// By what a process was stopped, and what that means.
pub(super) fn stopped_by(signal: Option<i32>) -> &'static str {
    match signal {
        Some(libc::SIGSTOP) => " by SIGSTOP",
        Some(libc::SIGTSTP) => " by SIGTSTP",
        Some(libc::SIGTTIN) => " by SIGTTIN, for it read from a terminal in whose background it is,",
        Some(libc::SIGTTOU) => " by SIGTTOU, for it changed or wrote to a terminal in whose background it is,",
        _ => "",
    }
}

/// "SIGUSR1 or SIGUSR2", of a set with a bit a signal.
pub(super) fn signals(set: Option<u64>) -> String {
    let numbers: Vec<i32> = (1..=64).filter(|n| set.is_some_and(|s| s >> (n - 1) & 1 == 1)).collect();
    match numbers.len() {
        1..=4 => numbers.into_iter().map(signal).collect::<Vec<_>>().join(" or "),
        _ => "a signal".into(),
    }
}

/// Signals that are waited for and ignored.
pub(super) fn ignored(pid: i32, set: Option<u64>) -> Option<String> {
    let both = process_files::ignored_signals(pid)? & set?;
    (both != 0 && set != Some(!0)).then(|| format!("{} is ignored, and thrown away when it comes", signals(Some(both))))
}

/// Signals that have come and are blocked even now.
pub(super) fn blocked(process: &Snapshot, task: &Task) -> Option<String> {
    let kept = process_files::blocked_signals(process.pid, task.tid).filter(|set| *set != 0)?;
    Some(format!("{} has come, and is blocked even during the wait", signals(Some(kept))))
}

/// A handled signal that came too early: before the wait for it began.
pub(super) fn came_before(events: &[Event], process: ProcessId, since: Option<Duration>) -> Option<String> {
    let since = since?;
    let early = events.iter().rev().find_map(|e| match &e.what {
        What::Signalled { signal, disposition: Disposition::Handler, .. } if e.process == process && e.at <= since => {
            Some((*signal, e.at))
        }
        _ => None,
    });
    let (number, at) = early?;
    let before = (since - at).as_secs_f64() * 1000.0;
    Some(format!("{} had come {before:.1} ms before the wait began", signal(number)))
}

fn parent_of(events: &[Event], process: ProcessId) -> Option<ProcessId> {
    events.iter().find_map(|e| match &e.what {
        What::Forked { child, .. } if *child == process => Some(e.process),
        _ => None,
    })
}

/// A process and those that it descends from.
fn lineage(events: &[Event], process: ProcessId) -> Vec<ProcessId> {
    let mut line = vec![process];
    while let Some(parent) = line.last().and_then(|p| parent_of(events, *p)) {
        line.push(parent);
    }
    line
}

/// Where a descriptor was made, in its process or in one that it was forked from.
pub(super) fn made_at(events: &[Event], process: ProcessId, fd: i32, object: Option<ObjectId>) -> Option<SourceLine> {
    let line = lineage(events, process);
    let made = |e: &&Event| {
        let What::Called { call, result: Some(Ok(value)), .. } = &e.what else { return false };
        line.contains(&e.process)
            && match call {
                Call::Pipe { object: o, read_fd, write_fd, .. } => *o == object && (*read_fd == fd || *write_fd == fd),
                Call::Socketpair { object: a, peer: b, first_fd, second_fd, .. } => {
                    (*a == object || *b == object) && (*first_fd == fd || *second_fd == fd)
                }
                Call::Open { object: o, .. } | Call::Dup { object: o, .. } => *o == object && *value == i64::from(fd),
                _ => false,
            }
    };
    events.iter().rev().filter(made).find_map(|e| e.source.clone())
}

pub(super) fn ever_written(events: &[Event], object: ObjectId) -> bool {
    events.iter().any(|e| match &e.what {
        What::Called { call: Call::Write { object: Some(o), .. }, .. } => *o == object,
        What::Called { call: Call::Move { to: Some(o), .. }, .. } => *o == object,
        _ => false,
    })
}

/// The other socket of a pair.
pub(super) fn peer(events: &[Event], socket: ObjectId) -> Option<ObjectId> {
    events.iter().find_map(|e| match &e.what {
        What::Called { call: Call::Socketpair { object: Some(a), peer: Some(b), .. }, .. } => match socket {
            s if s == *a => Some(*b),
            s if s == *b => Some(*a),
            _ => None,
        },
        _ => None,
    })
}

/// What a wait on a futex is in the program's own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Lock(&'static str),
    Other(&'static str),
    /// Something that those wait for who have nothing to do.
    Idle(&'static str),
    Unknown,
}

impl Awaited {
    pub(super) fn words(self) -> String {
        match self {
            Awaited::Lock(what) => format!("to lock {what}"),
            Awaited::Other(what) | Awaited::Idle(what) => format!("for {what}"),
            Awaited::Unknown => "on a futex".into(),
        }
    }
}

/// Parts of functions' names, the most telling first, by which a wait on a futex is known.
const AWAITED: [(&str, Awaited); 15] = [
    ("JoinHandle", Awaited::Other("another thread to end")),
    ("pthread_join", Awaited::Other("another thread to end")),
    ("mpmc", Awaited::Other("a message on a channel")),
    ("mpsc", Awaited::Other("a message on a channel")),
    ("arrier", Awaited::Other("others at a barrier")),
    ("ondvar", Awaited::Other("a condition variable to be notified")),
    ("pthread_cond", Awaited::Other("a condition variable to be notified")),
    ("sem_wait", Awaited::Other("a semaphore")),
    ("RwLock", Awaited::Lock("an RwLock")),
    ("pthread_rwlock", Awaited::Lock("a read-write lock")),
    ("Mutex", Awaited::Lock("a Mutex")),
    ("pthread_mutex", Awaited::Lock("a mutex")),
    ("once_lock", Awaited::Other("a value that is being made")),
    ("sync::once", Awaited::Other("an initialisation that is under way")),
    ("park", Awaited::Idle("another thread to unpark it")),
];

/// What a thread waits for, by the functions of the library that it is in. The program's own may be called anything.
pub(super) fn awaited(functions: &[String]) -> Awaited {
    let own = |name: &&String| {
        let path = name.split('<').next().unwrap_or_default();
        let krate = path.split_once("::").map(|(krate, _)| krate);
        *name == "main" || krate.is_some_and(|k| !matches!(k, "std" | "core" | "alloc" | ""))
    };
    let library: Vec<&String> = functions.iter().take_while(|name| !own(name)).collect();
    let known = |part: &str| library.iter().any(|name| name.contains(part));
    AWAITED.iter().find(|(part, _)| known(part)).map_or(Awaited::Unknown, |(_, what)| *what)
}

/// First and last address, device and inode of one line of /proc/PID/maps.
fn mapped_region(line: &str) -> Option<(std::ops::Range<u64>, (u64, u64))> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let (major, minor) = words.nth(2)?.split_once(':')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
    Some((hex(from)..hex(to), (hex(major) << 32 | hex(minor), words.next()?.parse().ok()?)))
}

/// Device and inode of the memory that holds this address.
pub(super) fn mapping(pid: i32, address: u64) -> Option<(u64, u64)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    maps.lines().filter_map(mapped_region).find(|(range, _)| range.contains(&address)).map(|(_, place)| place)
}

/// Whether a process maps this memory anywhere.
pub(super) fn maps(pid: i32, place: (u64, u64)) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter_map(mapped_region).any(|(_, other)| other == place)
}

/// The object mapped at this address, by the calls that mapped it.
pub(super) fn mapped_object(events: &[Event], process: ProcessId, address: u64) -> Option<ObjectId> {
    let line = lineage(events, process);
    events.iter().rev().find_map(|e| match &e.what {
        What::Called { call: Call::Mmap { len, object, .. }, result: Some(Ok(at)), .. }
            if line.contains(&e.process) && (*at as u64..(*at as u64).saturating_add(*len)).contains(&address) =>
        {
            *object
        }
        _ => None,
    })
}

/// Processes that shared this memory and have ended: whatever they held, they hold for ever.
pub(super) fn ended_sharers(events: &[Event], object: Option<ObjectId>, names: &Naming<'_>) -> Vec<String> {
    let Some(object) = object else { return Vec::new() };
    let mut sharers = BTreeSet::new();
    let mut ended = Vec::new();
    for event in events {
        match &event.what {
            What::Called { call: Call::Mmap { object: Some(o), .. }, .. } if *o == object => {
                sharers.insert(event.process);
            }
            What::Forked { child, .. } if sharers.contains(&event.process) => {
                sharers.insert(*child);
            }
            What::Exited { exit, .. } if sharers.contains(&event.process) => {
                let how = match exit {
                    Exit::Code(code) => format!("with status {code}"),
                    Exit::Signal(number) => format!("by {}", signal(*number)),
                };
                ended.push(format!("{}, which shared the memory, has ended ({how})", names.of(event.process)));
            }
            _ => {}
        }
    }
    ended
}

/// The FIFO that a path names, as an object. `seen` is the same path from outside the box.
pub(super) fn fifo(registry: &mut Registry, path: &Path, seen: &Path) -> Option<ObjectId> {
    let metadata = fs::metadata(seen).ok().filter(|m| m.file_type().is_fifo())?;
    let shown = registry.shown(path);
    Some(registry.add((metadata.dev(), metadata.ino()), ObjectKind::Fifo(shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_signals_is_named_when_it_is_small() {
        assert_eq!(signals(Some(1 << 9 | 1 << 13)), "SIGUSR1 or SIGALRM");
        assert_eq!(signals(Some(!0)), "a signal");
        assert_eq!(signals(None), "a signal");
    }

    #[test]
    fn a_futex_is_named_by_the_librarys_functions_and_not_by_the_programs() {
        let of = |names: &[&str]| awaited(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["syscall", "std::sys::sync::mutex::futex::Mutex::lock_contended"]), Awaited::Lock("a Mutex"));
        assert_eq!(of(&["syscall", "my::Mutex::take"]), Awaited::Unknown);
    }
}
