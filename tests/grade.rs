//! The road itself, one test an exercise, a solution, a stub and a submission on file:
//!
//! - `exercises::pipes::hello`: what the learner has begun must pass; what nobody has begun is ignored;
//! - `solutions::pipes::hello`: every solution must pass;
//! - `stubs::pipes::hello`: a stub as it is handed out compiles, and does not pass;
//! - `wrong::pipes::hello::BUG`: must fail, at the checks that its header names;
//! - `right::pipes::hello::WAY`: unusual, and must pass;
//! - `cheats::pipes::hello::TRICK`: goes for its grade instead of the exercise, and must fail as its header says: at a
//!   check, or at the `compiler`;
//! - `privileged::frames`: what only the privileged may know is judged right, too;
//! - `workers`: a verdict does not tell how many launches were made side by side.

mod fixture;
mod privileged;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use fixture::Fixture;
use grade::{CheckOutcome, Exercise, Grader, Options, Outcome, State, Submission, Suite, Tree, Verdict};
use libtest_mimic::{Arguments, Failed, Trial};
use observe::Observer;

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let arguments = Arguments::from_args();
    let suite = match Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))) {
        Ok(suite) => suite,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(3);
        }
    };
    let grader = Arc::new(Grader::new(suite.clone(), Observer::new(), one_launch_at_a_time()));
    let mut trials: Vec<Trial> =
        suite.exercises().iter().flat_map(|exercise| trials_of(&suite, &grader, exercise)).collect();
    trials.extend(
        suite.exercises().iter().find(|exercise| exercise.name == "frames").map(|frames| numbers(&grader, frames)),
    );
    trials.extend(
        suite
            .exercises()
            .iter()
            .find(|exercise| exercise.name == "free_list")
            .map(|many| as_many_as_you_like(&suite, many)),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Ignored where nobody may know the numbers of frames.
fn numbers(grader: &Arc<Grader>, frames: &Exercise) -> Trial {
    let (grader, frames) = (Arc::clone(grader), frames.clone());
    let judged = move || privileged::numbers_of_frames_are_judged(&grader, &frames);
    Trial::test("privileged::frames", judged).with_ignored_flag(!privileged::frames_have_numbers())
}

/// The first launch that comes to no end is the last: those that were under way beside it count for nothing.
fn as_many_as_you_like(suite: &Suite, exercise: &Exercise) -> Trial {
    const WITHOUT_END: &str =
        "fn main() {\n    loop {\n        println!(\"{}\", \"on and on\\n\".repeat(10_000));\n    }\n}\n";
    let (suite, exercise) = (suite.clone(), exercise.clone());
    Trial::test("workers", move || {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("without_end.rs");
        std::fs::write(&path, WITHOUT_END)?;
        let judged_by = |workers| {
            let options = Options { workers, seed: Some(1), ..Options::default() };
            let verdict =
                Grader::new(suite.clone(), Observer::new(), options).grade(&exercise, &Submission::file(path.clone()));
            told(&verdict)
        };
        let (alone, together) = (judged_by(1), judged_by(6));
        if alone == together { Ok(()) } else { Err(format!("one worker: {alone}\nsix: {together}").into()) }
    })
}

/// The tests themselves go on side by side.
fn one_launch_at_a_time() -> Options {
    Options { workers: 1, ..Options::default() }
}

fn trials_of(suite: &Suite, grader: &Arc<Grader>, exercise: &Exercise) -> Vec<Trial> {
    let state = suite.state(exercise);
    let path = exercise.path_name();
    let mut trials = vec![
        trial(format!("exercises::{path}"), grader, exercise, Submission::Tree(Tree::Exercises), must_pass)
            .with_ignored_flag(state == State::NotBegun),
        trial(format!("solutions::{path}"), grader, exercise, Submission::Tree(Tree::Solutions), must_pass),
    ];
    if state == State::NotBegun {
        let stub = Submission::file(exercise.stub_path());
        trials.push(trial(format!("stubs::{path}"), grader, exercise, stub, must_not_pass));
    }
    for fixture in fixture::all(suite.root(), "wrong", exercise.name) {
        let name = format!("wrong::{path}::{}", fixture.name);
        let submission = on_file(suite, &fixture);
        trials.push(trial(name, grader, exercise, submission, move |verdict| must_be_caught(verdict, &fixture)));
    }
    for fixture in fixture::all(suite.root(), "cheats", exercise.name) {
        let name = format!("cheats::{path}::{}", fixture.name);
        let solution = exercise.solution_path();
        let submission = on_file(suite, &fixture);
        trials.push(trial(name, grader, exercise, submission, move |v| must_gain_nothing(v, &fixture, &solution)));
    }
    for fixture in fixture::all(suite.root(), "right", exercise.name) {
        let name = format!("right::{path}::{}", fixture.name);
        trials.push(trial(name, grader, exercise, on_file(suite, &fixture), must_pass));
    }
    trials
}

fn on_file(suite: &Suite, fixture: &Fixture) -> Submission {
    let shown = fixture.path.strip_prefix(suite.root()).unwrap_or(&fixture.path);
    Submission::File { path: fixture.path.clone(), label: shown.display().to_string() }
}

fn trial(
    name: String,
    grader: &Arc<Grader>,
    exercise: &Exercise,
    submission: Submission,
    judge: impl FnOnce(&Verdict) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let (grader, exercise) = (Arc::clone(grader), exercise.clone());
    Trial::test(name, move || judge(&grader.grade(&exercise, &submission)))
}

fn must_pass(verdict: &Verdict) -> Result<(), Failed> {
    note_skipped(verdict);
    if matches!(verdict.outcome, Outcome::Passed | Outcome::Skipped) { Ok(()) } else { Err(told(verdict).into()) }
}

/// Not even half of it: a stub that passed would teach nothing.
fn must_not_pass(verdict: &Verdict) -> Result<(), Failed> {
    match verdict.outcome {
        Outcome::Failed | Outcome::Skipped => Ok(()),
        _ => Err(told(verdict).into()),
    }
}

fn must_be_caught(verdict: &Verdict, fixture: &Fixture) -> Result<(), Failed> {
    note_skipped(verdict);
    let outcome_of = |id: &str| verdict.checks.iter().find(|check| check.id == id).map(|check| check.outcome);
    let missed: Vec<&str> = fixture
        .catches
        .iter()
        .map(String::as_str)
        .filter(|id| !matches!(outcome_of(id), Some(CheckOutcome::Failed | CheckOutcome::Skipped)))
        .collect();
    let skipped = fixture.catches.iter().any(|id| outcome_of(id) == Some(CheckOutcome::Skipped));
    match verdict.outcome {
        _ if !missed.is_empty() => Err(format!("not caught by {}\n{}", missed.join(", "), told(verdict)).into()),
        Outcome::Failed => speaks_plainly(verdict),
        // What would have caught it could not be looked at on this machine.
        Outcome::Passed | Outcome::Skipped if skipped => Ok(()),
        _ => Err(told(verdict).into()),
    }
}

/// Neither a grade nor a line of the solution.
fn must_gain_nothing(verdict: &Verdict, fixture: &Fixture, solution: &Path) -> Result<(), Failed> {
    let words = told(verdict);
    let solution = std::fs::read_to_string(solution)?;
    if let Some(line) = solution.lines().find(|line| line.len() > 40 && words.contains(line.trim())) {
        return Err(format!("it was shown of the solution: {line}\n{words}").into());
    }
    match fixture.catches.as_slice() {
        [compiler] if compiler == "compiler" && verdict.outcome == Outcome::CompileError => Ok(()),
        // A C program where no C compiler is.
        [compiler] if compiler == "compiler" && verdict.outcome == Outcome::Skipped => Ok(()),
        _ => must_be_caught(verdict, fixture),
    }
}

/// Each failure has a reason and a sentence.
fn speaks_plainly(verdict: &Verdict) -> Result<(), Failed> {
    for check in verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed) {
        if check.reason.is_none() || check.message.trim().is_empty() {
            return Err(format!("{} failed without a reason\n{}", check.id, told(verdict)).into());
        }
    }
    Ok(())
}

fn note_skipped(verdict: &Verdict) {
    let mut skipped = verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Skipped);
    if let Some(first) = skipped.next() {
        let more = match skipped.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        eprintln!("{} ({}): {}{more} skipped: {}", verdict.exercise, verdict.submission, first.id, first.message);
    }
}

/// A verdict in the words that a person needs to mend the program, or the check.
fn told(verdict: &Verdict) -> String {
    let mut lines = vec![format!("{} ({}): {:?}", verdict.exercise, verdict.submission, verdict.outcome)];
    lines.extend(verdict.message.clone());
    for check in &verdict.checks {
        if check.outcome == CheckOutcome::Failed {
            let plan = check.plan.as_ref().map(|plan| format!(" [{}, --replay {}]", plan.name, plan.replay));
            lines.push(format!("  {}: {}{}", check.id, check.message, plan.unwrap_or_default()));
            if let Some(source) = &check.source {
                lines.push(format!("      at {}:{}", source.file.display(), source.line));
            }
            lines.extend(check.evidence.iter().map(|line| format!("      {line}")));
        }
    }
    lines.join("\n")
}
