//! The program's threads as the tracer meets them: each kind of stop, and what it adds to what is known.

use std::collections::HashMap;
use std::time::Duration;

use super::holds::Moment;
use super::ptrace;
use super::run::Run;
use crate::arch;
use crate::calls::{Call, Sysno};
use crate::decode::{self, Caller};
use crate::memory;
use crate::objects;
use crate::observation::{Descriptors, Disposition, Exit, ObjectId, Process, ProcessId, Snapshot, What};
use crate::plan::Effect;
use crate::process_files;
use crate::symbols::AddressSpace;

/// Bytes of a shared mapping that a snapshot keeps.
const SNAPSHOT: u64 = 64 << 10;

/// How a stopped thread is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// Freely, with this signal or 0.
    Go(i32),
    /// To the exit of the call it is in.
    ToCallExit,
}

/// A traced thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) process: ProcessId,
    /// The call it is in.
    pub(super) call: Option<InCall>,
}

/// A call between its entry and its exit.
#[derive(Debug)]
pub(super) struct InCall {
    pub(super) event: Option<usize>,
    pub(super) sysno: Sysno,
    arguments: [u64; 6],
    /// The result to give instead of the kernel's.
    forced: Option<Result<i64, i32>>,
    /// An argument was changed and must read as before when the call has returned.
    cut: Option<usize>,
}

impl Thread {
    pub(super) fn new(process: ProcessId) -> Thread {
        Thread { process, call: None }
    }
}

/// A process and what is known of it.
pub(super) struct Member {
    /// Its number outside the box.
    pub(super) pid: i32,
    pub(super) seen: Process,
    pub(super) table: Descriptors,
    pub(super) main_began: bool,
    breakpoint: Option<(u64, u64)>,
    space: AddressSpace,
    /// Writable shared mappings: start, length, object.
    shared: Vec<(u64, u64, Option<ObjectId>)>,
    dispositions: HashMap<i32, Disposition>,
}

impl Member {
    pub(super) fn new(pid: i32, parent: Option<ProcessId>, started: Duration, table: Descriptors) -> Member {
        let seen = Process {
            pid: process_files::inner_pid(pid).unwrap_or(pid),
            parent,
            started,
            ended: None,
            exit: None,
            reaped: false,
            killed: false,
            cpu: Duration::ZERO,
            cpu_while_alone: Duration::ZERO,
            reads: 0,
            writes: 0,
            minor_faults: 0,
            major_faults: 0,
            open_at_exit: Vec::new(),
        };
        Member {
            pid,
            seen,
            table,
            main_began: false,
            breakpoint: None,
            space: AddressSpace::default(),
            shared: Vec::new(),
            dispositions: HashMap::new(),
        }
    }

    fn born_of(parent: &Member, pid: i32, id: ProcessId, started: Duration) -> Member {
        Member {
            main_began: parent.main_began,
            breakpoint: parent.breakpoint,
            space: parent.space.clone(),
            shared: parent.shared.clone(),
            dispositions: parent.dispositions.clone(),
            ..Member::new(pid, Some(id), started, parent.table.clone())
        }
    }

    pub(super) fn disposition(&self, signal: i32) -> Disposition {
        self.dispositions.get(&signal).copied().unwrap_or(Disposition::Default)
    }
}

