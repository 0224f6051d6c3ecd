//! Everything that can stop a comparison, each with the object and the cause.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::format::bytes;

/// Why a comparison, or a claim, could not be made.
///
/// The message names the object and the cause; what to type next is the
/// caller's to say.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The file given does not exist.
    #[error("{}: no such file", path.display())]
    Missing {
        /// As given.
        path: PathBuf,
    },
    /// The path given is not a regular file.
    #[error("{}: is {kind}, not a regular file", path.display())]
    NotAFile {
        /// As given.
        path: PathBuf,
        /// "a directory", "a FIFO", "a block device" and so on.
        kind: &'static str,
    },
    /// The file holds no bytes, so there is nothing to measure.
    #[error("{}: the file is empty (0 bytes): there is nothing to measure", path.display())]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The file is made up by the kernel as it is read and has no page cache.
    #[error("{}: lives on {file_system}, a pseudo file system whose files have no page cache to measure", path.display())]
    Pseudo {
        /// As given.
        path: PathBuf,
        /// For example "proc".
        file_system: &'static str,
    },
    /// Somebody wrote to, cut or replaced the file while it was measured.
    #[error("{}: changed while it was measured ({what}): the figures would compare different files", path.display())]
    Changed {
        /// As given.
        path: PathBuf,
        /// What is different.
        what: String,
    },
    /// No file can be made in the directory given.
    #[error("{}: no file can be made there: {}", dir.display(), reason(source))]
    BadDirectory {
        /// As given.
        dir: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// There is not enough free space for what would be written.
    #[error("{}: {} free, but {} are needed for {purpose}", dir.display(), bytes(*free), bytes(*need))]
    NoSpace {
        /// Where the files would be written.
        dir: PathBuf,
        /// Bytes needed.
        need: u64,
        /// Bytes free to this user.
        free: u64,
        /// What they are needed for.
        purpose: &'static str,
    },
    /// The size asked for is of no use.
    #[error("a size of {} is too small: at least {} are needed for a measurable trial", bytes(*size), bytes(*least))]
    TooSmall {
        /// Bytes asked for.
        size: u64,
        /// The least that is accepted.
        least: u64,
    },
    /// The file is so large that the budget would be spent before a trial.
    #[error(
        "{}: to {operation} all its {} once takes about {:.0} s, and {:.0} s are left of the budget",
        path.display(), bytes(*size), takes.as_secs_f64(), given.as_secs_f64()
    )]
    TooLong {
        /// "read" or "write".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Its bytes.
        size: u64,
        /// How long it takes, by how far it had come.
        takes: Duration,
        /// How long it might have taken.
        given: Duration,
    },
    /// No workload has this name.
    #[error("no workload is called \u{201c}{name}\u{201d}{}", nearest(near))]
    UnknownWorkload {
        /// As given.
        name: String,
        /// The nearest names, best first.
        near: Vec<String>,
    },
    /// No strategy of the workloads asked for has this name.
    #[error("no strategy of {workloads} is called \u{201c}{name}\u{201d}{}", nearest(near))]
    UnknownStrategy {
        /// As given.
        name: String,
        /// The workloads that were searched.
        workloads: String,
        /// The nearest names, best first.
        near: Vec<String>,
    },
    /// A strategy's bytes were not those of the file.
    #[error("{strategy} ({workload}) gave wrong bytes: {what}")]
    WrongBytes {
        /// The strategy's name.
        strategy: String,
        /// The workload's name.
        workload: String,
        /// What is different.
        what: String,
    },
    /// No claim has this name.
    #[error("no claim is called \u{201c}{name}\u{201d}{}", nearest(near))]
    UnknownClaim {
        /// As given.
        name: String,
        /// The nearest names, best first.
        near: Vec<String>,
    },
    /// The request leaves nothing that can be measured here.
    #[error("nothing can be measured: {why}")]
    Nothing {
        /// The reasons, joined.
        why: String,
    },
    /// The run was interrupted before anything was measured.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// A system call failed that should not.
    #[error("{operation} {object}: {source}")]
    Io {
        /// The operation that failed.
        operation: &'static str,
        /// What it was done to.
        object: String,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl BenchError {
    /// An [`BenchError::Io`] about a path.
    pub(crate) fn io(operation: &'static str, object: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, object: object.display().to_string(), source: source.into() }
    }
}

/// The kernel's words without its number, and without a path that the message
/// has already.
fn reason(source: &io::Error) -> String {
    let number = source.raw_os_error();
    number.map_or_else(|| source.kind().to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_owned())
}

fn nearest(near: &[String]) -> String {
    match near {
        [] => String::new(),
        names => format!(" (nearest: {})", names.join(", ")),
    }
}

/// The names of `all` that are most like `name`, best first, at most three.
pub(crate) fn nearest_names<'a>(name: &str, all: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = all.map(|other| (strsim::jaro_winkler(name, other), other)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().filter(|(score, _)| *score > 0.6).take(3).map(|(_, n)| n.to_owned()).collect()
}
