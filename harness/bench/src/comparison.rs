//! The trials of one workload in one state: interleaved, paired, believed or
//! thrown away, until the intervals are narrow or the time is up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::BenchError;
use crate::format::counted;
use crate::guard::Guard;
use crate::report::{AGAIN, BASELINE, Discarded, ResultRow, Skipped, TOO_FEW};
use crate::request::{CacheState, Progress, Request, WorkloadName};
use crate::sample::{self, Canary, Trial};
use crate::statistics::{self, Estimate, FEWEST, Random, estimate, median, verdict};
use crate::strategy::{Fault, Strategy};
use crate::workload::Arena;

/// Rounds after which narrow intervals end a comparison.
pub(crate) const ENOUGH: usize = 9;

/// Rounds after which it ends in any case.
const MOST: usize = 2000;

/// An interval of the ratio this narrow, to either side, needs no more trials: of a hundred comparisons of a strategy
/// with itself the worst that ends by it is off by less than 1 %.
const NARROW: f64 = 0.005;

/// A part of the rounds so far: when there are as many more, the intervals are looked at again.
const LOOKS: usize = 16;

/// Strategies that are never left out for lack of time.
const KEEP: usize = 4;

/// Attempts to bring about the state that a trial starts from.
const ATTEMPTS: usize = 3;

/// What is compared with what, and where.
pub(crate) struct Comparison<'a> {
    pub workload: WorkloadName,
    pub cache: CacheState,
    pub shape: Option<String>,
    pub arena: &'a mut dyn Arena,
    /// Baseline first, the same once more second.
    pub strategies: Vec<Strategy>,
    /// Whether a strategy may be left out when time is short.
    pub optional: bool,
    /// Whether the first few, or all of those that may not be left out, have one
    /// trial even when there is no time at all.
    pub must: bool,
}

/// What came of it.
pub(crate) struct Outcome {
    pub rows: Vec<ResultRow>,
    pub skipped: Vec<Skipped>,
    pub discarded: Discarded,
    pub interrupted: bool,
}

/// How one strategy stands.
struct Entry {
    strategy: Strategy,
    trials: Vec<Trial>,
    checksum: u64,
    out: Option<String>,
    /// What its last attempt took in all: made ready, run, checked.
    cost: Duration,
}

/// How one trial ended.
enum Ended {
    Kept(Box<Trial>, u64),
    Dropped,
    Out(String),
    Interrupted,
}

impl Comparison<'_> {
    /// Runs it until `deadline`, or until `stop` goes up: for an interrupt, or
    /// because all of the time is over.
    pub(crate) fn run(
        self,
        request: &Request,
        stop: &AtomicBool,
        deadline: Instant,
        canary: &mut Canary,
        on: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Outcome, BenchError> {
        let Self { workload, cache, shape, arena, strategies, optional, must } = self;
        let mut runner = Runner {
            workload,
            cache,
            shape,
            arena,
            entries: strategies
                .into_iter()
                .map(|strategy| Entry { strategy, trials: Vec::new(), checksum: 0, out: None, cost: Duration::ZERO })
                .collect(),
            discarded: Discarded::default(),
            interrupted: false,
            request,
            stop,
            canary,
        };
        runner.rounds(deadline, optional, must, on)?;
        Ok(runner.finish(on))
    }
}

struct Runner<'a> {
    workload: WorkloadName,
    cache: CacheState,
    shape: Option<String>,
    arena: &'a mut dyn Arena,
    entries: Vec<Entry>,
    discarded: Discarded,
    interrupted: bool,
    request: &'a Request,
    stop: &'a AtomicBool,
    canary: &'a mut Canary,
}

