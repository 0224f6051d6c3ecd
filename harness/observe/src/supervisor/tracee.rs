//! Threads and processes as the tracer knows them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::calls::Sysno;
use crate::observation::{Descriptors, Disposition, ObjectId, Process, ProcessId};
use crate::plan::Effect;
use crate::process_files;
use crate::symbols::AddressSpace;

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
    /// The call that a signal has broken off, which is made again by the kernel or by the program: the plan takes both
    /// for one.
    pub(super) broken_off: Option<InCall>,
    /// When it last went on, if that matters.
    pub(super) resumed: Option<Instant>,
}

/// A call between its entry and its exit.
#[derive(Clone, Debug)]
pub(super) struct InCall {
    pub(super) event: Option<usize>,
    pub(super) sysno: Sysno,
    pub(super) arguments: [u64; 6],
    /// What the plan does to it.
    pub(super) effect: Option<Effect>,
    /// The result to give instead of the kernel's.
    pub(super) forced: Option<Result<i64, i32>>,
    /// The program makes it again when it has ended: it was not to begin yet.
    pub(super) again: bool,
    /// Its arguments were changed and must read as before when it has returned.
    pub(super) cut: bool,
}

impl InCall {
    /// It is the program's own from entry to exit.
    pub(super) fn untouched(&self) -> bool {
        self.forced.is_none() && !self.again && !self.cut
    }

    /// It asks for the same as another.
    fn repeats(&self, other: &InCall) -> bool {
        self.sysno == other.sysno && self.arguments == other.arguments
    }
}

impl Thread {
    pub(super) fn new(process: ProcessId) -> Thread {
        Thread { process, call: None, broken_off: None, resumed: None }
    }

    /// The call that this one makes again, if a signal has broken that off just before.
    pub(super) fn made_again_by(&mut self, call: &InCall) -> Option<InCall> {
        self.broken_off.take().filter(|before| call.repeats(before))
    }
}

/// A process and what is known of it.
pub(super) struct Member {
    /// Its number outside the box.
    pub(super) pid: i32,
    pub(super) seen: Process,
    pub(super) table: Descriptors,
    pub(super) main_began: bool,
    /// Its first thread has ended and left it to the others.
    pub(super) first_has_ended: bool,
    pub(super) breakpoint: Option<(u64, u64)>,
    pub(super) space: AddressSpace,
    /// Writable shared mappings: start, length, object.
    pub(super) shared: Vec<(u64, u64, Option<ObjectId>)>,
    pub(super) dispositions: HashMap<i32, Disposition>,
}

impl Member {
    /// `inner` is its number inside the box.
    pub(super) fn new(
        (pid, inner): (i32, i32),
        parent: Option<ProcessId>,
        started: Duration,
        table: Descriptors,
    ) -> Member {
        let seen = Process {
            pid: inner,
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
            first_has_ended: false,
            breakpoint: None,
            space: AddressSpace::default(),
            shared: Vec::new(),
            dispositions: HashMap::new(),
        }
    }

    pub(super) fn born_of(parent: &Member, pids: (i32, i32), id: ProcessId, started: Duration) -> Member {
        Member {
            main_began: parent.main_began,
            breakpoint: parent.breakpoint,
            space: parent.space.clone(),
            shared: parent.shared.clone(),
            dispositions: parent.dispositions.clone(),
            ..Member::new(pids, Some(id), started, parent.table.clone())
        }
    }

    /// Processor time so far, or in all if it has ended.
    pub(super) fn cpu(&self) -> Duration {
        if self.seen.ended.is_some() { self.seen.cpu } else { process_files::process_cpu(self.pid) }
    }

    pub(super) fn disposition(&self, signal: i32) -> Disposition {
        self.dispositions.get(&signal).copied().unwrap_or(Disposition::Default)
    }
}
