//! What is to be drawn, before anybody knows how wide the paper is: lanes, steps on them, flows between them.

use std::collections::BTreeMap;
use std::time::Duration;

use observe::{Ending, Observation, Tracing};

use super::flows::{Passing, RawFlow};
use super::grouping::{Eagerness, group};
use super::lanes::{Lane, lanes, names};
use super::limit::limit;
use super::mappings::{Mapping, mappings};
use super::readable::{count, plural, printable, quoted, size};
use super::told::{Told, tell};
use super::words::Kind;

/// Above this many steps, calls are grouped more eagerly.
const MANY: usize = 60;

/// A whole picture.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Who is in it.
    pub lanes: Vec<Lane>,
    /// What they do, in order of time.
    pub steps: Vec<Step>,
    /// What passes between them.
    pub flows: Vec<Flow>,
    /// What they have mapped.
    pub mappings: Vec<Mapping>,
    /// Every event in words, for the full table.
    pub told: Vec<Told>,
    /// A name for each process of the observation.
    pub names: Vec<String>,
    /// The end of what was seen.
    pub end: Duration,
    /// What the picture leaves out, and why; a sentence each.
    pub notes: Vec<String>,
}

/// One thing a lane does: a call, or a group of them.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Whose.
    pub lane: usize,
    /// Its beginning.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
    /// What kind of thing.
    pub kind: Kind,
    /// "writes 9 bytes to pipe A".
    pub sentence: String,
    /// "writes 9 B".
    pub brief: String,
    /// Where bytes went or came from: " to pipe A".
    pub place: String,
    /// The waiting in it.
    pub waiting: Option<Waiting>,
    /// It failed.
    pub failed: bool,
    /// Which of [`Model::told`] it stands for.
    pub told: Vec<usize>,
    /// How many calls it stands for.
    pub count: usize,
}

/// How a step waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// "waits for bytes in pipe A", "sleeps".
    pub what: String,
    /// From when to when.
    pub spans: Vec<(Duration, Duration)>,
    /// It never came to its end.
    pub for_ever: bool,
}

impl Waiting {
    /// The time of all its spans together.
    pub fn total(&self) -> Duration {
        self.spans.iter().map(|(from, to)| *to - *from).sum()
    }
}

/// Something that passes from one lane to another.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// What.
    pub what: Passing,
    /// Lane and time of its start.
    pub from: (usize, Duration),
    /// Lane and time of its arrival.
    pub to: (usize, Duration),
    /// The times of the last of several that are drawn as one.
    pub last: Option<(Duration, Duration)>,
    /// Index of the step it starts from.
    pub from_step: usize,
    /// Index of the step at which it arrives.
    pub to_step: Option<usize>,
    /// What passes: `"Hi Child!" (9 B)`.
    pub load: String,
    /// Through what: "pipe A".
    pub through: String,
}

/// Builds the picture of an observation.
pub(super) fn model(obs: &Observation) -> Model {
    let ends = obs.events.iter().map(|e| e.until).chain(obs.processes.iter().filter_map(|p| p.ended));
    let end = ends.fold(obs.wall, Duration::max);
    let names = names(obs);
    let (lanes, undrawn) = lanes(obs, &names, end);
    let (told, raw) = tell(obs, &names, &lanes, end);
    let (mut steps, left_out) = limit(steps(&told, &lanes, undrawn), lanes.len());
    super::hang::mark(obs, &lanes, &mut steps);
    let mut notes = notes(obs, undrawn);
    if left_out > 0 {
        notes.push(format!("To keep the picture readable, {} are drawn in sum.", plural(left_out as u64, "call")));
    }
    let quiet = told.iter().filter(|t| t.said.quiet && !t.startup).count();
    if quiet > 0 {
        notes.push(format!(
            "Left out as housekeeping (memory, settings, files of the system): {}.",
            plural(quiet as u64, "call")
        ));
    }
    let flows = flows(obs, &told, &raw, &steps, &lanes);
    let mappings = mappings(obs, &lanes);
    Model { lanes, steps, flows, mappings, told, names, end, notes }
}

fn steps(told: &[Told], lanes: &[Lane], undrawn: usize) -> Vec<Step> {
    let mut by_lane: Vec<Vec<usize>> = vec![Vec::new(); lanes.len()];
    for (index, one) in told.iter().enumerate() {
        if let Some(lane) = one.lane.filter(|_| !one.startup && (!one.said.quiet || one.for_ever)) {
            let first = one.said.kind != Kind::Begin || lanes[lane].process.0 == 0;
            by_lane[lane].extend(first.then_some(index));
        }
    }
    let many = by_lane.iter().map(Vec::len).sum::<usize>() > MANY;
    let similar = if many { 3 } else { 6 };
    let how = Eagerness { equal: 3, similar, crowd: undrawn > 0 };
    let grouped = by_lane.iter().enumerate().flat_map(|(lane, indices)| group(lane, told, indices, how));
    let mut steps: Vec<Step> = grouped.collect();
    steps.sort_by_key(|step| (step.from, step.told.first().copied()));
    steps
}

