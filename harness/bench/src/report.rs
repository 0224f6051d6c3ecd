//! What a comparison gives back: values, ready for JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::costs::Costs;
use crate::fio::FioCheck;
use crate::folios::Layout;
use crate::format::bytes;
use crate::machine::Machine;
use crate::request::{CacheState, WorkloadName};
use crate::statistics::{Estimate, Verdict};

/// The version of the form of [`Report`] in JSON.
pub const SCHEMA: u32 = 1;

/// A comparison: where, what, and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of the tool.
    pub suite: String,
    /// Seconds since 1970 when it began.
    pub began: u64,
    /// Wall time of the whole run in seconds.
    pub elapsed_s: f64,
    /// The seed of orders, offsets and bootstrap.
    pub seed: u64,
    /// Where it was made.
    pub machine: Machine,
    /// What single operations cost here.
    pub costs: Costs,
    /// The file read.
    pub file: FileFacts,
    /// How the file lay in the page cache, before each of the comparisons.
    #[serde(default)]
    pub layouts: Vec<Layout>,
    /// One row a strategy, workload and state.
    pub results: Vec<ResultRow>,
    /// The check against fio, where it was asked for.
    #[serde(default)]
    pub checks: Vec<FioCheck>,
    /// Sentences that the intervals support, one or more a workload.
    pub findings: Vec<Finding>,
    /// What could not be measured, and why.
    pub skipped: Vec<Skipped>,
    /// Trials thrown away, by reason.
    pub discarded: Discarded,
    /// What a reader should know of the whole.
    pub notes: Vec<String>,
    /// Whether the caller stopped it.
    pub interrupted: bool,
    /// Whether something asked for is not there: interrupted, or out of time.
    pub partial: bool,
}

/// The file that was read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FileFacts {
    /// As given, or "(generated)".
    pub path: String,
    /// In bytes.
    pub bytes: u64,
    /// Whether it was made for this run.
    pub generated: bool,
    /// How cache states were proved.
    pub proof: String,
}

/// One strategy's figures in one workload and state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResultRow {
    /// What was done.
    pub workload: WorkloadName,
    /// How.
    pub strategy: String,
    /// How, in a few words.
    pub what: String,
    /// The state of the page cache before each trial.
    pub cache: CacheState,
    /// The way the file came into the cache, where the workload varies it.
    pub shape: Option<String>,
    /// Whether the others are compared with this one.
    pub baseline: bool,
    /// Whether this is the baseline once more.
    pub again: bool,
    /// Whether it does less than the others, and is there for comparison only.
    #[serde(default)]
    pub less: bool,
    /// Bytes that one trial handles.
    pub bytes: u64,
    /// Bytes asked for at a time, where the strategy has such a size.
    pub block_bytes: Option<u64>,
    /// Round trips or files of one trial, where those count and not the bytes.
    pub operations: Option<u64>,
    /// Trials kept.
    pub trials: usize,
    /// Wall time of a trial, in nanoseconds.
    pub wall_ns: Estimate,
    /// From the median of the wall time.
    pub bytes_per_second: f64,
    /// The baseline's time over this one's, paired by round: 2 is twice as fast.
    pub ratio_to_baseline: Estimate,
    /// Rounds that have both.
    pub pairs: usize,
    /// What the ratio's interval supports.
    pub verdict: Verdict,
    /// Median CPU time of the program itself, in nanoseconds.
    pub user_ns: f64,
    /// Median CPU time of the kernel on its behalf, in nanoseconds.
    pub system_ns: f64,
    /// What is left of the median wall time, in nanoseconds.
    pub waiting_ns: f64,
    /// Median of the faults without I/O.
    pub minor_faults: u64,
    /// Median of the faults with I/O.
    pub major_faults: u64,
    /// Median of the strategy's own count.
    pub system_calls: u64,
    /// Median, voluntary and involuntary together.
    pub context_switches: u64,
    /// Median of the times another process was preferred.
    pub involuntary_switches: u64,
    /// Pages of the file that were cached before each trial, as proved.
    pub cached_pages: Option<u64>,
    /// Pages that the file has.
    pub file_pages: Option<u64>,
    /// Bytes of memory of all processes of a trial, as each of them counts its
    /// own (RSS), where several share a file.
    #[serde(default)]
    pub resident_bytes: Option<u64>,
    /// The same with what they share counted once (PSS).
    #[serde(default)]
    pub proportional_bytes: Option<u64>,
    /// The wall time that the primitive costs and these counts give.
    pub predicted_ns: Option<f64>,
    /// The sum of the words read, or the digest of the bytes written, in hex.
    pub checksum: String,
    /// Whether the bytes of every trial were checked.
    pub verified: bool,
    /// What a reader of the figures should know.
    pub notes: Vec<String>,
    /// Each trial by itself, in the order made; also those that were disturbed.
    #[serde(default)]
    pub samples: Vec<Sample>,
}

