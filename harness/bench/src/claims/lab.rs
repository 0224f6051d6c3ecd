//! What the trials of claims have in common: scratch files, children, clocks.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Map, Value};

use super::ClaimVerdict;
use crate::costs::CpuClock;
pub(super) use crate::costs::{major_faults, minor_faults};
use crate::error::BenchError;
use crate::memory::{Mapping, page_size};
use crate::process::Child;
pub use crate::process::End;
use crate::statistics::{Estimate, Verdict, estimate, verdict};
use crate::subject::{Subject, Workshop};

/// Where claims are tried.
pub struct Lab {
    pub workshop: Workshop,
    pub interrupted: Arc<AtomicBool>,
}

/// What a trial of a claim gives.
pub struct Answer {
    pub verdict: ClaimVerdict,
    pub figures: Map<String, Value>,
    pub why: String,
}

/// The result of a trial: an answer, or what broke.
pub type Tried = Result<Answer, BenchError>;

impl Answer {
    pub fn new(verdict: ClaimVerdict, why: impl Into<String>) -> Self {
        Self { verdict, figures: Map::new(), why: why.into() }
    }

    /// Holds or fails.
    pub fn decided(holds: bool, why: impl Into<String>) -> Self {
        Self::new(if holds { ClaimVerdict::Holds } else { ClaimVerdict::Fails }, why)
    }

    /// This machine refuses what the trial needs.
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::new(ClaimVerdict::Skipped, why)
    }

    /// Adds a figure; the unit belongs into its name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a figure with its interval.
    pub fn with_estimate(self, name: &str, value: Estimate) -> Self {
        let round = |v: f64| (v * 1000.0).round() / 1000.0;
        self.with(
            name,
            serde_json::json!({
                "median": round(value.median), "low": round(value.low), "high": round(value.high)
            }),
        )
    }
}

impl Lab {
    /// An empty file that loses its name at once, so that nothing is left of it.
    pub fn file(&self) -> Result<File, BenchError> {
        let path = self.workshop.path("scratch");
        let failed = |e| BenchError::io("create", &path, e);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
        std::fs::remove_file(&path).map_err(|e| BenchError::io("remove", &path, e))?;
        Ok(file)
    }

    /// Such a file with `size` bytes in it, written in pieces, clean and cached.
    pub fn filled(&self, size: usize, piece: usize) -> Result<File, BenchError> {
        let mut file = self.file()?;
        let bytes: Vec<u8> = (0..piece).map(|i| (i * 31 % 251) as u8 + 1).collect();
        for _ in 0..size.div_ceil(piece) {
            file.write_all(&bytes).map_err(broke("write a scratch file"))?;
        }
        file.set_len(size as u64).map_err(broke("ftruncate"))?;
        file.sync_data().map_err(broke("fdatasync"))?;
        Ok(file)
    }

    /// A file with a name, for what opens it by that.
    pub fn subject(&self, name: &str, size: u64, piece: usize) -> Result<Subject, BenchError> {
        Subject::generate(&self.workshop, name, size, piece, 1, &*self.interrupted)
    }

    /// A path for a FIFO or file; whoever makes it removes it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.workshop.path(name)
    }
}

/// For `map_err`: what could not be done.
pub fn broke(operation: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |source| BenchError::Io { operation, object: "for a claim".to_owned(), source }
}

/// The same for errors of nix.
pub fn refused(operation: &'static str) -> impl Fn(nix::Error) -> BenchError {
    move |errno| broke(operation)(errno.into())
}

/// A shared mapping of a whole file, for reading and writing.
pub fn map_shared(file: &File, len: usize) -> Result<Mapping, BenchError> {
    Mapping::file(file, 0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).map_err(broke("mmap"))
}

/// A private mapping of a whole file, for reading and writing.
pub fn map_private(file: &File, len: usize) -> Result<Mapping, BenchError> {
    Mapping::file(file, 0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE).map_err(broke("mmap"))
}

/// Reads a byte of a mapping.
pub fn peek(mapping: &Mapping, at: usize) -> u8 {
    assert!(at < mapping.len());
    // SAFETY: inside the live mapping, which is readable.
    unsafe { mapping.address().add(at).read_volatile() }
}

/// Writes a byte of a mapping made for writing.
pub fn poke(mapping: &Mapping, at: usize, byte: u8) {
    assert!(at < mapping.len());
    // SAFETY: inside the live mapping; every mapping of the claims is writable.
    unsafe { mapping.address().add(at).write_volatile(byte) };
}

/// Forks a child that does `what` and exits with its value.
///
/// # Safety
/// As [`Child::fork`].
pub unsafe fn fork_child(what: impl FnOnce() -> i32) -> Result<Child, BenchError> {
    // SAFETY: promised by the caller.
    unsafe { Child::fork(what) }.map_err(broke("fork"))
}

/// Waits for a child and says how it ended.
pub fn wait(child: Child) -> Result<End, BenchError> {
    child.wait().map_err(broke("waitpid"))
}

/// Runs `what` in a child and says how that ended.
///
/// # Safety
/// As [`Child::fork`].
pub unsafe fn in_child(what: impl FnOnce() -> i32) -> Result<End, BenchError> {
    // SAFETY: promised by the caller.
    wait(unsafe { fork_child(what) }?)
}

/// Nanoseconds of CPU time that `what` takes, which others on the same
/// processor do not change; for what does not wait.
pub fn time(mut what: impl FnMut()) -> f64 {
    let clock = CpuClock::start();
    what();
    clock.ns()
}

/// Nanoseconds that `what` takes with all its waiting.
pub fn wall_time(mut what: impl FnMut()) -> f64 {
    let clock = Instant::now();
    what();
    clock.elapsed().as_nanos() as f64
}

/// The ratio of the times of `a` over `b`, paired over `rounds` rounds that
/// begin with either in turn.
pub fn paired(rounds: usize, mut a: impl FnMut() -> f64, mut b: impl FnMut() -> f64) -> Paired {
    let mut samples = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (first, second) = if round % 2 == 0 {
            let first = a();
            (first, b())
        } else {
            let second = b();
            (a(), second)
        };
        // The first round warms up.
        if round > 0 {
            samples.0.push(first);
            samples.1.push(second);
            samples.2.push(first / second);
        }
    }
    let ratio = estimate(&samples.2, 1);
    Paired { a: estimate(&samples.0, 1), b: estimate(&samples.1, 1), ratio, verdict: verdict(&ratio, rounds) }
}

/// Two times and their ratio: `ratio` above 1 means that `b` is the faster.
pub struct Paired {
    pub a: Estimate,
    pub b: Estimate,
    pub ratio: Estimate,
    pub verdict: Verdict,
}

/// A field of the entry of /proc/self/smaps that holds `address`, in KiB.
pub fn smaps_kib(address: *const u8, field: &str) -> Option<u64> {
    crate::memory::smaps_kib("self", address as usize, field)
}

/// Bytes of `pages` pages.
pub fn pages(count: usize) -> usize {
    count * page_size()
}

/// A counter of /proc/thread-self/io, such as the number of read calls.
pub fn io_counter(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    let line = text.lines().find(|l| l.split(':').next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
