//! From what was seen to what is said: puts the checks to the runs.

use std::path::Path;

use observe::{Event, SourceLine, Tracing, What};

use crate::rounds::Rounds;
use crate::{Check, CheckOutcome, CheckResult, Failure, Objection, Plan, PlanRef, Reason, Run, Source};

/// Lines of evidence that a check may give, and characters of one.
const EVIDENCE_LINES: usize = 12;
const EVIDENCE_CHARS: usize = 300;

/// Whose runs they are.
pub(crate) struct Subject<'a> {
    /// The source as the verdict names it.
    pub source: &'a Path,
    /// The inputs' seed.
    pub seed: u64,
    /// Whether io_uring is what the exercise is about.
    pub rings: bool,
}

/// What one check came to on one run.
struct Judged<'a> {
    index: usize,
    plan: &'a Plan,
    objection: Option<Objection>,
}

/// What becomes of a check on one run.
enum Judgement<'a> {
    /// The run was not made, or is not for this check.
    NotAsked,
    /// This machine does not let it be judged; in words.
    Impossible(String),
    Made(Judged<'a>),
}

/// Every check's result, in the specification's order.
pub(crate) fn weigh(checks: &[Check], plans: &[Plan], rounds: &Rounds, subject: &Subject) -> Vec<CheckResult> {
    let mut results: Vec<CheckResult> = checks
        .iter()
        .filter(|check| rounds.asked.is_none() || concerned(check, plans, rounds))
        .map(|check| weigh_one(check, plans, rounds, subject))
        .collect();
    let failed = results.iter().any(|r| r.outcome == CheckOutcome::Failed);
    if !failed {
        results.iter_mut().filter(|r| r.outcome == CheckOutcome::NotReached).for_each(never_shown);
    }
    results
}

/// A check that nothing led to.
pub(crate) fn not_reached(check: &Check, why: &str) -> CheckResult {
    result(check, CheckOutcome::NotReached, why)
}

/// A check that no run could answer although no other failed: what it asks for was not shown, and that is a failure.
fn never_shown(result: &mut CheckResult) {
    result.outcome = CheckOutcome::Failed;
    result.reason = Some(Reason::WrongCalls);
    result.message = format!("The program never showed it: {}", result.message);
}

fn concerned(check: &Check, plans: &[Plan], rounds: &Rounds) -> bool {
    let made = |index: usize| rounds.seen[index].is_some() && plans[index].checks.contains(&check.id);
    rounds.asked.is_some_and(made)
}

fn weigh_one(check: &Check, plans: &[Plan], rounds: &Rounds, subject: &Subject) -> CheckResult {
    let mut judged = Vec::new();
    let mut impossible = None;
    for index in 0..plans.len() {
        match judge(check, plans, rounds, index, subject) {
            Judgement::NotAsked => {}
            Judgement::Impossible(why) => _ = impossible.get_or_insert(why),
            Judgement::Made(found) => judged.push(found),
        }
    }
    if let (true, Some(why)) = (judged.is_empty(), impossible) {
        return result(check, CheckOutcome::Skipped, &why);
    }
    let failed = judged.iter().find_map(|j| match &j.objection {
        Some(Objection::Fails(failure)) => Some((j, failure)),
        _ => None,
    });
    match failed {
        Some((judged, failure)) => failed_result(check, judged, failure, subject),
        None => settled_result(check, &judged, rounds, subject),
    }
}

/// Whether a check fails on one run.
pub(crate) fn fails(check: &Check, plans: &[Plan], rounds: &Rounds, index: usize, subject: &Subject) -> bool {
    let judgement = judge(check, plans, rounds, index, subject);
    matches!(judgement, Judgement::Made(Judged { objection: Some(Objection::Fails(_)), .. }))
}

fn judge<'a>(check: &Check, plans: &'a [Plan], rounds: &Rounds, index: usize, subject: &Subject) -> Judgement<'a> {
    let plan = &plans[index];
    let judges = plan.checks.contains(&check.id) && rounds.asked.is_none_or(|one| one == index);
    let Some(seen) = rounds.seen[index].as_ref().filter(|_| judges) else { return Judgement::NotAsked };
    if let Tracing::NotPermitted(why) = &seen.tracing
        && (check.traced || plan.needs_tracing())
    {
        return Judgement::Impossible(format!("tracing not permitted: {why}"));
    }
    let baseline = rounds.baseline(plans, index);
    let sometimes_right = rounds.sometimes_right(plans, index);
    let run = Run { plan, seen, baseline, sometimes_right };
    if let Some(why) = (check.lacks)(&run) {
        return Judgement::Impossible(why);
    }
    let objection = out_of_sight(check, &run, subject).or_else(|| (check.judge)(&run).err());
    let objection = objection.map(|objection| if run.is_right_by_chance() { by_chance(objection) } else { objection });
    Judgement::Made(Judged { index, plan, objection })
}

