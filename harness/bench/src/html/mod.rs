//! A report as one self-contained page: no script, nothing fetched.

mod curve;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::format::{bytes, counted, nanoseconds, significant, throughput};
use crate::report::{Group, Report, ResultRow};
use crate::statistics::{Estimate, FEWEST, Verdict};
use crate::table::skipped_lines;

impl Report {
    /// One HTML page with everything in it: style and pictures inline, light
    /// and dark, for a telephone, a screen and paper.
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "I/O strategies compared" }
                    style { (PreEscaped(include_str!("style.css"))) }
                }
                body {
                    main {
                        (self.header())
                        @for group in self.groups() { (self.section(&group)) }
                        (self.fio_section())
                        (self.not_measured())
                        (self.machine_section())
                        (self.costs_section())
                    }
                    footer { (self.footer()) }
                }
            }
        };
        page.into_string()
    }

    fn header(&self) -> Markup {
        let machine = &self.machine;
        let place = [machine.cpu.clone(), machine.kernel.clone(), machine.storage.file_system.clone()];
        let place: Vec<String> = place.into_iter().flatten().collect();
        html! {
            h1 { "I/O strategies compared" }
            p.soft {
                @if self.file.bytes > 0 { (bytes(self.file.bytes)) " " (self.file.path) ", on " }
                (place.join(", ")) "."
                @if self.file.bytes > 0 { " Cache states proved by " (self.file.proof) "." }
            }
            @if self.interrupted {
                p.warn { "This run was interrupted: what follows is what had been measured by then." }
            } @else if self.partial {
                p.warn { "Not everything that was asked for could be measured: what is missing is listed below." }
            }
            ul.findings {
                @for finding in &self.findings {
                    li.open[!finding.decided] { (finding.sentence) }
                }
            }
        }
    }

    fn section(&self, group: &Group<'_>) -> Markup {
        let size = group.rows.first().map_or(0, |row| row.bytes);
        html! {
            section {
                h2 { (group.title()) }
                p.soft { (group.workload.what()) ": " (bytes(size)) " a trial"
                    @if let Some(source) = self.source(group) { ", " (source) }
                    "."
                }
                @if let Some(layout) = self.layout(group) { p.soft { "How the file lay in the cache: " (layout.words()) "." } }
                @if let Some(footprint) = group.footprint() { p.soft { (capital(&footprint)) "." } }
                div.pair {
                    (speeds(group))
                    (times(group))
                }
                @if let Some(curve) = curve::by_block_size(group) { (curve) }
                (details(group))
                @for remark in group.remarks() { p.soft { (remark) "." } }
                @for line in skipped_lines(self.skipped.iter().filter(|s| {
                    group.has(s)
                })) {
                    p.soft { (line.trim()) }
                }
            }
        }
    }

    fn fio_section(&self) -> Markup {
        html! {
            @if !self.checks.is_empty() {
                h2 { "checked with fio" }
                p.soft { "The same calls on the same cached file, turn by turn; neither looks at the bytes." }
                div.wide { table {
                    tr { th { "engine" } th { "block" } th { "fio" } th { "ours" } th { "ours over fio" } td {} }
                    @for check in &self.checks {
                        tr {
                            td { (check.engine) } td { (bytes(check.block_bytes)) }
                            td { (throughput(check.fio.median)) } td { (throughput(check.ours.median)) }
                            td {
                                (significant(check.ratio.median)) " [" (significant(check.ratio.low)) "\u{2013}"
                                (significant(check.ratio.high)) "]"
                            }
                            td style="text-align:left" { (check.why) }
                        }
                    }
                } }
            }
        }
    }

    fn not_measured(&self) -> Markup {
        let lines = self.unmeasured();
        html! {
            @if !lines.is_empty() {
                h2 { "not measured" }
                ul { @for line in lines { li { (line) } } }
            }
        }
    }

    fn machine_section(&self) -> Markup {
        html! {
            h2 { "the machine" }
            table.facts {
                @for (name, value) in self.machine.rows() { tr { th scope="row" { (name) } td { (value) } } }
            }
        }
    }

    fn costs_section(&self) -> Markup {
        html! {
            h2 { "what single operations cost here" }
            p.soft {
                "Medians with 95 % intervals. The predictions above are made of these, of a probe of the file, and of "
                "each strategy\u{2019}s own counts."
            }
            div.wide tabindex="0" role="region" aria-label="What single operations cost; scrolls sideways" { table {
                tr { th { "operation" } th { "cost" } th { "95 % interval" } td {} }
                @for (name, cost, what) in self.costs.rows() {
                    tr {
                        td { (name) } td { (nanoseconds(cost.median)) }
                        td { (nanoseconds(cost.low)) " \u{2013} " (nanoseconds(cost.high)) }
                        td style="text-align:left" { (what) }
                    }
                }
            } }
        }
    }

    fn footer(&self) -> Markup {
        let dropped = &self.discarded;
        html! {
            @for note in &self.notes { p { (note) } }
            p {
                "Trials of all strategies were interleaved in random order (seed " (self.seed) "), each after proof of \
                 its cache state, and compared by rounds; medians with 95 % bootstrap intervals; every trial\u{2019}s \
                 bytes were checked. " (dropped.trials) " trials were thrown away"
                @if !dropped.reasons.is_empty() {
                    " (" (dropped.reasons.iter().map(|(why, n)| format!("{why}: {n}")).collect::<Vec<_>>().join("; ")) ")"
                }
                ". " (format!("{:.1}", self.elapsed_s)) " s in all; version " (self.suite) "."
            }
        }
    }
}

