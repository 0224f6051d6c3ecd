//! `grade`: many exercises, or a class.

use std::collections::HashSet;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use grade::{Grading, Item, Outcome, Submission, Suite, Tree, Verdict};

use crate::args::{Cli, Format, GradeArgs, TreeName};
use crate::context;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::heap;
use crate::interrupt;
use crate::journal::{self, Journal, Verdicts};
use crate::live::Live;
use crate::machine;
use crate::meter;
use crate::progress::Progress;
use crate::report::json::Report;
use crate::report::summary::{self, Line};
use crate::report::{gradescope, junit};
use crate::submissions;
use crate::terminal;

/// Grades what is asked for and reports.
pub fn grade(cli: &Cli, args: &GradeArgs) -> Result<Exit> {
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let suite = context::suite(cli)?;
    let items = items(&suite, args)?;
    let journal = match &args.output {
        Some(output) => Journal::beside(output, args.resume)?,
        None => Journal::nameless(),
    };
    let journal = Mutex::new(journal);
    let keys = grade_all(&suite, args, items, &journal)?;
    if interrupt::asked() && args.output.is_some() {
        anstream::eprintln!("What is graded is kept: the same command with --resume goes on from there.");
    }
    interrupt::check()?;
    let journal = journal.into_inner().unwrap_or_else(PoisonError::into_inner);
    let class = args.submissions.is_some();
    let exit = write_report(&Report::here(Verdicts::new(&journal, &keys)), args.format, class, args.output.as_deref())?;
    journal.remove()?;
    Ok(exit)
}

fn items(suite: &Suite, args: &GradeArgs) -> Result<Vec<Item>> {
    let named: Vec<&str> = args
        .exercises
        .iter()
        .map(|name| suite.exercise(name).map(|exercise| exercise.name).map_err(context::stop_grading))
        .collect::<Result<_>>()?;
    let wanted = |item: &Item| named.is_empty() || named.contains(&item.exercise.name);
    let mut items = match &args.submissions {
        Some(directory) => of_class(suite, directory)?,
        None if args.file.is_empty() => of_tree(suite, args.tree),
        None => of_files(suite, &args.file)?,
    };
    items.retain(wanted);
    if let Some(shard) = args.shard {
        items.retain(|item| submissions::in_shard(shard, &item.submission.label(), item.exercise.name));
    }
    Ok(items)
}

fn of_tree(suite: &Suite, tree: TreeName) -> Vec<Item> {
    let tree = match tree {
        TreeName::Exercises => Tree::Exercises,
        TreeName::Solutions => Tree::Solutions,
    };
    suite
        .exercises()
        .iter()
        .map(|exercise| Item { exercise: exercise.clone(), submission: Submission::Tree(tree) })
        .collect()
}

fn of_files(suite: &Suite, pairs: &[String]) -> Result<Vec<Item>> {
    pairs
        .iter()
        .map(|pair| {
            let (name, path) =
                pair.split_once('=').filter(|(name, path)| !name.is_empty() && !path.is_empty()).ok_or_else(|| {
                    Stop::input(format!("--file {pair}: EXERCISE=F.rs is wanted, such as pipe_hello=mine.rs"))
                })?;
            let exercise = suite.exercise(name).map_err(context::stop_grading)?.clone();
            let submission = context::file_submission(suite, name, Path::new(path))?;
            Ok(Item { exercise, submission })
        })
        .collect()
}

fn of_class(suite: &Suite, directory: &Path) -> Result<Vec<Item>> {
    let class = submissions::read(suite, directory)?;
    for stray in &class.stray {
        anstream::eprintln!("{} {stray}; not graded", terminal::Styled(terminal::CARE, "warning:"));
    }
    if class.programs.is_empty() {
        return Err(Stop::input(format!("{}: holds no submission (NAME/EXERCISE.rs)", directory.display())));
    }
    Ok(class
        .programs
        .into_iter()
        .map(|program| Item { exercise: program.exercise, submission: program.submission })
        .collect())
}

