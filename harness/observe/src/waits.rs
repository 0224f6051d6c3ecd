//! The wait-for graph: who waits for what, who could end the wait, and whether anybody ever will. Made from /proc
//! alone, so it serves a traced launch, an untraced one and any process that the user may look at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use libc::c_long;

use crate::calls::{Call, Sysno};
use crate::hang::{Culprit, Hang, Waiter};
use crate::memory;
use crate::objects::Registry;
use crate::observation::{Event, ObjectId, ObjectKind, ProcessId, SourceLine, What};
use crate::process_files::{self, ThreadState};
use crate::symbols::{AddressSpace, Images};

/// Device and inode of the object behind a descriptor.
type Identity = (u64, u64);

/// A descriptor as /proc shows it.
#[derive(Clone, Debug, PartialEq)]
struct Open {
    identity: Identity,
    read: bool,
    write: bool,
    link: String,
    fifo: bool,
}

/// One process at one moment.
#[derive(Clone, Debug)]
struct Snapshot {
    pid: i32,
    inner: i32,
    threads: Vec<(i32, ThreadState)>,
    open: BTreeMap<i32, Open>,
    children: Vec<i32>,
    timers: bool,
}

/// All processes of a launch at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    processes: Vec<Snapshot>,
}

/// What surrounds the processes looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Objects whose other end somebody outside holds and serves; true if it may bring input.
    pub(crate) live: Vec<(Identity, bool)>,
    /// Somebody outside is still going to do something to them.
    pub(crate) more_to_come: bool,
    /// Nobody but these processes can open their FIFOs, signal them or share their memory.
    pub(crate) closed_world: bool,
}

