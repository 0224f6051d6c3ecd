//! `tour`: every demo run and checked, then mmap timed against read/write.

use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use bench::{CacheChoice, Request, WorkloadName};
use grade::{Exercise, Grader, Grading, Item, Outcome, Submission, Suite, Tree, Verdict};
use serde::Serialize;

use crate::args::{BoxArgs, Cli, TourArgs};
use crate::commands::bench::measure;
use crate::commands::grade::exit_of;
use crate::context;
use crate::exit::{Exit, Stop, of_error};
use crate::files;
use crate::interrupt;
use crate::machine::{self, Machine};
use crate::meter::Meter;
use crate::report::{comparison, summary};
use crate::terminal::{self, DIM, HEAD, Styled};

/// Bytes of the generated file, and the time for trials.
const SIZE: u64 = 128 << 20;
const BUDGET: Duration = Duration::from_secs(20);
/// The same of a quick tour.
const QUICK_SIZE: u64 = 32 << 20;
const QUICK_BUDGET: Duration = Duration::from_secs(8);
/// The ways that a tour has time for, beside each workload's baseline.
const WAYS: [&str; 5] = ["mmap", "mmap_populate", "read_1m", "mmap_both", "mmap_write"];

/// Everything that a tour found.
#[derive(Serialize)]
struct Found<'a> {
    schema: u32,
    suite: &'static str,
    machine: Machine,
    verdicts: &'a [Verdict],
    comparison: Option<&'a bench::Report>,
}

/// Runs the demos, then the comparison, and writes the report.
pub fn tour(cli: &Cli, args: &TourArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    if let Some(path) = &args.file {
        files::check_readable(path)?;
    }
    let directory = output_directory(&suite, args)?;
    let verdicts = demos(&suite, args.boxed)?;
    let timed = timing(args);
    interrupt::check()?;
    // What the demos showed is worth keeping even where nothing could be measured.
    let (comparison, failure) = match timed {
        Ok(report) => (Some(report), None),
        Err(error) if of_error(&error) == Exit::Harness => (None, Some(error)),
        Err(error) => return Err(error),
    };
    write_report(&directory, &verdicts, comparison.as_ref())?;
    failure.map_or_else(|| Ok(exit_of(verdicts.iter().map(|verdict| verdict.outcome))), Err)
}

fn write_report(directory: &Path, verdicts: &[Verdict], comparison: Option<&bench::Report>) -> Result<()> {
    let (schema, suite, machine) = (1, env!("CARGO_PKG_VERSION"), Machine::here());
    let found = Found { schema, suite, machine, verdicts, comparison };
    let mut written = vec![directory.join("tour.json")];
    files::write_whole(&written[0], &serde_json::to_vec_pretty(&found)?)?;
    if let Some(report) = comparison {
        written.insert(0, directory.join("tour.html"));
        files::write_whole(&written[0], report.to_html().as_bytes())?;
    }
    let names: Vec<String> = written.iter().map(|path| files::relative(path).display().to_string()).collect();
    writeln!(anstream::stdout().lock(), "The full report: {}", names.join(" and "))?;
    Ok(())
}

/// Where the report goes; found out before the work whose result it takes.
fn output_directory(suite: &Suite, args: &TourArgs) -> Result<PathBuf> {
    let directory = args.output.clone().unwrap_or_else(|| suite.root().join("target/syslings"));
    let shown = directory.display();
    std::fs::create_dir_all(&directory)
        .map_err(|e| Stop::input(format!("cannot make {shown}: {}", files::reason(&e))))?;
    files::check_writable(&directory.join("tour.json"))?;
    std::path::absolute(&directory).with_context(|| format!("{shown} is no directory"))
}

