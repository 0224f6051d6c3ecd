//! A trace beside what a program says of each step: which payloads there are, where, and what must be in them.

use std::collections::BTreeMap;

use observe::Content;

use super::mixes::{self, Step};
use crate::spec::common::endings;
use crate::{Failure, Finding, Plan, Reason, Run};

/// What the program says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    At(u64),
    Freed,
    NotAllocated,
    OutOfMemory,
}

impl Answer {
    fn of(line: &str) -> Option<Answer> {
        match line {
            "freed" => Some(Answer::Freed),
            "not allocated" => Some(Answer::NotAllocated),
            "out of memory" => Some(Answer::OutOfMemory),
            _ => line.parse().ok().map(Answer::At),
        }
    }

    /// What is wanted in its place, if it is wrong.
    fn lacks(self, step: Step, live: &Live, limit: u64) -> Option<&'static str> {
        let known = |id: &u64| live.contains_key(id);
        let asked = match step {
            Step::Free { id } if known(&id) => return (self != Answer::Freed).then_some("`freed`"),
            Step::Free { id } | Step::Resize { id, .. } if !known(&id) => {
                return (self != Answer::NotAllocated).then_some("`not allocated`");
            }
            Step::Free { .. } => return None,
            Step::Allocate { bytes, .. } | Step::Resize { bytes, .. } => bytes,
        };
        let others = live.iter().filter(|(id, _)| !matches!(step, Step::Resize { id: own, .. } if own == **id));
        let total = others.map(|(_, payload)| payload.contents.len() as u64).sum::<u64>().saturating_add(asked);
        match self {
            // How much of a nearly full heap can still be used is the allocator's own affair.
            Answer::OutOfMemory if total <= limit / 3 * 2 => Some("an offset"),
            Answer::At(_) if total > limit => Some("`out of memory`"),
            Answer::At(_) | Answer::OutOfMemory => None,
            Answer::Freed | Answer::NotAllocated => Some("an offset"),
        }
    }
}

/// A payload: where it is, and what must be in it.
pub struct Payload {
    pub at: u64,
    pub contents: Vec<u8>,
}

pub type Live = BTreeMap<u64, Payload>;

/// The heap after a step.
pub struct Moment<'a> {
    pub number: usize,
    pub step: Step,
    pub answer: Answer,
    pub live: &'a Live,
}

impl Moment<'_> {
    /// A failure that is seen after this step.
    pub fn fails(&self, run: &Run, words: &str) -> Failure {
        let words = format!("After line {} (`{}`) {words}", self.number, self.step);
        Failure::new(Reason::WrongState, words).evidence(endings::command_line(run))
    }
}

pub fn steps_of(plan: &Plan) -> Vec<Step> {
    match plan.launch.files.first().map(|file| &file.content) {
        Some(Content::Bytes(text)) => mixes::steps(&String::from_utf8_lossy(text)),
        _ => Vec::new(),
    }
}

/// Bytes that the heap may have.
pub fn limit(plan: &Plan) -> u64 {
    if plan.argument(0) == "--bytes" { plan.argument(1).parse().unwrap_or_default() } else { 64 << 20 }
}

/// Goes through the steps with what the program said of each, as far as that makes sense.
pub fn walk(run: &Run, mut judge: impl FnMut(&Moment) -> Finding) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let steps = steps_of(run.plan);
    let printed = run.seen.stdout.text();
    let wrong = |words: String| Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run)).found();
    let mut live = Live::new();
    let mut lines = printed.lines();
    for (number, step) in (1..).zip(steps.iter().copied()) {
        let Some(line) = lines.next() else {
            return wrong(format!(
                "The output ends before line {number} of TRACE (`{step}`): a line is wanted for each."
            ));
        };
        let lacks = match Answer::of(line) {
            Some(answer) => answer.lacks(step, &live, limit(run.plan)),
            None => Some("an offset, `freed`, `not allocated` or `out of memory`"),
        };
        let (Some(answer), None) = (Answer::of(line), lacks) else {
            let wanted = lacks.unwrap_or_default();
            return wrong(format!(
                "To line {number} of TRACE (`{step}`) the program says `{line}`, where {wanted} is wanted."
            ));
        };
        take(&mut live, number, step, answer);
        judge(&Moment { number, step, answer, live: &live })?;
    }
    match lines.next() {
        Some(line) => wrong(format!("After a line for each of TRACE the program also says `{line}`.")),
        None => Ok(()),
    }
}

fn take(live: &mut Live, number: usize, step: Step, answer: Answer) {
    match (step, answer) {
        (Step::Allocate { id, bytes }, Answer::At(at)) => {
            live.insert(id, Payload { at, contents: vec![number as u8; bytes as usize] });
        }
        (Step::Resize { id, bytes }, Answer::At(at)) => {
            if let Some(payload) = live.get_mut(&id) {
                payload.at = at;
                payload.contents.resize(bytes as usize, number as u8);
            }
        }
        (Step::Free { id }, Answer::Freed) => drop(live.remove(&id)),
        _ => {}
    }
}
