//! What is said line by line, in order of time.

use std::time::Duration;

use observe::Observation;

use super::Ink;
use crate::timeline::model::{Model, Step, Waiting};
use crate::timeline::readable::{duration, printable};
use crate::timeline::words::Kind;

/// One thing that is said.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// When; `None` for a pause in which nothing happens.
    pub at: Option<Duration>,
    /// Whose.
    pub lane: Option<usize>,
    /// The sign on the lane's rail.
    pub sign: char,
    /// An arrow that arrives with it, from this lane to that one.
    pub arrow: Option<(usize, usize)>,
    /// What it does to its lane.
    pub turn: Turn,
    /// The sentence.
    pub words: String,
    /// How the sentence looks.
    pub ink: Ink,
}

/// What a row does to the state of its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing.
    None,
    /// It begins to wait.
    Waits,
    /// It goes on.
    GoesOn,
    /// It ends.
    Ends,
}

/// A pause is spoken of when it is longer than this, and than a fifth of the whole.
const PAUSE: Duration = Duration::from_millis(1);

/// All rows.
pub(super) fn rows(obs: &Observation, model: &Model) -> Vec<Row> {
    let mut rows: Vec<Row> = model.lanes.iter().enumerate().flat_map(|(lane, _)| alone(model, lane)).collect();
    for (index, step) in model.steps.iter().enumerate() {
        rows.extend(of_step(obs, model, index, step));
    }
    rows.sort_by_key(|row| row.at);
    with_pauses(rows, model.end)
}

/// The end of a lane of which nothing else is known.
fn alone(model: &Model, lane: usize) -> Vec<Row> {
    let who = &model.lanes[lane];
    let seen = model.steps.iter().any(|s| s.lane == lane && s.kind == Kind::Exit);
    if seen || who.thread.is_some() {
        return Vec::new();
    }
    let end = match who.exit {
        Some(exit) => crate::timeline::words::exit_words(exit),
        None => "is stopped from outside".into(),
    };
    let row =
        |at, sign, turn, words| Row { at: Some(at), lane: Some(lane), sign, arrow: None, turn, words, ink: Ink::Plain };
    vec![row(who.to, '■', Turn::Ends, format!("{} {end}", who.name))]
}

fn of_step(obs: &Observation, model: &Model, index: usize, step: &Step) -> Vec<Row> {
    let who = model.lanes[step.lane].process;
    let formal = (step.kind == Kind::Exec && !obs.processes.is_empty()).then(|| obs.name_of(who));
    let name = formal.as_ref().unwrap_or(&model.lanes[step.lane].name);
    let source = source(obs, model, step);
    let plain = |at, sign, turn, words: String, ink| Row {
        at: Some(at),
        lane: Some(step.lane),
        sign,
        arrow: None,
        turn,
        words: format!("{name} {words}{source}"),
        ink,
    };
    let arrow = arrow(model, index);
    let ink = if step.failed { Ink::Bad } else { Ink::Plain };
    match &step.waiting {
        Some(w) if w.for_ever => vec![plain(step.from, '╳', Turn::Waits, format!("{}, for ever", w.what), Ink::Bad)],
        Some(w) if step.count == 1 && w.what == "sleeps" => {
            let wakes = if step.failed { "is woken by a signal" } else { "wakes up" };
            let wakes = format!("{wakes} after {}", duration(w.total()));
            let start = plain(step.from, '○', Turn::Waits, step.sentence.clone(), ink);
            vec![start, plain(step.to, sign(step), Turn::GoesOn, wakes, ink)]
        }
        Some(w) if step.count == 1 => {
            let done = format!("{} after waiting {}", step.sentence, duration(w.total()));
            let end = Row { arrow, ..plain(step.to, sign(step), Turn::GoesOn, done, ink) };
            if happens_between(model, index, w) {
                let begin = plain(step.from, '○', Turn::Waits, w.what.clone(), Ink::Faint);
                vec![Row { words: format!("{name} {}", w.what), ..begin }, end]
            } else {
                vec![end]
            }
        }
        waiting => {
            let waited = waiting.as_ref().map(|w| format!(" (waiting {} of the time)", duration(w.total())));
            let turn = if step.kind == Kind::Exit { Turn::Ends } else { Turn::None };
            let words = format!("{}{}", step.sentence, waited.unwrap_or_default());
            let arrow = arrow.filter(|_| step.count == 1 || !matches!(step.kind, Kind::Fork | Kind::Reap));
            vec![Row { arrow, ..plain(step.from, sign(step), turn, words, ink) }]
        }
    }
}

fn happens_between(model: &Model, index: usize, waiting: &Waiting) -> bool {
    let Some((from, to)) = waiting.spans.first() else { return false };
    let inside = |t: Duration| t > *from && t < *to;
    model.steps.iter().enumerate().any(|(other, s)| other != index && (inside(s.from) || inside(s.to)))
}

fn source(obs: &Observation, model: &Model, step: &Step) -> String {
    let first = step.told.first().map(|told| &obs.events[model.told[*told].event]);
    let line = first.and_then(|event| event.source.as_ref());
    line.map(|line| format!("  ({})", printable(&line.to_string()))).unwrap_or_default()
}

/// The arrow that arrives with this step, or leaves it as a fork does.
fn arrow(model: &Model, index: usize) -> Option<(usize, usize)> {
    let arrives = model.flows.iter().find(|f| f.to_step == Some(index) && f.from.0 != f.to.0);
    let leaves = model.flows.iter().find(|f| f.from_step == index && f.to_step.is_none());
    arrives.or(leaves).map(|f| (f.from.0, f.to.0))
}

fn sign(step: &Step) -> char {
    match step.kind {
        Kind::Fork => '◆',
        Kind::Exit => '■',
        _ if step.failed => '✗',
        Kind::Signal => '!',
        Kind::EndOfFile => '∅',
        Kind::Exec => '□',
        Kind::Print => '»',
        _ => '●',
    }
}

fn with_pauses(rows: Vec<Row>, end: Duration) -> Vec<Row> {
    let mut out: Vec<Row> = Vec::with_capacity(rows.len());
    let long = PAUSE.max(end / 5);
    for row in rows {
        let before = out.last().and_then(|last| last.at);
        if let (Some(before), Some(at)) = (before, row.at)
            && at.saturating_sub(before) >= long
        {
            let words = format!("… {} in which nothing new happens …", duration(at - before));
            out.push(Row { at: None, lane: None, sign: ' ', arrow: None, turn: Turn::None, words, ink: Ink::Faint });
        }
        out.push(row);
    }
    out
}