/// What one thread waits for.
#[derive(Clone, Debug, PartialEq)]
enum Wait {
    /// Runs, or is in something that ends by itself.
    Alive,
    /// Uses the processor.
    Running,
    Read(i32),
    Write(i32),
    /// Opening a FIFO; true for writing.
    OpenFifo(PathBuf, bool),
    /// A child, or any.
    Child(Option<i32>),
    Futex(u64),
    Poll(Vec<i32>),
    Lock(i32),
    Signal,
    Stopped,
    /// Some other wait without end.
    Other(&'static str),
    /// A sleep or a wait with a time limit.
    Timed(&'static str),
}

/// Looks at these processes now.
pub(crate) fn look(pids: &[i32]) -> Look {
    let processes = pids
        .iter()
        .map(|pid| Snapshot {
            pid: *pid,
            inner: process_files::inner_pid(*pid).unwrap_or(*pid),
            threads: process_files::threads(*pid)
                .into_iter()
                .filter_map(|tid| Some((tid, process_files::thread_state(*pid, tid)?)))
                .filter(|(_, s)| !matches!(s.letter, 'Z' | 'X'))
                .collect(),
            open: open_descriptors(*pid),
            children: process_files::children(*pid),
            timers: has_timers(*pid),
        })
        .filter(|p| !p.threads.is_empty())
        .collect();
    Look { processes }
}

fn open_descriptors(pid: i32) -> BTreeMap<i32, Open> {
    process_files::descriptors(pid)
        .into_iter()
        .filter_map(|fd| {
            let path = format!("/proc/{pid}/fd/{fd}");
            let metadata = std::fs::metadata(&path).ok()?;
            let mode = std::fs::symlink_metadata(&path).ok()?.permissions().mode();
            let link = process_files::descriptor_link(pid, fd)?.to_string_lossy().into_owned();
            let open = Open {
                identity: (metadata.dev(), metadata.ino()),
                read: mode & 0o400 != 0,
                write: mode & 0o200 != 0,
                fifo: metadata.file_type().is_fifo(),
                link,
            };
            Some((fd, open))
        })
        .collect()
}

/// POSIX timers, and timer descriptors; an interval timer cannot be seen from outside, but its caller was traced.
fn has_timers(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/timers")).is_ok_and(|t| !t.trim().is_empty())
}

impl Look {
    /// Nobody has run between this look and a later one.
    pub(crate) fn unchanged(&self, later: &Look) -> bool {
        let threads = |look: &Look| -> Vec<(i32, ThreadState)> {
            look.processes.iter().flat_map(|p| p.threads.clone()).collect()
        };
        threads(self) == threads(later)
    }

    fn process(&self, pid: i32) -> Option<&Snapshot> {
        self.processes.iter().find(|p| p.pid == pid)
    }

    /// Holders of an end of this object, with their descriptors.
    fn holders(&self, identity: Identity, writing: bool) -> Vec<(i32, i32)> {
        self.processes
            .iter()
            .flat_map(|p| {
                p.open
                    .iter()
                    .filter(|(_, o)| o.identity == identity && if writing { o.write } else { o.read })
                    .map(|(fd, _)| (p.pid, *fd))
            })
            .collect()
    }
}

fn wait_of(process: &Snapshot, tid: i32, state: &ThreadState) -> Wait {
    match state.letter {
        'T' => return Wait::Stopped,
        'R' => return Wait::Running,
        'S' | 'D' => {}
        _ => return Wait::Alive,
    }
    let Some((number, a)) = state.call else { return Wait::Alive };
    let fd = a[0] as i32;
    match c_long::from(number) {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_preadv2 => Wait::Read(fd),
        libc::SYS_splice | libc::SYS_tee => splice_wait(process, a),
        libc::SYS_sendfile => Wait::Write(fd),
        libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_vmsplice => {
            Wait::Write(fd)
        }
        libc::SYS_open => fifo_wait(process, tid, a[0], a[1]),
        libc::SYS_openat => fifo_wait(process, tid, a[1], a[2]),
        libc::SYS_wait4 => Wait::Child((a[0] as i32 > 0).then_some(a[0] as i32)),
        libc::SYS_waitid => Wait::Child((a[0] == u64::from(libc::P_PID)).then_some(a[1] as i32)),
        libc::SYS_futex => {
            let waits = matches!(a[1] as i32 & 0x7f, 0 | 6 | 9 | 11 | 13);
            if waits && a[3] == 0 { Wait::Futex(a[0]) } else { Wait::Timed("futex") }
        }
        libc::SYS_poll => match a[2] as i32 {
            n if n < 0 => Wait::Poll(polled(tid, a)),
            _ => Wait::Timed("poll"),
        },
        libc::SYS_ppoll if a[2] == 0 => Wait::Poll(polled(tid, a)),
        libc::SYS_select | libc::SYS_pselect6 if a[4] == 0 => Wait::Poll(all_descriptors(process)),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait if (a[3] as i32) < 0 => Wait::Poll(all_descriptors(process)),
        libc::SYS_flock => Wait::Lock(fd),
        libc::SYS_fcntl if matches!(a[1] as i32, libc::F_SETLKW | libc::F_OFD_SETLKW) => Wait::Lock(fd),
        libc::SYS_pause | libc::SYS_rt_sigsuspend => Wait::Signal,
        libc::SYS_rt_sigtimedwait if a[2] == 0 => Wait::Signal,
        libc::SYS_vfork | libc::SYS_clone if state.letter == 'D' => Wait::Child(None),
        libc::SYS_msgrcv | libc::SYS_msgsnd => Wait::Other("a message queue"),
        libc::SYS_semop => Wait::Other("a System V semaphore"),
        libc::SYS_semtimedop if a[3] == 0 => Wait::Other("a System V semaphore"),
        libc::SYS_ppoll | libc::SYS_select | libc::SYS_pselect6 | libc::SYS_epoll_wait | libc::SYS_epoll_pwait => {
            Wait::Timed("poll")
        }
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => Wait::Timed("sleep"),
        _ => Wait::Alive,
    }
}

fn splice_wait(process: &Snapshot, a: [u64; 6]) -> Wait {
    // Whichever of the two is a pipe may be what it waits for; with two, the source is as good a guess as any, and
    // the graph treats it as ended only if nobody serves it.
    let source = a[0] as i32;
    match process.open.get(&source) {
        Some(open) if open.fifo || open.link.starts_with("pipe:") => Wait::Read(source),
        _ => Wait::Write(a[2] as i32),
    }
}

fn fifo_wait(process: &Snapshot, tid: i32, path: u64, flags: u64) -> Wait {
    let path = memory::path(tid, path);
    let seen = PathBuf::from(format!("/proc/{}/cwd", process.pid)).join(&path);
    let fifo = if path.is_absolute() {
        std::fs::metadata(format!("/proc/{}/root{}", process.pid, path.display()))
    } else {
        std::fs::metadata(seen)
    }
    .map_or(true, |m| m.file_type().is_fifo());
    // An unlinked name, or one that may not be looked at: only opening a FIFO can block for long.
    if fifo { Wait::OpenFifo(path, flags as i32 & libc::O_ACCMODE != libc::O_RDONLY) } else { Wait::Alive }
}

fn polled(tid: i32, a: [u64; 6]) -> Vec<i32> {
    memory::read(tid, a[0], a[1].min(256) as usize * 8)
        .chunks_exact(8)
        .map(|c| i32::from_le_bytes([c[0], c[1], c[2], c[3]]))
        .filter(|fd| *fd >= 0)
        .collect()
}

fn all_descriptors(process: &Snapshot) -> Vec<i32> {
    process.open.keys().copied().collect()
}

/// A thread of the launch, by process and thread id.
type ThreadKey = (i32, i32);

/// The threads that nothing can ever wake: the greatest set in which each could only be woken by another of it.
fn stuck_set(look: &Look, around: &Surroundings) -> BTreeSet<ThreadKey> {
    let mut set: BTreeSet<ThreadKey> = look
        .processes
        .iter()
        .flat_map(|p| p.threads.iter().map(move |(tid, s)| (p, *tid, s)))
        .filter(|(p, tid, s)| !matches!(wait_of(p, *tid, s), Wait::Alive | Wait::Running | Wait::Timed(_)))
        .map(|(p, tid, _)| (p.pid, tid))
        .collect();
    if around.more_to_come || look.processes.iter().any(|p| p.timers) {
        return BTreeSet::new();
    }
    loop {
        let freed: Vec<ThreadKey> = set.iter().copied().filter(|key| can_be_woken(look, around, &set, *key)).collect();
        if freed.is_empty() {
            return set;
        }
        for key in freed {
            set.remove(&key);
        }
    }
}

fn can_be_woken(look: &Look, around: &Surroundings, set: &BTreeSet<ThreadKey>, (pid, tid): ThreadKey) -> bool {
    let Some(process) = look.process(pid) else { return true };
    let Some((_, state)) = process.threads.iter().find(|(t, _)| *t == tid) else {
        return true;
    };
    let awake = |pid: i32| look.process(pid).is_some_and(|p| p.threads.iter().any(|(t, _)| !set.contains(&(pid, *t))));
    let anybody = || look.processes.iter().any(|p| awake(p.pid));
    let end = |fd: i32, writing: bool| match process.open.get(&fd) {
        None => true,
        Some(open) if is_timer(open) => true,
        Some(open) => {
            let outside = around.live.iter().any(|(i, input)| *i == open.identity && (*input || !writing));
            let is_pipe = open.fifo || open.link.starts_with("pipe:");
            // A pipe's reader waits for holders of its write end, and the other way round; other objects for anybody.
            outside
                || if is_pipe {
                    look.holders(open.identity, writing).iter().any(|(p, _)| awake(*p))
                        || (open.fifo && !open.link.starts_with("pipe:") && anybody())
                } else {
                    anybody()
                }
        }
    };
    match wait_of(process, tid, state) {
        Wait::Alive | Wait::Running | Wait::Timed(_) => true,
        Wait::Read(fd) => end(fd, true),
        Wait::Write(fd) => end(fd, false),
        Wait::Poll(fds) => fds.iter().any(|fd| end(*fd, true) || end(*fd, false)) || anybody(),
        Wait::Child(wanted) => {
            process
            .children
            .iter()
            .filter_map(|c| look.process(*c))
            .any(|c| wanted.is_none_or(|w| w == c.inner) && awake(c.pid))
            // A child that has ended is about to be reported.
            || process.children.iter().any(|c| look.process(*c).is_none())
        }
        Wait::OpenFifo(..) | Wait::Futex(_) | Wait::Lock(_) | Wait::Signal | Wait::Other(_) | Wait::Stopped => {
            !around.closed_world || anybody()
        }
    }
}

fn is_timer(open: &Open) -> bool {
    open.link.contains("timerfd") || open.link.contains("inotify") || open.link.contains("io_uring")
}

/// Whether the first process can never go on: all its threads wait, and nothing can end that.
pub(crate) fn stuck(look: &Look, around: &Surroundings) -> bool {
    let set = stuck_set(look, around);
    look.processes.first().is_some_and(|p| p.threads.iter().all(|(tid, _)| set.contains(&(p.pid, *tid))))
}

/// Puts the graph into words. `name` gives the index of a process in the observation.
pub(crate) fn explain(
    look: &Look,
    around: &Surroundings,
    proven: bool,
    name: &dyn Fn(i32) -> Option<ProcessId>,
    registry: &mut Registry,
) -> Hang {
    let many = look.processes.len();
    let who = |pid: i32| match (name(pid), many) {
        (Some(ProcessId(0)), 1) => "the program".to_owned(),
        (Some(ProcessId(0)), _) => "the parent".to_owned(),
        (Some(ProcessId(1)), 2) => "the child".to_owned(),
        (Some(ProcessId(n)), _) => format!("child {n}"),
        (None, _) => format!("process {pid}"),
    };
    let mut teller = Teller { look, around, who: &who, name, registry };
    let mut waiters = Vec::new();
    let mut kinds = Vec::new();
    for process in &look.processes {
        for (tid, state) in &process.threads {
            let wait = wait_of(process, *tid, state);
            let (kind, waiter) = teller.tell(process, state, &wait);
            kinds.push(kind);
            waiters.push(waiter);
        }
    }
    let kind = main_kind(&kinds);
    Hang { proven, kind: kind.to_owned(), summary: String::new(), waiters }
}

/// The kind that explains the others: a parent that waits for its child hangs because of the child.
fn main_kind(kinds: &[&'static str]) -> &'static str {
    const ORDER: [&str; 10] = [
        "stopped",
        "end-of-file-never-comes",
        "pipe-full",
        "fifo-no-peer",
        "spinning",
        "futex",
        "sleeping",
        "waiting",
        "waits-for-child",
        "running",
    ];
    ORDER.into_iter().find(|k| kinds.contains(k)).unwrap_or("waiting")
}

struct Teller<'a> {
    look: &'a Look,
    around: &'a Surroundings,
    who: &'a dyn Fn(i32) -> String,
    name: &'a dyn Fn(i32) -> Option<ProcessId>,
    registry: &'a mut Registry,
}

impl Teller<'_> {
    fn object(&mut self, open: &Open) -> ObjectId {
        if let Some(known) = self.registry.known(open.identity) {
            return known;
        }
        let path = PathBuf::from(&open.link);
        let kind = if open.link.starts_with("pipe:") {
            ObjectKind::Pipe
        } else if open.fifo {
            ObjectKind::Fifo(self.registry.shown(&path))
        } else if open.link.starts_with("socket:") {
            ObjectKind::Socket
        } else if open.link.starts_with("/dev/pts/") {
            ObjectKind::Terminal
        } else if open.link.starts_with('/') {
            ObjectKind::File(self.registry.shown(&path))
        } else {
            ObjectKind::Other(open.link.clone())
        };
        self.registry.add(open.identity, kind)
    }

    fn tell(&mut self, process: &Snapshot, state: &ThreadState, wait: &Wait) -> (&'static str, Waiter) {
        let call = state.call.map(|(number, _)| Sysno(number).name().to_owned()).filter(|n| n != "?");
        let mut waiter = Waiter {
            process: (self.name)(process.pid).unwrap_or(ProcessId(u32::MAX)),
            pid: process.inner,
            waits: String::new(),
            because: Vec::new(),
            object: None,
            call,
            source: None,
            spinning: false,
            since_ms: 0,
            culprits: Vec::new(),
        };
        let kind = match wait {
            Wait::Running => {
                waiter.spinning = true;
                waiter.waits = "uses the processor and waits for nothing".into();
                waiter.because.push(format!(
                    "it has used {:.2} s of processor time: a loop that never blocks",
                    state.cpu.as_secs_f64()
                ));
                "spinning"
            }
            Wait::Read(fd) => self.tell_read(process, *fd, &mut waiter),
            Wait::Write(fd) => self.tell_write(process, *fd, &mut waiter),
            Wait::OpenFifo(path, writing) => {
                let (own, peer) = if *writing { ("writing", "reading") } else { ("reading", "writing") };
                waiter.waits = format!("waits in open() of FIFO {} for {own}", path.display());
                waiter.because.push(format!("nobody opens it for {peer}"));
                "fifo-no-peer"
            }
            Wait::Child(wanted) => self.tell_child(process, *wanted, &mut waiter),
            Wait::Futex(address) => {
                waiter.waits = format!("waits on a futex (a lock, condition or semaphore) at {address:#x}");
                waiter.because.push("nobody who is still running can wake it".into());
                "futex"
            }
            Wait::Poll(fds) => {
                let list: Vec<String> = fds.iter().take(8).map(ToString::to_string).collect();
                waiter.waits = format!("waits in poll() for descriptors {}", list.join(", "));
                "waiting"
            }
            Wait::Lock(fd) => {
                waiter.waits = format!("waits for a file lock on descriptor {fd}");
                waiter.object = process.open.get(fd).cloned().map(|o| self.object(&o));
                "waiting"
            }
            Wait::Signal => {
                waiter.waits = "waits for a signal".into();
                waiter.because.push("nobody who is still running can send one".into());
                "waiting"
            }
            Wait::Stopped => {
                waiter.waits = "is stopped (SIGSTOP) until somebody sends SIGCONT".into();
                "stopped"
            }
            Wait::Other(what) => {
                waiter.waits = format!("waits for {what}");
                "waiting"
            }
            Wait::Timed(what) => {
                waiter.waits = format!("is in a {what} with a time limit");
                "sleeping"
            }
            Wait::Alive => {
                waiter.waits = match &waiter.call {
                    Some(call) => format!("is in {call}()"),
                    None => "is running".into(),
                };
                "running"
            }
        };
        (kind, waiter)
    }

    fn tell_read(&mut self, process: &Snapshot, fd: i32, waiter: &mut Waiter) -> &'static str {
        let Some(open) = process.open.get(&fd).cloned() else {
            waiter.waits = format!("waits in read() on descriptor {fd}");
            return "waiting";
        };
        let object = self.object(&open);
        waiter.object = Some(object);
        let label = self.registry.get(object).label.clone();
        waiter.waits = format!("waits in read() on {label} (fd {fd})");
        if !open.fifo && !open.link.starts_with("pipe:") {
            return "waiting";
        }
        if self.around.live.iter().any(|(i, input)| *i == open.identity && *input) {
            waiter.because.push(format!("{label} is still open at its other end, outside the program"));
            return "waiting";
        }
        let holders = self.look.holders(open.identity, true);
        self.tell_holders(process, &label, &holders, "write", waiter);
        "end-of-file-never-comes"
    }

    fn tell_write(&mut self, process: &Snapshot, fd: i32, waiter: &mut Waiter) -> &'static str {
        let Some(open) = process.open.get(&fd).cloned() else {
            waiter.waits = format!("waits in write() on descriptor {fd}");
            return "waiting";
        };
        let object = self.object(&open);
        waiter.object = Some(object);
        let label = self.registry.get(object).label.clone();
        waiter.waits = format!("waits in write() on {label} (fd {fd}), which is full");
        let holders = self.look.holders(open.identity, false);
        self.tell_holders(process, &label, &holders, "read", waiter);
        "pipe-full"
    }