/// A large count in three digits: "12", "3.41 M".
fn count(value: f64) -> String {
    match value {
        v if v < 1e4 => format!("{v:.0}"),
        v if v < 1e6 => format!("{} k", significant(v / 1e3)),
        v if v < 1e9 => format!("{} M", significant(v / 1e6)),
        v => format!("{} G", significant(v / 1e9)),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The baseline's second row is named by what it is for.
fn shown(row: &ResultRow) -> &str {
    if row.again { "the same again" } else { &row.strategy }
}

fn class(row: &ResultRow) -> &'static str {
    match row.verdict {
        _ if row.baseline || row.again => "row-base",
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::Undecided => "undecided",
    }
}

fn word(row: &ResultRow) -> String {
    let r = &row.ratio_to_baseline;
    if row.baseline {
        return "baseline".to_owned();
    }
    if row.pairs < FEWEST {
        return format!("{}: too few", counted(row.pairs, "pair"));
    }
    let word = match row.verdict {
        Verdict::Faster => "faster",
        Verdict::Slower => "slower",
        Verdict::Undecided => "undecided",
    };
    format!("{word} \u{d7}{} [{}\u{2013}{}]", significant(r.median), significant(r.low), significant(r.high))
}

/// A row's speed and its interval, in the unit of its bar.
fn speed_interval(row: &ResultRow) -> Estimate {
    let amount = row.operations.unwrap_or(row.bytes) as f64 * 1e9;
    Estimate { median: amount / row.wall_ns.median, low: amount / row.wall_ns.high, high: amount / row.wall_ns.low }
}

fn percent(value: f64, of: f64) -> String {
    format!("{:.2}%", (value / of * 100.0).clamp(0.0, 100.0))
}

fn speeds(group: &Group<'_>) -> Markup {
    // Half as much again as the fastest is room enough for any whisker.
    let fastest = group.rows.iter().map(|row| row.speed()).fold(0.0, f64::max);
    let most = group.rows.iter().map(|row| speed_interval(row).high).fold(0.0, f64::max).min(fastest * 1.5);
    let unit = if group.by_operation() { "Operations a second" } else { "Throughput" };
    html! {
        figure {
            h3 { (unit) }
            div.bars {
                @for row in &group.rows {
                    @let speed = speed_interval(row);
                    div.name { (shown(row)) }
                    div.value {
                        @match row.operation_ns() {
                            Some(ns) => { (nanoseconds(ns)) " each" }
                            None => { (throughput(row.bytes_per_second)) }
                        }
                        small { (word(row)) }
                    }
                    div class={ "track " (class(row)) } title=(row.what) {
                        div.fill style={ "width:" (percent(speed.median, most)) } {}
                        div.whisker style={
                            "left:" (percent(speed.low, most)) ";width:"
                            (percent(speed.high.min(most) - speed.low, most))
                        } {}
                    }
                }
            }
            figcaption {
                "Longer is better. Whiskers: 95 % interval of the median. Blue is decidedly faster than the baseline, \
                 orange decidedly slower, pale is undecided."
            }
        }
    }
}

fn times(group: &Group<'_>) -> Markup {
    let longest = group
        .rows
        .iter()
        .map(|row| whole(row).max(row.predicted_ns.unwrap_or(0.0).min(1.5 * whole(row))))
        .fold(0.0, f64::max);
    let predicted = group.rows.iter().any(|row| row.predicted_ns.is_some());
    html! {
        figure {
            h3 { "Where the time goes" }
            div.legend {
                span { i.user {} "program" } span { i.system {} "kernel" } span { i.wait {} "waiting" }
                @if predicted { span { i.line {} "predicted" } }
            }
            div.bars {
                @for row in &group.rows {
                    div.name { (shown(row)) }
                    div.value {
                        (nanoseconds(row.wall_ns.median))
                        @if let Some(ns) = row.predicted_ns { small { "predicted " (nanoseconds(ns)) } }
                    }
                    div.track {
                        div class="part user" style={ "width:" (percent(row.user_ns, longest)) } {}
                        div class="part system" style={ "width:" (percent(row.system_ns, longest)) } {}
                        div class="part wait" style={ "width:" (percent(row.waiting_ns, longest)) } {}
                        @if let Some(ns) = row.predicted_ns {
                            div.predicted style={ "left:" (percent(ns, longest)) } {}
                        }
                    }
                }
            }
            figcaption {
                "Shorter is better. Median CPU time of a trial and what is left of its wall time; the number is the \
                 median wall time."
                @if let Some(words) = group.about_predictions() { " Model: " (words) "." }
            }
        }
    }
}

fn whole(row: &ResultRow) -> f64 {
    row.user_ns + row.system_ns + row.waiting_ns
}

fn details(group: &Group<'_>) -> Markup {
    let counters = group.counters();
    html! {
        div.wide tabindex="0" role="region" aria-label=(format!("Figures: {}", group.title())) { table {
            tr {
                th { "strategy" } th { "trials" } th { "wall time" } th { "95 % interval" } th { "against baseline" }
                th { "faults" } th { "with I/O" } th { "calls" } th { "switches" } th { "pages cached before" }
                @for (name, _) in &counters { th { (name) } }
            }
            @for (number, row) in group.rows.iter().enumerate() {
                tr {
                    td { (shown(row)) } td { (row.trials) } td { (nanoseconds(row.wall_ns.median)) }
                    td { (nanoseconds(row.wall_ns.low)) " \u{2013} " (nanoseconds(row.wall_ns.high)) }
                    td { (word(row)) }
                    td { (row.minor_faults) } td { (row.major_faults) } td { (row.system_calls) }
                    td { (row.context_switches) }
                    td {
                        @match (row.cached_pages, row.file_pages) {
                            (Some(cached), Some(pages)) => { (cached) " of " (pages) }
                            _ => { "\u{2013}" }
                        }
                    }
                    @for (_, values) in &counters {
                        td { @match values[number] { Some(value) => { (count(value)) }, None => { "\u{2013}" } } }
                    }
                }
            }
        } }
    }
}
