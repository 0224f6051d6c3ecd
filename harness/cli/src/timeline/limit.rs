//! Keeps a picture within what a person can take in: of too many steps the important ones stay, the rest is summed up.

use std::collections::BTreeMap;

use super::model::{Step, Waiting};
use super::readable::{count, plural};
use super::words::Kind;

/// Steps of a picture.
pub(super) const MOST_STEPS: usize = 160;

/// The steps that stay, with the others summed up between them, and how many calls were summed up.
pub(super) fn limit(steps: Vec<Step>, lanes: usize) -> (Vec<Step>, usize) {
    if steps.len() <= MOST_STEPS {
        return (steps, 0);
    }
    let keep = chosen(&steps, MOST_STEPS.saturating_sub(lanes * 2));
    let mut kept: Vec<Step> = Vec::new();
    let mut open: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
    let mut left_out = 0;
    for (step, keep) in steps.into_iter().zip(keep) {
        let pending = open.entry(step.lane).or_default();
        if keep {
            kept.extend(sum(std::mem::take(pending)));
            kept.push(step);
        } else {
            left_out += step.count;
            pending.push(step);
        }
    }
    kept.extend(open.into_values().filter_map(sum));
    kept.sort_by_key(|step| step.from);
    (kept, left_out)
}

/// The beginning and the end of the story, and before that what changes its course.
fn chosen(steps: &[Step], room: usize) -> Vec<bool> {
    let mut keep = vec![false; steps.len()];
    let essential = |s: &Step| {
        let ends = matches!(s.kind, Kind::Fork | Kind::Exec | Kind::Exit | Kind::Signal | Kind::EndOfFile);
        ends || s.count > 1 || s.waiting.as_ref().is_some_and(|w| w.for_ever)
    };
    let mut left = room;
    for (index, _) in steps.iter().enumerate().filter(|(_, s)| essential(s)).take(room / 2) {
        keep[index] = true;
        left -= 1;
    }
    let plain: Vec<usize> = (0..steps.len()).filter(|i| !keep[*i]).collect();
    let (first, last) = (left / 2, left / 4);
    for index in plain.iter().take(first).chain(plain.iter().rev().take(last)) {
        keep[*index] = true;
    }
    keep
}

fn sum(mut steps: Vec<Step>) -> Option<Step> {
    if steps.len() < 2 {
        return steps.pop();
    }
    let calls: usize = steps.iter().map(|s| s.count).sum();
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for step in &steps {
        *kinds.entry(step.kind).or_default() += step.count;
    }
    let parts: Vec<String> = kinds.iter().map(|(kind, n)| plural(*n as u64, noun(*kind))).collect();
    let waits: Vec<&Waiting> = steps.iter().filter_map(|s| s.waiting.as_ref()).collect();
    let waiting = waits.first().map(|first| Waiting {
        what: first.what.clone(),
        spans: waits.iter().flat_map(|w| w.spans.iter().copied()).collect(),
        for_ever: waits.iter().any(|w| w.for_ever),
    });
    let first = &steps[0];
    Some(Step {
        lane: first.lane,
        from: first.from,
        to: steps.iter().map(|s| s.to).max().unwrap_or(first.to),
        kind: Kind::Other,
        sentence: format!("makes {} more: {}", plural(calls as u64, "call"), parts.join(", ")),
        brief: format!("… {} more", count(calls as u64)),
        place: String::new(),
        waiting,
        failed: false,
        told: steps.iter().flat_map(|s| s.told.iter().copied()).collect(),
        count: calls,
    })
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Begin | Kind::Exec => "program start",
        Kind::Make => "opening",
        Kind::Close => "closing",
        Kind::Read => "read",
        Kind::EndOfFile => "end-of-file reading",
        Kind::Write => "write",
        Kind::Print => "print",
        Kind::Fork => "fork",
        Kind::Reap => "child wait",
        Kind::Wait => "wait",
        Kind::Send => "sent signal",
        Kind::Signal => "received signal",
        Kind::Exit => "exit",
        Kind::Memory => "mapping",
        Kind::File => "file operation",
        Kind::Other => "other call",
    }
}
