//! Many verdicts as a table: one line each, then how exercises and submitters stand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anstyle::Style;
use grade::{CheckOutcome, CheckResult, Outcome, PlanRef, Reason, Verdict};

use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled};

/// The submitter of `NAME/EXERCISE.rs`; for a tree or a single file the submission as it is called.
pub fn submitter(verdict: &Verdict) -> String {
    match Path::new(&verdict.submission).parent() {
        Some(name) if !name.as_os_str().is_empty() => name.display().to_string(),
        _ => verdict.submission.clone(),
    }
}

/// The outcome in words.
pub fn outcome_words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::NotBegun => "not begun",
        Outcome::CompileError => "does not compile",
        Outcome::Skipped => "skipped",
        Outcome::HarnessFault => "harness fault",
    }
}

/// The outcome in words and colour.
pub fn outcome_styled(outcome: Outcome) -> String {
    Styled(style(outcome), outcome_words(outcome)).to_string()
}

/// The colour of an outcome.
pub fn style(outcome: Outcome) -> Style {
    match outcome {
        Outcome::Passed => GOOD,
        Outcome::Failed | Outcome::CompileError | Outcome::HarnessFault => BAD,
        Outcome::Skipped => CARE,
        Outcome::NotBegun => DIM,
    }
}

/// The failure to begin with: the first of the plainest launch, for what a program does wrong when a call fails is
/// mended after what it does wrong always. But of a hang it is the check that was made for its cause: the first says no
/// more than that there is no end.
pub fn lead(verdict: &Verdict) -> Option<&CheckResult> {
    let failed = || verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed);
    let first = failed().min_by_key(|check| check.plan.as_ref().map(PlanRef::number))?;
    Some(failed().rfind(|check| same_hang(check, first)).unwrap_or(first))
}

/// Whether two failures tell of one and the same hang.
fn same_hang(one: &CheckResult, other: &CheckResult) -> bool {
    let launch = |check: &CheckResult| check.plan.as_ref().map(|plan| plan.replay.clone());
    both_hung(one, other) && launch(one) == launch(other)
}

/// Whether two failures tell of hangs: when one is mended, the other may be gone.
pub fn both_hung(one: &CheckResult, other: &CheckResult) -> bool {
    one.reason == Some(Reason::Hung) && other.reason == Some(Reason::Hung)
}

/// The outcome of a check in words.
pub fn check_words(outcome: CheckOutcome) -> &'static str {
    match outcome {
        CheckOutcome::Passed => "holds",
        CheckOutcome::Failed => "fails",
        CheckOutcome::Skipped => "skipped",
        CheckOutcome::NotReached => "not reached",
    }
}

/// What a verdict says, in one line of plain text.
pub fn first_words(verdict: &Verdict) -> String {
    let failed = lead(verdict);
    let skipped = verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Skipped).count();
    match (verdict.outcome, failed) {
        (Outcome::Passed, _) if skipped > 0 => format!("passed as far as it could be checked ({skipped} skipped)"),
        (Outcome::Failed, Some(check)) => first_line(&check.message),
        (Outcome::CompileError | Outcome::HarnessFault, _) => {
            let message = verdict.message.as_deref().unwrap_or_default();
            message
                .lines()
                .find(|line| line.starts_with("error"))
                .or_else(|| message.lines().find(|line| !line.trim().is_empty()))
                .unwrap_or_else(|| outcome_words(verdict.outcome))
                .trim()
                .to_owned()
        }
        (Outcome::Skipped, _) => verdict.checks.first().map(|check| first_line(&check.message)).unwrap_or_default(),
        (outcome, _) => outcome_words(outcome).to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What a line says of a verdict, which may be long.
#[derive(Debug)]
pub struct Line {
    pub submitter: String,
    pub exercise: String,
    pub outcome: Outcome,
    checks: String,
    time: String,
    words: String,
    rung: Option<String>,
}

impl Line {
    /// The line of this verdict.
    pub fn of(verdict: &Verdict) -> Line {
        Line {
            submitter: submitter(verdict),
            exercise: verdict.exercise.clone(),
            outcome: verdict.outcome,
            checks: checks(verdict),
            time: time(verdict),
            words: match verdict.outcome {
                Outcome::Passed | Outcome::NotBegun if !verdict.partial => String::new(),
                _ => first_words(verdict),
            },
            rung: verdict.rung.clone(),
        }
    }

    fn cells(&self, class: bool) -> Vec<String> {
        let own = [&self.exercise, &outcome_styled(self.outcome), &self.checks, &self.time, &self.words];
        class.then_some(&self.submitter).into_iter().chain(own).cloned().collect()
    }
}

/// A line a verdict.
pub fn table(lines: &[Line], class: bool, width: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        std::iter::once(header(class)).chain(lines.iter().map(|line| line.cells(class))).collect();
    let numbers = if class { [3, 4] } else { [2, 3] };
    terminal::table(&rows, &numbers).iter().map(|line| fit(line, width)).collect()
}

/// Cuts a styled line: the style is in the early columns, which are kept.
fn fit(line: &str, width: usize) -> String {
    let extra = line.chars().count() - terminal::columns(line);
    if terminal::columns(line) <= width {
        line.to_owned()
    } else {
        line.chars().take(width + extra - 1).chain(['…']).collect()
    }
}

fn header(class: bool) -> Vec<String> {
    let mut names = vec!["exercise", "verdict", "checks", "time", ""];
    if class {
        names.insert(0, "who");
    }
    names.into_iter().map(|name| Styled(HEAD, name).to_string()).collect()
}

fn checks(verdict: &Verdict) -> String {
    let passed = verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Passed).count();
    if verdict.checks.is_empty() { String::new() } else { format!("{passed}/{}", verdict.checks.len()) }
}

fn time(verdict: &Verdict) -> String {
    if verdict.wall_ms == 0 { String::new() } else { format!("{:.2} s", verdict.wall_ms as f64 / 1000.0) }
}

/// How many passed, by `key`, best first.
pub fn standings(lines: &[Line], key: impl Fn(&Line) -> &str) -> Vec<String> {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for line in lines {
        let count = counts.entry(key(line)).or_default();
        count.0 += usize::from(line.outcome == Outcome::Passed);
        count.1 += 1;
    }
    let rows: Vec<Vec<String>> =
        counts.into_iter().map(|(name, (passed, all))| vec![name.to_owned(), format!("{passed} of {all}")]).collect();
    terminal::table(&rows, &[1])
}

/// In which boxes the programs were run, and why in no better ones.
pub fn rungs(lines: &[Line]) -> Vec<String> {
    let different: BTreeSet<&String> = lines.iter().filter_map(|line| line.rung.as_ref()).collect();
    different.into_iter().map(|rung| format!("Programs were run on rung {rung}.")).collect()
}

/// "9 passed, 1 failed, 1 not begun".
pub fn totals(outcomes: impl Iterator<Item = Outcome>) -> String {
    const ORDER: [Outcome; 6] = [
        Outcome::Passed,
        Outcome::Failed,
        Outcome::CompileError,
        Outcome::NotBegun,
        Outcome::Skipped,
        Outcome::HarnessFault,
    ];
    let mut counts: HashMap<Outcome, usize> = HashMap::new();
    for outcome in outcomes {
        *counts.entry(outcome).or_default() += 1;
    }
    let words: Vec<String> = ORDER
        .into_iter()
        .filter_map(|outcome| counts.get(&outcome).map(|count| format!("{count} {}", outcome_words(outcome))))
        .collect();
    if words.is_empty() { "nothing graded".to_owned() } else { words.join(", ") }
}