/// One trial of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
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
    /// Pages of the file that were cached before.
    pub cached_pages: Option<u64>,
    /// The canary loop beside it, in nanoseconds.
    pub canary_ns: f64,
    /// What disturbed it, if anything did.
    pub disturbed: Option<String>,
    /// What the processor counted meanwhile, where perf events are to be had and
    /// the trial does not wait.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
}

/// What a row notes of itself when the others are compared with it.
pub(crate) const BASELINE: &str = "the baseline";

/// What the baseline's second row notes of itself.
pub(crate) const AGAIN: &str = "the baseline against itself (A/A)";

/// How a row notes that its ratio is one of few pairs.
pub(crate) const TOO_FEW: &str = "too few to decide";

/// A sentence a person can act on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Of which workload.
    pub workload: WorkloadName,
    /// In which state.
    pub cache: CacheState,
    /// Whether the intervals decide it.
    pub decided: bool,
    /// The sentence.
    pub sentence: String,
}

/// Something that was asked for and is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// Of which workload.
    pub workload: WorkloadName,
    /// In which state.
    pub cache: CacheState,
    /// The shape, where the workload varies it.
    pub shape: Option<String>,
    /// Which strategy; all of them when `None`.
    pub strategy: Option<String>,
    /// The reason.
    pub why: String,
}

/// Trials thrown away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// How many.
    pub trials: usize,
    /// How many of those kept were disturbed too, on a machine so busy that
    /// nothing else would have been left.
    pub disturbed_but_kept: usize,
    /// How many for each kind of reason.
    pub reasons: BTreeMap<String, usize>,
}

impl Discarded {
    /// Counts one.
    pub(crate) fn add(&mut self, kind: &str) {
        self.trials += 1;
        *self.reasons.entry(kind.to_owned()).or_default() += 1;
    }
}

impl Report {
    /// The report as CONTRACT's JSON, indented.
    ///
    /// # Errors
    /// None in practice: every value of a report can be written.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// A report read back.
    ///
    /// # Errors
    /// Where the text is not a report.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// What has no row at all, each with the reason.
    pub fn unmeasured(&self) -> Vec<String> {
        let groups = self.groups();
        let mut lines: Vec<String> = Vec::new();
        for skipped in &self.skipped {
            if skipped.strategy.is_some() && groups.iter().any(|group| group.has(skipped)) {
                continue;
            }
            let shape = skipped.shape.as_ref().map_or(String::new(), |shape| format!(", {shape}"));
            let line = format!("{}, {}{shape}: {}", skipped.workload, skipped.cache, skipped.why);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// What a file that is not cached comes from; `None` for other groups.
    pub fn source(&self, group: &Group<'_>) -> Option<String> {
        let storage = &self.machine.storage;
        let device = storage.device.as_ref().filter(|_| group.cache == CacheState::Cold)?;
        let model = storage.model.as_deref().unwrap_or("model unknown");
        let below = if storage.hypervisor_may_cache { ", below which the hypervisor may keep a cache" } else { "" };
        Some(format!("read from {device} ({model}){below}"))
    }

    /// How the file lay in the cache before the trials of a group.
    pub fn layout(&self, group: &Group<'_>) -> Option<&Layout> {
        self.layouts.iter().find(|layout| {
            (layout.workload, layout.cache, layout.shape.as_deref()) == (group.workload, group.cache, group.shape)
        })
    }

    /// The rows of one workload and state, and their shape, in the order measured.
    pub fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for row in &self.results {
            match groups.iter_mut().find(|g| g.holds(row)) {
                Some(group) => group.rows.push(row),
                None => groups.push(Group {
                    workload: row.workload,
                    cache: row.cache,
                    shape: row.shape.as_deref(),
                    rows: vec![row],
                }),
            }
        }
        groups
    }
}

/// Rows that can be compared with each other.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// What was done.
    pub workload: WorkloadName,
    /// The state of the page cache.
    pub cache: CacheState,
    /// How the file came into the cache, where that is varied.
    pub shape: Option<&'a str>,
    /// The rows.
    pub rows: Vec<&'a ResultRow>,
}

