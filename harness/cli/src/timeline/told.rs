//! Every event put into words, and how long it kept its process waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use observe::{Event, ObjectId, Observation, What};

use super::flows::{self, RawFlow};
use super::lanes::{Lane, lane_of};
use super::snapshots;
use super::words::{Kind, Said, Speaker};

/// What a call takes at least under observation: a shorter one did not wait, whatever happened meanwhile.
const BARE: Duration = Duration::from_micros(20);

/// Bytes that a pipe holds unless the program asks for another size.
const PIPE_CAPACITY: i64 = 65_536;

/// One event in words.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Index in [`Observation::events`].
    pub event: usize,
    /// Where it is drawn, if its process is.
    pub lane: Option<usize>,
    /// When it began.
    pub from: Duration,
    /// When it was over; the end of what was seen for a call that never returned.
    pub to: Duration,
    /// The words.
    pub said: Said,
    /// It kept its thread waiting.
    pub waited: bool,
    /// It never came to its end.
    pub for_ever: bool,
    /// It belongs to the loader or the runtime.
    pub startup: bool,
}

/// All events in words, and what flowed between them.
pub(super) fn tell(obs: &Observation, names: &[String], lanes: &[Lane], end: Duration) -> (Vec<Told>, Vec<RawFlow>) {
    let mut speaker = Speaker::new(obs, names);
    let mut told: Vec<Told> = Vec::with_capacity(obs.events.len());
    let mut begun = BTreeSet::new();
    for (index, event) in obs.events.iter().enumerate() {
        if matches!(event.what, What::MainBegan) {
            begun.insert(event.process);
        }
        let Some(said) = speaker.say(event) else { continue };
        let for_ever = unreturned(event);
        let last = lane_of(lanes, event).map_or(end, |lane| lanes[lane].to);
        told.push(Told {
            event: index,
            lane: lane_of(lanes, event),
            from: event.at,
            to: if for_ever { last.max(event.at) } else { event.until.max(event.at) },
            said,
            waited: false,
            for_ever,
            startup: event.startup && !turns(event, begun.contains(&event.process)),
        });
    }
    snapshots::tell(obs, &mut told);
    let flows = flows::find(obs, &told);
    for flow in &flows {
        if let Some(to) = flow.to {
            let late = told[flow.from].from > told[to].from && told[to].to - told[to].from > BARE;
            told[to].waited |= late && told[to].said.waits.is_some();
        }
    }
    for index in full(&told) {
        told[index].waited |= told[index].to - told[index].from > BARE;
    }
    for one in &mut told {
        one.waited |= one.said.waits.is_some() && (one.for_ever || one.to - one.from >= one.said.patience);
        one.for_ever &= one.waited;
    }
    (told, flows)
}

/// Writes that found their pipe too full for all of their bytes.
fn full(told: &[Told]) -> Vec<usize> {
    let mut changes: Vec<(Duration, ObjectId, i64)> = Vec::new();
    for one in told {
        changes.extend(one.said.given.map(|g| (one.to, g.object, g.bytes as i64)));
        changes.extend(one.said.taken.map(|t| (one.to, t.object, -(t.bytes as i64))));
    }
    changes.sort_by_key(|(at, ..)| *at);
    let mut writes: Vec<usize> =
        (0..told.len()).filter(|i| told[*i].said.given.is_some() && told[*i].said.waits.is_some()).collect();
    writes.sort_by_key(|i| told[*i].from);
    let mut inside: BTreeMap<ObjectId, i64> = BTreeMap::new();
    let mut changes = changes.into_iter().peekable();
    writes.retain(|index| {
        while let Some((_, object, bytes)) = changes.next_if(|(at, ..)| *at <= told[*index].from) {
            *inside.entry(object).or_default() += bytes;
        }
        let given = told[*index].said.given;
        given.is_some_and(|g| inside.get(&g.object).copied().unwrap_or(0) + g.bytes as i64 > PIPE_CAPACITY)
    });
    writes.retain(|index| !matches!(told[*index].said.kind, Kind::Print));
    writes
}

/// Changes the course of its process, and is told even if the loader did it.
fn turns(event: &Event, begun: bool) -> bool {
    match event.what {
        What::Forked { .. } | What::Exited { .. } => true,
        What::Executed { .. } => begun || event.process.0 > 0,
        _ => false,
    }
}

fn unreturned(event: &Event) -> bool {
    matches!(event.what, What::Called { result: None, .. })
}
