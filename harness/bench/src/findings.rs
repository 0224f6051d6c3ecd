//! Sentences that a person can act on, made from decided ratios only.

use crate::format::{bytes, nanoseconds, significant, throughput};
use crate::report::{Finding, Group, Report, ResultRow};
use crate::request::{CacheState, WorkloadName};
use crate::statistics::{FEWEST, Verdict};

/// One sentence a group, and one on what mapping does where that is decided.
pub fn findings(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in report.groups() {
        if let Some(sentence) = winner(&group) {
            findings.push(finding(&group, true, sentence));
        } else {
            let sentence = undecided(&group);
            findings.push(finding(&group, false, sentence));
        }
        findings.extend(mapping(&group));
        findings.extend(one_copy(&group));
    }
    findings.extend(flip(report));
    findings
}

fn finding(group: &Group<'_>, decided: bool, sentence: String) -> Finding {
    Finding { workload: group.workload, cache: group.cache, decided, sentence }
}

fn speed(row: &ResultRow) -> String {
    match row.operation_ns() {
        Some(ns) => format!("{} an operation", nanoseconds(ns)),
        None => throughput(row.bytes_per_second),
    }
}

fn ratio(row: &ResultRow) -> String {
    let r = &row.ratio_to_baseline;
    format!("{} times as fast as {{}} [{}\u{2013}{}]", significant(r.median), significant(r.low), significant(r.high))
}

/// The baseline's row, if it was measured.
fn baseline<'a>(group: &Group<'a>) -> Option<&'a ResultRow> {
    group.rows.iter().copied().find(|row| row.baseline)
}

/// What the baseline has for rivals: not itself, and nothing that does less.
fn others<'a>(group: &Group<'a>) -> impl Iterator<Item = &'a ResultRow> {
    group.rows.clone().into_iter().filter(|row| !row.baseline && !row.again && !row.less)
}

fn heading(group: &Group<'_>) -> String {
    let title = group.title();
    let mut letters = title.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The strategy that is surely the fastest, when it is decidedly faster than
/// the baseline; one whose bytes nobody looked at is none to recommend. The
/// baseline, when it is decidedly faster than every other.
fn winner(group: &Group<'_>) -> Option<String> {
    let baseline = baseline(group)?;
    let heading = heading(group);
    let best = others(group)
        .filter(|row| row.verdict == Verdict::Faster && row.verified)
        .max_by(|a, b| a.ratio_to_baseline.low.total_cmp(&b.ratio_to_baseline.low));
    if let Some(best) = best {
        let rivals: Vec<&str> = others(group)
            .filter(|row| {
                row.strategy != best.strategy
                    && row.ratio_to_baseline.high >= best.ratio_to_baseline.low
                    && row.verdict == Verdict::Faster
                    && row.verified
            })
            .map(|row| row.strategy.as_str())
            .collect();
        let tail =
            if rivals.is_empty() { String::new() } else { format!("; {} not told apart from it", list(&rivals)) };
        return Some(format!(
            "{heading}: use {} ({}), {}{tail}.",
            best.strategy,
            speed(best),
            ratio(best).replace("{}", &baseline.strategy)
        ));
    }
    let all_slower = others(group).next().is_some() && others(group).all(|row| row.verdict == Verdict::Slower);
    all_slower.then(|| {
        format!("{heading}: stay with {} ({}); every other strategy is slower.", baseline.strategy, speed(baseline))
    })
}

fn undecided(group: &Group<'_>) -> String {
    let slower: Vec<&str> =
        others(group).filter(|row| row.verdict == Verdict::Slower).map(|row| row.strategy.as_str()).collect();
    let name = baseline(group).map_or("the baseline", |row| row.strategy.as_str());
    let heading = heading(group);
    if group.rows.iter().all(|row| row.pairs < FEWEST) {
        return format!("{heading}: undecided, too few trials in the time; give it a larger budget.");
    }
    if slower.is_empty() {
        format!("{heading}: undecided, no difference from {name} was shown.")
    } else {
        format!("{heading}: nothing was shown to beat {name}; {} slower.", list(&slower))
    }
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{one} is"),
        [rest @ .., last] => format!("{} and {last} are", rest.join(", ")),
    }
}

