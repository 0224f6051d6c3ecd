//! What a caller asks for, and what it hears while the work goes on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{BenchError, nearest_names};
use crate::report::ResultRow;

/// What is to be done with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkloadName {
    /// Checksum a file once, in order.
    Scan,
    /// Checksum it again, with the mapping or the buffer kept.
    Rescan,
    /// Checksum 4 KiB blocks at seeded offsets.
    Random,
    /// Copy a file to a new file.
    Copy,
    /// Add to one counter of records at seeded offsets, in place.
    Update,
    /// Write a new file and make it durable.
    Write,
    /// Read, change and write back each record of a file in turn.
    Records,
    /// Two, four and eight processes checksum the same file at the same time.
    Share,
    /// Open, checksum and close many small files.
    Small,
    /// The same scan of the same bytes, cached in pages of different sizes.
    Shape,
    /// Move bytes from one process to another.
    Pipe,
    /// Small messages between two processes: there and back, and one way.
    Ipc,
}

impl WorkloadName {
    /// Every workload, in the order in which reports show them.
    pub const ALL: [Self; 12] = [
        Self::Scan,
        Self::Rescan,
        Self::Random,
        Self::Copy,
        Self::Update,
        Self::Write,
        Self::Records,
        Self::Share,
        Self::Small,
        Self::Shape,
        Self::Pipe,
        Self::Ipc,
    ];

    /// The name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Rescan => "rescan",
            Self::Random => "random",
            Self::Copy => "copy",
            Self::Update => "update",
            Self::Write => "write",
            Self::Records => "records",
            Self::Share => "share",
            Self::Small => "small",
            Self::Shape => "shape",
            Self::Pipe => "pipe",
            Self::Ipc => "ipc",
        }
    }

    /// What is done, in a few words.
    pub fn what(self) -> &'static str {
        match self {
            Self::Scan => "checksum a file once, in order",
            Self::Rescan => "checksum it again, mapping or buffer kept",
            Self::Random => "checksum 4 KiB blocks at random offsets",
            Self::Copy => "copy a file to a new file",
            Self::Update => "add to counters of random records, in place",
            Self::Write => "write a new file and make it durable",
            Self::Records => "read, change and write back every record",
            Self::Share => "several processes checksum one file at once",
            Self::Small => "open, checksum and close many small files",
            Self::Shape => "one scan, cached in pages of different sizes",
            Self::Pipe => "move bytes from one process to another",
            Self::Ipc => "small messages, there and back and one way",
        }
    }
}

impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for WorkloadName {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        Self::ALL.into_iter().find(|workload| workload.name() == text).ok_or_else(|| {
            let near = nearest_names(text, Self::ALL.iter().map(|w| w.name()));
            BenchError::UnknownWorkload { name: text.to_owned(), near }
        })
    }
}

/// The state of the page cache that one trial starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheState {
    /// Every page of the file is cached.
    Warm,
    /// No page of the file is cached.
    Cold,
    /// No file is read, so there is no state.
    None,
}

impl fmt::Display for CacheState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::None => "none",
        })
    }
}

/// Which cache states are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheChoice {
    /// Only with the file cached.
    Warm,
    /// Only with the file evicted.
    Cold,
    /// Both, each by itself.
    #[default]
    Both,
}

impl FromStr for CacheChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "warm" => Ok(Self::Warm),
            "cold" => Ok(Self::Cold),
            "both" => Ok(Self::Both),
            _ => Err(format!("\u{201c}{text}\u{201d} is none of warm, cold, both")),
        }
    }
}

/// A program entered as a strategy of the scan and copy workloads.
#[derive(Debug, Clone)]
pub struct ExternalStrategy {
    /// The name of its row.
    pub name: String,
    /// Program and arguments; `{src}` and `{dst}` in any of them are replaced
    /// by the paths. With a `{dst}` it enters *copy*, without it *scan*.
    pub argv: Vec<String>,
}

/// A comparison to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// The workloads, measured in this order.
    pub workloads: Vec<WorkloadName>,
    /// The file to read; generated when `None`. It is never written to.
    pub file: Option<PathBuf>,
    /// Where files are generated and copies written; by default the system's
    /// directory for temporary files, on a disk if there is a choice.
    pub dir: Option<PathBuf>,
    /// Bytes of the generated file.
    pub size: u64,
    /// The cache states to measure.
    pub cache: CacheChoice,
    /// Only these strategies (the baseline is always there); all when `None`.
    pub strategies: Option<Vec<String>>,
    /// The wall time of it all: no new trial starts after that once anything has
    /// been measured, and on a file of more than 256 MiB what is under way is
    /// broken off.
    pub budget: Duration,
    /// The seed of the trials' order, the offsets and the bootstrap.
    pub seed: u64,
    /// Programs entered as strategies.
    pub extra: Vec<ExternalStrategy>,
    /// fio's program, to check some figures against it; this takes its own time,
    /// about a minute.
    pub check_with_fio: Option<PathBuf>,
    /// Only the strategies that matter most.
    pub quick: bool,
    /// Set by the caller, for example from a SIGINT handler; seen within
    /// 200 ms. What was measured by then is returned, marked as partial.
    pub interrupted: Arc<AtomicBool>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            workloads: vec![WorkloadName::Scan, WorkloadName::Copy],
            file: None,
            dir: None,
            size: 256 << 20,
            cache: CacheChoice::Both,
            strategies: None,
            budget: Duration::from_secs(30),
            seed: 1,
            extra: Vec::new(),
            check_with_fio: None,
            quick: false,
            interrupted: Arc::new(AtomicBool::new(false)),
        }
    }
}

/// What happens, as it happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A new part of the work begins.
    Phase {
        /// For example "generate 256 MiB".
        what: &'a str,
    },
    /// A trial begins.
    Trial {
        /// The workload's name.
        workload: &'a str,
        /// The strategy's name.
        strategy: &'a str,
        /// "warm", "cold" or "none".
        cache: &'a str,
        /// Counts from 1.
        round: usize,
        /// How many rounds the budget is thought to allow.
        of: usize,
    },
    /// A trial was thrown away.
    Discarded {
        /// The reason.
        why: &'a str,
    },
    /// How the rows of the running comparison stand after a round.
    Standing(&'a [ResultRow]),
    /// A row is final.
    Row(&'a ResultRow),
    /// A claim was tried.
    Claim(&'a crate::claims::Claim),
}
