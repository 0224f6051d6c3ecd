//! What commands have in common: the suite, a grader and an observer that signals reach, and errors that know
//! their exit status.

use std::path::Path;

use anyhow::Result;
use grade::{GradeError, Grader, Options, Submission, Suite};
use observe::{ObserveError, Observer, Rung};

use crate::args::{BoxArgs, Cli, RungName};
use crate::exit::Stop;
use crate::interrupt;

/// The suite that is meant.
pub fn suite(cli: &Cli) -> Result<Suite> {
    let Some(named) = &cli.suite else {
        return Suite::find(Path::new(".")).map_err(stop_grading);
    };
    let shown = named.display();
    let absolute = named.canonicalize().map_err(|e| Stop::input(format!("{shown}: {}", crate::files::reason(&e))))?;
    let suite = Suite::find(&absolute).map_err(stop_grading)?;
    // The search goes on to other places; a directory that was named must be the one.
    if absolute.starts_with(suite.root()) {
        Ok(suite)
    } else {
        Err(Stop::input(format!("{shown}: is in no suite of exercises")))
    }
}

/// An observer whose launches are given up when the process is interrupted.
pub fn observer() -> Observer {
    let observer = Observer::new();
    let other = observer.clone();
    interrupt::on_signal(move || other.interrupt());
    observer
}

/// A grader that gives up when the process is interrupted.
pub fn grader(suite: &Suite, seed: Option<u64>, rung: Option<Rung>) -> Grader {
    let options = Options { seed, rung, interrupted: interrupt::flag(), ..Options::default() };
    Grader::new(suite.clone(), observer(), options)
}

/// The rung that is asked for.
pub fn rung(args: BoxArgs) -> Option<Rung> {
    args.rung.map(|name| match name {
        RungName::Namespaces => Rung::F,
        RungName::Traced => Rung::K,
        RungName::Plain => Rung::L,
    })
}

/// A loose file as a submission, once it is seen to be one.
pub fn file_submission(suite: &Suite, exercise: &str, path: &Path) -> Result<Submission> {
    let exercise = suite.exercise(exercise).map_err(stop_grading)?;
    let submission = Submission::file(path);
    submission.source(exercise).map_err(stop_grading)?;
    Ok(submission)
}

/// The observer's error as one that knows its exit status.
pub fn stop(error: ObserveError) -> anyhow::Error {
    match error {
        ObserveError::Interrupted => Stop::Interrupted.into(),
        ObserveError::Program { .. } | ObserveError::Interpreter { .. } => Stop::input(error.to_string()),
        other => other.into(),
    }
}

/// The grader's error as one that knows its exit status.
pub fn stop_grading(error: GradeError) -> anyhow::Error {
    match error {
        GradeError::Interrupted => Stop::Interrupted.into(),
        GradeError::Observe(error) => stop(error),
        GradeError::NoSuite(_)
        | GradeError::UnknownExercise { .. }
        | GradeError::File { .. }
        | GradeError::Replay { .. } => Stop::input(error.to_string()),
        other => other.into(),
    }
}
