//! `dev steady`: the same programs graded over and over, each time with other inputs. No verdict may differ.

use std::collections::BTreeMap;
use std::fs;
use std::hint;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use grade::{CheckOutcome, Exercise, Grading, Item, Outcome, Submission, Suite, Tree, Verdict};

use crate::args::{Cli, SteadyArgs};
use crate::context;
use crate::exit::Exit;
use crate::interrupt;
use crate::machine;
use crate::meter::{self, Meter};
use crate::report::summary;

/// What came out, how often, and the first verdict that says so.
type Outcomes = BTreeMap<String, (u32, Verdict)>;

/// Grades everything `runs` times and names what was not the same each time.
pub fn steady(cli: &Cli, args: &SteadyArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let items = items(&suite, args)?;
    // Fresh inputs each time: without a seed every grading takes its own.
    let grader = context::grader(&suite, None, context::rung(args.boxed));
    meter::during("building the libraries", || grader.compiler().prepare()).map_err(context::stop_grading)?;
    let jobs = args.jobs.map_or_else(machine::cores, usize::from);
    let mut seen: Vec<Outcomes> = vec![Outcomes::new(); items.len()];
    let mut runs = 0;
    while_busy(args.load, || {
        let mut meter = Meter::begin("rounds", u64::from(args.runs));
        while runs < args.runs {
            let verdicts = grader.grade_many(jobs, &items, &|_: Grading| {});
            if interrupt::asked() {
                break;
            }
            runs += 1;
            for (outcomes, verdict) in seen.iter_mut().zip(verdicts) {
                outcomes.entry(essence(&verdict)).or_insert((0, verdict)).0 += 1;
            }
            meter.step(&format!("{} differ", seen.iter().filter(|outcomes| outcomes.len() > 1).count()));
        }
    });
    if runs == 0 {
        interrupt::check()?;
    }
    let exit = tell(&items, &seen, runs)?;
    // What was found until then stands.
    interrupt::check()?;
    Ok(exit)
}

/// The solutions, and what is on file under `fixtures/submissions` if that is asked for.
fn items(suite: &Suite, args: &SteadyArgs) -> Result<Vec<Item>> {
    let chosen: Vec<&Exercise> = if args.exercises.is_empty() {
        suite.exercises().iter().collect()
    } else {
        let named = args.exercises.iter().map(|name| suite.exercise(name).map_err(context::stop_grading));
        named.collect::<Result<_>>()?
    };
    let mut items = Vec::new();
    for exercise in chosen {
        let item = |submission| Item { exercise: exercise.clone(), submission };
        items.push(item(Submission::Tree(Tree::Solutions)));
        if args.fixtures {
            items.extend(on_file(suite, exercise)?.into_iter().map(item));
        }
    }
    Ok(items)
}

fn on_file(suite: &Suite, exercise: &Exercise) -> Result<Vec<Submission>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for kind in ["right", "wrong"] {
        let directory = suite.root().join("fixtures/submissions").join(kind).join(exercise.name);
        if !directory.is_dir() {
            continue;
        }
        let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
        files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    files.retain(|path| path.extension().is_some_and(|kind| kind == "rs" || kind == "c"));
    files.sort();
    let label = |path: &PathBuf| path.strip_prefix(suite.root()).unwrap_or(path).display().to_string();
    Ok(files.into_iter().map(|path| Submission::File { label: label(&path), path }).collect())
}

/// What must be the same each time: the verdict, and which checks failed for which reason. Words may name numbers that
/// the inputs make.
fn essence(verdict: &Verdict) -> String {
    let mut words = vec![summary::outcome_words(verdict.outcome).to_owned()];
    words.extend(verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed).map(|check| {
        let reason = check.reason.map(|reason| format!(" ({reason:?})")).unwrap_or_default();
        format!("{}{reason}", check.id)
    }));
    words.join(", ")
}

/// Does the work; with `load`, every processor has something else to do meanwhile.
fn while_busy<T>(load: bool, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..if load { machine::cores() } else { 0 } {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        let done = work();
        over.store(true, Ordering::Relaxed);
        done
    })
}

fn tell(items: &[Item], seen: &[Outcomes], runs: u32) -> Result<Exit> {
    let mut out = anstream::stdout().lock();
    let unsteady: Vec<(&Item, &Outcomes)> = items.iter().zip(seen).filter(|(_, outcomes)| outcomes.len() > 1).collect();
    for (item, outcomes) in &unsteady {
        writeln!(out, "{} ({}):", item.exercise.name, item.submission.label())?;
        for (words, (times, verdict)) in *outcomes {
            writeln!(out, "  {times} of {runs}: {words}")?;
            if let Some(check) = summary::lead(verdict) {
                let replay = check.plan.as_ref().map(|plan| format!(" [--replay {}]", plan.replay)).unwrap_or_default();
                writeln!(out, "      {}{replay}", check.message)?;
            }
        }
    }
    writeln!(
        out,
        "{} of {} programs had the same verdict in {runs} gradings.",
        items.len() - unsteady.len(),
        items.len()
    )?;
    let broke = seen.iter().flat_map(Outcomes::values).any(|(_, verdict)| verdict.outcome == Outcome::HarnessFault);
    Ok(match unsteady.is_empty() {
        _ if broke => Exit::Harness,
        true => Exit::Done,
        false => Exit::Failed,
    })
}
