//! One timed run, with everything that says whether to believe it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};

use crate::cache::Residency;
use crate::counters::Counters;
use crate::report::Sample;
use crate::statistics::median;
use crate::strategy::{Fault, Prepared, Work};

/// What one run took and did.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The round it belongs to, from 0.
    pub round: usize,
    /// Wall time in nanoseconds.
    pub wall_ns: f64,
    /// CPU time of the program itself, in nanoseconds.
    pub user_ns: f64,
    /// CPU time of the kernel on its behalf, in nanoseconds.
    pub system_ns: f64,
    /// Page faults that needed no I/O.
    pub minor_faults: u64,
    /// Page faults that waited for I/O.
    pub major_faults: u64,
    /// Times it waited.
    pub voluntary_switches: u64,
    /// Times it was made to wait for another.
    pub involuntary_switches: u64,
    /// What the strategy counted.
    pub work: Work,
    /// The canary loops beside it, in nanoseconds: the slower of the two.
    pub canary_ns: f64,
    /// The kind of disturbance beside it, if there was one.
    pub disturbed: Option<&'static str>,
    /// What was cached before.
    pub residency: Option<Residency>,
    /// What the processor counted meanwhile, where it does.
    pub counters: BTreeMap<String, u64>,
}

impl Trial {
    /// CPU time over wall time: 1 when it never waited.
    pub fn cpu_share(&self) -> f64 {
        (self.user_ns + self.system_ns) / self.wall_ns
    }

    /// Its figures, for a report.
    pub fn sample(&self) -> Sample {
        Sample {
            round: self.round,
            wall_ns: self.wall_ns,
            user_ns: self.user_ns,
            system_ns: self.system_ns,
            minor_faults: self.minor_faults,
            major_faults: self.major_faults,
            voluntary_switches: self.voluntary_switches,
            involuntary_switches: self.involuntary_switches,
            cached_pages: self.residency.map(|residency| residency.cached),
            canary_ns: self.canary_ns,
            disturbed: self.disturbed.map(str::to_owned),
            counters: self.counters.clone(),
        }
    }
}

/// The figures of getrusage(2) at one moment.
struct Snapshot {
    usage: Usage,
}

impl Snapshot {
    fn take(children: bool) -> Option<Self> {
        let who = if children { UsageWho::RUSAGE_CHILDREN } else { UsageWho::RUSAGE_SELF };
        getrusage(who).ok().map(|usage| Self { usage })
    }

    fn user_ns(&self) -> f64 {
        let t = self.usage.user_time();
        t.tv_sec() as f64 * 1e9 + t.tv_usec() as f64 * 1e3
    }

    fn system_ns(&self) -> f64 {
        let t = self.usage.system_time();
        t.tv_sec() as f64 * 1e9 + t.tv_usec() as f64 * 1e3
    }
}

/// Runs the timed part once, between two canaries, and `counted` by the
/// processor where it can.
pub fn run(
    round: usize,
    prepared: Prepared<'_>,
    canary: &mut Canary,
    residency: Option<Residency>,
    counted: bool,
) -> Result<Trial, Fault> {
    let before_canary = canary.sing();
    let own = Snapshot::take(false);
    let children = Snapshot::take(true);
    let counters = if counted { Counters::start() } else { Counters::default() };
    let clock = Instant::now();
    let mut work = prepared()?;
    let wall_ns = work.ended.unwrap_or_else(Instant::now).duration_since(clock).as_nanos() as f64;
    let counters = counters.read();
    let own_after = Snapshot::take(false);
    let children_after = Snapshot::take(true);
    drop(work.kept.take());
    let canary_ns = before_canary.max(canary.sing());
    let mut trial = Trial {
        round,
        wall_ns,
        user_ns: 0.0,
        system_ns: 0.0,
        minor_faults: 0,
        major_faults: 0,
        voluntary_switches: 0,
        involuntary_switches: 0,
        work,
        canary_ns,
        disturbed: None,
        residency,
        counters,
    };
    let mut account = |before: Option<Snapshot>, after: Option<Snapshot>| {
        let (Some(before), Some(after)) = (before, after) else { return };
        let count = |f: fn(&Usage) -> i64| (f(&after.usage) - f(&before.usage)).max(0) as u64;
        trial.user_ns += after.user_ns() - before.user_ns();
        trial.system_ns += after.system_ns() - before.system_ns();
        trial.minor_faults += count(|u| u.minor_page_faults());
        trial.major_faults += count(|u| u.major_page_faults());
        trial.voluntary_switches += count(|u| u.voluntary_context_switches());
        trial.involuntary_switches += count(|u| u.involuntary_context_switches());
    };
    account(own, own_after);
    account(children, children_after);
    Ok(trial)
}

