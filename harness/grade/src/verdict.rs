//! What a grading comes to: values that are written as JSON exactly as the contract says.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The result of grading one submission for one exercise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The exercise's name, e.g. `pipe_hello`.
    pub exercise: String,
    /// `exercises`, `solutions`, or the file's path as given.
    pub submission: String,
    /// All in one word.
    pub outcome: Outcome,
    /// Every planned check, in the specification's order.
    pub checks: Vec<CheckResult>,
    /// Launches made.
    pub runs: u32,
    /// From the beginning of compilation to the verdict.
    pub wall_ms: u64,
    /// Processor time of the submission's launches.
    pub cpu_ms: u64,
    /// Some planned check was skipped.
    pub partial: bool,
    /// rustc's own message, or what broke in the harness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The containment rung that the launches ran on, and why on no better one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<String>,
}

/// Outcome of a whole verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every planned check reported, none failed.
    Passed,
    /// At least one check failed.
    Failed,
    /// The stub is as it was handed out.
    NotBegun,
    /// It does not compile.
    CompileError,
    /// Nothing could be checked on this machine; the checks say why.
    Skipped,
    /// The harness broke; says nothing of the submission.
    HarnessFault,
}

/// Outcome of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It could not be made here; the message says what is missing.
    Skipped,
    /// An earlier failure made it meaningless.
    NotReached,
}

/// Why a check failed, in one of a closed set of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the words are the contract's and speak for themselves")]
pub enum Reason {
    WrongOutput,
    WrongStatus,
    Signalled,
    WrongCalls,
    WrongState,
    Hung,
    Leaked,
    Flooded,
    OverLimit,
    Race,
    FaultNotHandled,
    Forbidden,
}

/// One check of one verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckResult {
    /// Stable id, e.g. `ends-closed`.
    pub id: String,
    /// What holds when it passes, as a sentence.
    pub title: String,
    /// Did it?
    pub outcome: CheckOutcome,
    /// Only when failed.
    pub reason: Option<Reason>,
    /// When failed: what is wrong, in the words of the mistake. When skipped: what is missing.
    pub message: String,
    /// What was seen, a line each.
    pub evidence: Vec<String>,
    /// Where in the learner's source.
    pub source: Option<Source>,
    /// The plan under which it failed (or the first under which it was made).
    pub plan: Option<PlanRef>,
}

/// A line of the learner's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// As given, or relative to the suite's root.
    #[serde(serialize_with = "legible")]
    pub file: PathBuf,
    /// From 1.
    pub line: u32,
}

/// JSON has no word for a path that is no UTF-8, and one such must not cost a class its report; nor may a path move
/// anything on the terminal of its reader.
fn legible<S: serde::Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&crate::weigh::visible(&path.to_string_lossy()))
}

/// A plan by name, with what replays it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRef {
    /// e.g. `child first`.
    pub name: String,
    /// For `syslings run EXERCISE --replay ID`; carries the seed, so the nonce inputs are the same.
    pub replay: String,
}

impl PlanRef {
    /// The plan's place among the exercise's, from 1: the plain ones come first.
    #[must_use]
    pub fn number(&self) -> usize {
        self.replay.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
    }
}