impl Runner<'_> {
    fn rounds(
        &mut self,
        deadline: Instant,
        optional: bool,
        must: bool,
        on: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), BenchError> {
        let mut random = Random::new(self.request.seed ^ self.workload as u64);
        let began = Instant::now();
        let mut of = ENOUGH;
        let mut next_look = 0;
        for round in 0..MOST {
            let mut order: Vec<usize> = (0..self.entries.len()).collect();
            random.shuffle(&mut order);
            let mut over = false;
            for index in order {
                if self.entries[index].out.is_some() {
                    continue;
                }
                let owed = must && round == 0 && (index < KEEP || !optional);
                if !owed && Instant::now() + self.entries[index].cost >= deadline {
                    over = true;
                    continue;
                }
                on(Progress::Trial {
                    workload: self.workload.name(),
                    strategy: &self.entries[index].strategy.name,
                    cache: cache_name(self.cache),
                    round: round + 1,
                    of,
                });
                let ended = self.trial(index, round, on)?;
                let entry = &mut self.entries[index];
                match ended {
                    Ended::Kept(trial, checksum) => {
                        entry.trials.push(*trial);
                        entry.checksum = checksum;
                    }
                    Ended::Dropped => {}
                    Ended::Out(why) => entry.out = Some(why),
                    Ended::Interrupted => {
                        self.interrupted = self.request.interrupted.load(Ordering::Relaxed);
                        if !self.interrupted && entry.trials.is_empty() {
                            entry.out = Some("one trial takes longer than the time that was left".to_owned());
                        }
                        return Ok(());
                    }
                }
            }
            if round == 0 && optional && !over {
                self.make_room(deadline.saturating_duration_since(Instant::now()));
            }
            if over || round == next_look {
                let rows = self.rows();
                on(Progress::Standing(&rows));
                if over || (round + 1 >= ENOUGH && rows.iter().all(is_narrow)) {
                    return Ok(());
                }
                // The intervals of many rounds take as long as a round does, and one more changes them little.
                next_look += 1 + round / LOOKS;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let per_round = began.elapsed() / (round as u32 + 1);
            of = round + 1 + (left.as_nanos() / per_round.as_nanos().max(1)) as usize;
            of = of.min(MOST);
        }
        Ok(())
    }

    /// With too little time for enough rounds of all, the last strategies go,
    /// so that what stays can be decided.
    fn make_room(&mut self, left: Duration) {
        loop {
            let running: Vec<usize> = (0..self.entries.len()).filter(|i| self.entries[*i].out.is_none()).collect();
            let round: Duration = running.iter().map(|i| self.entries[*i].cost).sum();
            if running.len() <= KEEP || round * (FEWEST as u32 - 1) <= left {
                return;
            }
            let last = running[running.len() - 1];
            self.entries[last].out = Some("no time for enough rounds".to_owned());
        }
    }

    fn trial(&mut self, index: usize, round: usize, on: &mut dyn FnMut(Progress<'_>)) -> Result<Ended, BenchError> {
        for _ in 0..ATTEMPTS {
            if self.stop.load(Ordering::Relaxed) || self.request.interrupted.load(Ordering::Relaxed) {
                return Ok(Ended::Interrupted);
            }
            let clock = Instant::now();
            let ended = self.attempt(index, round, on);
            self.arena.settle();
            self.entries[index].cost = clock.elapsed();
            match ended? {
                Ended::Dropped => {}
                ended => return Ok(ended),
            }
        }
        Ok(Ended::Dropped)
    }

    fn attempt(&mut self, index: usize, round: usize, on: &mut dyn FnMut(Progress<'_>)) -> Result<Ended, BenchError> {
        let residency = match self.arena.ready(self.cache) {
            Ok(Ok(residency)) => residency,
            Ok(Err(why)) => {
                self.discarded.add("not in the state that it says");
                on(Progress::Discarded { why: &why });
                return Ok(Ended::Dropped);
            }
            Err(BenchError::Interrupted) => return Ok(Ended::Interrupted),
            Err(error) => return Err(error),
        };
        let counted = !self.waits();
        let strategy = &self.entries[index].strategy;
        let run = (strategy.prepare)(self.arena.task())
            .and_then(|prepared| sample::run(round, prepared, self.canary, residency, counted));
        let struck = Guard::struck();
        if let Some(subject) = self.arena.subject() {
            subject.ensure_unchanged()?;
        }
        let mut trial = match run {
            Ok(_) if struck => {
                return Ok(Ended::Out(
                    "a mapped page could not be had (SIGBUS): the disk is full, or fails".to_owned(),
                ));
            }
            Ok(trial) => trial,
            Err(Fault::Interrupted) => return Ok(Ended::Interrupted),
            Err(Fault::Unsupported(why)) => return Ok(Ended::Out(why)),
            Err(Fault::Short) => return Ok(Ended::Out("the file ended too early".to_owned())),
            Err(Fault::Call { operation, source }) => {
                return Ok(Ended::Out(format!("{operation}: {source}")));
            }
        };
        let checksum = match self.arena.verify(&trial.work) {
            Ok(Ok(checksum)) => checksum,
            Ok(Err(what)) if trial.work.program => {
                return Ok(Ended::Out(format!("the program gave wrong bytes: {what}")));
            }
            Ok(Err(what)) => {
                return Err(BenchError::WrongBytes {
                    strategy: self.entries[index].strategy.name.clone(),
                    workload: self.workload.name().to_owned(),
                    what,
                });
            }
            Err(BenchError::Interrupted) => return Ok(Ended::Interrupted),
            Err(error) => return Err(error),
        };
        let waits = self.waits() || trial.work.program;
        if let Some((kind, why)) = self.canary.objection(&trial, waits) {
            on(Progress::Discarded { why: &why });
            trial.disturbed = Some(kind);
        }
        Ok(Ended::Kept(Box::new(trial), checksum))
    }

    /// Whether trials wait for something by their nature.
    fn waits(&self) -> bool {
        self.cache != CacheState::Warm || matches!(self.workload, WorkloadName::Share | WorkloadName::Small)
    }

    fn rows(&self) -> Vec<ResultRow> {
        let baseline = &self.entries[0].trials;
        self.entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.out.is_none() && !entry.trials.is_empty())
            .map(|(index, entry)| self.row(index, entry, baseline))
            .collect()
    }

    fn row(&self, index: usize, entry: &Entry, baseline: &[Trial]) -> ResultRow {
        let seed = self.request.seed.wrapping_add(index as u64);
        let trials = &believed(&entry.trials);
        let walls: Vec<f64> = trials.iter().map(|t| t.wall_ns).collect();
        let wall_ns = estimate(&walls, seed);
        let ratios = paired_ratios(baseline, &entry.trials);
        let is_baseline = index == 0;
        let ratio = if is_baseline { Estimate { median: 1.0, low: 1.0, high: 1.0 } } else { estimate(&ratios, seed) };
        let middle = |f: fn(&Trial) -> f64| median(&trials.iter().map(f).collect::<Vec<_>>());
        let count = |f: fn(&Trial) -> u64| median(&trials.iter().map(|t| f(t) as f64).collect::<Vec<_>>()) as u64;
        let (user_ns, system_ns) = (middle(|t| t.user_ns), middle(|t| t.system_ns));
        let bytes = self.arena.bytes();
        let mut notes: Vec<String> = Vec::new();
        if let Some(note) = trials.iter().find_map(|t| t.work.note.clone()) {
            notes.push(note);
        }
        if is_baseline {
            notes.push(BASELINE.to_owned());
        }
        if index == 1 {
            notes.push(AGAIN.to_owned());
        }
        if !is_baseline && ratios.len() < FEWEST {
            notes.push(format!("only {}: {TOO_FEW}", counted(ratios.len(), "pair")));
        }
        if statistics::drifts(&walls) {
            notes.push("drifts: the second half of the trials differs from the first".to_owned());
        }
        let outliers = statistics::outliers(&walls);
        if outliers * 5 > walls.len() {
            notes.push(format!("{outliers} of {} trials are outliers", walls.len()));
        }
        ResultRow {
            workload: self.workload,
            strategy: entry.strategy.name.clone(),
            what: entry.strategy.what.clone(),
            cache: self.cache,
            shape: self.shape.clone(),
            baseline: is_baseline,
            again: index == 1,
            less: entry.strategy.less,
            bytes,
            block_bytes: entry.strategy.block_bytes,
            operations: self.arena.operations(),
            trials: trials.len(),
            bytes_per_second: bytes as f64 / wall_ns.median * 1e9,
            wall_ns,
            verdict: if is_baseline { statistics::Verdict::Undecided } else { verdict(&ratio, ratios.len()) },
            ratio_to_baseline: ratio,
            pairs: ratios.len(),
            user_ns,
            system_ns,
            waiting_ns: (wall_ns.median - user_ns - system_ns).max(0.0),
            minor_faults: count(|t| t.minor_faults),
            major_faults: count(|t| t.major_faults),
            system_calls: count(|t| t.work.system_calls),
            context_switches: count(|t| t.voluntary_switches + t.involuntary_switches),
            involuntary_switches: count(|t| t.involuntary_switches),
            cached_pages: trials.first().and_then(|t| t.residency).map(|r| r.cached),
            file_pages: trials.first().and_then(|t| t.residency).map(|r| r.pages),
            resident_bytes: trials.last().and_then(|t| t.work.footprint).map(|f| f.resident),
            proportional_bytes: trials.last().and_then(|t| t.work.footprint).map(|f| f.proportional),
            predicted_ns: None,
            checksum: format!("{:016x}", entry.checksum),
            verified: trials.iter().all(|t| !t.work.unseen),
            notes,
            samples: Vec::new(),
        }
    }

    fn finish(mut self, on: &mut dyn FnMut(Progress<'_>)) -> Outcome {
        let mut rows = self.rows();
        for row in &mut rows {
            let entry = self.entries.iter().find(|entry| entry.strategy.name == row.strategy);
            row.samples = entry.map_or(Vec::new(), |entry| entry.trials.iter().map(Trial::sample).collect());
            on(Progress::Row(row));
        }
        for entry in &self.entries {
            let disturbed = entry.trials.iter().filter_map(|trial| trial.disturbed);
            if believed(&entry.trials).len() == entry.trials.len() {
                self.discarded.disturbed_but_kept += disturbed.count();
            } else {
                disturbed.for_each(|kind| self.discarded.add(kind));
            }
        }
        let skipped = self
            .entries
            .iter()
            .filter(|entry| entry.out.is_some() || entry.trials.is_empty())
            .map(|entry| Skipped {
                workload: self.workload,
                cache: self.cache,
                shape: self.shape.clone(),
                strategy: Some(entry.strategy.name.clone()),
                why: entry.out.clone().unwrap_or_else(|| {
                    if self.interrupted {
                        "interrupted before its first trial".to_owned()
                    } else {
                        "no trial could be kept in time".to_owned()
                    }
                }),
            })
            .collect();
        Outcome { rows, skipped, discarded: self.discarded, interrupted: self.interrupted }
    }
}

/// The trials that nothing disturbed, when there are enough of them; on a
/// machine too busy for that all of them, whose pairing must do.
fn believed(trials: &[Trial]) -> Vec<Trial> {
    let clean: Vec<Trial> = trials.iter().filter(|trial| trial.disturbed.is_none()).cloned().collect();
    if clean.len() >= FEWEST { clean } else { trials.to_vec() }
}

/// The baseline's time over the strategy's, of the rounds that have both: of
/// the undisturbed ones when there are enough.
fn paired_ratios(baseline: &[Trial], trials: &[Trial]) -> Vec<f64> {
    let of_round = |round| baseline.binary_search_by_key(&round, |b| b.round).ok().map(|at| &baseline[at]);
    let pairs: Vec<(&Trial, &Trial)> =
        trials.iter().filter_map(|trial| Some((of_round(trial.round)?, trial))).collect();
    let ratio = |(a, b): &(&Trial, &Trial)| a.wall_ns / b.wall_ns;
    let clean: Vec<f64> =
        pairs.iter().filter(|(a, b)| a.disturbed.is_none() && b.disturbed.is_none()).map(ratio).collect();
    if clean.len() >= FEWEST { clean } else { pairs.iter().map(ratio).collect() }
}

fn is_narrow(row: &ResultRow) -> bool {
    row.baseline || row.ratio_to_baseline.relative_width() < 2.0 * NARROW
}

fn cache_name(cache: CacheState) -> &'static str {
    match cache {
        CacheState::Warm => "warm",
        CacheState::Cold => "cold",
        CacheState::None => "none",
    }
}