/// A short loop of fixed work, run beside each trial: when it is slow, the
/// processor was not ours alone, or not at its usual speed.
#[derive(Debug)]
pub struct Canary {
    heard: Vec<f64>,
}

/// A canary this much slower than the usual one means disturbance.
const SLOW: f64 = 1.20;

impl Canary {
    /// Learns how long the loop takes here.
    pub fn new() -> Self {
        let mut canary = Self { heard: Vec::new() };
        for _ in 0..16 {
            canary.sing();
        }
        canary
    }

    /// Runs the loop; in nanoseconds.
    pub fn sing(&mut self) -> f64 {
        let clock = Instant::now();
        let mut state = black_box(1u64);
        for _ in 0..40_000 {
            state = black_box(state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1));
        }
        black_box(state);
        let ns = clock.elapsed().as_nanos() as f64;
        if self.heard.len() == 256 {
            self.heard.remove(0);
        }
        self.heard.push(ns);
        ns
    }

    /// What the loop usually takes, in nanoseconds: the lower quartile, which a
    /// machine that is busy half of the time still gets right.
    pub fn usual(&self) -> f64 {
        let mut sorted = self.heard.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = median(&sorted);
        sorted.get(sorted.len() / 4).copied().unwrap_or(middle)
    }

    /// Why a trial should not be believed, if so: the kind of reason, and the
    /// reason with its figures. A trial that `waits` by its
    /// nature, for a disk or another process, is not blamed for waiting.
    pub fn objection(&self, trial: &Trial, waits: bool) -> Option<(&'static str, String)> {
        let slowness = trial.canary_ns / self.usual();
        if slowness > SLOW {
            return Some((
                "the canary beside it was slow",
                format!("the canary beside it took {slowness:.2} times its usual"),
            ));
        }
        // Waiting for a disk is its own affair; being put aside is not.
        if !waits && trial.involuntary_switches > 0 && trial.cpu_share() < 0.95 {
            return Some((
                "another process had its CPU",
                format!(
                    "another process had its CPU ({} involuntary switches, CPU {:.0} % of the time)",
                    trial.involuntary_switches,
                    trial.cpu_share() * 100.0
                ),
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_counts_what_it_did() {
        let mut canary = Canary::new();
        let trial =
            run(3, Box::new(|| Ok(Work { checksum: 7, system_calls: 2, ..Work::default() })), &mut canary, None, true)
                .unwrap();
        assert_eq!((trial.round, trial.work.checksum, trial.work.system_calls), (3, 7, 2));
        assert!(trial.wall_ns > 0.0 && trial.canary_ns > 0.0);
    }

    #[test]
    fn a_slow_canary_is_an_objection() {
        let mut canary = Canary::new();
        let mut trial = run(0, Box::new(|| Ok(Work::default())), &mut canary, None, true).unwrap();
        trial.involuntary_switches = 0;
        trial.canary_ns = canary.usual();
        assert_eq!(canary.objection(&trial, false), None);
        trial.canary_ns *= 2.0;
        assert!(canary.objection(&trial, false).unwrap().0.contains("canary"));
    }
}
