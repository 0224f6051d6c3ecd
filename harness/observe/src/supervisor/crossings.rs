//! The entry and the exit of a call that is watched: what is seen there, and what the plan changes there.

use std::time::Instant;

use super::holds::Moment;
use super::limits;
use super::ptrace;
use super::run::Run;
use super::tracee::{InCall, Resume};
use crate::arch;
use crate::calls::{Call, Sysno};
use crate::decode::{self, Caller};
use crate::memory;
use crate::observation::{Exit, ObjectId, ObjectKind, ProcessId, What};
use crate::pages;
use crate::plan::Effect;

/// The call that ends a process.
const EXIT_GROUP: Sysno = Sysno(libc::SYS_exit_group as u32);
/// As many vectors as are looked at.
const MOST_VECTORS: u64 = 64;
/// Where the offset of `preadv2` and `pwritev2` stands for the file's own.
const FILE_OFFSET: u64 = u64::MAX;

impl Run<'_> {
    /// The entry of a call that is watched.
    pub(super) fn call_begins(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let mut registers = ptrace::registers(tid).ok()?;
        let sysno = arch::sysno(&registers);
        let arguments = arch::arguments(&registers);
        if i64::from(sysno.0) == libc::SYS_rt_sigreturn {
            self.record(process, tid, What::HandlerReturned);
            return Some(Resume::Go(0));
        }
        self.part_before(tid, sysno.0.into());
        let keep = self.launch.watch.transfer_bytes.min(self.room);
        let call = {
            let table = &self.members[process.0 as usize].table;
            let caller = Caller { tid, table, keep, names: &self.names };
            decode::entry(&caller, sysno, arguments)
        };
        let mut call = self.refine_entry(call);
        if tells_processors(&call) {
            self.part();
        }
        if let Call::Write { data, .. } = &call {
            self.room -= data.len();
        }
        if let Call::Munmap { address, len, snapshots } = &mut call
            && self.launch.watch.snapshots
        {
            *snapshots = self.snapshots(process, tid, Some((*address, *len)));
        }
        let leaves_at_once = matches!(call, Call::Exit { .. });
        let unmapped = match call {
            Call::Munmap { address, len, .. } => Some((address, len)),
            _ => None,
        };
        let event = self.record(process, tid, What::Called { sysno, call, result: None, injected: false });
        if let Some((address, len)) = unmapped {
            self.add_pages(process, event, &[(address, len)]);
        }
        let mut in_call = InCall { event, sysno, arguments, effect: None, forced: None, again: false, cut: false };
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
        // Its last thread's last call: there is nothing to be seen at its end that is not to be seen here.
        if sysno == EXIT_GROUP && self.has_one_thread(process) && ptrace::without_exit_stop(tid).is_ok() {
            self.ends(tid, process, Exit::Code((arguments[0] & 0xff) as i32));
            return Some(resume);
        }
        if let Some(value) = self.sure_result(process, event)
            && let Some(in_call) = self.threads.get_mut(&tid).and_then(|t| t.call.take_if(|call| call.untouched()))
        {
            self.returned(tid, process, &in_call, Ok(value));
            return Some(Resume::Go(0));
        }
        Some(resume)
    }

    /// The result of a call on a descriptor that is certainly open, where it can be no other: then nothing is to be
    /// learnt at its exit. To close cannot fail, but for a file, since it may lie on another machine; and whether a
    /// descriptor is closed at exec, which the standard library asks before each close in the dev profile, is known of
    /// those whose making told it.
    fn sure_result(&self, process: ProcessId, event: Option<usize>) -> Option<i64> {
        let What::Called { call, .. } = &self.events[event?].what else { return None };
        let (fd, object, asks) = match call {
            Call::Close { fd, object } => (*fd, (*object)?, false),
            Call::Fcntl { fd, object, command: libc::F_GETFD, .. } => (*fd, (*object)?, true),
            _ => return None,
        };
        let sure = match self.registry.get(object).kind {
            ObjectKind::Pipe | ObjectKind::Fifo(_) | ObjectKind::Socket => true,
            ObjectKind::Memfd => !asks,
            ObjectKind::File(_) => asks,
            _ => false,
        };
        if !sure || self.tables_uncertain || self.holds.after_calls() || !self.has_one_thread(process) {
            return None;
        }
        let open = self.members[process.0 as usize].table.get(&fd)?;
        Some(if asks && open.close_on_exec { i64::from(libc::FD_CLOEXEC) } else { 0 })
    }

    fn has_one_thread(&self, process: ProcessId) -> bool {
        self.threads.values().filter(|t| t.process == process).count() == 1
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

    pub(super) fn add_source(
        &mut self,
        tid: i32,
        process: ProcessId,
        registers: &libc::user_regs_struct,
        event: Option<usize>,
    ) {
        let Some(event) = event else { return };
        let member = &mut self.members[process.0 as usize];
        let before = Instant::now();
        let (line, stack) = member.space.trace(member.pid, tid, arch::pointers(registers), self.images, self.program);
        self.leave_out(before.elapsed());
        self.events[event].source = line;
        self.events[event].stack = stack;
    }

    /// What the page tables say of mappings of the program's own, if the plan asks.
    pub(super) fn add_pages(&mut self, process: ProcessId, event: Option<usize>, mappings: &[(u64, u64)]) {
        let member = &self.members[process.0 as usize];
        if let Some(event) = event.filter(|_| self.launch.watch.pages && member.main_began) {
            let before = Instant::now();
            let pid = member.pid;
            let pages = mappings.iter().filter_map(|(address, len)| pages::look(pid, *address, *len)).collect();
            self.leave_out(before.elapsed());
            self.events[event].pages = pages;
        }
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
        let before = self.threads.get_mut(&tid).and_then(|thread| thread.made_again_by(in_call));
        if before.is_none() && self.actions_before(name) {
            // The call has begun, so the signal would end its waiting. It is to come before: back to the instruction,
            // to which a handler returns.
            in_call.again = true;
            arch::skip_call(registers);
            let _ = ptrace::set_registers(tid, registers);
            return;
        }
        let sleep =
            in_call.event.is_some_and(|n| matches!(self.events[n].what, What::Called { call: Call::Sleep { .. }, .. }));
        let on = self.object_of(in_call.event);
        let uninterrupted =
            in_call.event.is_some_and(|n| by_c_stream(&self.events[n].stack) || never_waits(&self.events[n].what));
        in_call.effect = match before {
            Some(before) => before.effect,
            None => self.faults.effect(&self.registry, process, name, on, uninterrupted),
        };
        let mut injected = true;
        match in_call.effect {
            Some(Effect::Short(count)) => {
                in_call.cut = shorten(tid, registers, in_call, count);
                injected = in_call.cut;
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
    pub(super) fn call_ends(&mut self, tid: i32, process: ProcessId) -> Option<Resume> {
        let in_call = self.threads.get_mut(&tid)?.call.take()?;
        self.join_after(tid, in_call.sysno.0.into());
        let mut result = arch::result(ptrace::register(tid, arch::RESULT).ok()?);
        if !in_call.untouched() {
            result = self.put_right(tid, &in_call, result)?;
        }
        // ERESTARTSYS and its kin: the kernel's own, never seen by the program; it was interrupted.
        if let Err(512..=516) = result {
            result = Err(libc::EINTR);
            if let Some(thread) = self.threads.get_mut(&tid) {
                thread.broken_off = Some(in_call.clone());
            }
        }
        self.returned(tid, process, &in_call, result);
        let began = self.members[process.0 as usize].main_began;
        if began && self.hold_at(tid, process, in_call.event, Moment::After, Resume::Go(0)) {
            return None;
        }
        Some(Resume::Go(0))
    }

    /// At the exit of a call that was not left to itself: the program finds what it is to find. Returns the result.
    fn put_right(&self, tid: i32, in_call: &InCall, result: Result<i64, i32>) -> Option<Result<i64, i32>> {
        let mut registers = ptrace::registers(tid).ok()?;
        let mut result = result;
        if let Some(forced) = in_call.forced {
            result = forced;
            arch::set_result(&mut registers, forced);
        }
        if in_call.again {
            result = Err(libc::EINTR);
            arch::call_again(&mut registers, in_call.sysno);
        }
        if in_call.cut {
            arch::set_call(&mut registers, in_call.sysno, in_call.arguments);
        }
        let _ = ptrace::set_registers(tid, &registers);
        Some(result)
    }

    /// A call has returned: what that tells and changes.
    pub(super) fn returned(&mut self, tid: i32, process: ProcessId, in_call: &InCall, result: Result<i64, i32>) {
        let now = self.now();
        if let Some(index) = in_call.event {
            self.events[index].until = now;
            let mut what = std::mem::replace(&mut self.events[index].what, What::HandlerReturned);
            if let What::Called { call, result: slot, .. } = &mut what {
                *slot = Some(result);
                match result {
                    Ok(value) => self.succeeded(tid, process, in_call, call, value),
                    Err(errno) if in_call.forced.is_none() && !self.launch.here => {
                        let limit = limits::refused(&self.launch.limits, call, errno, &self.registry);
                        self.refusals += u32::from(limit.is_some());
                    }
                    Err(_) => {}
                }
            }
            self.events[index].what = what;
        } else if let Ok(value) = result {
            let table = &self.members[process.0 as usize].table;
            let caller = Caller { tid, table, keep: 0, names: &self.names };
            let mut call = decode::entry(&caller, in_call.sysno, in_call.arguments);
            self.succeeded(tid, process, in_call, &mut call, value);
        }
    }
}

/// Cuts the count of a transfer, so that the kernel does a real short one. Says whether it was longer.
fn shorten(tid: i32, registers: &mut libc::user_regs_struct, in_call: &InCall, count: u64) -> bool {
    let arguments = in_call.arguments;
    let index = match in_call.sysno.name() {
        "read" | "write" | "pread64" | "pwrite64" | "sendto" | "recvfrom" | "tee" => 2,
        "sendfile" => 3,
        "splice" | "copy_file_range" => 4,
        "readv" | "writev" | "preadv" | "pwritev" | "preadv2" | "pwritev2" => {
            return shorten_vectors(tid, registers, in_call, count);
        }
        _ => return false,
    };
    let longer = arguments[index] > count;
    if longer {
        arch::set_argument(registers, index, count);
    }
    longer
}

/// The same of a transfer of vectors: it becomes one of the first that is not empty, so that the program's own array is
/// not touched.
fn shorten_vectors(tid: i32, registers: &mut libc::user_regs_struct, in_call: &InCall, count: u64) -> bool {
    let [fd, vectors, number, offset, _, flags] = in_call.arguments;
    let of = |n: u64| (memory::word(tid, vectors + n * 16), memory::word(tid, vectors + n * 16 + 8).unwrap_or(0));
    let lens = || (0..number.min(MOST_VECTORS)).map(|n| of(n).1);
    let Some(first) = lens().position(|len| len > 0) else { return false };
    let (Some(begin), len) = of(first as u64) else { return false };
    if lens().fold(0, u64::saturating_add) <= count {
        return false;
    }
    let sysno = match in_call.sysno.name() {
        // There is no call of one piece that has flags: only whole vectors are left out.
        "preadv2" | "pwritev2" if flags != 0 => {
            arch::set_argument(registers, 2, first as u64 + 1);
            return number > first as u64 + 1;
        }
        "readv" => libc::SYS_read,
        "writev" => libc::SYS_write,
        "preadv2" if offset == FILE_OFFSET => libc::SYS_read,
        "pwritev2" if offset == FILE_OFFSET => libc::SYS_write,
        "preadv" | "preadv2" => libc::SYS_pread64,
        _ => libc::SYS_pwrite64,
    };
    arch::set_call(registers, Sysno(sysno as u32), [fd, begin, len.min(count), offset, 0, 0]);
    true
}

/// Whether a call opens what says where a process may run.
fn tells_processors(call: &Call) -> bool {
    matches!(call, Call::Open { path, .. } if path.file_name().is_some_and(|name| name == "status"))
}

/// Whether the GNU C library's stdio makes the call.
fn by_c_stream(stack: &[String]) -> bool {
    stack.iter().any(|function| function.starts_with("_IO_"))
}

/// Whether a call opens something in a way that does not wait, nor for the other side of a FIFO: no signal interrupts
/// that.
fn never_waits(what: &What) -> bool {
    matches!(what, What::Called { call: Call::Open { flags, .. }, .. }
        if flags & libc::O_NONBLOCK != 0 || flags & libc::O_ACCMODE == libc::O_RDWR)
}