    fn tell_holders(
        &mut self,
        process: &Snapshot,
        label: &str,
        holders: &[(i32, i32)],
        end: &str,
        waiter: &mut Waiter,
    ) {
        for (pid, fd) in holders {
            let own = *pid == process.pid;
            let holder = if own { format!("{} itself", (self.who)(*pid)) } else { (self.who)(*pid) };
            waiter.because.push(format!("{label}'s {end} end is still open in {holder}, as fd {fd}"));
            if let Some(index) = (self.name)(*pid) {
                waiter.culprits.push(Culprit { process: index, fd: *fd, made_at: None });
            }
        }
    }

    fn tell_child(&mut self, process: &Snapshot, wanted: Option<i32>, waiter: &mut Waiter) -> &'static str {
        let children: Vec<&Snapshot> = process
            .children
            .iter()
            .filter_map(|c| self.look.process(*c))
            .filter(|c| wanted.is_none_or(|w| w == c.inner))
            .collect();
        let names: Vec<String> = children.iter().map(|c| (self.who)(c.pid)).collect();
        waiter.waits = match names.as_slice() {
            [] => "waits for a child".into(),
            [one] => format!("waits for {one} to end"),
            _ => format!("waits for one of {} to end", names.join(", ")),
        };
        for child in children {
            waiter.because.push(format!("{} does not end", (self.who)(child.pid)));
        }
        "waits-for-child"
    }
}

