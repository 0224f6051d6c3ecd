//! What passes between processes: bytes from the writer's write to the reader's read, forks, signals,
//! wake-ups, and the news that a child has ended or that nobody writes any more.

use std::collections::{BTreeMap, VecDeque};

use nix::libc;
use observe::{Call, Event, ObjectId, ObjectKind, Observation, ProcessId, What};

use super::told::Told;
use super::words::Kind;

/// Bytes of a message that are kept for its label.
const KEPT: usize = 64;

/// What kind of thing passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Passing {
    /// Bytes through a pipe, FIFO or socket.
    Bytes,
    /// Life: a fork.
    Fork,
    /// A child's end, told to the one that waits for it.
    End,
    /// A signal.
    Signal,
    /// A wake-up on a word of shared memory.
    Wake,
    /// The last write end is gone: end-of-file.
    LastWriter,
}

/// One thing that passes from one event to another.
#[derive(Clone, Debug)]
pub(super) struct RawFlow {
    /// What.
    pub what: Passing,
    /// Index into the events told.
    pub from: usize,
    /// Index into the events told; `None` for a fork, which leads to the beginning of a lane.
    pub to: Option<usize>,
    /// Which process a fork makes.
    pub child: Option<ProcessId>,
    /// Through what.
    pub object: Option<ObjectId>,
    /// How many bytes.
    pub bytes: u64,
    /// The first of them.
    pub data: Vec<u8>,
}

impl RawFlow {
    fn new(what: Passing, from: usize, to: Option<usize>) -> RawFlow {
        RawFlow { what, from, to, child: None, object: None, bytes: 0, data: Vec::new() }
    }
}

/// Causes are looked for among this many events before and after.
const NEAR: usize = 2_000;

fn near(index: usize, told: &[Told]) -> std::ops::Range<usize> {
    index.saturating_sub(NEAR)..told.len().min(index + NEAR)
}

/// Everything that passed between the events.
pub(super) fn find(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let mut found = bytes(obs, told);
    found.extend(family(obs, told));
    found.extend(last_writers(obs, told));
    found.extend(wakes(obs, told));
    found.extend(peers(obs, told));
    found
}

struct Sent {
    from: usize,
    left: u64,
    data: VecDeque<u8>,
}

/// Pipes keep the order of bytes, so the n-th byte read is the n-th byte written.
fn bytes(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let far_ends = far_ends(obs);
    let mut sent: BTreeMap<ObjectId, VecDeque<Sent>> = BTreeMap::new();
    let mut reads = Vec::new();
    for (index, one) in told.iter().enumerate() {
        if let Some(given) = one.said.given.filter(|g| g.bytes > 0 && carries(obs, g.object)) {
            let data = data(&obs.events[one.event]).iter().take(KEPT).copied().collect();
            let sent = sent.entry(far_ends.get(&given.object).copied().unwrap_or(given.object)).or_default();
            sent.push_back(Sent { from: index, left: given.bytes, data });
        }
        if one.said.taken.is_some_and(|t| t.bytes > 0 && carries(obs, t.object)) {
            reads.push(index);
        }
    }
    reads.sort_by_key(|index| told[*index].to);
    let mut found = Vec::new();
    for to in reads {
        let Some(taken) = told[to].said.taken else { continue };
        let Some(queue) = sent.get_mut(&taken.object) else { continue };
        let mut wanted = taken.bytes;
        while let (true, Some(first)) = (wanted > 0, queue.front_mut()) {
            let passed = wanted.min(first.left);
            let data = first.data.drain(..first.data.len().min(passed as usize)).collect();
            found.push(RawFlow {
                object: Some(taken.object),
                bytes: passed,
                data,
                ..RawFlow::new(Passing::Bytes, first.from, Some(to))
            });
            wanted -= passed;
            first.left -= passed;
            if first.left == 0 {
                queue.pop_front();
            }
        }
    }
    found
}

fn data(event: &Event) -> &[u8] {
    match &event.what {
        What::Called { call: Call::Write { data, .. } | Call::Read { data, .. }, .. } => data,
        _ => &[],
    }
}

fn carries(obs: &Observation, object: ObjectId) -> bool {
    let kind = obs.objects.get(object.0 as usize).map(|o| &o.kind);
    matches!(kind, Some(ObjectKind::Pipe | ObjectKind::Fifo(_) | ObjectKind::Socket))
}

/// For each socket of a pair the other one: there the bytes come out that are given to it.
fn far_ends(obs: &Observation) -> BTreeMap<ObjectId, ObjectId> {
    let pairs = obs.events.iter().filter_map(|event| match &event.what {
        What::Called { call: Call::Socketpair { object: Some(one), peer: Some(other), .. }, .. } => {
            Some([(*one, *other), (*other, *one)])
        }
        _ => None,
    });
    pairs.flatten().collect()
}

