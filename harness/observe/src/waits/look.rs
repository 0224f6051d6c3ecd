//! What /proc shows of a set of processes at one moment: the state of every thread, cheap enough to be looked at
//! again and again, and the descriptors of all, read only when a hang is in question.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::time::Duration;

use crate::process_files::{self, ThreadState};

/// Device and inode of the object behind a descriptor (for an eventfd: its device and its number).
pub(crate) type Identity = (u64, u64);

/// One thread at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Task {
    pub(super) tid: i32,
    pub(super) state: ThreadState,
    /// Stopped by SIGSTOP or its kin, whether or not it is traced as well.
    pub(super) stopped: bool,
    /// Its system call may not be looked at.
    pub(super) hidden: bool,
}

/// One process at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) pid: i32,
    pub(super) inner: i32,
    /// A living thread: of a process whose first thread has ended, /proc shows descriptors and memory only under its
    /// other threads.
    pub(super) door: i32,
    pub(super) tasks: Vec<Task>,
    pub(super) children: Vec<i32>,
}

/// All processes of a launch at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(super) processes: Vec<Snapshot>,
}

/// Looks at these processes now.
pub(crate) fn look(pids: &[i32]) -> Look {
    Look { processes: pids.iter().map(|pid| snapshot(*pid)).filter(|p| !p.tasks.is_empty()).collect() }
}

/// Looks a few times where a thread is found running: one that mostly sleeps is shown as it slept.
pub(crate) fn look_for_long(pids: &[i32]) -> Look {
    const TIMES: usize = 5;
    const BETWEEN: Duration = Duration::from_millis(8);
    let mut looks = vec![look(pids)];
    while looks.len() < TIMES && looks.iter().all(Look::is_running) {
        std::thread::sleep(BETWEEN);
        looks.push(look(pids));
    }
    let mut last = looks.pop().unwrap_or_else(|| look(pids));
    for task in last.processes.iter_mut().flat_map(|p| &mut p.tasks).filter(|t| t.state.letter == 'R') {
        let slept = looks.iter().rev().flat_map(|look| look.processes.iter().flat_map(|p| &p.tasks));
        if let Some(before) = slept.filter(|t| t.tid == task.tid).find(|t| t.state.letter != 'R') {
            *task = before.clone();
        }
    }
    last
}

/// Looks at these processes; `None` as soon as one is found running, which is cheap for a busy launch.
pub(crate) fn look_if_quiet(pids: &[i32]) -> Option<Look> {
    let mut processes = Vec::with_capacity(pids.len());
    for pid in pids {
        if process_files::letter(*pid, *pid) == Some('R') {
            return None;
        }
        let snapshot = snapshot(*pid);
        if snapshot.tasks.iter().any(|t| t.state.letter == 'R') {
            return None;
        }
        if !snapshot.tasks.is_empty() {
            processes.push(snapshot);
        }
    }
    Some(Look { processes })
}

fn snapshot(pid: i32) -> Snapshot {
    let tasks: Vec<Task> = process_files::threads(pid).into_iter().filter_map(|tid| task(pid, tid)).collect();
    let inner = process_files::inner_pid(pid).unwrap_or(pid);
    let door = tasks.iter().map(|t| t.tid).find(|tid| *tid == pid).or(tasks.first().map(|t| t.tid)).unwrap_or(pid);
    Snapshot { pid, inner, door, tasks, children: process_files::children(pid) }
}

fn task(pid: i32, tid: i32) -> Option<Task> {
    let state = process_files::thread_state(pid, tid).filter(|s| !matches!(s.letter, 'Z' | 'X'))?;
    let stopped = state.letter == 'T' || (state.letter == 't' && stop_signal(pid).is_some());
    let hidden = state.letter == 'S'
        && state.call.is_none()
        && fs::read(format!("/proc/{pid}/task/{tid}/syscall")).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied);
    Some(Task { tid, state, stopped, hidden })
}

/// The signal that stopped a process: the exit code, the last field, of one that is stopped. A thread that its tracer
/// lets listen for SIGCONT shows as stopped by the tracer; this tells it from others.
pub(super) fn stop_signal(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let code = stat.split_ascii_whitespace().next_back()?.parse().ok()?;
    matches!(code, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU).then_some(code)
}

impl Look {
    /// Nobody has run between this look and a later one.
    pub(crate) fn unchanged(&self, later: &Look) -> bool {
        let tasks = |look: &Look| -> Vec<Task> { look.processes.iter().flat_map(|p| p.tasks.clone()).collect() };
        tasks(self) == tasks(later)
    }

    fn is_running(&self) -> bool {
        self.processes.iter().any(|p| p.tasks.iter().any(|t| t.state.letter == 'R'))
    }

    pub(super) fn process(&self, pid: i32) -> Option<&Snapshot> {
        self.processes.iter().find(|p| p.pid == pid)
    }
}