/// Writes the one sentence that says the heart of it, once source lines are known.
pub(crate) fn retell(hang: &mut Hang, events: &[Event], transfers_seen: bool) {
    let several = hang.waiters.len() > 1;
    let who = |process: ProcessId| match process.0 {
        0 if several => "the parent".to_owned(),
        0 => "the program".to_owned(),
        1 if hang.waiters.iter().all(|w| w.process.0 < 2) => "the child".to_owned(),
        u32::MAX => "a process".to_owned(),
        n => format!("child {n}"),
    };
    let heart = hang.waiters.iter().find(|w| kind_of(w) == hang.kind).or_else(|| hang.waiters.first());
    let Some(heart) = heart else {
        hang.summary = "the program did not end".into();
        return;
    };
    let at = heart.source.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
    let mut summary = format!("{} {}{at}", who(heart.process), heart.waits);
    if !heart.because.is_empty() {
        summary.push_str("; ");
        summary.push_str(&heart.because.join("; "));
    }
    if let Some(made) = heart.culprits.first().and_then(|c| c.made_at.as_ref()) {
        summary.push_str(&format!(", from {made}"));
    }
    if transfers_seen
        && hang.kind == "end-of-file-never-comes"
        && let Some(object) = heart.object
        && !ever_written(events, object)
    {
        summary.push_str("; nobody has ever written to it: the bytes may still lie in a buffer that was not flushed");
    }
    hang.summary = summary;
}