/// Forks, ends that are collected, and signals that one process sends to another.
fn family(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let mut ends: BTreeMap<ProcessId, usize> = BTreeMap::new();
    let mut kills: Vec<(usize, ProcessId, i32)> = Vec::new();
    let mut found = Vec::new();
    for (index, one) in told.iter().enumerate() {
        let event = &obs.events[one.event];
        match &event.what {
            What::Forked { child, .. } => {
                found.push(RawFlow { child: Some(*child), ..RawFlow::new(Passing::Fork, index, None) });
            }
            What::Exited { .. } => {
                ends.insert(event.process, index);
            }
            What::Called { call: Call::Kill { target: Some(target), signal, .. }, result: Some(Ok(_)), .. } => {
                kills.push((index, *target, *signal));
            }
            What::Signalled { signal, .. } => {
                let sent = kills.iter().position(|(_, target, s)| *target == event.process && s == signal);
                if let Some(position) = sent {
                    found.push(RawFlow::new(Passing::Signal, kills.remove(position).0, Some(index)));
                }
            }
            _ => {}
        }
    }
    for (index, one) in told.iter().enumerate() {
        if let What::Called { call: Call::Wait { reaped: Some(child), .. }, result: Some(Ok(_)), .. } =
            &obs.events[one.event].what
        {
            let end = ends.get(child).copied();
            found.extend(end.map(|end| RawFlow::new(Passing::End, end, Some(index))));
        }
    }
    found
}

/// For each end-of-file that was waited for: the close, exec or exit, of another process, that brought it about.
fn last_writers(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let mut found = Vec::new();
    for (to, one) in told.iter().enumerate().filter(|(_, one)| one.said.kind == Kind::EndOfFile) {
        let event = &obs.events[one.event];
        let cause = |other: &Told| {
            let candidate = &obs.events[other.event];
            let frees = match &candidate.what {
                // A descriptor may be closed by exec.
                What::Exited { .. } | What::Executed { .. } => true,
                What::Called { call: Call::Close { object, .. }, .. } => *object == one.said.object,
                _ => false,
            };
            frees && candidate.process != event.process && other.from > one.from && other.from <= one.to
        };
        let last = near(to, told).rev().find(|index| cause(&told[*index]));
        if carries_opt(obs, one.said.object) {
            found.extend(
                last.map(|from| RawFlow {
                    object: one.said.object,
                    ..RawFlow::new(Passing::LastWriter, from, Some(to))
                }),
            );
        }
    }
    found
}

fn carries_opt(obs: &Observation, object: Option<ObjectId>) -> bool {
    object.is_some_and(|object| carries(obs, object))
}

/// From each open of a FIFO to the opens of the other side that it let go on.
fn peers(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let opens = |index: &usize| match &obs.events[told[*index].event].what {
        What::Called { call: Call::Open { flags, object, .. }, result: Some(Ok(_)), .. } => {
            let kind = object.and_then(|o| obs.objects.get(o.0 as usize)).map(|o| &o.kind);
            let fifo = matches!(kind, Some(ObjectKind::Fifo(_)));
            fifo.then_some((*object, flags & libc::O_ACCMODE))
        }
        _ => None,
    };
    let all: Vec<usize> = (0..told.len()).filter(|i| opens(i).is_some()).collect();
    let mut found = Vec::new();
    for to in all.iter().filter(|i| told[**i].said.waits.is_some()) {
        let (own, earlier) = (opens(to), told[*to].from);
        let other = |from: &&usize| {
            let (a, b) = (opens(from), own);
            let meets = a.zip(b).is_some_and(|(a, b)| a.0 == b.0 && a.1 != b.1);
            meets && told[**from].from > earlier && told[**from].from <= told[*to].to
        };
        found.extend(all.iter().find(other).map(|from| RawFlow::new(Passing::Wake, *from, Some(*to))));
    }
    found
}

/// From each futex wake to the waits on the same word that it ended.
fn wakes(obs: &Observation, told: &[Told]) -> Vec<RawFlow> {
    let futex = |index: usize| match &obs.events[told[index].event].what {
        What::Called { call: Call::Futex { address, .. }, result, .. } => Some((*address, *result)),
        _ => None,
    };
    let mut found = Vec::new();
    let wakers = (0..told.len()).filter(|i| told[*i].said.kind == Kind::Send && !told[*i].said.quiet);
    for from in wakers {
        let Some((word, Some(Ok(woken)))) = futex(from) else { continue };
        let sleepers = near(from, told).filter(|to| {
            told[*to].said.kind == Kind::Wait
                && futex(*to).is_some_and(|(w, result)| w == word && result == Some(Ok(0)))
                && told[*to].from < told[from].to
                && told[*to].to >= told[from].from
                && obs.events[told[*to].event].thread != obs.events[told[from].event].thread
        });
        found.extend(sleepers.take(woken.max(0) as usize).map(|to| RawFlow::new(Passing::Wake, from, Some(to))));
    }
    found
}