impl Group<'_> {
    fn holds(&self, row: &ResultRow) -> bool {
        self.workload == row.workload && self.cache == row.cache && self.shape == row.shape.as_deref()
    }

    /// How far the model is off here, and where it is a rough one why; `None` where nothing was predicted or is to be
    /// said.
    pub fn about_predictions(&self) -> Option<String> {
        let error = ModelError::of(self).map(|error| error.words());
        let why = match self.workload {
            WorkloadName::Ipc | WorkloadName::Pipe if error.is_none() => {
                "no prediction: how often the two wait for each other is the scheduler's doing"
            }
            WorkloadName::Ipc | WorkloadName::Pipe => {
                "a rough model, for when a process that was woken runs is the scheduler's doing"
            }
            _ => return error,
        };
        Some(error.map_or(why.to_owned(), |error| format!("{error} ({why})")))
    }

    /// What its rows note of themselves, one line for each note: drift, outliers,
    /// how a buffer lies.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in &self.rows {
            let name = if row.again { "the same again" } else { row.strategy.as_str() };
            // The table itself says which is the baseline, and of how few pairs a ratio is.
            let said = |note: &str| [BASELINE, AGAIN].contains(&note) || note.ends_with(TOO_FEW);
            for note in row.notes.iter().map(String::as_str).filter(|note| !said(note)) {
                match remarks.iter_mut().find(|(other, _)| *other == note) {
                    Some((_, names)) => names.push(name),
                    None => remarks.push((note, vec![name])),
                }
            }
        }
        remarks.into_iter().map(|(note, names)| format!("{}: {note}", names.join(", "))).collect()
    }

    /// Whether it is of this group that something is missing.
    pub(crate) fn has(&self, skipped: &Skipped) -> bool {
        self.workload == skipped.workload && self.cache == skipped.cache && self.shape == skipped.shape.as_deref()
    }

    /// "scan, warm page cache".
    pub fn title(&self) -> String {
        let mut title = self.workload.name().to_owned();
        match self.cache {
            CacheState::Warm => title.push_str(", warm page cache"),
            CacheState::Cold => title.push_str(", cold page cache"),
            CacheState::None => {}
        }
        if let Some(shape) = self.shape {
            title.push_str(", ");
            title.push_str(shape);
        }
        title
    }

    /// What the memory of all processes came to, in words; `None` where that
    /// was not asked.
    pub fn footprint(&self) -> Option<String> {
        let parts: Vec<String> = self
            .rows
            .iter()
            .filter(|row| !row.again)
            .filter_map(|row| {
                let (resident, proportional) = (bytes(row.resident_bytes?), bytes(row.proportional_bytes?));
                Some(format!("{} {resident} and {proportional}", row.strategy))
            })
            .collect();
        (!parts.is_empty()).then(|| {
            format!("memory of all processes, as each counts it (RSS) and shared out (PSS): {}", parts.join(", "))
        })
    }

    /// The median of each counter over a row's trials, where there are any: a
    /// name, and a value for each row.
    pub fn counters(&self) -> Vec<(&str, Vec<Option<f64>>)> {
        let names: BTreeSet<&str> =
            self.rows.iter().flat_map(|row| &row.samples).flat_map(|s| s.counters.keys().map(String::as_str)).collect();
        let of = |row: &ResultRow, name: &str| {
            let counted: Vec<f64> = row.samples.iter().filter_map(|s| Some(*s.counters.get(name)? as f64)).collect();
            (!counted.is_empty()).then(|| crate::statistics::median(&counted))
        };
        names.into_iter().map(|name| (name, self.rows.iter().map(|row| of(row, name)).collect())).collect()
    }

    /// Whether a time per operation says more than bytes a second.
    pub fn by_operation(&self) -> bool {
        self.rows.iter().any(|row| row.operations.is_some())
    }
}

