//! What each process has mapped, and from when to when.

use std::time::Duration;

use nix::libc;
use observe::{Call, Event, ObjectId, Observation, Pages, ProcessId, What};

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
    /// Its pages at first and at last, if they were looked at.
    pub pages: [Option<Look>; 2],
}

/// Pages of a mapping at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// "just mapped", "at its end".
    pub when: &'static str,
    /// What the page tables said.
    pub pages: Pages,
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
    pages: [Option<Look>; 2],
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
        let Live { label, shared, object, pages, .. } = one;
        Some(Mapping { lane, from, to, label, shared, object, pages })
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
                look_last(live, event, "before it is unmapped");
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
        What::Exited { .. } => {
            look_last(live, event, "at its end");
            end(live, event, |_| true);
        }
        What::Executed { .. } => end(live, event, |_| true),
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
    if anonymous && !shared && !of_interest(event, flags) {
        return None;
    }
    let known = object.and_then(|id| obs.objects.get(id.0 as usize));
    if known.is_some_and(|o| of_the_system(&o.kind)) {
        return None;
    }
    let name = known.filter(|_| !anonymous);
    let name = name.map_or("memory".into(), |o| fit_middle(&printable(&o.label), 24));
    let how = match (shared, anonymous) {
        (true, _) => "shared",
        (false, true) => "private",
        (false, false) => "private copy",
    };
    let label = format!("{name}, {how}, {}", size(len));
    let pages = [look(event, address, "just mapped"), None];
    Some(Live { process: event.process, address, len, from: event.until, to: None, label, shared, object, pages })
}

/// Whether private memory is the program's own doing, and not the allocator's or a library's that starts something.
fn of_interest(event: &Event, flags: i32) -> bool {
    let libraries = ["alloc", "spawn", "thread"];
    let within = |name: &String| libraries.iter().any(|library| name.contains(library));
    event.source.is_some() && !event.pages.is_empty() && flags & libc::MAP_STACK == 0 && !event.stack.iter().any(within)
}

fn inherit(live: &mut Vec<Live>, event: &Event, child: ProcessId) {
    let own = live.iter().filter(|m| m.process == event.process && m.to.is_none());
    let copy = |m: &Live| {
        let pages = [look(event, m.address, "just forked"), None];
        Live { process: child, from: event.at, to: None, label: m.label.clone(), pages, ..*m }
    };
    let copies: Vec<Live> = own.map(copy).collect();
    live.extend(copies);
}

fn look(event: &Event, address: u64, when: &'static str) -> Option<Look> {
    let pages = event.pages.iter().find(|pages| pages.address == address)?;
    Some(Look { when, pages: pages.clone() })
}

fn look_last(live: &mut [Live], event: &Event, when: &'static str) {
    for one in live.iter_mut().filter(|m| m.process == event.process && m.to.is_none()) {
        one.pages[1] = look(event, one.address, when).or(one.pages[1].take());
    }
}

fn end(live: &mut [Live], event: &Event, matching: impl Fn(&Live) -> bool) {
    for mapping in live.iter_mut().filter(|m| m.process == event.process && m.to.is_none()) {
        if matching(mapping) {
            mapping.to = Some(event.at);
        }
    }
}