impl Run<'_> {
    fn member(&mut self, process: ProcessId) -> &mut Member {
        &mut self.members[process.0 as usize]
    }

    /// One report of waitpid about a traced thread.
    pub(super) fn handle(&mut self, tid: i32, status: i32) {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            self.early.remove(&tid);
            self.holds.forget(tid);
            if let Some(thread) = self.threads.remove(&tid) {
                self.gone(tid, thread.process, status);
            }
            return;
        }
        if !libc::WIFSTOPPED(status) {
            return;
        }
        let Some(thread) = self.threads.get(&tid) else {
            // Attached before its parent's report of the fork: kept stopped until that comes.
            self.early.insert(tid, status);
            return;
        };
        let process = thread.process;
        if self.holds.holds(tid) {
            self.early.insert(tid, status);
            return;
        }
        let signal = libc::WSTOPSIG(status);
        let resume = match status >> 16 {
            libc::PTRACE_EVENT_SECCOMP => self.call_begins(tid, process),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => self.forked(tid, process),
            libc::PTRACE_EVENT_EXEC => self.executed(tid, process),
            libc::PTRACE_EVENT_EXIT => self.exiting(tid, process),
            libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Some(Resume::Go(0)),
            libc::PTRACE_EVENT_STOP => {
                // A real stop (SIGSTOP, …): it stays one, and SIGCONT is reported.
                let _ = ptrace::listen(tid);
                None
            }
            _ if signal == libc::SIGTRAP | 0x80 => self.call_ends(tid, process),
            _ if signal == libc::SIGTRAP && self.began(tid, process) => Some(Resume::Go(0)),
            _ => self.signalled(tid, process, signal),
        };
        if let Some(resume) = resume {
            self.resume(tid, resume);
        }
    }

    /// Lets a thread go on. One that died meanwhile is reported by waitpid.
    pub(super) fn resume(&mut self, tid: i32, how: Resume) {
        let _ = match how {
            Resume::Go(signal) => ptrace::go_on(tid, signal),
            Resume::ToCallExit => ptrace::to_call_exit(tid),
        };
    }

    fn gone(&mut self, tid: i32, process: ProcessId, status: i32) {
        let now = self.now();
        if self.members[process.0 as usize].pid != tid {
            return;
        }
        let exit = if libc::WIFEXITED(status) {
            Exit::Code(libc::WEXITSTATUS(status))
        } else {
            Exit::Signal(libc::WTERMSIG(status))
        };
        let member = self.member(process);
        if member.seen.ended.is_none() {
            // Killed without an exit stop.
            member.seen.ended = Some(now);
            member.table.clear();
            self.record(process, tid, What::Exited { exit, snapshots: Vec::new() });
        }
        self.member(process).seen.exit = Some(exit);
        if process == ProcessId(0) {
            self.root_ended(exit);
        }
    }

    /// The entry of a call that is watched.
    fn call_begins(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let mut registers = ptrace::registers(tid).ok()?;
        let sysno = arch::sysno(&registers);
        let arguments = arch::arguments(&registers);
        if i64::from(sysno.0) == libc::SYS_rt_sigreturn {
            self.record(process, tid, What::HandlerReturned);
            return Some(Resume::Go(0));
        }
        let keep = self.launch.watch.transfer_bytes;
        let call = {
            let caller = Caller { tid, table: &self.members[process.0 as usize].table, keep };
            decode::entry(&caller, sysno, arguments)
        };
        let mut call = self.refine_entry(call);
        if let Call::Munmap { address, len, snapshots } = &mut call
            && self.launch.watch.snapshots
        {
            *snapshots = self.snapshots(process, tid, Some((*address, *len)));
        }
        let leaves_at_once = matches!(call, Call::Exit { .. });
        let event = self.record(process, tid, What::Called { sysno, call, result: None, injected: false });
        let mut in_call = InCall { event, sysno, arguments, forced: None, cut: None };
        let began = self.members[process.0 as usize].main_began;
        if began {
            if self.launch.watch.sources {
                self.add_source(tid, process, &registers, event);
            }
            self.before_call(tid, process, &mut registers, &mut in_call);
        }
        if let Some(thread) = self.threads.get_mut(&tid) {
            thread.call = Some(in_call);
        }
        let resume = if leaves_at_once { Resume::Go(0) } else { Resume::ToCallExit };
        if began && self.hold_at(tid, process, event, Moment::Before, resume) {
            return None;
        }
        Some(resume)
    }

    /// What only the launch knows of a call: who is meant by a process id.
    fn refine_entry(&self, mut call: Call) -> Call {
        if let Call::Kill { pid, target, .. } = &mut call {
            *target = match *pid {
                0 | -1 => None,
                pid => self.by_inner_pid(pid.abs()),
            };
        }
        call
    }

    pub(super) fn by_inner_pid(&self, pid: i32) -> Option<ProcessId> {
        self.members.iter().rposition(|m| m.seen.pid == pid).map(|n| ProcessId(n as u32))
    }

    fn add_source(&mut self, tid: i32, process: ProcessId, registers: &libc::user_regs_struct, event: Option<usize>) {
        let Some(event) = event else { return };
        let member = &mut self.members[process.0 as usize];
        let (line, stack) = member.space.trace(member.pid, tid, arch::pointers(registers), self.images, self.program);
        self.events[event].source = line;
        self.events[event].stack = stack;
    }

    /// Faults, elided sleeps and actions of the plan, at the entry of a call.
    fn before_call(
        &mut self,
        tid: i32,
        process: ProcessId,
        registers: &mut libc::user_regs_struct,
        in_call: &mut InCall,
    ) {
        let name = in_call.sysno.name();
        self.actions_before(name);
        let sleep = matches!(name, "nanosleep" | "clock_nanosleep");
        let on = self.object_of(in_call.event);
        let effect = self.faults.effect(&self.registry, process, name, on);
        let mut injected = true;
        match effect {
            Some(Effect::Short(count)) => {
                in_call.cut = shorten(tid, registers, in_call, count);
                injected = in_call.cut.is_some();
            }
            Some(Effect::Fail(errno)) => in_call.forced = Some(Err(errno)),
            None if sleep && self.launch.elide_sleeps => in_call.forced = Some(Ok(0)),
            None => injected = false,
        }
        if in_call.forced.is_some() {
            arch::skip_call(registers);
        }
        if injected {
            let _ = ptrace::set_registers(tid, registers);
            if let Some(event) = in_call.event
                && let What::Called { injected, .. } = &mut self.events[event].what
            {
                *injected = true;
            }
        }
    }

    /// The object that a recorded call is on, and whether through a descriptor open for writing.
    pub(super) fn object_of(&self, event: Option<usize>) -> Option<(ObjectId, bool)> {
        let event = &self.events[event?];
        let What::Called { call, .. } = &event.what else { return None };
        let (fd, object) = match call {
            Call::Read { fd, object, .. }
            | Call::Write { fd, object, .. }
            | Call::Close { fd, object }
            | Call::Truncate { fd, object, .. }
            | Call::Allocate { fd, object, .. }
            | Call::Sync { fd, object }
            | Call::Seek { fd, object, .. }
            | Call::Fcntl { fd, object, .. } => (*fd, (*object)?),
            Call::Move { from_fd, from, to_fd, to, .. } => match to {
                Some(to) => (*to_fd, *to),
                None => (*from_fd, (*from)?),
            },
            Call::Mmap { fd, .. } => {
                let table = &self.members[event.process.0 as usize].table;
                (*fd, table.get(fd)?.object)
            }
            _ => return None,
        };
        let table = &self.members[event.process.0 as usize].table;
        Some((object, table.get(&fd).is_some_and(|d| d.access.write)))
    }

    /// The exit of a call that is watched.
    fn call_ends(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let in_call = self.threads.get_mut(&tid)?.call.take()?;
        let mut registers = ptrace::registers(tid).ok()?;
        let mut result = arch::result(&registers);
        if let Some(forced) = in_call.forced {
            result = forced;
            arch::set_result(&mut registers, forced);
            let _ = ptrace::set_registers(tid, &registers);
        }
        if let Some(index) = in_call.cut {
            arch::set_argument(&mut registers, index, in_call.arguments[index]);
            let _ = ptrace::set_registers(tid, &registers);
        }
        // ERESTARTSYS and its kin: the kernel's own, never seen by the program; it was interrupted.
        if let Err(512..=516) = result {
            result = Err(libc::EINTR);
        }
        let now = self.now();
        if let Some(index) = in_call.event {
            self.events[index].until = now;
            let mut what = std::mem::replace(&mut self.events[index].what, What::HandlerReturned);
            if let What::Called { call, result: slot, .. } = &mut what {
                *slot = Some(result);
                if let Ok(value) = result {
                    self.succeeded(tid, process, &in_call, call, value);
                }
            }
            self.events[index].what = what;
        } else if let Ok(value) = result {
            let caller = Caller { tid, table: &self.members[process.0 as usize].table, keep: 0 };
            let mut call = decode::entry(&caller, in_call.sysno, in_call.arguments);
            self.succeeded(tid, process, &in_call, &mut call, value);
        }
        let began = self.members[process.0 as usize].main_began;
        if began && self.hold_at(tid, process, in_call.event, Moment::After, Resume::Go(0)) {
            return None;
        }
        Some(Resume::Go(0))
    }

    /// A call has succeeded: what it changes, and what its result adds to its event.
    fn succeeded(&mut self, tid: i32, process: ProcessId, in_call: &InCall, call: &mut Call, value: i64) {
        let pid = self.members[process.0 as usize].pid;
        let keep = self.launch.watch.transfer_bytes;
        match call {
            Call::Read { data, .. } => {
                let caller = Caller { tid, table: &self.members[process.0 as usize].table, keep };
                *data = decode::received(&caller, in_call.sysno, in_call.arguments, value.max(0) as u64);
            }
            Call::Open { object, .. } | Call::NewDescriptor { object, .. } => {
                *object = self.registry.resolve(pid, value as i32).map(|d| d.object);
            }
            Call::Pipe { read_fd, write_fd, object, .. } => {
                if let Some((read, write)) = decode::pair(tid, in_call.sysno, in_call.arguments) {
                    (*read_fd, *write_fd) = (read, write);
                    *object = self.registry.resolve(pid, read).map(|d| d.object);
                }
            }
            Call::Socketpair { first_fd, second_fd, object, peer, .. } => {
                if let Some((first, second)) = decode::pair(tid, in_call.sysno, in_call.arguments) {
                    (*first_fd, *second_fd) = (first, second);
                    *object = self.registry.resolve(pid, first).map(|d| d.object);
                    *peer = self.registry.resolve(pid, second).map(|d| d.object);
                }
            }
            Call::Mmap { len, prot, flags, fd, object, .. } => {
                let (len, prot, flags, fd) = (*len, *prot, *flags, *fd);
                *object = self.mapped(process, value as u64, len, prot, flags, fd);
            }
            Call::Munmap { address, len, .. } => {
                let range = *address..address.saturating_add(*len);
                self.member(process).shared.retain(|(start, ..)| !range.contains(start));
            }
            Call::Mremap { address, new_len, .. } => {
                let (old, new_len) = (*address, *new_len);
                for mapping in &mut self.member(process).shared {
                    if mapping.0 == old {
                        (mapping.0, mapping.1) = (value as u64, new_len);
                    }
                }
            }
            Call::Wait { options, reaped, .. } => {
                let pid = match i64::from(in_call.sysno.0) {
                    libc::SYS_waitid => decode::waitid_pid(tid, in_call.arguments),
                    _ => (value > 0).then_some(value as i32),
                };
                *reaped = pid.filter(|p| *p > 0).and_then(|p| self.by_inner_pid(p));
                if let Some(child) = *reaped
                    && *options & libc::WNOWAIT == 0
                    && self.members[child.0 as usize].seen.ended.is_some()
                {
                    self.member(child).seen.reaped = true;
                }
            }
            Call::Sigaction { signal, disposition: Some(disposition), .. } => {
                let (signal, disposition) = (*signal, *disposition);
                self.member(process).dispositions.insert(signal, disposition);
            }
            _ => {}
        }
        self.change_table(process, pid, call, value);
    }

    fn change_table(&mut self, process: ProcessId, pid: i32, call: &Call, value: i64) {
        let registry = &mut self.registry;
        let table = &mut self.members[process.0 as usize].table;
        let resolved = std::cell::RefCell::new(registry);
        objects::apply(table, call, value, |fd| resolved.borrow_mut().resolve(pid, fd));
    }

    /// A mapping was made: what of.
    fn mapped(&mut self, process: ProcessId, at: u64, len: u64, prot: i32, flags: i32, fd: i32) -> Option<ObjectId> {
        let shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
        let object = if flags & libc::MAP_ANONYMOUS == 0 {
            self.members[process.0 as usize].table.get(&fd).map(|d| d.object)
        } else if shared {
            self.anonymous += 1;
            Some(self.registry.add_anonymous(self.anonymous))
        } else {
            None
        };
        // Whatever was there before is replaced.
        let range = at..at.saturating_add(len);
        let member = self.member(process);
        member.shared.retain(|(start, ..)| !range.contains(start));
        if shared && prot & libc::PROT_WRITE != 0 {
            member.shared.push((at, len, object));
        }
        object
    }

    /// What the writable shared mappings hold; only those that begin in `within`, if that is given.
    fn snapshots(&self, process: ProcessId, tid: i32, within: Option<(u64, u64)>) -> Vec<Snapshot> {
        let inside = |start: u64| within.is_none_or(|(from, len)| (from..from.saturating_add(len)).contains(&start));
        self.members[process.0 as usize]
            .shared
            .iter()
            .filter(|(start, ..)| inside(*start))
            .map(|(address, len, object)| Snapshot {
                address: *address,
                len: *len,
                object: *object,
                bytes: memory::read(tid, *address, (*len).min(SNAPSHOT) as usize),
            })
            .collect()
    }

    fn forked(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let resume = Resume::ToCallExit;
        let Ok(child) = ptrace::message(tid).map(|m| m as i32) else {
            return Some(resume);
        };
        let is_thread = process_files::thread_group(child).is_some_and(|group| group != child);
        if is_thread {
            self.threads.insert(child, Thread::new(process));
            self.adopt(child);
            return Some(resume);
        }
        let id = ProcessId(self.members.len() as u32);
        let member = Member::born_of(&self.members[process.0 as usize], child, process, self.now());
        self.members.push(member);
        self.threads.insert(child, Thread::new(id));
        let snapshots = if self.launch.watch.snapshots { self.snapshots(process, tid, None) } else { Vec::new() };
        let event = self.record(process, tid, What::Forked { child: id, snapshots });
        if let (Some(event), Some(call)) = (event, self.threads.get(&tid).and_then(|t| t.call.as_ref()?.event)) {
            self.events[event].source = self.events[call].source.clone();
        }
        let (hold_parent, hold_child) = self.holds.at_fork();
        if hold_child {
            self.holds.add(child, None, &self.members);
        }
        if hold_parent {
            self.holds.add(tid, Some(resume), &self.members);
        }
        self.adopt(child);
        if hold_parent { None } else { Some(resume) }
    }

    /// Handles the stop of a thread that was attached before its birth was announced.
    fn adopt(&mut self, tid: i32) {
        if self.holds.holds(tid) {
            return;
        }
        if let Some(status) = self.early.remove(&tid) {
            self.handle(tid, status);
        }
    }

    fn executed(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        // After exec by another thread than the first, the id is the first one's.
        let former = ptrace::message(tid).map_or(tid, |m| m as i32);
        let call = self.threads.get_mut(&former).and_then(|t| t.call.take());
        self.threads.retain(|other, t| *other == tid || t.process != process);
        let path = std::fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default();
        if let Some(index) = call.and_then(|c| c.event) {
            let now = self.now();
            self.events[index].until = now;
            if let What::Called { result, .. } = &mut self.events[index].what {
                *result = Some(Ok(0));
            }
        }
        let member = &mut self.members[process.0 as usize];
        member.table.retain(|_, d| !d.close_on_exec);
        member.shared.clear();
        member.dispositions.retain(|_, d| *d == Disposition::Ignored);
        member.main_began = false;
        member.breakpoint = None;
        member.space.reload(member.pid, self.images, self.program);
        if let Some(beginning) = member.space.beginning() {
            member.breakpoint = set_breakpoint(tid, beginning.address);
        }
        // Without a place to stop at, everything after exec counts as the program's own.
        let stops = member.breakpoint.is_some();
        let open = member.table.iter().map(|(fd, d)| (*fd, d.object)).collect();
        self.record(process, tid, What::Executed { path, open });
        if !stops {
            self.member(process).main_began = true;
        }
        Some(Resume::Go(0))
    }

    /// A breakpoint of ours was hit: the program's own part begins.
    fn began(&mut self, tid: i32, process: ProcessId) -> bool {
        let Some((address, word)) = self.members[process.0 as usize].breakpoint else {
            return false;
        };
        let Ok(mut registers) = ptrace::registers(tid) else { return false };
        if arch::pointers(&registers).0 != address + arch::BREAKPOINT_LEN {
            return false;
        }
        arch::rewind_breakpoint(&mut registers);
        let _ = ptrace::poke(tid, address, word);
        let _ = ptrace::set_registers(tid, &registers);
        let member = self.member(process);
        member.breakpoint = None;
        member.main_began = true;
        self.record(process, tid, What::MainBegan);
        true
    }

    fn signalled(&mut self, tid: i32, process: ProcessId, signal: i32) -> Option<Resume> {
        let information = ptrace::signal_information(tid).ok();
        let disposition = self.members[process.0 as usize].disposition(signal);
        let quiet = matches!(signal, libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT);
        if disposition == Disposition::Handler || !(quiet || disposition == Disposition::Ignored) {
            let code = information.map_or(0, |i| i.si_code);
            let faulted = matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL) && code > 0;
            // SAFETY: a fault's siginfo carries its address, and one sent by a process its sender; the union member
            // read is the one that the signal and its code say is there.
            let address = information.filter(|_| faulted).map(|i| unsafe { i.si_addr() } as u64);
            // SAFETY: as above.
            let sender = information.filter(|_| !faulted && code <= 0).map(|i| unsafe { i.si_pid() });
            let sender = sender.and_then(|pid| {
                let outer = self.members.iter().rposition(|m| m.pid == pid);
                outer.map(|n| ProcessId(n as u32)).or_else(|| self.by_inner_pid(pid))
            });
            let event = self.record(process, tid, What::Signalled { signal, code, address, sender, disposition });
            if self.launch.watch.sources
                && faulted
                && let Ok(registers) = ptrace::registers(tid)
            {
                self.add_source(tid, process, &registers, event);
            }
        }
        Some(Resume::Go(signal))
    }

    /// The last look at a process that is about to end.
    fn exiting(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        if self.members[process.0 as usize].pid != tid {
            return Some(Resume::Go(0));
        }
        let status = ptrace::message(tid).unwrap_or(0) as i32;
        let exit = if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        };
        let snapshots = if self.launch.watch.snapshots { self.snapshots(process, tid, None) } else { Vec::new() };
        let now = self.now();
        let (reads, writes) = process_files::transfers(tid);
        let (minor, major) = process_files::faults(tid);
        let cpu = process_files::process_cpu(tid);
        let member = self.member(process);
        member.seen.ended = Some(now);
        member.seen.exit = Some(exit);
        member.seen.cpu = cpu;
        (member.seen.reads, member.seen.writes) = (reads, writes);
        (member.seen.minor_faults, member.seen.major_faults) = (minor, major);
        member.seen.open_at_exit = member.table.iter().map(|(fd, d)| (*fd, d.object)).collect();
        member.table.clear();
        self.record(process, tid, What::Exited { exit, snapshots });
        Some(Resume::Go(0))
    }
}