fn kind_of(waiter: &Waiter) -> &'static str {
    let starts = |text: &str| waiter.waits.starts_with(text);
    if waiter.spinning {
        "spinning"
    } else if starts("is stopped") {
        "stopped"
    } else if starts("waits in read() on") && !waiter.because.iter().any(|b| b.contains("outside the program")) {
        "end-of-file-never-comes"
    } else if starts("waits in write()") {
        "pipe-full"
    } else if starts("waits in open() of FIFO") {
        "fifo-no-peer"
    } else if starts("waits on a futex") {
        "futex"
    } else if waiter.waits.ends_with("to end") || starts("waits for a child") {
        "waits-for-child"
    } else if waiter.waits.ends_with("time limit") {
        "sleeping"
    } else if starts("is in ") || starts("is running") {
        "running"
    } else {
        "waiting"
    }
}

fn ever_written(events: &[Event], object: ObjectId) -> bool {
    events.iter().any(|e| match &e.what {
        What::Called { call: Call::Write { object: Some(o), .. }, .. } => *o == object,
        What::Called { call: Call::Move { to: Some(o), .. }, .. } => *o == object,
        _ => false,
    })
}

/// Where a pipe was made.
pub(crate) fn made_at(events: &[Event], object: Option<ObjectId>) -> Option<SourceLine> {
    let object = object?;
    events.iter().find_map(|e| match &e.what {
        What::Called { call: Call::Pipe { object: Some(o), .. } | Call::Open { object: Some(o), .. }, .. }
            if *o == object =>
        {
            e.source.clone()
        }
        _ => None,
    })
}