/// What plain mapping does against the baseline, when it is decided and is not
/// already the sentence above.
fn mapping(group: &Group<'_>) -> Option<Finding> {
    if !matches!(group.workload, WorkloadName::Scan | WorkloadName::Copy) {
        return None;
    }
    let name = if group.workload == WorkloadName::Scan { "mmap" } else { "mmap_both" };
    let row = others(group).find(|row| row.strategy == name)?;
    let baseline = baseline(group)?;
    let heading = heading(group);
    let r = &row.ratio_to_baseline;
    let interval = format!("[{}\u{2013}{}]", significant(r.low), significant(r.high));
    let because = because(row, group);
    let sentence = match row.verdict {
        Verdict::Faster => format!(
            "{heading}: mapping beats {}, {} times as fast {interval}{because}.",
            baseline.strategy,
            significant(r.median)
        ),
        Verdict::Slower => format!(
            "{heading}: mapping loses to {}, {} times its speed {interval}{because}.",
            baseline.strategy,
            significant(r.median)
        ),
        Verdict::Undecided if row.pairs < FEWEST => return None,
        Verdict::Undecided => {
            format!("{heading}: mapping against {} is undecided, the ratio lies within {interval}.", baseline.strategy)
        }
    };
    Some(finding(group, row.verdict != Verdict::Undecided, sentence))
}

/// That processes which map a file have one copy of it: not a matter of time,
/// but of what the kernel counts.
fn one_copy(group: &Group<'_>) -> Option<Finding> {
    let row = group.rows.iter().find(|row| row.strategy == "mmap")?;
    let (resident, proportional) = (row.resident_bytes?, row.proportional_bytes?);
    let sentence = format!(
        "{}: mapping takes {} by the processes\u{2019} own counts (RSS), but there {}: {} (PSS).",
        heading(group),
        bytes(resident),
        if proportional * 10 < resident * 6 { "is one copy for all" } else { "is more than one copy" },
        bytes(proportional)
    );
    Some(finding(group, true, sentence))
}

/// How much each fault mapped, which is the reason for most of it when warm.
fn because(row: &ResultRow, group: &Group<'_>) -> String {
    if group.cache != CacheState::Warm || row.minor_faults == 0 {
        return String::new();
    }
    let kib = (row.bytes / row.minor_faults) >> 10;
    if group.workload == WorkloadName::Scan && kib >= 1024 {
        format!(", one fault for each {:.1} MiB: the file is cached in large folios", kib as f64 / 1024.0)
    } else {
        format!(", one fault for each {kib} KiB")
    }
}

