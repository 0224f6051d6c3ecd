//! A comparison as tables with intervals, and what it comes to in sentences.

use bench::table::{LineKind, Style, TableRow, rows_table};
use bench::{Report, ResultRow};

use crate::terminal::{self, BAD, DIM, GOOD, HEAD, Styled};

/// Where it was measured, in short; the page has all of it.
pub fn machine(report: &Report, width: usize) -> Vec<String> {
    const SHORT: [&str; 5] = ["CPU", "kernel", "file system", "device", "CPU time of others meanwhile"];
    let rows = report.machine.rows();
    let parts: Vec<String> = rows
        .into_iter()
        .filter(|(name, _)| SHORT.contains(&name.as_str()))
        .map(|(name, value)| if name == "CPU" || name == "kernel" { value } else { format!("{name} {value}") })
        .collect();
    terminal::wrap(&parts.join("; "), width).into_iter().map(|line| Styled(DIM, line).to_string()).collect()
}

/// The tables, one a workload and cache state, a line each.
pub fn tables(report: &Report, width: usize) -> Vec<String> {
    styled(report.table(Style { width, unicode: true }))
}

fn styled(lines: Vec<TableRow>) -> Vec<String> {
    lines.into_iter().map(|line| Styled(color(line.kind), line.text).to_string()).collect()
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

/// The check against fio, if there was one.
pub fn checks(report: &Report) -> Vec<String> {
    if report.checks.is_empty() {
        return Vec::new();
    }
    let title = Styled(HEAD, "checked with fio: the same calls, the bytes not looked at").to_string();
    std::iter::once(title).chain(bench::fio::lines(&report.checks)).collect()
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
    if report.interrupted {
        words.push("interrupted: this is what had been measured by then".to_owned());
    } else if report.partial {
        words.push("not everything that was asked for could be measured".to_owned());
    }
    words
        .iter()
        .flat_map(|text| terminal::wrap(text, width.saturating_sub(2)))
        .map(|line| Styled(DIM, format!("  {line}")).to_string())
        .collect()
}

/// Two reports, a line for each way that both measured: speeds, and how much faster B is.
pub fn side_by_side(a: &Report, b: &Report, width: usize) -> Vec<String> {
    let compared = bench::compare_reports(a, b);
    if compared.rows.is_empty() {
        return Vec::new();
    }
    styled(compared.table(Style { width, unicode: true }))
}

/// How the rows stand while they are measured, without colour: what draws it knows of none.
pub fn standing(rows: &[ResultRow], width: usize) -> Vec<String> {
    rows_table(rows, Style { width, unicode: true }).into_iter().map(|line| line.text).collect()
}
