//! `grade`: many exercises, or a class.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use grade::{Grading, Item, Outcome, Submission, Suite, Tree, Verdict};

use crate::args::{Cli, Format, GradeArgs, TreeName};
use crate::context;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::interrupt;
use crate::journal::{self, Journal};
use crate::live::Live;
use crate::machine;
use crate::meter;
use crate::progress::Progress;
use crate::report::json::Report;
use crate::report::{gradescope, junit, summary};
use crate::submissions;
use crate::terminal;

/// Grades what is asked for and reports.
pub fn grade(cli: &Cli, args: &GradeArgs) -> Result<Exit> {
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let suite = context::suite(cli)?;
    let items = items(&suite, args)?;
    let (journal, known) = match &args.output {
        Some(output) => {
            let (journal, known) = Journal::begin(output, args.resume)?;
            (Some(journal), known)
        }
        None => (None, HashMap::new()),
    };
    let journal = Mutex::new(journal);
    let verdicts = grade_all(&suite, args, &items, &journal, &known)?;
    if interrupt::asked() && args.output.is_some() {
        anstream::eprintln!("What is graded is kept: the same command with --resume goes on from there.");
    }
    interrupt::check()?;
    let class = args.submissions.is_some();
    let report = Report::here(verdicts);
    write_report(&report, args.format, class, args.output.as_deref())?;
    if let Some(journal) = journal.into_inner().unwrap_or_else(PoisonError::into_inner) {
        journal.remove()?;
    }
    Ok(exit_of(&report.verdicts))
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

/// All verdicts, in the items' order: those known, and those made now, which the journal keeps.
fn grade_all(
    suite: &Suite,
    args: &GradeArgs,
    items: &[Item],
    journal: &Mutex<Option<Journal>>,
    known: &HashMap<String, Verdict>,
) -> Result<Vec<Verdict>> {
    let rung = context::rung(args.boxed);
    let keys: Vec<String> = items.iter().map(|item| journal::key(item, args.seed, rung)).collect();
    let (open, of_open): (Vec<Item>, Vec<&String>) =
        items.iter().cloned().zip(&keys).filter(|(_, key)| !known.contains_key(*key)).unzip();
    let grader = context::grader(suite, args.seed, rung);
    meter::during("building the libraries", || grader.compiler().prepare()).map_err(context::stop_grading)?;
    let jobs = args.jobs.map_or_else(machine::cores, usize::from);
    let live = Mutex::new(Live::begin(items.len(), items.len() - open.len()));
    let progress = Mutex::new(Progress::load(suite.root()));
    let made = grader.grade_many(jobs, &open, &|grading| match grading {
        Grading::Begun(index) => lock(&live).begun(index, &open[index]),
        Grading::Done(index, verdict) => {
            let verdict = owned_up(&open[index], verdict.clone());
            record(&progress, &open[index], &verdict);
            if let Some(journal) = lock(journal).as_mut()
                && let Err(error) = journal.add(of_open[index], &verdict)
            {
                anstream::eprintln!("{error:#}");
            }
            lock(&live).done(index, &verdict);
        }
    });
    let mut made = open.iter().zip(made).map(|(item, verdict)| owned_up(item, verdict));
    Ok(keys.iter().filter_map(|key| known.get(key).cloned().or_else(|| made.next())).collect())
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

/// Prints a report, or writes it to a file.
pub fn write_report(report: &Report, format: Format, class: bool, output: Option<&Path>) -> Result<()> {
    let text = match format {
        Format::Text => text(report, class, if output.is_some() { usize::MAX } else { terminal::width() }),
        Format::Json => report.to_json()?,
        Format::Junit => junit::xml(&report.verdicts)?,
        Format::Gradescope => gradescope::results(&report.verdicts)?,
    };
    match output {
        Some(path) => files::write_whole(path, anstream::adapter::strip_str(&text).to_string().as_bytes()),
        // The verdicts stand even if nobody reads them to the end.
        None => match anstream::stdout().lock().write_all(text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.and_then(|()| io::stdout().flush()).context("cannot write to standard output"),
        },
    }
}

fn text(report: &Report, class: bool, width: usize) -> String {
    let verdicts = &report.verdicts;
    let mut lines = summary::table(verdicts, class, width);
    if class {
        lines.push(String::new());
        lines.push(terminal::Styled(terminal::HEAD, "by submitter").to_string());
        lines.extend(summary::standings(verdicts, summary::submitter));
        lines.push(String::new());
        lines.push(terminal::Styled(terminal::HEAD, "by exercise").to_string());
        lines.extend(summary::standings(verdicts, |verdict| verdict.exercise.clone()));
    }
    lines.push(String::new());
    lines.push(format!("{}.", summary::totals(verdicts)));
    lines.extend(summary::rungs(verdicts));
    lines.push(String::new());
    lines.join("\n")
}

/// The exit status of many verdicts: a fault of the harness outweighs a failure, for nobody knows what it hid.
pub fn exit_of(verdicts: &[Verdict]) -> Exit {
    let any = |outcome| verdicts.iter().any(|verdict| verdict.outcome == outcome);
    if any(Outcome::HarnessFault) {
        Exit::Harness
    } else if any(Outcome::Failed) || any(Outcome::CompileError) {
        Exit::Failed
    } else if !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.outcome == Outcome::Skipped) {
        Exit::Harness
    } else {
        Exit::Done
    }
}
