//! What each process has mapped, and from when to when.

use std::time::Duration;

use nix::libc;
use observe::{Call, Event, ObjectId, Observation, ProcessId, What};

use super::lanes::Lane;
use super::readable::{fit_middle, printable, size};
use super::words::of_the_system;

/// More mappings than this are not drawn under one lane.
pub(super) const MOST_MAPPINGS: usize = 5;

/// One mapping in one process.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    /// The lane of its process.
    pub lane: usize,
    /// When it was made or inherited.
    pub from: Duration,
    /// When it was gone.
    pub to: Duration,
    /// "data.bin, shared, 4 KiB".
    pub label: String,
    /// Stores are seen by all that map the object.
    pub shared: bool,
    /// What is mapped.
    pub object: Option<ObjectId>,
}

struct Live {
    process: ProcessId,
    address: u64,
    len: u64,
    from: Duration,
    to: Option<Duration>,
    label: String,
    shared: bool,
    object: Option<ObjectId>,
}

/// The mappings of files and of shared memory that the program itself made, by lane.
pub(super) fn mappings(obs: &Observation, lanes: &[Lane]) -> Vec<Mapping> {
    let mut live: Vec<Live> = Vec::new();
    for event in &obs.events {
        follow(obs, &mut live, event);
    }
    let drawn = live.into_iter().filter_map(|one| {
        let lane = lanes.iter().position(|lane| lane.process == one.process && lane.thread.is_none())?;
        let from = one.from.max(lanes[lane].from);
        let to = one.to.unwrap_or(lanes[lane].to).max(from);
        Some(Mapping { lane, from, to, label: one.label, shared: one.shared, object: one.object })
    });
    drawn.collect()
}

fn follow(obs: &Observation, live: &mut Vec<Live>, event: &Event) {
    let who = event.process;
    match &event.what {
        What::Called { call, result: Some(Ok(value)), .. } if !event.startup => match call {
            Call::Mmap { len, flags, object, .. } => {
                live.extend(mapped(obs, event, (*value as u64, *len), *flags, *object));
            }
            Call::Munmap { address, len, .. } => {
                let end_of_it = address.saturating_add(len.checked_next_multiple_of(4096).unwrap_or(*len));
                let inside = |m: &Live| m.address >= *address && m.address.saturating_add(m.len) <= end_of_it;
                end(live, event, inside);
            }
            Call::Mremap { address, new_len, .. } => {
                let moved = live.iter_mut().find(|m| m.process == who && m.to.is_none() && m.address == *address);
                if let Some(moved) = moved {
                    (moved.address, moved.len) = (*value as u64, *new_len);
                }
            }
            _ => {}
        },
        What::Forked { child, .. } => inherit(live, event, *child),
        What::Executed { .. } | What::Exited { .. } => end(live, event, |_| true),
        _ => {}
    }
}

fn mapped(
    obs: &Observation,
    event: &Event,
    (address, len): (u64, u64),
    flags: i32,
    object: Option<ObjectId>,
) -> Option<Live> {
    let shared = matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    let anonymous = flags & libc::MAP_ANONYMOUS != 0;
    if anonymous && !shared {
        return None;
    }
    let known = object.and_then(|id| obs.objects.get(id.0 as usize));
    if known.is_some_and(|o| of_the_system(&o.kind)) {
        return None;
    }
    let name = known.filter(|_| !anonymous);
    let name = name.map_or("memory".into(), |o| fit_middle(&printable(&o.label), 24));
    let how = if shared { "shared" } else { "private copy" };
    let label = format!("{name}, {how}, {}", size(len));
    Some(Live { process: event.process, address, len, from: event.until, to: None, label, shared, object })
}

fn inherit(live: &mut Vec<Live>, event: &Event, child: ProcessId) {
    let own = live.iter().filter(|m| m.process == event.process && m.to.is_none());
    let copies: Vec<Live> =
        own.map(|m| Live { process: child, from: event.at, to: None, label: m.label.clone(), ..*m }).collect();
    live.extend(copies);
}

fn end(live: &mut [Live], event: &Event, matching: impl Fn(&Live) -> bool) {
    for mapping in live.iter_mut().filter(|m| m.process == event.process && m.to.is_none()) {
        if matching(mapping) {
            mapping.to = Some(event.at);
        }
    }
}