fn demos(suite: &Suite, boxed: BoxArgs) -> Result<Vec<Verdict>> {
    let grader = context::grader(suite, None, context::rung(boxed));
    let exercises = suite.exercises();
    build(&grader, exercises)?;
    let items: Vec<Item> = exercises
        .iter()
        .map(|exercise| Item { exercise: exercise.clone(), submission: Submission::Tree(Tree::Solutions) })
        .collect();
    let width = exercises.iter().map(|exercise| exercise.name.len()).max().unwrap_or(0);
    head("The demos, each run under several schedules and faults, and checked")?;
    let teller = Mutex::new(Teller {
        meter: Meter::begin("demos", items.len() as u64),
        lines: vec![None; items.len()],
        told: 0,
    });
    let verdicts = grader.grade_many(machine::cores(), &items, &|grading| {
        let Grading::Done(index, verdict) = grading else { return };
        let mut teller = teller.lock().unwrap_or_else(PoisonError::into_inner);
        if !interrupt::asked()
            && let Some(place) = teller.lines.get_mut(index)
        {
            *place = Some(demo_line(&exercises[index], verdict, width));
            teller.tell();
        }
    });
    drop(teller);
    interrupt::check()?;
    let mut out = anstream::stdout().lock();
    let launches: u32 = verdicts.iter().map(|verdict| verdict.runs).sum();
    let totals = summary::totals(verdicts.iter().map(|verdict| verdict.outcome));
    writeln!(out, "{}", Styled(DIM, format!("{launches} launches; {totals}.")))?;
    Ok(verdicts)
}

/// Compiles every solution, so that no demo's time is a compiler's.
fn build(grader: &Grader, exercises: &[Exercise]) -> Result<()> {
    let mut meter = Meter::begin("building", exercises.len() as u64 + 1);
    meter.say("the libraries");
    grader.compiler().prepare().map_err(context::stop_grading)?;
    meter.step("the solutions");
    let meter = Mutex::new(meter);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(exercise) = exercises.get(next.fetch_add(1, Ordering::SeqCst)) {
            interrupt::check()?;
            grader.compiler().compile(exercise, &Submission::Tree(Tree::Solutions)).map_err(context::stop_grading)?;
            meter.lock().unwrap_or_else(PoisonError::into_inner).step(exercise.name);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..machine::cores()).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Prints the demos' lines in teaching order, in whatever order they are finished.
struct Teller {
    meter: Meter,
    lines: Vec<Option<String>>,
    told: usize,
}

impl Teller {
    fn tell(&mut self) {
        while let Some(Some(line)) = self.lines.get(self.told) {
            // A reader who has gone away is noticed at the next part; the demos are checked all the same.
            self.meter.aside(|| {
                let _ = writeln!(anstream::stdout().lock(), "{line}");
            });
            self.told += 1;
        }
        self.meter.step("");
    }
}

fn demo_line(exercise: &Exercise, verdict: &Verdict, width: usize) -> String {
    let outcome = summary::outcome_styled(verdict.outcome);
    let line = format!("  {:width$}  {outcome}  {:5.2} s  ", exercise.name, verdict.wall_ms as f64 / 1000.0);
    let room = terminal::width().saturating_sub(terminal::columns(&line));
    let rest = if verdict.outcome == Outcome::Passed && !verdict.partial {
        Styled(DIM, terminal::cut(exercise.title, room))
    } else {
        Styled(terminal::CARE, terminal::cut(&summary::first_words(verdict), room))
    };
    format!("{line}{rest}")
}

fn timing(args: &TourArgs) -> Result<bench::Report> {
    let (size, budget) = if args.quick { (QUICK_SIZE, QUICK_BUDGET) } else { (SIZE, BUDGET) };
    let request = Request {
        workloads: vec![WorkloadName::Scan, WorkloadName::Copy],
        file: args.file.clone(),
        size: args.size.unwrap_or(size),
        cache: CacheChoice::Both,
        budget,
        strategies: Some(WAYS.map(str::to_owned).to_vec()),
        quick: true,
        interrupted: interrupt::flag(),
        ..Request::default()
    };
    head("\nmmap against read and write, on this machine")?;
    let report = measure(&request)?;
    interrupt::check()?;
    let width = terminal::width();
    let mut out = anstream::stdout().lock();
    for line in comparison::tables(&report, width).iter().chain([&String::new()]) {
        writeln!(out, "{line}")?;
    }
    for line in comparison::findings(&report, width) {
        writeln!(out, "{line}")?;
    }
    Ok(report)
}

fn head(words: &str) -> Result<()> {
    writeln!(anstream::stdout().lock(), "{}", Styled(HEAD, words))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tour_leaves_its_report_where_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let suite = Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let args = TourArgs {
            file: None,
            quick: true,
            size: None,
            output: Some(dir.path().join("a/b")),
            boxed: BoxArgs { rung: None },
        };
        assert_eq!(output_directory(&suite, &args).unwrap(), dir.path().join("a/b"));
    }
}
