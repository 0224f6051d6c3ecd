//! Each kind of stop that a traced thread reports, from its birth to its end.

use std::time::Instant;

use super::ptrace;
use super::run::Run;
use super::tracee::{Member, Resume, Thread};
use super::usage::too_many_processes;
use crate::arch;
use crate::memory;
use crate::observation::{Disposition, Exit, ProcessId, What};
use crate::plan::Rung;
use crate::process_files;

impl Run<'_> {
    pub(super) fn member(&mut self, process: ProcessId) -> &mut Member {
        &mut self.members[process.0 as usize]
    }
    /// One report of waitpid about a traced thread.
    pub(super) fn handle(&mut self, tid: i32, status: i32) {
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            self.early.remove(&tid);
            self.holds.forget(tid);
            self.holds.progressed();
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
            libc::PTRACE_EVENT_SECCOMP => {
                self.turn_ends(tid);
                self.call_begins(tid, process)
            }
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
        self.turn_begins(tid);
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

    fn forked(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let resume = Resume::ToCallExit;
        let Ok(child) = ptrace::message(tid).map(|m| m as i32) else {
            return Some(resume);
        };
        self.inherits(tid, child);
        // The flags are in the call that is under way; without it, /proc knows.
        let call = self.threads.get(&tid).and_then(|t| t.call.as_ref());
        let (flags, arguments) = match call.map(|call| (i64::from(call.sysno.0), call.arguments)) {
            Some((libc::SYS_clone, arguments)) => (Some(arguments[0] as i32), arguments),
            Some((libc::SYS_fork, arguments)) => (Some(0), arguments),
            Some((libc::SYS_vfork, arguments)) => (Some(libc::CLONE_VFORK), arguments),
            _ => (None, [0; 6]),
        };
        let is_thread = match flags {
            Some(flags) => flags & libc::CLONE_THREAD != 0,
            None => process_files::thread_group(child).is_some_and(|group| group != child),
        };
        self.tables_uncertain |= !is_thread && flags.is_none_or(|flags| flags & libc::CLONE_FILES != 0);
        if is_thread {
            self.threads.insert(child, Thread::new(process));
            self.count_threads();
            self.adopt(child);
            return Some(resume);
        }
        let id = ProcessId(self.members.len() as u32);
        let inner = self.number_inside(child, flags, arguments);
        self.holds.progressed();
        let member = Member::born_of(&self.members[process.0 as usize], (child, inner), process, self.now());
        self.members.push(member);
        self.threads.insert(child, Thread::new(id));
        self.count_threads();
        let snapshots = if self.launch.watch.snapshots { self.snapshots(process, tid, None) } else { Vec::new() };
        let mappings = self.own_mappings(process);
        let event = self.record(process, tid, What::Forked { child: id, snapshots });
        // The child's own: fork does not copy the page tables of what is shared.
        self.add_pages(id, event, &mappings);
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
        if hold_parent {
            return None;
        }
        // All that the exit of the call would tell is known: that the parent of a vfork goes on later, or what is to
        // be done after the call, excepted.
        let at_once = flags.is_some_and(|flags| flags & libc::CLONE_VFORK == 0) && !self.holds.after_calls();
        match self.threads.get_mut(&tid).and_then(|t| t.call.take_if(|call| at_once && call.untouched())) {
            Some(call) => {
                self.returned(tid, process, &call, Ok(i64::from(inner)));
                Some(Resume::Go(0))
            }
            None => Some(resume),
        }
    }

    /// The number of a new process as those in the box see it.
    fn number_inside(&mut self, child: i32, flags: Option<i32>, arguments: [u64; 6]) -> i32 {
        if self.rung != Rung::F && !self.launch.here {
            return child;
        }
        // The kernel has written it into the child's memory before the child's first stop, if it was asked to. That is
        // cheaper to read than the child's status.
        let written = flags.is_some_and(|flags| flags & libc::CLONE_CHILD_SETTID != 0);
        let number = if written && self.has_stopped(child) { memory::half(child, arguments[3]) } else { None };
        let number = number.map(|n| n as i32).filter(|n| *n > 0);
        number.or_else(|| process_files::inner_pid(child)).unwrap_or(child)
    }

    /// Whether the first stop of a new process has come; takes it if it is there to be taken.
    fn has_stopped(&mut self, child: i32) -> bool {
        let status = match self.early.get(&child) {
            Some(status) => *status,
            None => {
                let mut status = 0;
                // SAFETY: waitpid writes the status it is given room for.
                if unsafe { libc::waitpid(child, &mut status, libc::__WALL | libc::WNOHANG) } != child {
                    return false;
                }
                self.early.insert(child, status);
                status
            }
        };
        libc::WIFSTOPPED(status)
    }

    /// The kernel, where it counts, lets one more be born than there may be: here it is met.
    fn count_threads(&mut self) {
        let limits = &self.launch.limits;
        let alive = |t: &&Thread| self.members[t.process.0 as usize].seen.ended.is_none();
        if self.threads.values().filter(alive).count() as u64 > limits.processes && !self.launch.here {
            self.usage.exceeded(too_many_processes(limits));
        }
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
        let path = process_files::readable(&std::fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default());
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
        let member = &mut self.members[process.0 as usize];
        member.breakpoint = None;
        member.main_began = true;
        // Debug information is read while the program is stopped before its first own instruction, so that the time
        // it takes does not look like the program's.
        if self.launch.watch.sources {
            let before = Instant::now();
            member.space.reload(member.pid, self.images, self.program);
            member.space.warm_up();
            self.leave_out(before.elapsed());
        }
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

    /// Whether a process ends with this thread: with its first, unless that one ends alone; then with its last.
    fn ends_with(&mut self, tid: i32, process: ProcessId) -> bool {
        let first = self.members[process.0 as usize].pid;
        let others = self.threads.iter().any(|(t, thread)| ![tid, first].contains(t) && thread.process == process);
        let alone = others && ptrace::registers(tid).is_ok_and(|r| i64::from(arch::sysno(&r).0) == libc::SYS_exit);
        let member = self.member(process);
        if tid == first {
            member.first_has_ended = alone;
            !alone
        } else {
            member.first_has_ended && !others
        }
    }

    /// The last look at a process that is about to end.
    fn exiting(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        if !self.ends_with(tid, process) {
            self.holds.ends(self.members[process.0 as usize].pid, [tid]);
            return Some(Resume::Go(0));
        }
        let status = ptrace::message(tid).unwrap_or(0) as i32;
        let exit = if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        };
        self.ends(tid, process, exit);
        Some(Resume::Go(0))
    }

    /// Takes down what is known of a process that is about to end.
    pub(super) fn ends(&mut self, tid: i32, process: ProcessId, exit: Exit) {
        let pid = self.members[process.0 as usize].pid;
        let threads = self.threads.iter().filter(|(_, thread)| thread.process == process).map(|(tid, _)| *tid);
        self.holds.ends(pid, threads);
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
        let mappings = self.own_mappings(process);
        let event = self.record(process, tid, What::Exited { exit, snapshots });
        self.add_pages(process, event, &mappings);
    }
}

/// Puts a breakpoint and returns its address and the word that was there.
fn set_breakpoint(tid: i32, address: u64) -> Option<(u64, u64)> {
    let word = ptrace::peek(tid, address).ok()?;
    let with = (word & !0xff) | u64::from(arch::BREAKPOINT);
    ptrace::poke(tid, address, with).ok()?;
    Some((address, word))
}