/// Puts a breakpoint and returns its address and the word that was there.
fn set_breakpoint(tid: i32, address: u64) -> Option<(u64, u64)> {
    let word = ptrace::peek(tid, address).ok()?;
    let with = (word & !0xff) | u64::from(arch::BREAKPOINT);
    ptrace::poke(tid, address, with).ok()?;
    Some((address, word))
}

/// Cuts the count of a transfer, so that the kernel does a real short one, and says which argument that was. `None`
/// where it is short already.
fn shorten(tid: i32, registers: &mut libc::user_regs_struct, in_call: &InCall, count: u64) -> Option<usize> {
    let arguments = in_call.arguments;
    let (index, count) = match in_call.sysno.name() {
        "read" | "write" | "pread64" | "pwrite64" | "sendto" | "recvfrom" | "tee" => (2, count),
        "sendfile" => (3, count),
        "splice" | "copy_file_range" => (4, count),
        // Only the first vectors that are not empty: the program's own array is not touched.
        "readv" | "writev" | "preadv" | "pwritev" | "preadv2" | "pwritev2" => {
            let len = |n: u64| memory::word(tid, arguments[1] + n * 16 + 8).unwrap_or(0);
            (2, (0..arguments[2].min(64)).find(|n| len(*n) > 0).unwrap_or(0) + 1)
        }
        _ => return None,
    };
    let shorter = arguments[index] > count;
    if shorter {
        arch::set_argument(registers, index, count);
    }
    shorter.then_some(index)
}
