//! `watch`: grades on save, in teaching order, and answers keys meanwhile.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use grade::{Exercise, Grader, Item, Options, Outcome, Submission, Suite, Tree, Verdict};
use observe::Observer;

use crate::args::{Cli, ListArgs, WatchArgs};
use crate::commands::{list, reset, run};
use crate::context;
use crate::exit::Exit;
use crate::interrupt;
use crate::keyboard::Keyboard;
use crate::progress::{Progress, Standing};
use crate::report::verdict::View;
use crate::saves::Saves;
use crate::terminal::{self, DIM, HEAD, Styled, TYPE};

/// How long a key or an event is waited for before the flag of signals is looked at again.
const BEAT: Duration = Duration::from_millis(100);

/// What can happen besides a key.
enum Happening {
    /// A file may have been saved.
    MaybeSaved,
    /// A grading came to its end.
    Graded { number: u64, verdict: Box<Verdict> },
}

/// A grading under way, and how to give it up.
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

/// The learner's session.
struct Session<'a> {
    cli: &'a Cli,
    suite: Suite,
    /// Index of the exercise shown.
    current: usize,
    /// The next hint.
    hint: usize,
    /// Of the last grading begun.
    number: u64,
    under_way: Arc<Mutex<Option<UnderWay>>>,
    happen: Sender<Happening>,
    /// A terminal that can be cleared.
    screen: bool,
}

/// Watches until `q`, the end of standard input, or a signal.
pub fn watch(cli: &Cli, args: &WatchArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let current = first(&suite, args.exercise.as_deref())?;
    let (happen, happened) = mpsc::channel();
    let files: Vec<PathBuf> = suite.exercises().iter().map(Exercise::stub_path).collect();
    let directory = suite.root().join(Tree::Exercises.folder());
    let saves = Saves::of(&directory, files.into_iter(), happen.clone(), || Happening::MaybeSaved);
    let screen = std::io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let under_way: Arc<Mutex<Option<UnderWay>>> = Arc::default();
    let known = Arc::clone(&under_way);
    interrupt::on_signal(move || {
        if let Some(grading) = known.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            grading.give_up();
        }
    });
    let mut session = Session { cli, suite, current, hint: 0, number: 0, under_way, happen, screen };
    session.begin()?;
    let keyboard = Keyboard::take();
    let ended = session.go_on(keyboard.as_ref(), &happened, saves);
    session.give_up();
    ended
}

/// The exercise named, or the first that has not passed.
fn first(suite: &Suite, name: Option<&str>) -> Result<usize> {
    if let Some(name) = name {
        let wanted = suite.exercise(name).map_err(context::stop_grading)?.name;
        return Ok(suite.exercises().iter().position(|exercise| exercise.name == wanted).unwrap_or(0));
    }
    let progress = Progress::load(suite.root());
    let open = |exercise: &Exercise| list::standing(suite, &progress, exercise) != Some(Standing::Passed);
    Ok(suite.exercises().iter().position(open).unwrap_or(0))
}

