//! Whether anything can still end the waiting: a proof, or none.
//!
//! Nobody runs, nobody waits for a time, nobody waits for something that is kept outside, and no timer is set: then
//! nothing in the launch will ever happen again. Whatever is not known to be so counts as a way out.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use super::graph::{Polled, Wait, Which, wait_of};
use super::look::{Identity, Kind, Look, Snapshot, Tables, Task, look_if_quiet};
use crate::calls::Call;
use crate::observation::{Event, ProcessId, What};
use crate::process_files;

/// What surrounds the processes looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Objects whose other end somebody outside holds and serves; true if it may bring input.
    pub(crate) live: Vec<(Identity, bool)>,
    /// Nobody but these processes can open their FIFOs, signal them or share their memory.
    pub(crate) closed_world: bool,
    /// They have a network and System V queues of their own.
    pub(crate) own_namespaces: bool,
    /// Every call that sets a timer is among the events.
    pub(crate) timers_seen: bool,
}

impl Surroundings {
    pub(super) fn serves(&self, identity: Identity, input: bool) -> bool {
        self.live.contains(&(identity, input))
    }
}

/// The call that a thread's `restart_syscall` goes on with: the last that it is known to have made.
pub(super) fn resumed(events: &[Event], task: &Task) -> Option<u32> {
    let restarts = task.state.call.is_some_and(|(n, _)| i64::from(n) == libc::SYS_restart_syscall);
    let last = |e: &Event| match &e.what {
        What::Called { sysno, .. } if e.thread == task.tid => Some(sysno.0),
        _ => None,
    };
    if restarts { events.iter().rev().find_map(last) } else { None }
}

/// Whether nothing in these processes can ever happen again. They have been seen unchanged twice, and are so still when
/// everything else has been read: a timer that has just expired looks like one that was never set.
pub(crate) fn stuck(look: &Look, around: &Surroundings, events: &[Event]) -> bool {
    let pids: Vec<i32> = look.processes.iter().map(|p| p.pid).collect();
    still(look, around, events) && look_if_quiet(&pids).is_some_and(|later| look.unchanged(&later))
}

fn still(look: &Look, around: &Surroundings, events: &[Event]) -> bool {
    let asleep = |task: &Task| task.stopped || matches!(task.state.letter, 'S' | 'D');
    if look.processes.is_empty() || !look.processes.iter().flat_map(|p| &p.tasks).all(asleep) {
        return false;
    }
    let tables = Tables::read(look);
    let proof = Proof { look, tables: &tables, around };
    let never = |process: &Snapshot, task: &Task| {
        let wait = wait_of(process, task, &tables, resumed(events, task));
        proof.never_ends(process, &wait)
    };
    look.processes.iter().all(|p| p.tasks.iter().all(|t| never(p, t)))
        && !tables.all().any(|(_, _, open)| matches!(open.kind, Kind::Ring | Kind::Timer(true)))
        && !look.processes.iter().any(|p| clockwork(p.door))
        && !timers_set(look, around, events)
}

struct Proof<'a> {
    look: &'a Look,
    tables: &'a Tables,
    around: &'a Surroundings,
}