/// The same file, another shape, another ratio: when the intervals of the
/// slowest and the fastest mapping lie apart, with the speeds that make it so.
fn flip(report: &Report) -> Option<Finding> {
    let groups = report.groups();
    let shapes: Vec<(&ResultRow, &ResultRow)> = groups
        .iter()
        .filter(|group| group.workload == WorkloadName::Shape)
        .filter_map(|group| Some((others(group).find(|row| row.strategy == "mmap")?, baseline(group)?)))
        .filter(|(row, _)| row.pairs >= FEWEST)
        .collect();
    let ratio = |row: &ResultRow| row.ratio_to_baseline;
    let by_ratio =
        |a: &&(&ResultRow, &ResultRow), b: &&(&ResultRow, &ResultRow)| ratio(a.0).median.total_cmp(&ratio(b.0).median);
    let (slow, slow_read) = shapes.iter().min_by(by_ratio)?;
    let (fast, fast_read) = shapes.iter().max_by(by_ratio)?;
    if ratio(slow).high >= ratio(fast).low {
        return None;
    }
    let of = |row: &ResultRow| {
        let faults = report.layouts.iter().find(|l| l.workload == row.workload && l.shape == row.shape);
        let faults = faults.map_or(String::new(), |l| format!(" ({} faults a MiB)", significant(l.faults_per_mib)));
        let r = ratio(row);
        let interval = format!("[{}\u{2013}{}]", significant(r.low), significant(r.high));
        format!(
            "{} times its speed {interval} when it was {}{faults}",
            significant(r.median),
            row.shape.as_deref().unwrap_or("")
        )
    };
    let speeds = |a: &ResultRow, b: &ResultRow| {
        format!("{} went from {} to {}", a.strategy, throughput(a.bytes_per_second), throughput(b.bytes_per_second))
    };
    let winner = if slow.verdict == Verdict::Slower && fast.verdict == Verdict::Faster { ", and who wins" } else { "" };
    Some(Finding {
        workload: WorkloadName::Shape,
        cache: CacheState::Warm,
        decided: true,
        sentence: format!(
            "Shape: how one file came into the cache decides how fast mmap is beside {}{winner}: {}, {}. Between the two \
             {}, and {}: ask how a file came into the cache before you choose.",
            slow_read.strategy,
            of(slow),
            of(fast),
            speeds(slow, fast),
            speeds(slow_read, fast_read)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Discarded, FileFacts, SCHEMA};
    use crate::statistics::{Estimate, verdict};

    /// A row of `shape` with so many pairs, whose ratio lies in an interval.
    fn row(strategy: &str, shape: Option<&str>, (low, median, high): (f64, f64, f64), pairs: usize) -> ResultRow {
        let ratio = Estimate { low, median, high };
        let wall_ns = Estimate { low: 1e9 / high, median: 1e9 / median, high: 1e9 / low };
        ResultRow {
            workload: if shape.is_some() { WorkloadName::Shape } else { WorkloadName::Scan },
            strategy: strategy.to_owned(),
            what: String::new(),
            cache: CacheState::Warm,
            shape: shape.map(str::to_owned),
            baseline: strategy == "read_64k",
            again: false,
            less: false,
            bytes: 10 << 30,
            block_bytes: None,
            operations: None,
            trials: pairs,
            wall_ns,
            bytes_per_second: (10u64 << 30) as f64 * median,
            ratio_to_baseline: ratio,
            pairs,
            verdict: verdict(&ratio, pairs),
            user_ns: 0.0,
            system_ns: 0.0,
            waiting_ns: 0.0,
            minor_faults: 0,
            major_faults: 0,
            system_calls: 0,
            context_switches: 0,
            involuntary_switches: 0,
            cached_pages: None,
            file_pages: None,
            resident_bytes: None,
            proportional_bytes: None,
            predicted_ns: None,
            checksum: String::new(),
            verified: true,
            notes: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn told(results: Vec<ResultRow>) -> Vec<Finding> {
        findings(&Report {
            schema: SCHEMA,
            suite: String::new(),
            began: 0,
            elapsed_s: 0.0,
            seed: 1,
            machine: Default::default(),
            costs: Default::default(),
            file: FileFacts::default(),
            layouts: Vec::new(),
            results,
            checks: Vec::new(),
            findings: Vec::new(),
            skipped: Vec::new(),
            discarded: Discarded::default(),
            notes: Vec::new(),
            interrupted: false,
            partial: false,
        })
    }

    const BASELINE: (f64, f64, f64) = (1.0, 1.0, 1.0);

    #[test]
    fn a_strategy_is_recommended_only_where_its_interval_lies_above_the_baselines() {
        let of = |mapped: (f64, f64, f64), pairs: usize| {
            told(vec![row("read_64k", None, BASELINE, pairs), row("mmap", None, mapped, pairs)])
        };
        let found = of((1.4, 1.5, 1.6), 9);
        assert!(found[0].decided && found[0].sentence.contains("use mmap (15.0 GiB/s), 1.50 times"), "{found:?}");
        for undecided in [of((0.99, 1.5, 2.0), 9), of((1.4, 1.5, 1.6), 5)] {
            assert!(undecided.iter().all(|finding| !finding.decided), "{undecided:?}");
            assert!(undecided[0].sentence.contains("undecided"), "{undecided:?}");
        }
        let stay = of((0.4, 0.5, 0.6), 9);
        assert!(stay[0].decided && stay[0].sentence.contains("stay with read_64k"), "{stay:?}");
    }

    #[test]
    fn what_the_shape_of_the_cache_does_is_told_with_its_speeds_where_the_intervals_lie_apart() {
        let of = |small: (f64, f64, f64), large: (f64, f64, f64)| {
            let shape = |name, mapped| [row("read_64k", Some(name), BASELINE, 9), row("mmap", Some(name), mapped, 9)];
            let found = told([shape("small", small), shape("large", large)].into_iter().flatten().collect());
            found.into_iter().find(|finding| finding.sentence.starts_with("Shape: how")).map(|finding| finding.sentence)
        };
        let flips = of((0.4, 0.5, 0.6), (1.5, 1.6, 1.7)).unwrap();
        assert!(flips.contains(", and who wins: 0.50 times its speed [0.40\u{2013}0.60] when it was small"), "{flips}");
        assert!(flips.contains("mmap went from 5.00 GiB/s to 16.0 GiB/s"), "{flips}");
        assert!(flips.contains("read_64k went from 10.0 GiB/s to 10.0 GiB/s"), "{flips}");
        let differs = of((1.1, 1.2, 1.3), (1.5, 1.6, 1.7)).unwrap();
        assert!(!differs.contains("who wins"), "{differs}");
        assert_eq!(of((0.9, 1.2, 1.6), (1.5, 1.6, 1.7)), None);
    }
}
