//! The hang in the picture: who waits for ever, and the descriptors that are to blame.

use std::time::Duration;

use observe::{Call, Culprit, Hang, Observation, Waiter, What};

use super::lanes::Lane;
use super::model::{Step, Waiting};
use super::readable::{fit_middle, printable};
use super::story::subject;
use super::words::Kind;

/// A descriptor that keeps a wait from ending, as a bar under its process.
#[derive(Clone, Debug)]
pub(super) struct Guilty {
    /// The lane of its process.
    pub lane: usize,
    /// Since when it is open there.
    pub from: Duration,
    /// "descriptor 4 keeps pipe A open".
    pub label: String,
}

/// Makes sure that every waiter of the hang has a step that waits to the end.
pub(super) fn mark(obs: &Observation, lanes: &[Lane], steps: &mut Vec<Step>) {
    for waiter in obs.hang.iter().flat_map(|h| &h.waiters) {
        let Some(lane) = lanes.iter().position(|l| l.process == waiter.process) else { continue };
        let waits =
            |s: &Step| lanes[s.lane].process == waiter.process && s.waiting.as_ref().is_some_and(|w| w.for_ever);
        if !steps.iter().any(waits) {
            steps.push(missing(waiter, lane, lanes[lane].to));
        }
    }
    steps.sort_by_key(|step| (step.from, step.told.first().copied().unwrap_or(usize::MAX)));
}

fn missing(waiter: &Waiter, lane: usize, to: Duration) -> Step {
    let from = to.saturating_sub(Duration::from_millis(waiter.since_ms));
    let sentence = printable(&waiter.waits);
    let what = sentence.clone();
    Step {
        lane,
        from,
        to,
        kind: Kind::Wait,
        brief: fit_middle(&sentence, 40),
        place: String::new(),
        waiting: Some(Waiting { what, spans: vec![(from, to)], for_ever: true }),
        sentence,
        failed: false,
        told: Vec::new(),
        count: 1,
    }
}

/// The descriptors to blame, each once.
pub(super) fn guilty(obs: &Observation, lanes: &[Lane]) -> Vec<Guilty> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for waiter in obs.hang.iter().flat_map(|h| &h.waiters) {
        for culprit in &waiter.culprits {
            let lane = lanes.iter().position(|l| l.process == culprit.process && l.thread.is_none());
            if let (Some(lane), false) = (lane, seen.contains(&(culprit.process, culprit.fd))) {
                seen.push((culprit.process, culprit.fd));
                found.push(Guilty {
                    lane,
                    from: since(obs, waiter, culprit, &lanes[lane]),
                    label: label(obs, waiter, culprit),
                });
            }
        }
    }
    found
}

fn label(obs: &Observation, waiter: &Waiter, culprit: &Culprit) -> String {
    let object = waiter.object.and_then(|id| obs.objects.get(id.0 as usize));
    let what = object.map_or("it".into(), |o| fit_middle(&printable(&o.label), 24));
    let made = culprit.made_at.as_ref().map(|s| format!(" · made at {}", printable(&s.to_string())));
    format!("✗ descriptor {} keeps {what} open{}", culprit.fd, made.unwrap_or_default())
}

/// When the descriptor came to be in its process: at the call that made it there, or at the process's own beginning.
fn since(obs: &Observation, waiter: &Waiter, culprit: &Culprit, lane: &Lane) -> Duration {
    let own = obs.events.iter().filter(|e| e.process == culprit.process);
    let made = own.filter(|e| match &e.what {
        What::Called { call, result: Some(Ok(value)), .. } => match call {
            Call::Pipe { object, .. } => *object == waiter.object,
            Call::Open { object, .. } | Call::Dup { object, .. } => {
                *object == waiter.object && *value == i64::from(culprit.fd)
            }
            _ => false,
        },
        _ => false,
    });
    made.map(|e| e.until).next_back().unwrap_or(lane.from).max(lane.from)
}

/// The explanation in sentences, for people who do not look at pictures: what, then each waiter and why.
pub(super) fn sentences(hang: &Hang, names: &[String]) -> Vec<(String, Vec<String>)> {
    let waiters = hang.waiters.iter().map(|waiter| {
        let name = names.get(waiter.process.0 as usize).map_or("a process", String::as_str);
        let place = waiter.source.as_ref().map(|s| format!(" (at {})", printable(&s.to_string())));
        let head = format!("{} {}{}", subject(name), printable(&waiter.waits), place.unwrap_or_default());
        (head, waiter.because.iter().map(|b| printable(b)).collect())
    });
    waiters.collect()
}
