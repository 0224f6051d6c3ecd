//! The road from a submission to its verdict.

use std::ffi::OsString;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use observe::{InputFile, Launch, Observation, Observer, Rung, Stdin, Stdout};

use crate::rounds::{Rounds, launch_of};
use crate::weigh::{self, Subject};
use crate::{CheckOutcome, Compiler, Exercise, GradeError, Outcome, State, Submission, Suite, Tree, Verdict};

/// How to grade.
#[derive(Clone, Debug)]
pub struct Options {
    /// Determines all inputs; fresh for each grading if not given.
    pub seed: Option<u64>,
    /// The containment rung; the best one if not given.
    pub rung: Option<Rung>,
    /// Launches of one submission at a time.
    pub workers: usize,
    /// Make no more launches of a submission once a check has failed: for who asks only whether it is right. Its
    /// launches are then made one after another.
    pub until_failure: bool,
    /// Set by the caller to have everything given up.
    pub interrupted: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Options {
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        Options {
            seed: None,
            rung: None,
            workers: processors.min(4),
            until_failure: false,
            interrupted: Arc::default(),
        }
    }
}

/// Grades submissions. Usable from many threads.
#[derive(Debug)]
pub struct Grader {
    suite: Suite,
    observer: Observer,
    options: Options,
    compiler: Compiler,
}

impl Grader {
    /// A grader of this suite.
    pub fn new(suite: Suite, observer: Observer, options: Options) -> Grader {
        Grader { compiler: Compiler::new(&suite), suite, observer, options }
    }

    /// The suite that it grades.
    pub fn suite(&self) -> &Suite {
        &self.suite
    }

    /// Its compiler.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// Compiles, runs and judges. Whatever happens, a verdict comes out: a fault of the harness is one too.
    pub fn grade(&self, exercise: &Exercise, submission: &Submission) -> Verdict {
        self.grade_with(exercise, submission, self.options.workers)
    }

    /// As [`Grader::grade`], with so many launches at a time.
    pub(crate) fn grade_with(&self, exercise: &Exercise, submission: &Submission, workers: usize) -> Verdict {
        let began = Instant::now();
        // A mistake of the harness on one submission must not take the others' verdicts with it.
        let graded = catch_unwind(AssertUnwindSafe(|| self.try_grade(exercise, submission, workers)));
        let stumbled = || Err(GradeError::Toolchain("the grader stumbled over what it saw; please report this".into()));
        let mut verdict = match graded.unwrap_or_else(|_| stumbled()) {
            Ok(verdict) => verdict,
            Err(error) => without_runs(exercise, submission, &error),
        };
        verdict.wall_ms = began.elapsed().as_millis() as u64;
        verdict
    }

    fn try_grade(&self, exercise: &Exercise, submission: &Submission, workers: usize) -> Result<Verdict, GradeError> {
        if *submission == Submission::Tree(Tree::Exercises) && self.suite.state(exercise) == State::NotBegun {
            return Ok(blank(exercise, submission, Outcome::NotBegun, None));
        }
        self.judge(exercise, submission, self.seed()?, None, workers)
    }

