//! What the checks let through: each solution with one small mistake made by machine (see `mutants/make.rs`) is graded
//! as a submission, and must fail. Those that are as good as the solution, or that no check catches as yet, are listed in
//! `fixtures/mutants.toml` with the reason.
//!
//! `cargo test` tries a few. All of them, with the figures and every survivor, come from
//!
//! ```sh
//! cargo test --release -p tests --test mutants -- --all [--only EXERCISE] [--unchecked] [--each N] [--jobs N] [--list]
//! ```
//!
//! `--unchecked` tries those alone that the list says no check catches: which of them has one by now?

#[path = "mutants/known.rs"]
mod known;
#[path = "mutants/make.rs"]
mod make;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use grade::{Exercise, Grader, Options, Outcome, Submission, Suite, Tree, Verdict};
use known::{Known, Standing};
use libtest_mimic::{Arguments, Failed, Trial};
use make::Mutant;
use observe::Observer;

/// So many of them does `cargo test` try, spread over all exercises and kinds of mistakes.
const FEW: usize = 12;

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let own: Vec<String> = std::env::args().skip(1).collect();
    let result = if own.iter().any(|a| a == "--all") { all(&own) } else { few() };
    result.unwrap_or_else(|reason| {
        eprintln!("{reason}");
        ExitCode::from(3)
    })
}

/// Everything that is graded, and with what.
struct Bench {
    grader: Grader,
    known: Known,
    mutants: Vec<(Exercise, Mutant)>,
    directory: tempfile::TempDir,
}

impl Bench {
    fn set_up() -> Result<Bench, String> {
        let suite = Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).map_err(|e| e.to_string())?;
        let known = Known::read(suite.root())?;
        let (mut mutants, mut seen) = (Vec::new(), HashSet::new());
        for exercise in suite.exercises() {
            let path = exercise.path_in(Tree::Solutions);
            let source = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            let made = make::mutants(&source, &mut seen).map_err(|e| format!("{}: {e}", path.display()))?;
            mutants.extend(made.into_iter().map(|mutant| (exercise.clone(), mutant)));
        }
        let options = Options { workers: 1, until_failure: true, ..Options::default() };
        let grader = Grader::new(suite, Observer::new(), options);
        let directory = tempfile::tempdir().map_err(|e| format!("cannot make a directory for the mutants: {e}"))?;
        Ok(Bench { grader, known, mutants, directory })
    }

    /// What becomes of one of them; nothing of it stays on disk.
    fn try_one(&self, index: usize) -> Result<Fate, String> {
        let (exercise, mutant) = &self.mutants[index];
        let standing = self.known.standing(exercise, mutant);
        if standing == Some(Standing::Equivalent) {
            return Ok(Fate::Equivalent);
        }
        let home = self.directory.path().join(index.to_string());
        let path = home.join(format!("{}.rs", exercise.name));
        let written = std::fs::create_dir(&home).and_then(|()| std::fs::write(&path, &mutant.source));
        written.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        let submission = Submission::file(&path);
        let fate = match self.grader.compiler().compile(exercise, &submission) {
            Err(grade::GradeError::Compile(_)) => Fate::Stillborn,
            Err(error) => return Err(error.to_string()),
            Ok(compiled) => {
                let verdict = self.grader.grade(exercise, &submission);
                remove(&compiled.program)?;
                match (fate(&verdict)?, standing) {
                    (Fate::Survived, Some(Standing::Unchecked)) => Fate::Unchecked,
                    (Fate::Killed, Some(Standing::Unchecked)) => Fate::Caught,
                    (fate, _) => fate,
                }
            }
        };
        std::fs::remove_dir_all(&home).map_err(|e| format!("cannot remove {}: {e}", home.display()))?;
        Ok(fate)
    }

    fn told(&self, index: usize) -> String {
        let (exercise, mutant) = &self.mutants[index];
        let path = exercise.path_in(Tree::Solutions);
        let shown = path.strip_prefix(self.grader.suite().root()).unwrap_or(&path).display();
        format!("{shown}:{}: {}: `{}` made `{}`", mutant.line, mutant.kind, mutant.was, mutant.became)
    }
}

/// Thousands of mutants would drive everything else out of the store.
fn remove(program: &Path) -> Result<(), String> {
    std::fs::remove_file(program).map_err(|e| format!("cannot remove {}: {e}", program.display()))
}

#[derive(Debug)]
enum Fate {
    /// The compiler refused it: no mutant at all.
    Stillborn,
    /// Caught by a check.
    Killed,
    /// Caught by a check too, though the list says that none does.
    Caught,
    /// Passed for a right answer.
    Survived,
    /// Known to be as good as the solution.
    Equivalent,
    /// Known to pass, and to be worse.
    Unchecked,
    /// What would judge it is not permitted here.
    Skipped,
}

fn fate(verdict: &Verdict) -> Result<Fate, String> {
    match verdict.outcome {
        Outcome::Failed => Ok(Fate::Killed),
        Outcome::Passed => Ok(Fate::Survived),
        Outcome::Skipped => Ok(Fate::Skipped),
        other => {
            Err(format!("{} came out as {other:?}: {}", verdict.exercise, verdict.message.clone().unwrap_or_default()))
        }
    }
}