type Bundle = BTreeMap<(Passing, usize, Option<usize>, usize), (Flow, u64, u64)>;

/// Flows between steps; those between the same two steps become one.
fn flows(obs: &Observation, told: &[Told], raw: &[RawFlow], steps: &[Step], lanes: &[Lane]) -> Vec<Flow> {
    let mut step_of: Vec<Option<usize>> = vec![None; told.len()];
    for (index, step) in steps.iter().enumerate() {
        for one in &step.told {
            step_of[*one] = Some(index);
        }
    }
    // What is written at once may be read in pieces; its label is that of the whole.
    let mut written: BTreeMap<usize, u64> = BTreeMap::new();
    for one in raw.iter().filter(|one| one.what == Passing::Bytes) {
        *written.entry(one.from).or_default() += one.bytes;
    }
    let mut bundles: Bundle = BTreeMap::new();
    for one in raw {
        let Some(from_step) = step_of[one.from] else { continue };
        let to_step = one.to.and_then(|to| step_of[to]);
        let arrival = match (one.child, to_step) {
            (Some(child), _) => lanes.iter().position(|l| l.process == child).map(|lane| (lane, lanes[lane].from)),
            (None, Some(step)) => Some((steps[step].lane, steps[step].to)),
            (None, None) => None,
        };
        let Some((lane, arrival)) = arrival else { continue };
        let from = &told[one.from];
        let start = match one.what {
            Passing::Bytes | Passing::Fork | Passing::Signal => from.from,
            _ => from.to.min(arrival).max(from.from),
        };
        let arrival = one.to.map_or(arrival, |to| told[to].to).max(start);
        let through = object_label(obs, one);
        let ends = ((steps[from_step].lane, start), (lane, arrival));
        let fresh = Flow {
            what: one.what,
            from: ends.0,
            to: ends.1,
            last: None,
            from_step,
            to_step,
            load: match written.get(&one.from) {
                Some(whole) => format!("{} ({})", quoted(&one.data, 22), size(*whole)),
                None => String::new(),
            },
            through,
        };
        let entry = bundles.entry((one.what, from_step, to_step, lane)).or_insert((fresh, 0, 0));
        entry.1 += one.bytes;
        entry.2 += 1;
        entry.0.last = (entry.2 > 1).then_some((start, arrival));
    }
    let named = bundles.into_values().map(|(mut flow, bytes, messages)| {
        if flow.what == Passing::Bytes && messages > 1 {
            flow.load = format!("{} in {} pieces", size(bytes), count(messages));
        }
        flow
    });
    named.collect()
}

fn object_label(obs: &Observation, flow: &RawFlow) -> String {
    let object = flow.object.and_then(|id| obs.objects.get(id.0 as usize));
    object.map(|o| super::readable::fit_middle(&printable(&o.label), 20)).unwrap_or_default()
}

fn notes(obs: &Observation, undrawn: usize) -> Vec<String> {
    let mut notes = Vec::new();
    match &obs.tracing {
        Tracing::On => {}
        Tracing::NotAsked => {
            notes.push("System calls were not watched in this run: only processes and output are shown.".into())
        }
        Tracing::NotPermitted(reason) => notes.push(format!(
            "This machine does not permit watching system calls ({}): only processes and output are shown.",
            printable(reason)
        )),
    }
    if obs.truncated {
        notes.push("The record stops here: the program did more than was kept.".into());
    }
    if undrawn > 0 {
        let (noun, verb) = if undrawn == 1 { ("process", "is") } else { ("processes", "are") };
        notes.push(format!("{} more {noun} {verb} not drawn.", count(undrawn as u64)));
    }
    match obs.ending {
        Ending::Ended(_) => {}
        Ending::Deadlocked => notes.push("It was stopped because nothing could ever have ended its waiting.".into()),
        Ending::Deadline => notes.push("It was stopped at its deadline.".into()),
        Ending::Flooded => notes.push("It was stopped because it wrote without end.".into()),
        Ending::OverLimit => {
            let limit = obs.over_limit.as_deref().unwrap_or("ran into a limit of its box");
            notes.push(format!("It was stopped because it {limit}."));
        }
    }
    notes
}