    /// Makes only the plan that a verdict's replay id names, with the same inputs: `3-9f2c…`, or `3` for the third
    /// plan with fresh ones.
    ///
    /// # Errors
    /// [`GradeError::Replay`] for an id that is none, and whatever keeps the program from being compiled or run.
    pub fn replay(&self, exercise: &Exercise, submission: &Submission, id: &str) -> Result<Verdict, GradeError> {
        let began = Instant::now();
        let wrong = |reason: String| GradeError::Replay { id: id.into(), exercise: exercise.name.into(), reason };
        let (number, seed) = match id.split_once('-') {
            Some((number, seed)) => {
                let seed = u64::from_str_radix(seed, 16)
                    .map_err(|_| wrong("after the dash comes a seed in hexadecimal".into()))?;
                (number, seed)
            }
            None => (id, self.seed()?),
        };
        let plans = exercise.plans(seed);
        let index = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).filter(|i| *i < plans.len());
        let Some(index) = index else {
            return Err(wrong(format!("it begins with a plan's number, from 1 to {}", plans.len())));
        };
        let mut verdict = self.judge(exercise, submission, seed, Some(index), 1)?;
        verdict.wall_ms = began.elapsed().as_millis() as u64;
        Ok(verdict)
    }

    /// Just runs the program in the box, with these arguments and files.
    ///
    /// # Errors
    /// Whatever keeps the program from being compiled or run.
    pub fn run_with_args(
        &self,
        exercise: &Exercise,
        submission: &Submission,
        args: Vec<OsString>,
        files: Vec<InputFile>,
        stdin: Stdin,
    ) -> Result<Observation, GradeError> {
        let compiled = self.compiler.compile(exercise, submission)?;
        let mut launch = Launch::new("");
        launch.args = args;
        launch.files = files;
        launch.stdin = stdin;
        launch.stdout = Stdout::Pipe;
        self.check_interrupt()?;
        Ok(self.observer.run(&launch_of(&launch, exercise, &compiled, self.options.rung))?)
    }

    pub(crate) fn check_interrupt(&self) -> Result<(), GradeError> {
        if self.options.interrupted.load(Ordering::SeqCst) { Err(GradeError::Interrupted) } else { Ok(()) }
    }

    fn seed(&self) -> Result<u64, GradeError> {
        match self.options.seed {
            Some(seed) => Ok(seed),
            None => getrandom::u64().map_err(|e| GradeError::Toolchain(format!("no random numbers: {e}"))),
        }
    }

    fn judge(
        &self,
        exercise: &Exercise,
        submission: &Submission,
        seed: u64,
        only: Option<usize>,
        workers: usize,
    ) -> Result<Verdict, GradeError> {
        self.check_interrupt()?;
        let compiled = self.compiler.compile(exercise, submission)?;
        let turn = if exercise.takes_turns() { turn() } else { None };
        let workers = if turn.is_some() { 1 } else { workers };
        let plans = exercise.plans(seed);
        let subject = Subject { source: &compiled.source, seed, rings: exercise.is_about_rings() };
        let rounds = Rounds::make(self, exercise, &compiled, &plans, &subject, only, workers)?;
        let checks = weigh::weigh(&exercise.checks(), &plans, &rounds, &subject);
        Ok(verdict(exercise, submission, checks, &rounds))
    }
}

/// Waits until no other grading on this machine has it; the turn ends when it is dropped. It is a lock of the directory
/// that the files are in, which every user may take.
fn turn() -> Option<File> {
    File::open("/usr/bin").ok().filter(|directory| directory.lock().is_ok())
}

fn verdict(exercise: &Exercise, submission: &Submission, checks: Vec<crate::CheckResult>, rounds: &Rounds) -> Verdict {
    let any = |outcome| checks.iter().any(|c| c.outcome == outcome);
    let outcome = if any(CheckOutcome::Failed) {
        Outcome::Failed
    } else if any(CheckOutcome::Passed) {
        Outcome::Passed
    } else {
        Outcome::Skipped
    };
    Verdict {
        partial: any(CheckOutcome::Skipped),
        runs: rounds.launches,
        cpu_ms: rounds.cpu.as_millis() as u64,
        rung: rounds.rung(),
        checks,
        ..blank(exercise, submission, outcome, None)
    }
}

fn blank(exercise: &Exercise, submission: &Submission, outcome: Outcome, message: Option<String>) -> Verdict {
    let checks = exercise.checks().iter().map(|check| weigh::not_reached(check, "")).collect();
    Verdict {
        exercise: exercise.name.into(),
        submission: submission.label(),
        outcome,
        checks,
        runs: 0,
        wall_ms: 0,
        cpu_ms: 0,
        partial: false,
        message,
        rung: None,
    }
}

/// The verdict on a submission that was never run.
fn without_runs(exercise: &Exercise, submission: &Submission, error: &GradeError) -> Verdict {
    let outcome = match error {
        GradeError::Compile(_) => Outcome::CompileError,
        GradeError::NoCompiler(_) => Outcome::Skipped,
        _ => Outcome::HarnessFault,
    };
    blank(exercise, submission, outcome, Some(error.to_string()))
}
