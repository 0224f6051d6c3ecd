//! What a call that succeeded has changed: descriptors, mappings, children reaped, signals arranged.

use std::collections::BTreeMap;

use super::run::Run;
use super::tracee::InCall;
use crate::calls::Call;
use crate::decode::{self, Caller};
use crate::memory;
use crate::objects;
use crate::observation::{ObjectId, ObjectKind, ProcessId, Snapshot, What};

/// Bytes of a shared mapping that a snapshot keeps.
const SNAPSHOT: u64 = 64 << 10;

impl Run<'_> {
    /// A call has succeeded: what it changes, and what its result adds to its event.
    pub(super) fn succeeded(&mut self, tid: i32, process: ProcessId, in_call: &InCall, call: &mut Call, value: i64) {
        let pid = self.members[process.0 as usize].pid;
        let keep = self.launch.watch.transfer_bytes.min(self.room);
        if value > 0 && matches!(call, Call::Read { .. } | Call::Write { .. }) {
            self.holds.progressed();
        }
        match call {
            Call::Read { data, .. } => {
                let table = &self.members[process.0 as usize].table;
                let caller = Caller { tid, table, keep, names: &self.names };
                *data = decode::received(&caller, in_call.sysno, in_call.arguments, value.max(0) as u64);
                self.room -= data.len();
            }
            Call::Open { object, .. } | Call::NewDescriptor { object, .. } => {
                *object = self.registry.named(pid, value as i32);
                self.tables_uncertain |= i64::from(in_call.sysno.0) == libc::SYS_io_uring_setup;
            }
            Call::Pipe { read_fd, write_fd, object, .. } => {
                if let Some((read, write)) = decode::pair(tid, in_call.sysno, in_call.arguments) {
                    (*read_fd, *write_fd) = (read, write);
                    *object = self.registry.made(pid, read, ObjectKind::Pipe);
                }
            }
            Call::Socketpair { first_fd, second_fd, object, peer, .. } => {
                if let Some((first, second)) = decode::pair(tid, in_call.sysno, in_call.arguments) {
                    (*first_fd, *second_fd) = (first, second);
                    *object = self.registry.made(pid, first, ObjectKind::Socket);
                    *peer = self.registry.made(pid, second, ObjectKind::Socket);
                }
            }
            Call::Mmap { len, prot, flags, fd, object, .. } => {
                let (len, prot, flags, fd) = (*len, *prot, *flags, *fd);
                *object = self.mapped(process, value as u64, len, prot, flags, fd);
                self.add_pages(process, in_call.event, &[(value as u64, len)]);
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

    /// What the program's own code mapped and has mapped still, address and length, in this process or in one that it was
    /// forked from.
    pub(super) fn own_mappings(&self, process: ProcessId) -> Vec<(u64, u64)> {
        if !self.launch.watch.pages {
            return Vec::new();
        }
        let mut held: BTreeMap<ProcessId, Vec<(u64, u64)>> = BTreeMap::new();
        for event in &self.events {
            let own = held.entry(event.process).or_default();
            match &event.what {
                What::Called { call: Call::Munmap { address, len, .. }, result: Some(Ok(_)), .. } => {
                    own.retain(|(start, _)| !(*address..address.saturating_add(*len)).contains(start));
                }
                What::Called { call: Call::Mmap { len, prot, flags, .. }, result: Some(Ok(at)), .. }
                    if event.source.is_some() && *prot != libc::PROT_NONE && flags & libc::MAP_STACK == 0 =>
                {
                    own.push((*at as u64, *len));
                }
                What::Called { call: Call::Mremap { address, new_len, .. }, result: Some(Ok(to)), .. } => {
                    let moved = own.iter_mut().filter(|(start, _)| start == address);
                    moved.for_each(|one| *one = (*to as u64, *new_len));
                }
                What::Forked { child, .. } => {
                    let copies = own.clone();
                    held.insert(*child, copies);
                }
                What::Executed { .. } => own.clear(),
                _ => {}
            }
        }
        held.remove(&process).unwrap_or_default()
    }

    /// What the writable shared mappings hold; only those that begin in `within`, if that is given.
    pub(super) fn snapshots(&self, process: ProcessId, tid: i32, within: Option<(u64, u64)>) -> Vec<Snapshot> {
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
}