impl Proof<'_> {
    /// Nothing ends this wait, given that nobody runs.
    fn never_ends(&self, process: &Snapshot, wait: &Wait) -> bool {
        let closed = self.around.closed_world;
        match wait {
            Wait::Alive | Wait::Running | Wait::Hidden | Wait::Completion(_) | Wait::Timed(..) => false,
            Wait::Read(fd) => self.end_is_still(process.pid, *fd, true, true),
            Wait::Write(fd) | Wait::Connect(fd) => self.end_is_still(process.pid, *fd, false, true),
            Wait::Poll(list) => self.poll_is_still(process.pid, list),
            Wait::Child(which) => self.children_live(process, *which),
            Wait::Vfork => true,
            Wait::Futex(address) => closed || !is_shared(process.door, *address),
            Wait::Lock(fd) => !lock_holders(self.tables, process.pid, *fd).is_empty(),
            Wait::OpenFifo { .. } | Wait::Signal(_) | Wait::Stopped => closed,
            Wait::Queue(_) => self.around.own_namespaces,
            Wait::Page => closed && self.tables.all().any(|(_, _, open)| open.kind == Kind::Faults),
        }
    }

    /// Nothing comes through this descriptor, or leaves through it. `limited`: a time limit of the socket counts.
    fn end_is_still(&self, pid: i32, fd: i32, reading: bool, limited: bool) -> bool {
        let Some(open) = self.tables.get(pid, fd) else { return false };
        let closed = self.around.closed_world;
        match &open.kind {
            // With no other end in sight, somebody out of sight holds it.
            Kind::Pipe => {
                !self.around.serves(open.identity, reading) && !self.tables.holders(open.identity, reading).is_empty()
            }
            Kind::Socket => closed && socket_is_still(pid, fd, reading && limited, self.around.own_namespaces),
            Kind::Event | Kind::Signal | Kind::Timer(false) | Kind::Changes | Kind::Faults => closed,
            Kind::Process(child) => self.look.process(*child).is_some(),
            Kind::Epoll(members) => {
                let list: Vec<Polled> =
                    members.iter().map(|(fd, _)| Polled { fd: *fd, read: true, write: false }).collect();
                self.poll_is_still(pid, &list)
            }
            Kind::Timer(true) | Kind::File | Kind::Ring | Kind::Outside => false,
        }
    }

    fn poll_is_still(&self, pid: i32, list: &[Polled]) -> bool {
        let still = |p: &Polled| {
            let read = !p.read || self.end_is_still(pid, p.fd, true, false);
            let write = !p.write || self.end_is_still(pid, p.fd, false, false);
            // With neither asked for, the other end's closing is still reported.
            read && write && (p.read || p.write || self.end_is_still(pid, p.fd, true, false))
        };
        // Nothing asked for is a wait for a signal.
        list.iter().all(still) && (self.around.closed_world || !list.is_empty())
    }

    /// A child that is meant lives, and none that is meant has ended and is about to be reported.
    fn children_live(&self, process: &Snapshot, which: Which) -> bool {
        let meant: Vec<i32> = process.children.iter().copied().filter(|c| self.is_meant(which, *c)).collect();
        !meant.is_empty() && meant.iter().all(|c| self.look.process(*c).is_some())
    }

    fn is_meant(&self, which: Which, child: i32) -> bool {
        match which {
            Which::Any => true,
            Which::Outer(pid) => pid == child,
            Which::Inner(inner) => {
                let known = self.look.process(child).map(|c| c.inner);
                known.or_else(|| process_files::inner_pid(child)) == Some(inner)
            }
        }
    }
}

/// Whether a word lies in memory that other processes may share.
pub(super) fn is_shared(pid: i32, address: u64) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let holds = |line: &&str| {
        let range = line.split_ascii_whitespace().next().and_then(|r| r.split_once('-'));
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        range.is_some_and(|(from, to)| (hex(from)..hex(to)).contains(&address))
    };
    // What cannot be found may be anything.
    maps.lines().find(holds).is_none_or(|line| line.split_ascii_whitespace().nth(1).is_some_and(|f| f.ends_with('s')))
}

/// Descriptors through which somebody holds a lock on the file that this one names, with their processes.
pub(super) fn lock_holders(tables: &Tables, pid: i32, fd: i32) -> Vec<(i32, i32)> {
    let Some(wanted) = tables.get(pid, fd) else { return Vec::new() };
    // A process's record locks are in the way of others only: those on other bytes of the file are beside the point.
    let in_the_way =
        |line: &str, holder: i32| line.starts_with("lock:") && (holder != pid || !line.contains(" POSIX "));
    let locked = |holder: i32, number: i32| {
        let info = fs::read_to_string(format!("/proc/{holder}/fdinfo/{number}")).unwrap_or_default();
        info.lines().any(|line| in_the_way(line, holder))
    };
    tables
        .all()
        .filter(|(holder, number, open)| open.identity == wanted.identity && locked(*holder, *number))
        .map(|(holder, number, _)| (holder, number))
        .collect()
}