/// Kinds of thing that a descriptor names, as far as waiting goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A pipe, named or not.
    Pipe,
    Socket,
    Event,
    Signal,
    /// A timer descriptor; armed or not.
    Timer(bool),
    /// An inotify queue.
    Changes,
    /// An epoll set: descriptor and events of each member.
    Epoll(Vec<(i32, u32)>),
    /// A process, by its id outside the box.
    Process(i32),
    /// A regular file or directory: never waited for long.
    File,
    /// A userfaultfd.
    Faults,
    /// An io_uring: what was put into it is done by nobody's thread.
    Ring,
    /// A terminal, a device: somebody outside may bring something.
    Outside,
}

/// A descriptor as /proc shows it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) identity: Identity,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) kind: Kind,
}

/// The descriptor tables of all processes of a look.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables(BTreeMap<i32, BTreeMap<i32, Open>>);

impl Tables {
    pub(super) fn read(look: &Look) -> Tables {
        Tables(look.processes.iter().map(|p| (p.pid, open_descriptors(p.door))).collect())
    }

    pub(super) fn get(&self, pid: i32, fd: i32) -> Option<&Open> {
        self.0.get(&pid)?.get(&fd)
    }

    /// All descriptors, with their processes.
    pub(super) fn all(&self) -> impl Iterator<Item = (i32, i32, &Open)> {
        self.0.iter().flat_map(|(pid, table)| table.iter().map(|(fd, open)| (*pid, *fd, open)))
    }

    /// Holders of an end of this object, with their descriptors.
    pub(super) fn holders(&self, identity: Identity, writing: bool) -> Vec<(i32, i32)> {
        self.all()
            .filter(|(_, _, o)| o.identity == identity && if writing { o.write } else { o.read })
            .map(|(pid, fd, _)| (pid, fd))
            .collect()
    }
}

pub(super) fn open_descriptors(pid: i32) -> BTreeMap<i32, Open> {
    process_files::descriptors(pid).into_iter().filter_map(|fd| Some((fd, open(pid, fd)?))).collect()
}

fn open(pid: i32, fd: i32) -> Option<Open> {
    let path = format!("/proc/{pid}/fd/{fd}");
    let metadata = fs::metadata(&path).ok()?;
    let mode = fs::symlink_metadata(&path).ok()?.permissions().mode();
    let link = process_files::descriptor_link(pid, fd)?.to_string_lossy().into_owned();
    let mut identity = (metadata.dev(), metadata.ino());
    let file = metadata.file_type();
    let kind = if file.is_fifo() {
        Kind::Pipe
    } else if file.is_socket() {
        Kind::Socket
    } else if link.starts_with("anon_inode:") || link.starts_with("pidfd:") {
        let information = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
        if let Some(number) = field(&information, "eventfd-id:").and_then(|n| n.parse().ok()) {
            identity.1 = number;
        }
        anonymous(&link, &information)
    } else if file.is_file() || file.is_dir() {
        Kind::File
    } else {
        Kind::Outside
    };
    Some(Open { identity, read: mode & 0o400 != 0, write: mode & 0o200 != 0, kind })
}

fn field<'a>(information: &'a str, key: &str) -> Option<&'a str> {
    information.lines().find_map(|l| l.strip_prefix(key)).map(str::trim)
}

fn anonymous(link: &str, information: &str) -> Kind {
    if link.contains("eventfd") {
        Kind::Event
    } else if link.contains("signalfd") {
        Kind::Signal
    } else if link.contains("timerfd") {
        Kind::Timer(field(information, "it_value:") != Some("(0, 0)"))
    } else if link.contains("eventpoll") {
        Kind::Epoll(information.lines().filter_map(epoll_member).collect())
    } else if link.contains("inotify") {
        Kind::Changes
    } else if link.contains("userfaultfd") {
        Kind::Faults
    } else if link.contains("io_uring") {
        Kind::Ring
    } else if let Some(pid) = field(information, "Pid:").and_then(|p| p.parse().ok()) {
        Kind::Process(pid)
    } else {
        Kind::Outside
    }
}

/// `tfd:        5 events:       19 data: …`, the events in hexadecimal.
fn epoll_member(line: &str) -> Option<(i32, u32)> {
    let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
    let fd = words.next()?.parse().ok()?;
    let events = words.nth(1)?;
    Some((fd, u32::from_str_radix(events, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_an_epoll_set_are_read_from_its_description() {
        let line = "tfd:        5 events: 80000019 data:         ffffffff  pos:0 ino:a0 sdev:f";
        assert_eq!(epoll_member(line), Some((5, 0x8000_0019)));
        assert_eq!(epoll_member("flags:\t02"), None);
    }

    #[test]
    fn a_timer_descriptor_is_armed_while_time_is_left() {
        let armed = "clockid: 1\nticks: 0\nit_value: (0, 49406829)\nit_interval: (0, 0)\n";
        let idle = "clockid: 1\nticks: 0\nit_value: (0, 0)\nit_interval: (0, 0)\n";
        assert_eq!(anonymous("anon_inode:[timerfd]", armed), Kind::Timer(true));
        assert_eq!(anonymous("anon_inode:[timerfd]", idle), Kind::Timer(false));
    }
}