/// Grades what the journal does not know. Gives the keys of all verdicts, in the items' order.
fn grade_all(suite: &Suite, args: &GradeArgs, items: Vec<Item>, journal: &Mutex<Journal>) -> Result<Vec<String>> {
    heap::keep_small();
    let rung = context::rung(args.boxed);
    let total = items.len();
    let keys: Vec<String> = items.iter().map(|item| journal::key(item, args.seed, rung)).collect();
    let (open, of_open): (Vec<Item>, Vec<&String>) =
        items.into_iter().zip(&keys).filter(|(_, key)| !lock(journal).knows(key)).unzip();
    let grader = context::grader(suite, args.seed, rung);
    meter::during("building the libraries", || grader.compiler().prepare()).map_err(context::stop_grading)?;
    let jobs = args.jobs.map_or_else(machine::cores, usize::from);
    let live = Mutex::new(Live::begin(total, total - open.len()));
    let progress = Mutex::new(Progress::load(suite.root()));
    grader.grade_each(jobs, &open, &|grading| match grading {
        Grading::Begun(index) => lock(&live).begun(index, &open[index]),
        Grading::Done(index, verdict) => {
            let verdict = owned_up(&open[index], verdict.clone());
            record(&progress, &open[index], &verdict);
            if let Err(error) = lock(journal).add(of_open[index], &verdict) {
                anstream::eprintln!("{error:#}");
            }
            lock(&live).done(index, &verdict);
            heap::trim();
        }
    });
    Ok(keys)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that was handed in and is no program (empty, not text) is its author's fault, not the harness's.
fn owned_up(item: &Item, mut verdict: Verdict) -> Verdict {
    let handed_in = matches!(item.submission, Submission::File { .. });
    if verdict.outcome == Outcome::HarnessFault && handed_in && item.submission.source(&item.exercise).is_err() {
        verdict.outcome = Outcome::CompileError;
    }
    verdict
}

/// What the learner's own tree achieved is kept at once: a run that is broken off loses nothing.
fn record(progress: &Mutex<Progress>, item: &Item, verdict: &Verdict) {
    if item.submission != Submission::Tree(Tree::Exercises) {
        return;
    }
    let source = std::fs::read(item.exercise.stub_path()).unwrap_or_default();
    if let Err(error) = lock(progress).record(verdict, &source) {
        anstream::eprintln!("Your progress could not be written: {error:#}");
    }
}

/// Prints a report, or writes it to a file. Gives the exit status that it comes to.
pub fn write_report(report: &Report<Verdicts>, format: Format, class: bool, output: Option<&Path>) -> Result<Exit> {
    let lines = report.verdicts.iter().map(|verdict| Ok(Line::of(&verdict?))).collect::<Result<Vec<Line>>>()?;
    let width = if output.is_some() { usize::MAX } else { terminal::width() };
    let write = |out: &mut dyn Write| -> Result<()> {
        match format {
            Format::Text if output.is_some() => {
                out.write_all(anstream::adapter::strip_str(&text(&lines, class, width)).to_string().as_bytes())?;
            }
            Format::Text => out.write_all(text(&lines, class, width).as_bytes())?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, report)?;
                out.write_all(b"\n")?;
            }
            Format::Junit => junit::write(report.verdicts, out)?,
            Format::Gradescope => gradescope::write(report.verdicts, out)?,
        }
        Ok(())
    };
    match output {
        Some(path) => files::write_whole_by(path, write)?,
        None => print(write)?,
    }
    Ok(exit_of(lines.iter().map(|line| line.outcome)))
}

/// The verdicts stand even if nobody reads them to the end.
fn print(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush().map_err(Into::into));
    let broken = |error: &anyhow::Error| {
        error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
                || cause
                    .downcast_ref::<serde_json::Error>()
                    .is_some_and(|error| error.io_error_kind() == Some(ErrorKind::BrokenPipe))
        })
    };
    match written {
        Err(error) if broken(&error) => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

fn text(verdicts: &[Line], class: bool, width: usize) -> String {
    let mut lines = summary::table(verdicts, class, width);
    if class {
        lines.push(String::new());
        lines.push(terminal::Styled(terminal::HEAD, "by submitter").to_string());
        lines.extend(summary::standings(verdicts, |line| &line.submitter));
        lines.push(String::new());
        lines.push(terminal::Styled(terminal::HEAD, "by exercise").to_string());
        lines.extend(summary::standings(verdicts, |line| &line.exercise));
    }
    lines.push(String::new());
    lines.push(format!("{}.", summary::totals(verdicts.iter().map(|line| line.outcome))));
    lines.extend(summary::rungs(verdicts));
    lines.push(String::new());
    lines.join("\n")
}

/// The exit status of many verdicts: a fault of the harness outweighs a failure, for nobody knows what it hid.
pub fn exit_of(outcomes: impl Iterator<Item = Outcome>) -> Exit {
    let outcomes: HashSet<Outcome> = outcomes.collect();
    let any = |outcome| outcomes.contains(&outcome);
    if any(Outcome::HarnessFault) {
        Exit::Harness
    } else if any(Outcome::Failed) || any(Outcome::CompileError) {
        Exit::Failed
    } else if outcomes == HashSet::from([Outcome::Skipped]) {
        Exit::Harness
    } else {
        Exit::Done
    }
}