impl ResultRow {
    /// Nanoseconds of one operation, where operations count.
    pub fn operation_ns(&self) -> Option<f64> {
        self.operations.map(|n| self.wall_ns.median / n.max(1) as f64)
    }

    /// What the row's bar shows: more is better.
    pub fn speed(&self) -> f64 {
        match self.operations {
            Some(n) => n as f64 / self.wall_ns.median * 1e9,
            None => self.bytes_per_second,
        }
    }

    /// The prediction over the measurement: over the CPU time instead of the
    /// wall time where another process had the processor for more than a tenth
    /// of it, which no cost can foretell.
    pub fn prediction_ratio(&self) -> Option<f64> {
        let wall = self.wall_ns.median;
        let cpu = self.user_ns + self.system_ns;
        let put_aside = self.involuntary_switches > 0 && self.cache == CacheState::Warm && cpu < 0.9 * wall;
        self.predicted_ns.map(|predicted| predicted / if put_aside { cpu } else { wall })
    }
}

/// How far the model is off within a group.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelError {
    /// The median of the rows' errors, as a part of what was measured.
    pub median: f64,
    /// The rows that are off by more than [`ModelError::MOST`], worst first,
    /// with their prediction over their measurement.
    pub off: Vec<(String, f64)>,
}

impl ModelError {
    /// An error that needs no remark.
    pub const MOST: f64 = 0.15;

    /// Of the rows of a group that have a prediction; `None` when none has.
    pub fn of(group: &Group<'_>) -> Option<Self> {
        let ratios: Vec<(&str, f64)> = group
            .rows
            .iter()
            .filter(|row| !row.again)
            .filter_map(|row| Some((row.strategy.as_str(), row.prediction_ratio()?)))
            .collect();
        let errors: Vec<f64> = ratios.iter().map(|(_, ratio)| (ratio - 1.0).abs()).collect();
        let mut off: Vec<(String, f64)> = ratios
            .into_iter()
            .filter(|(_, ratio)| (ratio - 1.0).abs() > Self::MOST)
            .map(|(name, ratio)| (name.to_owned(), ratio))
            .collect();
        off.sort_by(|a, b| (b.1 - 1.0).abs().total_cmp(&(a.1 - 1.0).abs()));
        (!errors.is_empty()).then(|| Self { median: crate::statistics::median(&errors), off })
    }

    /// In words, the worst three named.
    pub fn words(&self) -> String {
        let median = format!("predictions are off by {:.0} % in the median", self.median * 100.0);
        if self.off.is_empty() {
            return median;
        }
        let worst: Vec<String> =
            self.off.iter().take(3).map(|(name, ratio)| format!("{name} {ratio:.2} times what it took")).collect();
        let more = self.off.len().saturating_sub(3);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{median}; by more than 15 %: {}{more}", worst.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_whose_predictions_are_rough_or_missing_says_why() {
        let said =
            |workload| Group { workload, cache: CacheState::Warm, shape: None, rows: Vec::new() }.about_predictions();
        assert_eq!(said(WorkloadName::Scan), None);
        assert!(said(WorkloadName::Ipc).is_some_and(|words| words.starts_with("no prediction: ")));
    }
}
