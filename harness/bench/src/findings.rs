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

/// The same file, another shape, another winner.
fn flip(report: &Report) -> Option<Finding> {
    let rows: Vec<&ResultRow> =
        report.results.iter().filter(|row| row.workload == WorkloadName::Shape && row.strategy == "mmap").collect();
    let ratio = |row: &ResultRow| row.ratio_to_baseline.median;
    let slow = rows.iter().filter(|row| row.verdict == Verdict::Slower).min_by(|a, b| ratio(a).total_cmp(&ratio(b)))?;
    let fast = rows.iter().filter(|row| row.verdict == Verdict::Faster).max_by(|a, b| ratio(a).total_cmp(&ratio(b)))?;
    let of = |row: &ResultRow| {
        let faults = report.layouts.iter().find(|l| l.workload == row.workload && l.shape == row.shape);
        let faults = faults.map_or(String::new(), |l| format!(" ({} faults a MiB)", significant(l.faults_per_mib)));
        let shape = row.shape.as_deref().unwrap_or("");
        format!("{} times the speed of read_64k when the file was {shape}{faults}", significant(ratio(row)))
    };
    Some(Finding {
        workload: WorkloadName::Shape,
        cache: CacheState::Warm,
        decided: true,
        sentence: format!(
            "Shape: the page cache decides. mmap has {}, and {}: ask how a file came into the \
             cache before you choose.",
            of(slow),
            of(fast)
        ),
    })
}
