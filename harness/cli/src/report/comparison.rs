//! A comparison as tables with intervals, and what it comes to in sentences.

use bench::format::{nanoseconds, throughput};
use bench::table::{LineKind, Style};
use bench::{Report, ResultRow};

use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled};

/// The tables, one a workload and cache state, a line each.
pub fn tables(report: &Report, width: usize) -> Vec<String> {
    let style = Style { width, unicode: true };
    report.table(style).into_iter().map(|line| Styled(color(line.kind), line.text).to_string()).collect()
}

fn color(kind: LineKind) -> anstyle::Style {
    match kind {
        LineKind::Title => HEAD,
        LineKind::Head | LineKind::Remark | LineKind::Skipped => DIM,
        LineKind::Faster => GOOD,
        LineKind::Slower => BAD,
        LineKind::Baseline | LineKind::Undecided | LineKind::Blank => anstyle::Style::new(),
    }
}

/// The sentences that the intervals support.
pub fn findings(report: &Report, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in &report.findings {
        for (i, line) in terminal::wrap(&finding.sentence, width.saturating_sub(2)).into_iter().enumerate() {
            lines.push(if i == 0 { format!("{} {line}", Styled(GOOD, "•")) } else { format!("  {line}") });
        }
    }
    lines
}

/// What a reader must know before believing the figures.
pub fn caveats(report: &Report, width: usize) -> Vec<String> {
    let mut words: Vec<String> = report.notes.clone();
    if report.discarded.trials > 0 {
        words.push(format!("{} disturbed trials were thrown away", report.discarded.trials));
    }
    if report.partial {
        words.push("not everything that was asked for could be measured".to_owned());
    }
    words
        .iter()
        .flat_map(|text| terminal::wrap(text, width.saturating_sub(2)))
        .map(|line| Styled(DIM, format!("  {line}")).to_string())
        .collect()
}

/// Two reports, a line for each way that both measured: speeds, and how much faster B is.
pub fn side_by_side(a: &Report, b: &Report) -> Vec<String> {
    let mut rows = Vec::new();
    for first in &a.results {
        let same = |row: &&ResultRow| {
            (row.workload, row.cache, &row.strategy, &row.shape, row.again)
                == (first.workload, first.cache, &first.strategy, &first.shape, first.again)
        };
        if let Some(second) = b.results.iter().find(same) {
            rows.push(vec![
                first.workload.to_string(),
                first.cache.to_string(),
                first.strategy.clone(),
                spoken(first),
                spoken(second),
                format!("{:.2}", second.speed() / first.speed()),
                parted(first, second),
            ]);
        }
    }
    if rows.is_empty() {
        return Vec::new();
    }
    let names = ["workload", "cache", "way", "A", "B", "B/A", ""];
    rows.insert(0, names.map(|name| Styled(DIM, name).to_string()).to_vec());
    terminal::table(&rows, &[3, 4, 5])
}

fn spoken(row: &ResultRow) -> String {
    row.operation_ns().map_or_else(|| throughput(row.bytes_per_second), nanoseconds)
}

/// Whether the intervals of two speeds lie apart.
fn parted(a: &ResultRow, b: &ResultRow) -> String {
    let ((a_low, a_high), (b_low, b_high)) = (speed_bounds(a), speed_bounds(b));
    if b_low > a_high {
        Styled(GOOD, "faster").to_string()
    } else if b_high < a_low {
        Styled(BAD, "slower").to_string()
    } else {
        Styled(CARE, "no telling").to_string()
    }
}

/// The bounds of the speed's interval, in bytes (or operations) a second.
fn speed_bounds(row: &ResultRow) -> (f64, f64) {
    let amount = row.operations.unwrap_or(row.bytes) as f64;
    (amount / row.wall_ns.high.max(1.0) * 1e9, amount / row.wall_ns.low.max(1.0) * 1e9)
}
