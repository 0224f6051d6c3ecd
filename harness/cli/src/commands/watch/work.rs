//! What is done for the learner in threads of its own, one piece at a time: a new one gives up the one under way.

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use grade::{Exercise, GradeError, Grader, Item, Options, Submission, Suite, Tree};
use observe::{Observer, Rung, Stdin};

use super::{Happening, Outcome};
use crate::commands::{demo, run};
use crate::input::{self, Input};
use crate::interrupt;
use crate::progress::Progress;
use crate::report::hang;
use crate::terminal;

/// A piece of work on the learner's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Grade it.
    Grade,
    /// Run it in the box with this line typed: arguments, and perhaps `< FILE`.
    Run(Vec<OsString>),
    /// Run it as the demo is run, and tell what the kernel saw.
    Timeline,
}

impl Task {
    /// What is being done, in a word.
    pub(super) fn doing(&self) -> &'static str {
        match self {
            Task::Grade => "grading",
            Task::Run(_) => "running",
            Task::Timeline => "watching it run",
        }
    }
}

/// A piece under way, and how to give it up.
struct UnderWay {
    observer: Observer,
    interrupted: Arc<AtomicBool>,
}

impl UnderWay {
    fn give_up(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.observer.interrupt();
    }
}

/// All pieces of work of a session. Dropping it gives up what is under way.
pub(super) struct Works {
    /// Of the last piece begun.
    number: u64,
    under_way: Arc<Mutex<Option<UnderWay>>>,
    happen: Sender<Happening>,
}

impl Works {
    pub(super) fn new(happen: Sender<Happening>) -> Works {
        let under_way: Arc<Mutex<Option<UnderWay>>> = Arc::default();
        let known = Arc::clone(&under_way);
        interrupt::on_signal(move || {
            if let Some(piece) = known.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
                piece.give_up();
            }
        });
        Works { number: 0, under_way, happen }
    }

    /// Whether this is the piece begun last; what came of others is out of date.
    pub(super) fn is_last(&self, number: u64) -> bool {
        number == self.number
    }

    pub(super) fn give_up(&self) {
        if let Some(piece) = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).take() {
            piece.give_up();
        }
    }

    /// Gives up what is under way and begins this.
    pub(super) fn begin(&mut self, suite: &Suite, exercise: Exercise, rung: Option<Rung>, task: Task) -> Result<()> {
        self.give_up();
        self.number += 1;
        let (number, happen) = (self.number, self.happen.clone());
        let observer = Observer::new();
        let interrupted = Arc::new(AtomicBool::new(false));
        let options = Options { rung, interrupted: Arc::clone(&interrupted), ..Options::default() };
        let grader = Grader::new(suite.clone(), observer.clone(), options);
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some(UnderWay { observer, interrupted });
        let work = move || {
            // Whatever happens, the session is told: a piece of work that never came to its end would look like a slow one.
            let done = panic::catch_unwind(AssertUnwindSafe(|| done(&grader, exercise, task)));
            if let Some(outcome) = done.unwrap_or_else(|_| Some(Outcome::failed())) {
                // A session that has ended wants no outcome.
                let _ = happen.send(Happening::Done { number, outcome });
            }
        };
        thread::Builder::new().name("work".into()).spawn(work).context("cannot start a thread")?;
        Ok(())
    }
}

impl Drop for Works {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn done(grader: &Grader, exercise: Exercise, task: Task) -> Option<Outcome> {
    match task {
        Task::Grade => graded(grader, exercise),
        Task::Run(words) => {
            let text = ran(grader, &exercise, &words).unwrap_or_else(|error| format!("{error:#}"));
            Some(Outcome::Told { title: format!("{} in its box", exercise.name), text })
        }
        Task::Timeline => {
            let text = timeline(grader, &exercise).unwrap_or_else(|error| error.to_string());
            Some(Outcome::Told { title: format!("{} at work", exercise.name), text })
        }
    }
}

fn graded(grader: &Grader, exercise: Exercise) -> Option<Outcome> {
    let root = grader.suite().root().to_path_buf();
    let source = std::fs::read(exercise.stub_path()).unwrap_or_default();
    let submission = run::as_handed_out(grader, &exercise, &Submission::Tree(Tree::Exercises));
    // One item through the door for many, which no mistake of the harness brings down.
    let verdict = grader.grade_many(1, &[Item { exercise, submission }], &|_| {}).pop()?;
    let unsaved = Progress::load(&root).record(&verdict, &source).err().map(|error| format!("{error:#}"));
    Some(Outcome::Graded { verdict: Box::new(verdict), unsaved })
}

fn ran(grader: &Grader, exercise: &Exercise, words: &[OsString]) -> Result<String> {
    let submission = Submission::Tree(Tree::Exercises);
    let (input, stdin) = redirected(words)?;
    let seen = grader.run_with_args(exercise, &submission, input.words.clone(), input.files.clone(), stdin)?;
    let mut text = terminal::visible(&seen.stdout.bytes);
    if !seen.stderr.bytes.is_empty() {
        text.push_str(&format!("\nstandard error:\n{}", terminal::visible(&seen.stderr.bytes)));
    }
    text.push_str(&format!("\n{}\n", run::ended(&seen, &input)));
    if let Some(found) = &seen.hang {
        text.push_str(&hang::lines(found, &hang::namer(&seen)).join("\n"));
    }
    Ok(text)
}

/// `WORD… < FILE`, as a shell has it.
fn redirected(words: &[OsString]) -> Result<(Input, Stdin)> {
    match words {
        [words @ .., arrow, path] if arrow == "<" => Ok((Input::of(words)?, Stdin::Bytes(input::read(path.as_ref())?))),
        _ => Ok((Input::of(words)?, Stdin::Empty)),
    }
}

fn timeline(grader: &Grader, exercise: &Exercise) -> Result<String, GradeError> {
    let demo = grader.demo_of(exercise, &Submission::Tree(Tree::Exercises))?;
    Ok(demo::told(&demo, &demo::caption(exercise, &demo), terminal::width()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_before_the_last_word_gives_standard_input() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lines");
        std::fs::write(&file, "a\n").unwrap();
        let words: Vec<OsString> = ["one", "<"].into_iter().map(OsString::from).chain([file.into()]).collect();
        let (input, stdin) = redirected(&words).unwrap();
        assert_eq!((input.words, stdin), (vec!["one".into()], Stdin::Bytes(b"a\n".to_vec())));
        let (input, stdin) = redirected(&words[1..]).unwrap();
        assert!(input.words.is_empty() && stdin == Stdin::Bytes(b"a\n".to_vec()));
        assert_eq!(redirected(&words[..2]).unwrap().1, Stdin::Empty);
    }
}
