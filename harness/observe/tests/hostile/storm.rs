//! The long form: everything many times, alone and many at once, and the harness killed; with figures.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use observe::{Observer, Rung};

use super::corpus::{Corpus, Program};
use super::judge::{self, Outcome};
use super::leftovers::Machine;
use super::{AT_ONCE, TRANSCRIBED, available, kills, letter, transcripts};

/// Launches at once that are cut short at this deadline, whatever they do.
const FEW: usize = 4;
const SHORT: Duration = Duration::from_millis(300);
/// A launch may end this long after its deadline.
const ALLOWED: Duration = Duration::from_millis(500);

fn option(own: &[String], name: &str, default: usize) -> usize {
    let place = own.iter().position(|a| a == name);
    place.and_then(|n| own.get(n + 1)?.parse().ok()).unwrap_or(default)
}

/// Runs the long form.
pub fn long(corpus: &'static Corpus, own: &[String]) -> ExitCode {
    let rounds = option(own, "--rounds", 25);
    let at_once = option(own, "--at-once", 50);
    let killed = option(own, "--kills", 100);
    let same = option(own, "--same", 100);
    let word = |name: &str| own.iter().position(|a| a == name).and_then(|n| own.get(n + 1));
    let only = word("--only");
    let chosen: Vec<&Program> =
        corpus.programs.iter().filter(|p| only.is_none_or(|text| p.name.contains(text.as_str()))).collect();
    let rung = word("--rung");
    let asked_for = |known: &Rung| rung.is_none_or(|rung| *rung == letter(*known).to_string());
    let rungs: Vec<Rung> = available().into_iter().filter(asked_for).collect();
    if rungs.is_empty() {
        eprintln!("there is no such rung here: {}", rung.map_or("any", String::as_str));
        return ExitCode::FAILURE;
    }
    let before = Machine::look();
    let mut failed = 0;
    println!("{} programs, as user {}", chosen.len(), nix::unistd::geteuid());
    for rung in &rungs {
        failed += many(corpus, &chosen, *rung, "alone", 1, rounds, None);
        failed += many(corpus, &chosen, *rung, "at once", at_once, rounds, None);
        failed += many(corpus, &chosen, *rung, "cut short", FEW, rounds, Some(SHORT));
    }
    for rung in TRANSCRIBED.into_iter().filter(|rung| rungs.contains(rung) && same > 0) {
        let outcome = transcripts::compare(corpus, &Observer::new(), rung, same);
        println!(
            "rung {} transcripts of {same} runs: {}",
            letter(rung),
            outcome.as_ref().map_or_else(String::as_str, |()| "all the same")
        );
        failed += usize::from(outcome.is_err());
    }
    let figures = kills::rounds(corpus, &rungs, killed, AT_ONCE);
    let slowest = figures.times.last().copied().unwrap_or_default();
    println!(
        "harness killed {killed} times: {} left something; nothing left after at most {slowest:?}",
        figures.left.len()
    );
    let left = [figures.left, before.left_since()].concat();
    for thing in &left {
        println!("left behind: {thing}");
    }
    println!("{failed} complaints, {} things left behind", left.len());
    if failed == 0 && left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All chosen programs this often on one rung; the number of complaints.
fn many(
    corpus: &'static Corpus,
    chosen: &[&Program],
    rung: Rung,
    how: &str,
    threads: usize,
    rounds: usize,
    cut: Option<Duration>,
) -> usize {
    let observer = Observer::new();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::<Outcome>::new());
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= chosen.len() * rounds {
                        break;
                    }
                    let program = chosen[n % chosen.len()];
                    // At full size once, with others and without.
                    let full = n < chosen.len() && cut.is_none();
                    let outcome = judge::run(corpus, &observer, program, rung, cut, full);
                    for complaint in &outcome.complaints {
                        println!("{} {} {how}: {complaint}", letter(rung), program.name);
                    }
                    outcomes.lock().expect("no thread panics with it").push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no thread panics with it");
    let mut late: Vec<(Duration, &str)> = outcomes.iter().map(|o| (o.late, o.name.as_str())).collect();
    late.sort();
    let mut most: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
    for (by, name) in late.iter().filter(|(by, _)| *by > ALLOWED) {
        let (times, worst) = most.entry(name).or_default();
        (*times, *worst) = (*times + 1, *by);
    }
    let complaints = outcomes.iter().map(|o| o.complaints.len()).sum();
    println!(
        "rung {} {how} ({threads} thread(s)): {} launches in {:.1} s, {complaints} complaints; gone: {} later than {ALLOWED:?} after the deadline, p99 {:?}, at most {:?} after it; returned: {} later than that, at most {:?}",
        letter(rung),
        outcomes.len(),
        begin.elapsed().as_secs_f64(),
        late.iter().filter(|l| l.0 > ALLOWED).count(),
        late.get(late.len() * 99 / 100).copied().unwrap_or_default().0,
        late.last().copied().unwrap_or_default().0,
        outcomes.iter().filter(|outcome| outcome.returned > ALLOWED).count(),
        outcomes.iter().map(|outcome| outcome.returned).max().unwrap_or_default(),
    );
    for (name, (times, worst)) in most {
        println!("  {name}: later than that {times} times, at most {worst:?}");
    }
    complaints
}
