//! Hostile programs, each on every rung of the ladder: each must end in time, be reported for what it is, and leave
//! nothing. `cargo test` runs each of them once; what follows runs them for longer and prints figures:
//!
//! ```sh
//! cargo test --release -p observe --test hostile -- --long [--rounds N] [--at-once N] [--kills N] [--same N] [--only TEXT]
//!     [--rung F|K|L]
//! ```

mod corpus;
mod judge;
mod kills;
mod leftovers;
mod storm;
mod transcripts;

use std::process::ExitCode;
use std::time::Duration;

use corpus::Corpus;
use leftovers::Machine;
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use observe::{Observer, Rung};

/// A user that no machine has, for a root that wants to see what an ordinary user sees.
const ORDINARY: u32 = 54321;
/// Launches under way together: most of them sleep.
const THREADS: usize = 3;
/// For as long as this, something may be left of a harness that was killed.
pub const AT_ONCE: Duration = Duration::from_secs(1);
/// Best first.
pub const RUNGS: [Rung; 3] = [Rung::F, Rung::K, Rung::L];

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let own = std::env::args().skip(1).collect::<Vec<_>>();
    if own.first().is_some_and(|a| a == kills::VICTIM) {
        kills::be_the_victim(&own[1..]);
    }
    let long = own.iter().any(|a| a == "--long");
    let corpus = match Corpus::compile() {
        Ok(corpus) => corpus,
        Err(text) => {
            eprintln!("hostile programs: {text}");
            return ExitCode::FAILURE;
        }
    };
    let code = if long { storm::long(corpus, &own) } else { short(corpus) };
    corpus.put_away();
    code
}

fn short(corpus: &'static Corpus) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let before = Machine::look();
    let conclusion = libtest_mimic::run(&arguments, trials(corpus));
    let left = before.left_since();
    for thing in &left {
        eprintln!("left behind: {thing}");
    }
    report(&conclusion, left.is_empty())
}

fn report(conclusion: &Conclusion, clean: bool) -> ExitCode {
    if conclusion.has_failed() || !clean { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn trials(corpus: &'static Corpus) -> Vec<Trial> {
    let observer = Observer::new();
    let rungs = available();
    let mut trials = Vec::new();
    for program in &corpus.programs {
        for rung in RUNGS {
            let observer = observer.clone();
            let name = format!("hostile::{}::{}", letter(rung), program.name);
            let ignored = !rungs.contains(&rung);
            let trial = Trial::test(name, move || once(corpus, &observer, program, rung));
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    for rung in TRANSCRIBED.into_iter().filter(|rung| rungs.contains(rung)) {
        let observer = observer.clone();
        let name = format!("hostile::{}::the_same_is_seen_in_every_run", letter(rung));
        trials.push(Trial::test(name, move || Ok(transcripts::compare(corpus, &observer, rung, 5)?)));
    }
    if nix::unistd::geteuid().is_root() && leftovers::others_may_run_this() {
        trials.push(Trial::test("hostile::as_an_ordinary_user", as_an_ordinary_user));
    }
    trials.push(Trial::test("hostile::a_killed_harness_leaves_nothing", move || {
        let figures = kills::rounds(corpus, &rungs, 6, 10 * AT_ONCE);
        if figures.left.is_empty() { Ok(()) } else { Err(Failed::from(figures.left.join("\n"))) }
    }));
    trials
}

/// Rungs on which everything is seen.
pub const TRANSCRIBED: [Rung; 2] = [Rung::F, Rung::K];

/// How a rung is called.
pub fn letter(rung: Rung) -> char {
    match rung {
        Rung::F => 'F',
        Rung::K => 'K',
        Rung::L => 'L',
    }
}

/// The rungs that this machine has; those that it lacks are ignored, and said to be.
pub fn available() -> Vec<Rung> {
    observe::probe()
        .into_iter()
        .filter_map(|report| {
            if !report.available {
                eprintln!("rung {}: {}", report.rung, report.why);
            }
            report.available.then_some(report.rung)
        })
        .collect()
}

fn once(corpus: &Corpus, observer: &Observer, program: &corpus::Program, rung: Rung) -> Result<(), Failed> {
    let complaints = judge::run(corpus, observer, program, rung, None, false).complaints;
    if complaints.is_empty() { Ok(()) } else { Err(Failed::from(complaints.join("\n"))) }
}

/// The same again by a process without any right, on the rung that it gets by itself.
fn as_an_ordinary_user() -> Result<(), Failed> {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(["--test-threads", "2", "hostile::F::"]).uid(ORDINARY).gid(ORDINARY);
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(Failed::from(String::from_utf8_lossy(&text).into_owned()))
}
