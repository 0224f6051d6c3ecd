//! Reports as text: at most 80 columns, with bars, without colour.

use crate::folios::Layout;
use crate::format::{bytes, counted, nanoseconds, significant, throughput};
use crate::report::{Group, Report, ResultRow, Skipped};
use crate::request::{CacheState, WorkloadName};
use crate::statistics::{Estimate, FEWEST, Verdict};

/// How a table is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Columns that there are; what is drawn is between 60 and 80 wide.
    pub width: usize,
    /// Whether block characters may be used; otherwise the bars are `#`.
    pub unicode: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 80, unicode: true }
    }
}

/// What a line of the table is, so that a caller can colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// Names the group of rows below.
    Title,
    /// Names the columns.
    Head,
    /// The baseline, and the baseline against itself.
    Baseline,
    /// A strategy that is decidedly faster.
    Faster,
    /// A strategy that is decidedly slower.
    Slower,
    /// A strategy whose ratio is undecided.
    Undecided,
    /// How the file lay in the cache, and how far the model is off.
    Remark,
    /// A strategy that was not measured, with the reason.
    Skipped,
    /// An empty line.
    Blank,
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    /// What it is.
    pub kind: LineKind,
    /// The text, no wider than the style allows.
    pub text: String,
}

impl Report {
    /// The rows of every group as lines of text.
    pub fn table(&self, style: Style) -> Vec<TableRow> {
        let mut lines = Vec::new();
        for group in self.groups() {
            if !lines.is_empty() {
                lines.push(TableRow { kind: LineKind::Blank, text: String::new() });
            }
            lines.extend(group_lines(&group, style));
            let about = [self.source(&group), self.layout(&group).map(Layout::words), group.footprint()];
            let remarks = about.into_iter().flatten().chain(group.remarks()).chain(group.about_predictions());
            for text in remarks.flat_map(|words| wrap(&words, style.columns() - 2)) {
                lines.push(TableRow { kind: LineKind::Remark, text: format!("  {text}") });
            }
            let here = self.skipped.iter().filter(|s| group.has(s));
            for text in skipped_lines(here) {
                lines.push(TableRow { kind: LineKind::Skipped, text: cut(&text, style.columns()) });
            }
        }
        for text in self.unmeasured() {
            lines.push(TableRow { kind: LineKind::Skipped, text: cut(&text, style.columns()) });
        }
        lines
    }

    /// The whole table as one text.
    pub fn text(&self, style: Style) -> String {
        let lines: Vec<String> = self.table(style).into_iter().map(|line| line.text).collect();
        lines.join("\n")
    }
}

impl Style {
    fn columns(self) -> usize {
        self.width.clamp(60, 80)
    }
}

/// One line a reason, with the strategies that it kept out.
pub(crate) fn skipped_lines<'a>(skipped: impl Iterator<Item = &'a Skipped>) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in skipped {
        let Some(name) = one.strategy.as_deref() else { continue };
        match reasons.iter_mut().find(|(why, _)| *why == one.why) {
            Some((_, names)) => names.push(name),
            None => reasons.push((&one.why, vec![name])),
        }
    }
    reasons.into_iter().map(|(why, names)| format!("  not measured, {why}: {}", names.join(", "))).collect()
}

/// The lines of rows that stand on their own, for a live view.
pub fn rows_table(rows: &[ResultRow], style: Style) -> Vec<TableRow> {
    let Some(first) = rows.first() else { return Vec::new() };
    let group = Group {
        workload: first.workload,
        cache: first.cache,
        shape: first.shape.as_deref(),
        rows: rows.iter().collect(),
    };
    group_lines(&group, style)
}

/// Columns before the bar: name 18, time 9, interval 7, speed 12, ratio 18.
const FIXED: usize = 66;

