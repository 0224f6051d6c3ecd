//! Experiments on real trials that show how far a verdict can be trusted: a
//! strategy against itself, quiet and beside a hog, and a difference of 5 %.
//!
//! They measure time and take up to a minute each, so they are run by hand:
//!
//! ```text
//! cargo test --release -p bench --lib trust -- --ignored --nocapture --test-threads 1
//! ```
//!
//! `TRUST_EXPERIMENTS` sets how many, 100 by default, and `TRUST_MIB` the size of the file, 64 by default: the smaller,
//! the more trials there are in the time and the narrower an interval is. What holds on any machine
//! is tested on made-up times in `statistics`.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::comparison::Comparison;
use crate::process::Seated;
use crate::report::ResultRow;
use crate::request::{CacheState, Request, WorkloadName};
use crate::sample::Canary;
use crate::statistics::Verdict;
use crate::strategy::scan::{pread_some, read};
use crate::strategy::{Fault, Strategy, Work, buffer};
use crate::subject::{Subject, Workshop};
use crate::workload::file::FileArena;

const BLOCK: usize = 64 << 10;

/// The most that an experiment takes.
const BUDGET: Duration = Duration::from_secs(60);

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Bytes of the file that is read.
fn size() -> u64 {
    asked("TRUST_MIB", 64) << 20
}

/// Reads the file, and after that so much of it again.
fn and_again(name: &str, more: u64) -> Strategy {
    Strategy::new(name, "for an experiment", Some(BLOCK), move |task| {
        let file = task.open()?;
        let mut buffer = buffer(BLOCK)?;
        Ok(Box::new(move || {
            let mut work = Work::default();
            for end in [task.size, more] {
                let (mut offset, mut checksum) = (0, 0u64);
                while offset < end {
                    let n = pread_some(&file, buffer.bytes(), offset, &mut work.system_calls)?;
                    if n == 0 {
                        return Err(Fault::Short);
                    }
                    checksum = checksum.wrapping_add(crate::memory::sum(&buffer.bytes()[..n]));
                    offset += n as u64;
                }
                if end == task.size {
                    work.checksum = checksum;
                }
            }
            Ok(work)
        }))
    })
}

/// One comparison with a seed of its own, of at most `budget`; its second row,
/// which is the baseline again, and its third.
fn experiment(subject: &Arc<Subject>, workshop: &Workshop, seed: u64, budget: Duration) -> (ResultRow, ResultRow) {
    let request = Request { seed, ..Request::default() };
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut arena = FileArena::scan(Arc::clone(subject), workshop.path("target"), interrupted);
    let mut again = and_again("once", 0);
    again.name.push_str("_again");
    let comparison = Comparison {
        workload: WorkloadName::Scan,
        cache: CacheState::Warm,
        shape: None,
        arena: &mut arena,
        strategies: vec![and_again("once", 0), again, and_again("and_a_twentieth", size() / 20), read(256 << 10)],
        optional: false,
        must: true,
    };
    let outcome = comparison
        .run(&request, &request.interrupted, Instant::now() + budget, &mut Canary::new(), &mut |_| {})
        .unwrap();
    let mut rows = outcome.rows.into_iter().skip(1);
    (rows.next().unwrap(), rows.next().unwrap())
}

/// The rows of many experiments on one file.
fn many(budget: Duration) -> Vec<(ResultRow, ResultRow)> {
    let workshop = Workshop::new(None).unwrap();
    let calm = AtomicBool::new(false);
    let subject = Arc::new(Subject::generate(&workshop, "data", size(), 4 << 20, 1, &calm).unwrap());
    (0..asked("TRUST_EXPERIMENTS", 100)).map(|seed| experiment(&subject, &workshop, seed, budget)).collect()
}

/// Says how the baseline against itself came out, and fails where it is decided
/// in more than 5 of 100 or off by more than `most`.
fn against_itself(rows: &[ResultRow], most: f64) {
    let undecided = rows.iter().filter(|row| row.verdict == Verdict::Undecided).count();
    let mut off: Vec<f64> = rows.iter().map(|row| (row.ratio_to_baseline.median - 1.0).abs()).collect();
    off.sort_by(f64::total_cmp);
    let (middle, worst) = (off[off.len() / 2], off[off.len() - 1]);
    println!(
        "against itself: undecided {undecided} of {}; off by {:.2} % in the median, {:.2} % at most",
        rows.len(),
        middle * 100.0,
        worst * 100.0
    );
    assert!(undecided * 100 >= 95 * rows.len());
    assert!(worst <= most);
}

#[test]
#[ignore = "minutes of measuring, for a quiet machine"]
fn quiet_a_strategy_is_not_told_apart_from_itself_and_five_percent_more_work_is() {
    let (again, more): (Vec<ResultRow>, Vec<ResultRow>) = many(BUDGET).into_iter().unzip();
    let found = more.iter().filter(|row| row.verdict == Verdict::Slower).count();
    println!("5 % more work: found {found} of {}", more.len());
    against_itself(&again, 0.01);
    assert!(found * 100 >= 90 * more.len());
}

/// Another process that has a processor half of the time.
struct Hog(Child);

impl Hog {
    fn on(cpu: usize) -> Self {
        let words = "while :; do timeout 0.05 sh -c 'while :; do :; done'; sleep 0.05; done";
        Self(Command::new("taskset").args(["-c", &cpu.to_string(), "sh", "-c", words]).spawn().unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // Its loop of a twentieth of a second ends by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "minutes of measuring, for a quiet machine"]
fn beside_a_hog_a_strategy_is_not_told_apart_from_itself() {
    let seats = crate::process::Seats::find().unwrap();
    let _here = Seated::on(seats.first);
    let _hog = Hog::on(seats.first);
    let again: Vec<ResultRow> = many(BUDGET).into_iter().map(|(again, _)| again).collect();
    against_itself(&again, 0.02);
}