fn by_chance(objection: Objection) -> Objection {
    let words = "under another order of its processes the result was right: chance decides";
    objection.amended(|failure| failure.evidence.push(words.into()))
}

/// Requests to an io_uring are no system calls: what a program does by them, no check of its calls can tell.
fn out_of_sight(check: &Check, run: &Run, subject: &Subject) -> Option<Objection> {
    if !check.traced || subject.rings {
        return None;
    }
    let makes_ring = |event: &&Event| match &event.what {
        What::Called { sysno, result, .. } => matches!(result, Some(Ok(_))) && sysno.name() == "io_uring_setup",
        _ => false,
    };
    let event = run.seen.events.iter().find(makes_ring)?;
    let words = "The program sets up an io_uring. What it asks for through one is no system call and cannot be seen, and this exercise is about the calls: make them.";
    Failure::new(Reason::Forbidden, words).at(event.source.as_ref()).found().err()
}

fn failed_result(check: &Check, judged: &Judged, failure: &Failure, subject: &Subject) -> CheckResult {
    CheckResult {
        reason: Some(failure.reason),
        message: visible(&in_context(&judged.plan.circumstance, &failure.message)),
        evidence: failure.evidence.iter().take(EVIDENCE_LINES).map(|line| shortened(&visible(line))).collect(),
        source: failure.source.as_ref().map(|line| source_of(line, subject.source)),
        plan: Some(plan_ref(judged, subject)),
        ..result(check, CheckOutcome::Failed, "")
    }
}

fn settled_result(check: &Check, judged: &[Judged], rounds: &Rounds, subject: &Subject) -> CheckResult {
    if let Some(held) = judged.iter().find(|j| j.objection.is_none()) {
        return CheckResult { plan: Some(plan_ref(held, subject)), ..result(check, CheckOutcome::Passed, "") };
    }
    let unavailable = judged.iter().find_map(|j| match &j.objection {
        Some(Objection::Unavailable(why)) => Some(why),
        _ => None,
    });
    if let Some(why) = unavailable {
        return result(check, CheckOutcome::Skipped, why);
    }
    let open = judged.iter().find_map(|j| match &j.objection {
        Some(Objection::Open(why)) => Some((j, why)),
        _ => None,
    });
    match open {
        Some((judged, why)) => CheckResult { plan: Some(plan_ref(judged, subject)), ..not_reached(check, why) },
        None => not_reached(check, rounds.stopped.unwrap_or("nothing led to it")),
    }
}

fn plan_ref(judged: &Judged, subject: &Subject) -> PlanRef {
    PlanRef { name: judged.plan.name.clone(), replay: format!("{}-{:x}", judged.index + 1, subject.seed) }
}

fn result(check: &Check, outcome: CheckOutcome, message: &str) -> CheckResult {
    CheckResult {
        id: check.id.into(),
        title: check.title.into(),
        outcome,
        reason: None,
        message: message.into(),
        evidence: Vec::new(),
        source: None,
        plan: None,
    }
}

/// "When the child runs first, the program printed nothing."
pub(crate) fn in_context(circumstance: &str, message: &str) -> String {
    if circumstance.is_empty() {
        return message.into();
    }
    let mut letters = message.chars();
    let first = letters.next();
    // A name, `SIGTERM` or `FILE`, stays as it is.
    let begins_a_word = letters.as_str().starts_with(|c: char| c.is_lowercase() || c == ' ');
    match first.filter(|_| begins_a_word) {
        Some(first) => format!("{circumstance}, {}{}", first.to_lowercase(), letters.as_str()),
        None => format!("{circumstance}, {message}"),
    }
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(EVIDENCE_CHARS) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.into(),
    }
}

/// A text with nothing in it that a terminal would obey, whoever prints the verdict: a program chooses much of what is
/// said of it.
pub(crate) fn visible(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    // Marks that let what follows be read in another order.
    let reordered = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) || reordered(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// The compiler records the file as it was named to it; a verdict names it as its reader does. Who hands a file in may
/// have chosen its name for what it does to a report.
fn source_of(line: &SourceLine, source: &Path) -> Source {
    let recorded = Path::new(&line.file);
    let file = if recorded.file_name() == source.file_name() { source } else { recorded };
    Source { file: visible(&file.to_string_lossy()).replace('\n', "\\n").into(), line: line.line }
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_a_program_said_moves_nothing_on_a_terminal() {
        assert_eq!(visible("a\x1b[2J\r\n\tb\u{202e}ü"), "a\\u{1b}[2J\\u{d}\n\tb\\u{202e}ü");
    }
}