fn group_lines(group: &Group<'_>, style: Style) -> Vec<TableRow> {
    let size = group.rows.first().map_or(0, |row| row.bytes);
    let mut lines = vec![TableRow {
        kind: LineKind::Title,
        text: cut(&format!("{}, {} a trial", group.title(), bytes(size)), style.columns()),
    }];
    let speed = if group.by_operation() { "each" } else { "speed" };
    lines.push(TableRow {
        kind: LineKind::Head,
        text: format!(
            "  {:<18} {:>9} {:>7} {:>10}  {:<16}",
            "strategy", "median", "\u{b1}95%", speed, "against baseline"
        ),
    });
    let most = group.rows.iter().map(|row| row.speed()).fold(0.0, f64::max);
    let room = style.columns().saturating_sub(FIXED + 2);
    for row in &group.rows {
        let bar = bar(row.speed() / most, room, style.unicode);
        let each = match row.operation_ns() {
            Some(ns) => nanoseconds(ns),
            None => throughput(row.bytes_per_second),
        };
        let text = format!(
            "  {:<18} {:>9} {:>7} {:>10}  {:<16} {bar}",
            if row.again { "the same again".to_owned() } else { cut(&row.strategy, 18) },
            nanoseconds(row.wall_ns.median),
            plus_minus(&row.wall_ns),
            each,
            against(row),
        );
        lines.push(TableRow { kind: kind(row), text: text.trim_end().to_owned() });
    }
    lines
}

fn kind(row: &ResultRow) -> LineKind {
    match row.verdict {
        _ if row.baseline || row.again => LineKind::Baseline,
        Verdict::Faster => LineKind::Faster,
        Verdict::Slower => LineKind::Slower,
        Verdict::Undecided => LineKind::Undecided,
    }
}

fn against(row: &ResultRow) -> String {
    if row.baseline {
        return "baseline".to_owned();
    }
    let r = &row.ratio_to_baseline;
    if row.pairs < FEWEST {
        return format!("{}? of {}", short(r.median), counted(row.pairs, "pair"));
    }
    let sign = match row.verdict {
        Verdict::Undecided => "?",
        _ => "\u{d7}",
    };
    format!("{}{sign} {}\u{2013}{}", short(r.median), short(r.low), short(r.high))
}

/// Two decimals below 10, so that 0.97 and 1.03 can be told apart.
fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { significant(value) }
}

fn plus_minus(wall: &Estimate) -> String {
    format!("{:.1}%", wall.relative_width() * 50.0)
}

fn bar(part: f64, room: usize, unicode: bool) -> String {
    if !part.is_finite() {
        return String::new();
    }
    let eighths = (part.clamp(0.0, 1.0) * room as f64 * 8.0).round() as usize;
    if !unicode {
        return "#".repeat((eighths + 4) / 8);
    }
    const PARTS: [&str; 8] = ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    format!("{}{}", "\u{2588}".repeat(eighths / 8), PARTS[eighths % 8])
}

/// The words of `text` in lines of at most `columns`.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(columns - 1).collect();
    short.push('\u{2026}');
    short
}

/// Two reports side by side.
#[derive(Debug, Clone)]
pub struct ComparedReports {
    /// Rows that both have, in the first one's order.
    pub rows: Vec<ComparedRow>,
    /// What of the machines differs: name, first, second.
    pub machines: Vec<(String, String, String)>,
    /// Rows that only one has, by their names.
    pub only_in_first: Vec<String>,
    /// The same of the second.
    pub only_in_second: Vec<String>,
}

/// A strategy in both reports.
#[derive(Debug, Clone)]
pub struct ComparedRow {
    /// What was done.
    pub workload: WorkloadName,
    /// In which state.
    pub cache: CacheState,
    /// The shape, where it is varied.
    pub shape: Option<String>,
    /// How.
    pub strategy: String,
    /// Operations a second in the first where those count, otherwise bytes.
    pub first: f64,
    /// The same in the second.
    pub second: f64,
    /// Whether operations count.
    pub by_operation: bool,
    /// The second's speed over the first's; the interval is the widest that
    /// both rows' intervals allow, for two runs cannot be paired.
    pub ratio: Estimate,
}

impl ComparedRow {
    /// Whether the intervals of the two rows lie apart.
    pub fn decided(&self) -> bool {
        self.ratio.low > 1.0 || self.ratio.high < 1.0
    }
}