/// The source line that a blocked process is at, from its stack as it is now.
pub(crate) fn live_source(pid: i32, images: &mut Images, program: &File) -> Option<SourceLine> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let hex = |word: &&str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let (sp, ip) = match words.as_slice() {
        [.., sp, ip] => (hex(sp)?, hex(ip)?),
        _ => return None,
    };
    let mut space = AddressSpace::default();
    space.reload(pid, images, program);
    space.trace(pid, pid, (ip, sp, 0), images, program).0
}

/// Explains why a process and its descendants do not end.
pub(crate) fn explain_tree(root: i32) -> Result<Hang, String> {
    if !std::path::Path::new(&format!("/proc/{root}")).exists() {
        return Err(format!("there is no process {root}"));
    }
    let mut pids = vec![root];
    pids.extend(process_files::descendants(root));
    let first = look(&pids);
    if first.processes.is_empty() {
        return Err(format!("process {root} has ended and waits to be reaped by its parent"));
    }
    if std::fs::read_to_string(format!("/proc/{root}/syscall")).is_err() {
        return Err(format!(
            "no permission to look at process {root}: it belongs to somebody else, or ptrace is restricted"
        ));
    }
    std::thread::sleep(Duration::from_millis(40));
    let second = look(&pids);
    let around = Surroundings { live: served_outside(&second, &pids), more_to_come: false, closed_world: false };
    let proven = first.unchanged(&second) && stuck(&second, &around);
    let order = pids.clone();
    let name = |pid: i32| order.iter().position(|p| *p == pid).map(|n| ProcessId(n as u32));
    let cwd = std::fs::read_link(format!("/proc/{root}/cwd")).unwrap_or_default();
    let mut registry = Registry::new(&cwd);
    let mut hang = explain(&second, &around, proven, &name, &mut registry);
    let mut images = Images::default();
    for waiter in &mut hang.waiters {
        let pid = order.get(waiter.process.0 as usize).copied().unwrap_or(root);
        if let Ok(program) = File::open(format!("/proc/{pid}/exe")) {
            waiter.source = live_source(pid, &mut images, &program);
        }
    }
    retell(&mut hang, &[], false);
    Ok(hang)
}

/// Pipe ends of these processes whose other end a process outside the tree holds too.
fn served_outside(look: &Look, pids: &[i32]) -> Vec<(Identity, bool)> {
    let wanted: BTreeSet<Identity> = look
        .processes
        .iter()
        .flat_map(|p| p.open.values())
        .filter(|o| o.fifo || o.link.starts_with("pipe:"))
        .map(|o| o.identity)
        .collect();
    let mut live = Vec::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return live };
    let others =
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| !pids.contains(pid));
    for pid in others {
        for open in open_descriptors(pid).into_values() {
            if wanted.contains(&open.identity) {
                live.extend(open.write.then_some((open.identity, true)));
                live.extend(open.read.then_some((open.identity, false)));
            }
        }
    }
    live
}
