//! Medians, intervals and the random numbers they need.
//!
//! Everything is a function of its arguments and a seed, so that two runs on
//! the same figures say the same.

use serde::{Deserialize, Serialize};

/// Resamples of one bootstrap.
const RESAMPLES: usize = 2000;

/// Of more values than these the bootstrap is left out: the median of a resample is one of the values, and which of them
/// it is at 2.5 and at 97.5 % is what the order statistics say.
const MANY: usize = 400;

/// The fewest values whose range covers the median 95 times in 100:
/// 1 − 2·(1/2)⁶ = 97 %, where five values give 94 %.
pub const FEWEST: usize = 6;

/// A ratio within this distance of 1 is no difference that anybody would act
/// on, and not one that a machine shared with others can show.
pub const MARGIN: f64 = 0.005;

/// A small, fast generator of pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator whose sequence is fixed by `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.bits()) * bound as u128) >> 64) as usize
    }

    /// Any order of `items` with the same probability (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A median with the bounds of its 95 % confidence interval, in the unit of
/// the values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// The median of the sample.
    pub median: f64,
    /// The interval's lower bound.
    pub low: f64,
    /// The interval's upper bound.
    pub high: f64,
}

impl Estimate {
    /// The interval's width as a part of the median.
    pub fn relative_width(&self) -> f64 {
        if self.median == 0.0 { f64::INFINITY } else { (self.high - self.low) / self.median.abs() }
    }
}

/// How a strategy's speed relates to the baseline's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The whole interval of the ratio is above 1.
    Faster,
    /// The whole interval of the ratio is below 1.
    Slower,
    /// The interval holds 1 (or comes within [`MARGIN`] of it), or there are
    /// fewer than [`FEWEST`] pairs.
    Undecided,
}

/// The verdict on a ratio of speeds from `pairs` pairs.
pub fn verdict(ratio: &Estimate, pairs: usize) -> Verdict {
    if pairs < FEWEST {
        Verdict::Undecided
    } else if ratio.low > 1.0 + MARGIN {
        Verdict::Faster
    } else if ratio.high < 1.0 - MARGIN {
        Verdict::Slower
    } else {
        Verdict::Undecided
    }
}

/// The median; the mean of the two in the middle of an even number; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    median_of_sorted(&sorted)
}

fn median_of_sorted(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The median of `values` with its 95 % interval.
///
/// The interval is the percentile bootstrap's, widened where needed to that
/// of the order statistics, which is exact whatever the distribution: for the
/// few trials that a budget allows the bootstrap alone is too narrow. Of more
/// than 400 values it is the latter alone.
pub fn estimate(values: &[f64], seed: u64) -> Estimate {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 {
        return Estimate::default();
    }
    let median = median_of_sorted(&sorted);
    let rank = order_statistic_rank(n);
    let (low, high) = (sorted[rank], sorted[n - 1 - rank]);
    if n > MANY {
        return Estimate { median, low, high };
    }
    let (boot_low, boot_high) = bootstrap(&sorted, seed);
    Estimate { median, low: boot_low.min(low), high: boot_high.max(high) }
}

fn bootstrap(sorted: &[f64], seed: u64) -> (f64, f64) {
    let n = sorted.len();
    let mut random = Random::new(seed);
    let mut indices = vec![0usize; n];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            indices.iter_mut().for_each(|index| *index = random.below(n));
            // Ranks sort as their values do, and integers sort faster.
            let middle = n / 2;
            let (below, &mut upper, _) = indices.select_nth_unstable(middle);
            if n % 2 == 1 {
                sorted[upper]
            } else {
                let lower = below.iter().copied().max().unwrap_or(upper);
                (sorted[lower] + sorted[upper]) / 2.0
            }
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    (medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40])
}

/// The largest r such that [x(r), x(n−1−r)] (counted from 0) covers the median
/// with at least 95 %; 0 when even the whole range does not.
fn order_statistic_rank(n: usize) -> usize {
    if n > MANY {
        // The binomial distribution's normal approximation, with its correction for steps.
        return (n as f64 / 2.0 - 1.96 * (n as f64).sqrt() / 2.0 - 0.5).floor() as usize;
    }
    // P(fewer than r+1 of n values lie below the median) = Σ C(n,k)/2ⁿ, k ≤ r.
    let mut probability = 0.5f64.powi(n as i32);
    let mut tail = probability;
    let mut rank = 0;
    for k in 1..n / 2 {
        probability *= (n - k + 1) as f64 / k as f64;
        tail += probability;
        if tail > 0.025 {
            break;
        }
        rank = k;
    }
    rank
}

/// Whether the second half of a series in time differs from the first by more
/// than its own spread: the sign of a machine that warms up or gets busy.
pub fn drifts(values: &[f64]) -> bool {
    if values.len() < 8 {
        return false;
    }
    let (first, second) = values.split_at(values.len() / 2);
    let (a, b) = (median(first), median(second));
    let deviations: Vec<f64> =
        first.iter().map(|v| (v - a).abs()).chain(second.iter().map(|v| (v - b).abs())).collect();
    let spread = median(&deviations) * 1.4826;
    (a - b).abs() > 3.0 * spread && (a - b).abs() > 0.02 * a.abs()
}