impl Session<'_> {
    fn exercise(&self) -> &Exercise {
        &self.suite.exercises()[self.current]
    }

    fn go_on(&mut self, keyboard: Option<&Keyboard>, happened: &Receiver<Happening>, mut saves: Saves) -> Result<Exit> {
        loop {
            interrupt::check()?;
            let event = match keyboard {
                Some(keyboard) => {
                    if let Some(key) = keyboard.key(BEAT)
                        && !self.obey(key)?
                    {
                        return Ok(Exit::Done);
                    }
                    happened.try_recv().ok()
                }
                None => happened.recv_timeout(BEAT).ok(),
            };
            if let Some(Happening::Graded { number, verdict }) = event
                && number == self.number
            {
                self.finished(&verdict)?;
            }
            if let Some(saved) = saves.look().first() {
                self.turn_to(saved);
                self.begin()?;
            }
        }
    }

    /// A save says what the learner works on.
    fn turn_to(&mut self, saved: &PathBuf) {
        if let Some(index) = self.suite.exercises().iter().position(|exercise| exercise.stub_path() == *saved) {
            if index != self.current {
                self.hint = 0;
            }
            self.current = index;
        }
    }

    /// Does what a key means; `false` ends the session.
    fn obey(&mut self, key: char) -> Result<bool> {
        match key {
            'q' => return Ok(false),
            'n' => self.step(1)?,
            'p' => self.step(self.suite.exercises().len() - 1)?,
            'r' => self.begin()?,
            'h' => self.tell_hint()?,
            'l' => {
                list::list(self.cli, &ListArgs { json: false })?;
            }
            'R' => {
                let words = reset::put_back(&self.suite, self.exercise())?;
                writeln!(anstream::stdout().lock(), "{words}")?;
            }
            '?' => writeln!(anstream::stdout().lock(), "{}", keys())?,
            _ => {}
        }
        Ok(true)
    }

    fn step(&mut self, by: usize) -> Result<()> {
        self.current = (self.current + by) % self.suite.exercises().len();
        self.hint = 0;
        self.begin()
    }

    fn tell_hint(&mut self) -> Result<()> {
        let hints = self.exercise().hints().map_err(context::stop_grading)?;
        let mut out = anstream::stdout().lock();
        if let Some(words) = hints.get(self.hint.min(hints.len().saturating_sub(1))) {
            let number = self.hint.min(hints.len() - 1) + 1;
            writeln!(out, "\n{}", Styled(HEAD, format!("Hint {number} of {}", hints.len())))?;
            for line in terminal::wrap(words.trim(), terminal::width()) {
                writeln!(out, "{line}")?;
            }
        }
        self.hint += 1;
        Ok(())
    }

    fn give_up(&self) {
        if let Some(grading) = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).take() {
            grading.give_up();
        }
    }

    /// Gives up what is under way and grades the current exercise, in a thread of its own.
    fn begin(&mut self) -> Result<()> {
        self.give_up();
        self.number += 1;
        let (number, happen) = (self.number, self.happen.clone());
        let observer = Observer::new();
        let interrupted = Arc::new(AtomicBool::new(false));
        let options = Options { interrupted: Arc::clone(&interrupted), ..Options::default() };
        let grader = Grader::new(self.suite.clone(), observer.clone(), options);
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = Some(UnderWay { observer, interrupted });
        let exercise = self.exercise().clone();
        let root = self.suite.root().to_path_buf();
        self.say_begun()?;
        let work = move || {
            let source = std::fs::read(exercise.stub_path()).unwrap_or_default();
            let submission = run::as_handed_out(&grader, &exercise, &Submission::Tree(Tree::Exercises));
            let item = Item { exercise, submission };
            // One item through the door for many, which no mistake of the harness brings down.
            for verdict in grader.grade_many(1, &[item], &|_, _| {}) {
                if let Err(error) = Progress::load(&root).record(&verdict, &source) {
                    anstream::eprintln!("Your progress could not be written: {error:#}");
                }
                // A session that has ended wants no verdict.
                let _ = happen.send(Happening::Graded { number, verdict: Box::new(verdict) });
            }
        };
        thread::Builder::new().name("grading".into()).spawn(work).context("cannot start a thread")?;
        Ok(())
    }

    fn say_begun(&self) -> Result<()> {
        if self.screen {
            let mut out = std::io::stdout().lock();
            write!(out, "\x1b[2J\x1b[H")?;
            out.flush()?;
        }
        let path = list::short_path(&self.suite, self.exercise());
        let place = format!("{} of {}", self.current + 1, self.suite.exercises().len());
        writeln!(anstream::stdout().lock(), "{} {}", Styled(HEAD, path), Styled(DIM, format!("({place}) grading …")))?;
        Ok(())
    }

    fn finished(&self, verdict: &Verdict) -> Result<()> {
        let command = format!("run {}", verdict.exercise);
        let view = View { base: self.suite.root(), width: terminal::width(), verbose: self.cli.verbose, command };
        let mut out = anstream::stdout().lock();
        if !self.screen {
            writeln!(out, "{}", view.lines(verdict).join("\n"))?;
            return Ok(());
        }
        write!(out, "\x1b[2J\x1b[H")?;
        for line in view.lines(verdict) {
            writeln!(out, "{line}")?;
        }
        let next = if verdict.outcome == Outcome::Passed {
            format!("   {}", Styled(TYPE, "n for the next exercise"))
        } else {
            String::new()
        };
        writeln!(out, "\n{}{next}", Styled(DIM, keys()))?;
        Ok(())
    }
}

fn keys() -> &'static str {
    "n next  p previous  h hint  l list  r run again  R reset  q quit"
}