/// Puts two reports side by side.
pub fn compare_reports(a: &Report, b: &Report) -> ComparedReports {
    let same = |x: &ResultRow, y: &ResultRow| {
        x.workload == y.workload && x.cache == y.cache && x.shape == y.shape && x.strategy == y.strategy
    };
    let name = |r: &ResultRow| format!("{} {} {}", r.workload, r.cache, r.strategy);
    let rows = a
        .results
        .iter()
        .filter_map(|x| b.results.iter().find(|y| same(x, y)).map(|y| (x, y)))
        .map(|(x, y)| {
            // For each byte or operation, since the files may differ in size.
            let each = |ns: f64, row: &ResultRow| ns / row.operations.unwrap_or(row.bytes).max(1) as f64;
            ComparedRow {
                workload: x.workload,
                cache: x.cache,
                shape: x.shape.clone(),
                strategy: x.strategy.clone(),
                first: x.speed(),
                second: y.speed(),
                by_operation: x.operations.is_some(),
                ratio: Estimate {
                    median: each(x.wall_ns.median, x) / each(y.wall_ns.median, y),
                    low: each(x.wall_ns.low, x) / each(y.wall_ns.high, y),
                    high: each(x.wall_ns.high, x) / each(y.wall_ns.low, y),
                },
            }
        })
        .collect();
    let lacks = |one: &Report, other: &Report| {
        one.results.iter().filter(|x| !other.results.iter().any(|y| same(x, y))).map(name).collect()
    };
    let second_rows = b.machine.rows();
    let machines = a
        .machine
        .rows()
        .into_iter()
        .filter_map(|(name, first)| {
            let second = second_rows.iter().find(|(other, _)| *other == name)?.1.clone();
            (first != second).then_some((name, first, second))
        })
        .collect();
    ComparedReports { rows, machines, only_in_first: lacks(a, b), only_in_second: lacks(b, a) }
}

impl ComparedReports {
    /// The comparison as lines of text.
    pub fn table(&self, style: Style) -> Vec<TableRow> {
        let columns = style.columns();
        let mut lines = Vec::new();
        for (name, first, second) in &self.machines {
            lines.push(TableRow {
                kind: LineKind::Head,
                text: cut(&format!("{name}: A {first} | B {second}"), columns),
            });
        }
        let heading = format!("  {:<24} {:>11} {:>11}  {}", "strategy", "A", "B", "B/A [95 %]");
        lines.push(TableRow { kind: LineKind::Head, text: heading });
        let mut title = String::new();
        for row in &self.rows {
            let mut group = format!("{}, {}", row.workload, row.cache);
            if let Some(shape) = &row.shape {
                group.push_str(&format!(", {shape}"));
            }
            if group != title {
                lines.push(TableRow { kind: LineKind::Title, text: group.clone() });
                title = group;
            }
            let kind = match row.decided() {
                false => LineKind::Undecided,
                true if row.ratio.median > 1.0 => LineKind::Faster,
                true => LineKind::Slower,
            };
            let sign = if row.decided() { "\u{d7}" } else { "?" };
            let spoken = |speed: f64| if row.by_operation { nanoseconds(1e9 / speed) } else { throughput(speed) };
            let text = format!(
                "  {:<24} {:>11} {:>11}  {}{sign} [{}\u{2013}{}]",
                cut(row.strategy.strip_suffix("_again").map_or(&row.strategy, |_| "the same again"), 24),
                spoken(row.first),
                spoken(row.second),
                short(row.ratio.median),
                short(row.ratio.low),
                short(row.ratio.high),
            );
            lines.push(TableRow { kind, text: cut(&text, columns) });
        }
        for (which, names) in [("A", &self.only_in_first), ("B", &self.only_in_second)] {
            for name in names {
                lines.push(TableRow {
                    kind: LineKind::Skipped,
                    text: cut(&format!("  only in {which}: {name}"), columns),
                });
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_their_room_in_both_alphabets() {
        assert_eq!(bar(1.0, 4, false), "####");
        assert_eq!(bar(0.5, 4, true), "\u{2588}\u{2588}");
        assert_eq!(bar(0.0, 4, true), "");
        assert_eq!(bar(f64::NAN, 4, true), "");
    }

    #[test]
    fn long_text_is_cut_with_a_sign() {
        assert_eq!(cut("abcdef", 4), "abc\u{2026}");
        assert_eq!(cut("abc", 4), "abc");
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
    }
}