/// How many values lie further than 3.5 scaled median deviations from the
/// median (Iglewicz and Hoaglin's modified z score).
pub fn outliers(values: &[f64]) -> usize {
    let middle = median(values);
    let deviations: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    let spread = median(&deviations) * 1.4826;
    if spread == 0.0 {
        return 0;
    }
    deviations.iter().filter(|d| **d > 3.5 * spread).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A value with a long right tail, as times have it; its median is 1.
    fn skewed(random: &mut Random) -> f64 {
        let uniform = (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
        1.0 + 0.05 * -(1.0 - uniform).ln() - 0.05 * std::f64::consts::LN_2
    }

    fn coverage(n: usize, experiments: usize) -> f64 {
        let mut random = Random::new(n as u64);
        let covered = (0..experiments)
            .filter(|&i| {
                let sample: Vec<f64> = (0..n).map(|_| skewed(&mut random)).collect();
                let e = estimate(&sample, i as u64);
                e.low <= 1.0 && 1.0 <= e.high
            })
            .count();
        covered as f64 / experiments as f64
    }

    #[test]
    fn intervals_cover_the_true_median_as_often_as_they_say() {
        for n in [6, 7, 9, 12, 20, 33] {
            let part = coverage(n, 400);
            assert!(part >= 0.94, "n={n}: {part}");
        }
    }

    #[test]
    fn many_values_need_no_bootstrap() {
        let mut random = Random::new(3);
        for n in [MANY + 1, 1000, 1001, 2000] {
            let mut ranks: Vec<f64> = (0..n).map(|rank| rank as f64).collect();
            random.shuffle(&mut ranks);
            let (all, boot) = (estimate(&ranks, 1), bootstrap(&(0..n).map(|rank| rank as f64).collect::<Vec<_>>(), 1));
            // A standard deviation of the median's rank is half the root of n: apart by a quarter of one and two ranks.
            let close = |a: f64, b: f64| (a - b).abs() <= 2.0 + (n as f64).sqrt() / 8.0;
            assert!(close(all.low, boot.0) && close(all.high, boot.1), "n={n}: {all:?} {boot:?}");
            let part = coverage(n, 400);
            assert!(part >= 0.94, "n={n}: {part}");
        }
        let exact = (1..MANY / 2).map(|half| 2 * half).map(|n| (n, order_statistic_rank(n)));
        for (n, rank) in exact.skip(20) {
            let approximate = n as f64 / 2.0 - 1.96 * (n as f64).sqrt() / 2.0 - 0.5;
            assert!((rank as f64 - approximate).abs() <= 1.0, "n={n}: {rank} {approximate}");
        }
    }

    #[test]
    fn a_strategy_against_itself_is_undecided_95_times_in_100() {
        let mut random = Random::new(7);
        for n in [6, 9, 15] {
            let undecided = (0..400)
                .filter(|&i| {
                    let ratios: Vec<f64> = (0..n).map(|_| skewed(&mut random) / skewed(&mut random)).collect();
                    verdict(&estimate(&ratios, i), n) == Verdict::Undecided
                })
                .count();
            assert!(undecided >= 380, "n={n}: {undecided}");
        }
    }

    #[test]
    fn a_true_difference_of_five_percent_is_found() {
        let mut random = Random::new(11);
        let found = (0..100)
            .filter(|&i| {
                let ratios: Vec<f64> =
                    (0..20).map(|_| 1.05 * (1.0 + 0.4 * (skewed(&mut random) - skewed(&mut random)))).collect();
                verdict(&estimate(&ratios, i), 20) == Verdict::Faster
            })
            .count();
        assert!(found >= 90, "{found} of 100");
    }

    #[test]
    fn too_few_pairs_decide_nothing() {
        let ratio = estimate(&[2.0, 2.0, 2.1, 2.0, 2.2], 1);
        assert_eq!(verdict(&ratio, 5), Verdict::Undecided);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values = [3.0, 1.0, 2.0, 5.0, 4.0, 9.0, 2.5];
        assert_eq!(estimate(&values, 42), estimate(&values, 42));
    }

    #[test]
    fn a_step_in_time_is_a_drift_and_noise_is_not() {
        assert!(drifts(&[1.0, 1.01, 0.99, 1.0, 1.3, 1.31, 1.29, 1.3]));
        assert!(!drifts(&[1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.1, 1.0]));
    }

    proptest! {
        #[test]
        fn the_median_lies_in_its_interval_and_the_interval_in_the_range(
            values in proptest::collection::vec(1e-3f64..1e9, 1..40), seed: u64,
        ) {
            let e = estimate(&values, seed);
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(least <= e.low && e.low <= e.median);
            prop_assert!(e.median <= e.high && e.high <= most);
        }

        #[test]
        fn shuffling_keeps_every_item(mut items in proptest::collection::vec(0u8..9, 0..30), seed: u64) {
            let mut before = items.clone();
            Random::new(seed).shuffle(&mut items);
            before.sort_unstable();
            items.sort_unstable();
            prop_assert_eq!(before, items);
        }

        #[test]
        fn below_stays_below(bound in 1usize..1_000_000, seed: u64) {
            prop_assert!(Random::new(seed).below(bound) < bound);
        }
    }
}