/// A socket that no time limit and no network beyond the launch can wake.
fn socket_is_still(pid: i32, fd: i32, limited: bool, own_network: bool) -> bool {
    let Some(socket) = borrow(pid, fd) else { return false };
    let option = |name: i32| -> Option<[i64; 2]> {
        let mut value = [0_i64; 2];
        let mut len = std::mem::size_of_val(&value) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes into the array that it is given.
        let outcome = unsafe {
            libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value.as_mut_ptr().cast(), &raw mut len)
        };
        (outcome == 0).then_some(value)
    };
    let number = |name: i32| option(name).map(|v| v[0] as i32);
    let local = match number(libc::SO_DOMAIN) {
        Some(libc::AF_UNIX) => true,
        Some(libc::AF_INET | libc::AF_INET6) => own_network && number(libc::SO_KEEPALIVE) == Some(0),
        _ => false,
    };
    let unlimited = |name: i32| option(name) == Some([0, 0]);
    local && (!limited || unlimited(libc::SO_RCVTIMEO)) && unlimited(libc::SO_SNDTIMEO)
}

/// A copy of another process's descriptor, for a moment.
fn borrow(pid: i32, fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: both calls take plain numbers, and each makes a descriptor that nobody else owns.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if process < 0 {
            return None;
        }
        let process = OwnedFd::from_raw_fd(process as RawFd);
        let copy = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0);
        (copy >= 0).then(|| OwnedFd::from_raw_fd(copy as RawFd))
    }
}

/// POSIX timers, or requests that the kernel works on by itself.
fn clockwork(pid: i32) -> bool {
    let timers = fs::read_to_string(format!("/proc/{pid}/timers")).is_ok_and(|t| !t.trim().is_empty());
    timers || process_files::regions(pid).iter().any(|r| r.path.starts_with("/[aio]"))
}

/// An interval timer or alarm may be set. /proc does not show one: its caller was traced, or the program does not
/// name the calls that set one.
fn timers_set(look: &Look, around: &Surroundings, events: &[Event]) -> bool {
    if !around.timers_seen {
        return look.processes.iter().any(|p| names_timers(p.pid));
    }
    events.iter().enumerate().any(|(n, e)| sets_timer(e) && !alarm_came(&events[n..], e))
}

fn sets_timer(event: &Event) -> bool {
    match &event.what {
        What::Called { sysno, call: Call::Timer, result, .. } => {
            matches!(i64::from(sysno.0), libc::SYS_alarm | libc::SYS_setitimer) && !matches!(result, Some(Err(_)))
        }
        _ => false,
    }
}

/// The process that set a timer has ended, or its one alarm has come.
fn alarm_came(later: &[Event], set: &Event) -> bool {
    let once = matches!(&set.what, What::Called { sysno, .. } if i64::from(sysno.0) == libc::SYS_alarm);
    let of = |process: ProcessId| process == set.process;
    later.iter().any(|e| match &e.what {
        What::Signalled { signal: libc::SIGALRM, code, .. } => once && of(e.process) && *code > 0,
        What::Exited { .. } => of(e.process),
        _ => false,
    })
}

/// The files that a process runs from, other than the C library itself, use a call that sets an interval timer, or do
/// not say which calls they use.
fn names_timers(pid: i32) -> bool {
    let mut seen = Vec::new();
    for region in process_files::regions(pid).into_iter().filter(|r| r.executable && r.inode != 0) {
        let library = region.path.rsplit('/').next().unwrap_or_default();
        if seen.contains(&region.inode) || library.starts_with("libc.so") || library.starts_with("ld-linux") {
            continue;
        }
        seen.push(region.inode);
        let main = format!("/proc/{pid}/exe");
        let own = fs::metadata(&main).is_ok_and(|m| m.ino() == region.inode);
        let file = fs::read(if own { &main } else { &region.path });
        if file.map_or(true, |bytes| file_names_timers(&bytes)) {
            return true;
        }
    }
    false
}

fn file_names_timers(bytes: &[u8]) -> bool {
    use object::{Object, ObjectSymbol};
    let Ok(elf) = object::File::parse(bytes) else { return true };
    let names = |name: Result<&str, _>| matches!(name, Ok("alarm" | "setitimer" | "ualarm"));
    let silent = elf.dynamic_symbols().next().is_none() && elf.symbols().next().is_none();
    silent || elf.dynamic_symbols().any(|s| names(s.name())) || elf.symbols().any(|s| names(s.name()))
}
