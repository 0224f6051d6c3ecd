//! A check: one thing that must hold, and a pure function that says of one run whether it does.

use observe::{Observation, SourceLine};

use crate::{Plan, Reason, Stage};

/// One thing that an exercise must show.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Stable, e.g. `ends-closed`.
    pub id: &'static str,
    /// What holds when it passes, as a sentence.
    pub title: &'static str,
    /// It needs to have seen system calls.
    pub traced: bool,
    /// Says of a run what it lacks, in words, if this machine does not offer what the check is about.
    pub lacks: fn(&Run) -> Option<String>,
    /// Judges one run.
    pub judge: fn(&Run) -> Finding,
}

impl Check {
    /// A check that needs to have seen system calls.
    pub const fn seen(id: &'static str, title: &'static str, judge: fn(&Run) -> Finding) -> Check {
        Check { id, title, traced: true, lacks: nothing, judge }
    }

    /// A check of output, status and files only.
    pub const fn outside(id: &'static str, title: &'static str, judge: fn(&Run) -> Finding) -> Check {
        Check { id, title, traced: false, lacks: nothing, judge }
    }

    /// The same check, skipped where a run shows that this machine lacks something.
    pub const fn unless(self, lacks: fn(&Run) -> Option<String>) -> Check {
        Check { lacks, ..self }
    }
}

fn nothing(_: &Run) -> Option<String> {
    None
}

/// One plan and what was seen of it.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What was run.
    pub plan: &'a Plan,
    /// What was seen.
    pub seen: &'a Observation,
    /// The plain run of the same command line, for comparison.
    pub baseline: Option<&'a Observation>,
    /// Some run of the same command line, under some schedule, came to the right result.
    pub sometimes_right: bool,
}

impl Run<'_> {
    /// Whether the result is wrong, and another order alone would have made it right.
    pub(crate) fn is_right_by_chance(&self) -> bool {
        self.plan.parent_first
            && self.plan.stage == Stage::Plain
            && self.sometimes_right
            && !self.plan.comes_right(self.seen)
    }
}

/// What a check finds of one run.
pub type Finding = Result<(), Objection>;

/// Why a check does not hold of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Objection {
    /// It is broken.
    Fails(Box<Failure>),
    /// The run does not tell: the program ended before it came to it.
    Open(String),
    /// This machine has not what it takes to find out; in words.
    Unavailable(String),
}

/// What is wrong, where, and what shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// In one word.
    pub reason: Reason,
    /// In the words of the mistake.
    pub message: String,
    /// What was seen, a line each.
    pub evidence: Vec<String>,
    /// Where in the learner's source.
    pub source: Option<SourceLine>,
}

impl Failure {
    /// A failure with this message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Failure {
        Failure { reason, message: message.into(), evidence: Vec::new(), source: None }
    }

    /// With one more line of evidence.
    pub fn evidence(mut self, line: impl Into<String>) -> Failure {
        self.evidence.push(line.into());
        self
    }

    /// With these lines of evidence.
    pub fn evidences(mut self, lines: impl IntoIterator<Item = String>) -> Failure {
        self.evidence.extend(lines);
        self
    }

    /// At this line.
    pub fn at(mut self, source: Option<&SourceLine>) -> Failure {
        self.source = source.cloned();
        self
    }

    /// As a finding.
    pub fn found(self) -> Finding {
        Err(self.into())
    }
}

impl From<Failure> for Objection {
    fn from(failure: Failure) -> Objection {
        Objection::Fails(Box::new(failure))
    }
}

impl Objection {
    /// With the failure, if it is one, changed.
    pub fn amended(mut self, change: impl FnOnce(&mut Failure)) -> Objection {
        if let Objection::Fails(failure) = &mut self {
            change(failure);
        }
        self
    }

    /// The run does not tell.
    pub fn open(why: impl Into<String>) -> Objection {
        Objection::Open(why.into())
    }

    /// This machine has not what it takes.
    pub fn unavailable(why: impl Into<String>) -> Objection {
        Objection::Unavailable(why.into())
    }
}