/// The short form: neighbours on the list are far from one another in the suite.
fn few() -> Result<ExitCode, String> {
    let arguments = Arguments::from_args();
    let bench: &'static Bench = Box::leak(Box::new(Bench::set_up()?));
    let stale = Trial::test("mutants::survivors_are_still_made", || {
        let stale = bench.known.stale(&bench.mutants);
        if stale.is_empty() { Ok(()) } else { Err(Failed::from(format!("not made any more:\n{}", stale.join("\n")))) }
    });
    let step = (bench.mutants.len() / FEW).max(1);
    let sample = (0..bench.mutants.len()).step_by(step).take(FEW).map(|index| {
        let (exercise, mutant) = &bench.mutants[index];
        let name = format!("mutants::{}::line_{}::{}", exercise.name, mutant.line, mutant.kind.replace(' ', "_"));
        Trial::test(name, move || match bench.try_one(index)? {
            Fate::Survived => Err(Failed::from(format!("{} passed", bench.told(index)))),
            _ => Ok(()),
        })
    });
    let trials = std::iter::once(stale).chain(sample).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    std::fs::remove_dir_all(bench.directory.path()).map_err(|e| e.to_string())?;
    Ok(conclusion.exit_code())
}

fn option<'a>(own: &'a [String], name: &str) -> Option<&'a str> {
    let place = own.iter().position(|a| a == name)?;
    own.get(place + 1).map(String::as_str)
}

fn number(own: &[String], name: &str, default: usize) -> Result<usize, String> {
    option(own, name).map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name}: {text} is no number")))
}

/// The long form.
fn all(own: &[String]) -> Result<ExitCode, String> {
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let jobs = number(own, "--jobs", processors)?.max(1);
    let each = number(own, "--each", usize::MAX)?;
    let only = option(own, "--only");
    let bench = Bench::set_up()?;
    let unchecked = own.iter().any(|a| a == "--unchecked");
    let chosen = chosen(&bench, only, unchecked, each);
    if chosen.is_empty() {
        return Err(format!("there is no such mutant of {}", only.unwrap_or("any exercise")));
    }
    if own.iter().any(|a| a == "--list") {
        chosen.iter().for_each(|index| println!("{}", bench.told(*index)));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} mutants made, {} tried", bench.mutants.len(), chosen.len());
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let result = std::thread::scope(|scope| {
        let work = || {
            while let Some(index) = chosen.get(next.fetch_add(1, Ordering::SeqCst)) {
                let fate = bench.try_one(*index)?;
                tally.lock().unwrap_or_else(|p| p.into_inner()).note(&bench, *index, fate);
            }
            Ok::<(), String>(())
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|w| w.join().unwrap_or_else(|_| Err("a worker panicked".into())))
    });
    result?;
    let verdict = tally.into_inner().unwrap_or_else(|p| p.into_inner()).conclude(&bench);
    println!("This took {} s, {jobs} at a time.", began.elapsed().as_secs());
    Ok(verdict)
}

/// At most `each` of an exercise, evenly from its first line to its last.
fn chosen(bench: &Bench, only: Option<&str>, unchecked: bool, each: usize) -> Vec<usize> {
    let mut by_exercise: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (exercise, mutant)) in bench.mutants.iter().enumerate() {
        let wanted = !unchecked || bench.known.standing(exercise, mutant) == Some(Standing::Unchecked);
        if wanted && only.is_none_or(|text| exercise.name == text) {
            by_exercise.entry(exercise.name).or_default().push(index);
        }
    }
    let spread = |all: Vec<usize>| {
        let taken = each.min(all.len());
        (0..taken).map(|n| all[n * all.len() / taken]).collect::<Vec<_>>()
    };
    by_exercise.into_values().flat_map(spread).collect()
}

#[derive(Default)]
struct Tally {
    stillborn: usize,
    skipped: usize,
    equivalent: usize,
    killed: BTreeMap<String, usize>,
    unchecked: BTreeMap<String, usize>,
    survived: BTreeMap<String, usize>,
}

impl Tally {
    fn note(&mut self, bench: &Bench, index: usize, fate: Fate) {
        let exercise = bench.mutants[index].0.name.to_owned();
        match fate {
            Fate::Stillborn => self.stillborn += 1,
            Fate::Skipped => self.skipped += 1,
            Fate::Equivalent => self.equivalent += 1,
            Fate::Unchecked => *self.unchecked.entry(exercise).or_default() += 1,
            Fate::Killed => *self.killed.entry(exercise).or_default() += 1,
            Fate::Caught => {
                println!("caught, and may leave the list: {}", bench.told(index));
                *self.killed.entry(exercise).or_default() += 1;
            }
            Fate::Survived => {
                println!("passed: {}", bench.told(index));
                *self.survived.entry(exercise).or_default() += 1;
            }
        }
    }

    fn conclude(self, bench: &Bench) -> ExitCode {
        let of = |counts: &BTreeMap<String, usize>, name: &str| counts.get(name).copied().unwrap_or(0);
        for exercise in bench.grader.suite().exercises() {
            let counts = [&self.killed, &self.unchecked, &self.survived].map(|counts| of(counts, exercise.name));
            if counts.iter().sum::<usize>() > 0 {
                let [killed, unchecked, survived] = counts;
                println!(
                    "{:20} {killed:4} killed, {unchecked:3} known to pass, {survived:3} passed unforeseen",
                    exercise.name
                );
            }
        }
        let [killed, unchecked, survived] =
            [&self.killed, &self.unchecked, &self.survived].map(|counts| counts.values().sum::<usize>());
        let judged = killed + unchecked + survived;
        println!(
            "{judged} mutants: {killed} killed ({:.1} %), {unchecked} known to pass, {survived} passed unforeseen; beside \
             them {} as good as the solution, {} not to be judged here, {} refused by the compiler",
            100.0 * killed as f64 / judged.max(1) as f64,
            self.equivalent,
            self.skipped,
            self.stillborn,
        );
        if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
