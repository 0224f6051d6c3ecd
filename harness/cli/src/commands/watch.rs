//! `watch`: grades on save, in teaching order; on a terminal it answers keys meanwhile.

mod pane;
mod window;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::Result;
use grade::{Exercise, Suite, Tree, Verdict};

use crate::args::{BoxArgs, Cli, WatchArgs};
use crate::commands::list;
use crate::context;
use crate::exit::Exit;
use crate::interrupt;
use crate::progress::{Progress, Standing};
use crate::report::verdict::{SCREENFUL, View};
use crate::saves::Saves;
use crate::screen::Screen;
use crate::terminal::{self, DIM, HEAD, Styled};
use window::Window;
use work::{Task, Works};

/// How long a key or an event is waited for before the flag of signals is looked at again.
const BEAT: Duration = Duration::from_millis(100);

/// What is said where a verdict could not be recorded.
const UNSAVED: &str = "Your progress could not be written";

/// What can happen besides a key.
enum Happening {
    /// A file may have been saved.
    MaybeSaved,
    /// A piece of work came to its end.
    Done { number: u64, outcome: Outcome },
}

/// What came of a piece of work.
enum Outcome {
    /// A verdict, and why it could not be recorded.
    Graded { verdict: Box<Verdict>, unsaved: Option<String> },
    /// Something to read, under a title.
    Told { title: String, text: String },
}

impl Outcome {
    /// Of a piece of work in which the harness failed.
    fn failed() -> Outcome {
        let text = "The harness itself failed at this, which says nothing of your program.".to_owned();
        Outcome::Told { title: "harness fault".to_owned(), text }
    }
}

/// The learner's session.
struct Session<'a> {
    cli: &'a Cli,
    suite: Suite,
    /// Index of the exercise shown.
    current: usize,
    works: Works,
    boxed: BoxArgs,
}

/// Watches until `q`, or a signal.
pub fn watch(cli: &Cli, args: &WatchArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let current = first(&suite, args.exercise.as_deref())?;
    let (happen, happened) = mpsc::channel();
    let files: Vec<PathBuf> = suite.exercises().iter().map(Exercise::stub_path).collect();
    let directory = suite.root().join(Tree::Exercises.folder());
    let saves = Saves::of(&directory, files.into_iter(), happen.clone(), || Happening::MaybeSaved);
    let mut session = Session { cli, suite, current, works: Works::new(happen), boxed: args.boxed };
    match Screen::take()? {
        Some(screen) => Window::new(session).go_on(screen, &happened, saves),
        None => session.go_on(&happened, saves),
    }
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

    /// `exercises/05_pipes/hello.rs (4 of 11)`.
    fn place(&self) -> (String, String) {
        let path = list::short_path(&self.suite, self.exercise());
        (path, format!("({} of {})", self.current + 1, self.suite.exercises().len()))
    }

    fn begin(&mut self, task: Task) -> Result<()> {
        let exercise = self.exercise().clone();
        self.works.begin(&self.suite, exercise, context::rung(self.boxed), task)
    }

    /// A save says what the learner works on; whether that is another exercise than before.
    fn turn_to(&mut self, saved: &Path) -> bool {
        let before = self.current;
        let saved = self.suite.exercises().iter().position(|exercise| exercise.stub_path() == *saved);
        self.current = saved.unwrap_or(before);
        self.current != before
    }

    /// With keys, what does not fit can be scrolled to.
    fn lines(&self, verdict: &Verdict, verbose: bool, keys: bool) -> Vec<String> {
        let (base, width, height) = (self.suite.root(), terminal::width(), if keys { usize::MAX } else { SCREENFUL });
        let command = format!("run {}{}", verdict.exercise, self.boxed.again());
        View { base, width, height, verbose: verbose || self.cli.verbose, keys, command }.lines(verdict)
    }

    /// Without a terminal: a verdict after each save, one below the other.
    fn go_on(&mut self, happened: &Receiver<Happening>, mut saves: Saves) -> Result<Exit> {
        self.grade_aloud()?;
        loop {
            interrupt::check()?;
            if let Ok(Happening::Done { number, outcome }) = happened.recv_timeout(BEAT)
                && let Outcome::Graded { verdict, unsaved } = outcome
                && self.works.is_last(number)
            {
                if let Some(why) = unsaved {
                    anstream::eprintln!("{UNSAVED}: {why}");
                }
                let lines = self.lines(&verdict, false, false);
                writeln!(anstream::stdout().lock(), "{}", lines.join("\n"))?;
            }
            if let Some(saved) = saves.look().first() {
                self.turn_to(saved);
                self.grade_aloud()?;
            }
        }
    }

    fn grade_aloud(&mut self) -> Result<()> {
        let (path, place) = self.place();
        writeln!(anstream::stdout().lock(), "{} {}", Styled(HEAD, path), Styled(DIM, format!("{place} grading …")))?;
        self.begin(Task::Grade)
    }
}
