//! Who is in the picture: one lane a process, and one for each further thread of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use observe::{Event, Exit, Observation, Process, ProcessId, What};

use super::readable::{fit_middle, printable};

/// More lanes than this are not drawn; the picture says so.
pub(super) const MOST_LANES: usize = 24;

/// One lane.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Whose.
    pub process: ProcessId,
    /// Which further thread of it; `None` for the process itself.
    pub thread: Option<i32>,
    /// "the parent", "child 2", "sort".
    pub name: String,
    /// What else there is to say of it in a few words.
    pub detail: String,
    /// Its beginning.
    pub from: Duration,
    /// Its end, or the end of what was seen.
    pub to: Duration,
    /// How it ended, if it did by itself.
    pub exit: Option<Exit>,
    /// Stretches in which the loader and the runtime were at work, which are not shown call by call.
    pub loading: Vec<(Duration, Duration)>,
}

/// All lanes that are drawn, and the number of processes that are not.
pub(super) fn lanes(obs: &Observation, names: &[String], end: Duration) -> (Vec<Lane>, usize) {
    let chosen = chosen(obs);
    let threads = threads(obs);
    let mut lanes = Vec::new();
    for (id, process) in numbered(obs).filter(|(id, _)| chosen.contains(id)) {
        let own = threads.get(&id).map_or(&[][..], Vec::as_slice);
        let name = &names[id.0 as usize];
        lanes.push(process_lane(obs, id, process, name, end));
        for (number, (thread, first, last)) in own.iter().enumerate().skip(1) {
            lanes.push(Lane {
                process: id,
                thread: Some(*thread),
                name: format!("thread {}", number + 1),
                detail: format!("of {name}"),
                from: *first,
                to: *last,
                exit: None,
                loading: Vec::new(),
            });
        }
    }
    lanes.truncate(MOST_LANES);
    let drawn: BTreeSet<ProcessId> = lanes.iter().map(|l| l.process).collect();
    (lanes, obs.processes.len().saturating_sub(drawn.len()))
}

fn numbered(obs: &Observation) -> impl Iterator<Item = (ProcessId, &Process)> {
    obs.processes.iter().enumerate().map(|(i, p)| (ProcessId(i as u32), p))
}

/// The first processes, and before them all that a hang is about.
fn chosen(obs: &Observation) -> BTreeSet<ProcessId> {
    let hang = obs.hang.iter().flat_map(|h| &h.waiters);
    let guilty = hang.flat_map(|w| std::iter::once(w.process).chain(w.culprits.iter().map(|c| c.process)));
    let mut chosen = BTreeSet::from([ProcessId(0)]);
    for id in guilty.chain(numbered(obs).map(|(id, _)| id)) {
        if chosen.len() < MOST_LANES && (id.0 as usize) < obs.processes.len() {
            chosen.insert(id);
        }
    }
    chosen
}

type Span = (i32, Duration, Duration);

/// The threads of each process in the order of their first event, each with its first and last moment.
fn threads(obs: &Observation) -> BTreeMap<ProcessId, Vec<Span>> {
    let mut seen: BTreeMap<ProcessId, Vec<Span>> = BTreeMap::new();
    for event in &obs.events {
        let spans = seen.entry(event.process).or_default();
        match spans.iter_mut().find(|(thread, ..)| *thread == event.thread) {
            Some((_, _, last)) => *last = (*last).max(event.until),
            None => spans.push((event.thread, event.at, event.until)),
        }
    }
    seen
}

/// Index of the lane in which this event is drawn.
pub(super) fn lane_of(lanes: &[Lane], event: &Event) -> Option<usize> {
    let own = |lane: &Lane| lane.process == event.process;
    let thread = lanes.iter().position(|lane| own(lane) && lane.thread == Some(event.thread));
    thread.or_else(|| lanes.iter().position(own))
}

fn process_lane(obs: &Observation, id: ProcessId, process: &Process, name: &str, end: Duration) -> Lane {
    let formal = formal(obs, id);
    // Its end is told when all that it leaves was looked at, and drawn there.
    let told = obs.events.iter().find(|e| e.process == id && matches!(e.what, What::Exited { .. })).map(|e| e.at);
    let detail = if name == formal { format!("pid {}", process.pid) } else { format!("{formal}, pid {}", process.pid) };
    Lane {
        process: id,
        thread: None,
        name: name.to_owned(),
        detail,
        from: process.started,
        to: process.ended.map_or(end, |ended| told.map_or(ended, |told| told.max(ended))).max(process.started),
        exit: process.exit,
        loading: loading(obs, id, process),
    }
}

/// From each start or exec to the beginning of `main`, or to the first call that is not the loader's.
fn loading(obs: &Observation, id: ProcessId, process: &Process) -> Vec<(Duration, Duration)> {
    let mut found = Vec::new();
    let mut since = process.parent.is_none().then_some(process.started);
    for event in obs.events.iter().filter(|e| e.process == id) {
        match (&event.what, since) {
            (What::Executed { .. }, _) => since = since.or(Some(event.at)),
            (What::MainBegan | What::Exited { .. }, Some(start)) => {
                found.push((start, event.at));
                since = None;
            }
            (_, Some(start)) if !event.startup => {
                found.push((start, event.at));
                since = None;
            }
            _ => {}
        }
    }
    found.retain(|(from, to)| to > from);
    found
}

/// What a person would call each process: by the program that it became, or by its place in the family.
pub(super) fn names(obs: &Observation) -> Vec<String> {
    let mut programs: Vec<Option<String>> = vec![None; obs.processes.len()];
    for event in &obs.events {
        let What::Executed { path, .. } = &event.what else { continue };
        let Some(process) = obs.processes.get(event.process.0 as usize) else { continue };
        if let (true, Some(name)) = (process.parent.is_some() || !event.startup, path.file_name()) {
            programs[event.process.0 as usize] = Some(fit_middle(&printable(&name.to_string_lossy()), 18));
        }
    }
    let mut namesakes: BTreeMap<&str, usize> = BTreeMap::new();
    for program in programs.iter().flatten() {
        *namesakes.entry(program).or_default() += 1;
    }
    let named = programs.iter().zip(numbered(obs)).map(|(program, (id, _))| match program {
        Some(program) if namesakes[program.as_str()] > 1 => format!("{program} ({})", formal(obs, id)),
        Some(program) => program.clone(),
        None => formal(obs, id),
    });
    named.collect()
}

fn formal(obs: &Observation, id: ProcessId) -> String {
    obs.name_of(id)
}
