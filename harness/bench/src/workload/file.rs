//! Arenas on one file: scan, rescan, random, copy, write, update, records.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Arena;
use crate::cache::{self, Residency};
use crate::error::BenchError;
use crate::folios::Shape;
use crate::machine::meminfo;
use crate::memory::{Digest, LARGE_PAGE, Mapping, page_size};
use crate::request::CacheState;
use crate::statistics::Random;
use crate::strategy::{STRETCH, Task, Work, random, update, write};
use crate::subject::{Subject, digest_of, flush};

/// What a run's result must be.
#[derive(Debug, Clone)]
enum Expected {
    /// The sum of the whole file.
    Sum,
    /// The sums of the blocks at the offsets, whole and first words only.
    Blocks { whole: u64, first_words: u64 },
    /// The target has the file's digest.
    Copy,
    /// The target has this digest.
    Target(u64),
    /// Each run adds so much to the sum of the file.
    Grown { per_run: u64, now: u64 },
}

/// One file, and what is done to it.
#[derive(Debug)]
pub struct FileArena {
    subject: Arc<Subject>,
    target: PathBuf,
    offsets: Vec<u64>,
    operations: Option<u64>,
    expected: Expected,
    fresh_memory: bool,
    /// How the file is to come into the cache, where that is what is varied.
    shape: Option<Shape>,
    interrupted: Arc<AtomicBool>,
    bytes: u64,
}

impl FileArena {
    fn new(subject: Arc<Subject>, target: PathBuf, interrupted: Arc<AtomicBool>, expected: Expected) -> Self {
        let bytes = subject.size();
        Self {
            subject,
            target,
            offsets: Vec::new(),
            operations: None,
            expected,
            fresh_memory: false,
            shape: None,
            interrupted,
            bytes,
        }
    }

    /// Reads all of the file.
    pub fn scan(subject: Arc<Subject>, target: PathBuf, interrupted: Arc<AtomicBool>) -> Self {
        Self::new(subject, target, interrupted, Expected::Sum)
    }

    /// Reads all of a file that has come into the cache in the way of `shape`.
    ///
    /// # Errors
    /// What bringing it in says.
    pub fn shaped(
        subject: Arc<Subject>,
        target: PathBuf,
        interrupted: Arc<AtomicBool>,
        shape: Shape,
    ) -> Result<Self, BenchError> {
        let arena = Self::new(subject, target, interrupted, Expected::Sum);
        let mut arena = Self { shape: Some(shape), ..arena };
        if let Some(new) = shape.give(&arena.subject, &arena.interrupted)? {
            arena.subject = Arc::new(new);
        }
        Ok(arena)
    }

    /// Brings back what the cache has lost of the file.
    fn warm(&mut self) -> Result<(), BenchError> {
        let Some(shape) = self.shape else {
            return digest_of(self.subject.path(), &self.interrupted).map(drop);
        };
        if let Some(new) = shape.restore(&self.subject, &self.interrupted)? {
            self.subject = Arc::new(new);
        }
        Ok(())
    }

    /// What is cached of the file.
    fn residency(&self) -> Result<Residency, BenchError> {
        cache::residency(self.subject.file(), self.subject.size())
            .map_err(|e| BenchError::io("ask what is cached of", self.subject.shown(), e))
    }

    /// Copies the file to `target`.
    pub fn copy(subject: Arc<Subject>, target: PathBuf, interrupted: Arc<AtomicBool>) -> Self {
        let arena = Self::new(subject, target, interrupted, Expected::Copy);
        Self { fresh_memory: true, ..arena }
    }

    /// Writes as many bytes as the file has to `target`.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`].
    pub fn write(subject: Arc<Subject>, target: PathBuf, interrupted: Arc<AtomicBool>) -> Result<Self, BenchError> {
        let pattern = write::pattern();
        let mut digest = Digest::new();
        let mut left = subject.size() as usize;
        while left > 0 {
            if interrupted.load(Ordering::Relaxed) {
                return Err(BenchError::Interrupted);
            }
            let part = left.min(pattern.len());
            digest.add(&pattern[..part]);
            left -= part;
        }
        let expected = Expected::Target(digest.value());
        let arena = Self::new(subject, target, interrupted, expected);
        Ok(Self { fresh_memory: true, ..arena })
    }

    /// Reads `count` blocks at offsets given by `seed`.
    ///
    /// # Errors
    /// What reading them once, to know their sum, says.
    pub fn random(
        subject: Arc<Subject>,
        target: PathBuf,
        interrupted: Arc<AtomicBool>,
        count: usize,
        seed: u64,
    ) -> Result<Self, BenchError> {
        use std::os::unix::fs::FileExt;
        let blocks = (subject.size() as usize / random::BLOCK).max(1);
        let mut numbers = Random::new(seed);
        let offsets: Vec<u64> = (0..count).map(|_| (numbers.below(blocks) * random::BLOCK) as u64).collect();
        let (mut whole, mut first_words) = (0u64, 0u64);
        let mut block = [0u8; random::BLOCK];
        for offset in &offsets {
            subject
                .file()
                .read_exact_at(&mut block, *offset)
                .map_err(|e| BenchError::io("read", subject.shown(), e))?;
            whole = whole.wrapping_add(crate::memory::sum(&block));
            first_words = first_words.wrapping_add(crate::memory::sum(&block[..8]));
        }
        let bytes = (count * random::BLOCK) as u64;
        let operations = Some(count as u64);
        let expected = Expected::Blocks { whole, first_words };
        let arena = Self::new(subject, target, interrupted, expected);
        Ok(Self { offsets, operations, bytes, ..arena })
    }

    /// Adds to `count` records of a file of our own, at offsets given by `seed`;
    /// to every record when `count` is `None`.
    pub fn update(
        subject: Arc<Subject>,
        target: PathBuf,
        interrupted: Arc<AtomicBool>,
        count: Option<usize>,
        seed: u64,
    ) -> Self {
        let records = subject.size() as usize / update::RECORD;
        let mut numbers = Random::new(seed);
        let offsets: Vec<u64> =
            (0..count.unwrap_or(0)).map(|_| (numbers.below(records) * update::RECORD) as u64).collect();
        let per_run = count.unwrap_or(records) as u64;
        let expected = Expected::Grown { per_run, now: subject.sum() };
        let arena = Self::new(subject, target, interrupted, expected);
        Self { offsets, operations: Some(per_run), bytes: per_run * update::RECORD as u64, ..arena }
    }

    /// The file, for the next arena.
    pub fn into_subject(self) -> Arc<Subject> {
        self.subject
    }

    fn changes_the_file(&self) -> bool {
        matches!(self.expected, Expected::Grown { .. })
    }
}

impl Arena for FileArena {
    fn task(&self) -> Task<'_> {
        Task {
            path: self.subject.path(),
            size: self.subject.size(),
            target: &self.target,
            offsets: &self.offsets,
            interrupted: &self.interrupted,
        }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn operations(&self) -> Option<u64> {
        self.operations
    }

    fn ready(&mut self, cache: CacheState) -> Result<Result<Option<Residency>, String>, BenchError> {
        if !self.changes_the_file() {
            self.subject.ensure_unchanged()?;
        }
        // A new file takes over the pages of the one before it, so those are
        // backed from the second trial on; what was evicted may be gone.
        if std::mem::take(&mut self.fresh_memory) || cache == CacheState::Cold {
            back_free_memory(self.subject.size(), &self.interrupted);
        }
        let mut residency = self.residency()?;
        match cache {
            CacheState::Warm => {
                if !residency.is_warm() {
                    self.warm()?;
                    residency = self.residency()?;
                }
                Ok(if residency.is_warm() {
                    Ok(Some(residency))
                } else {
                    Err(format!("only {} of {} pages were cached", residency.cached, residency.pages))
                })
            }
            CacheState::Cold => {
                for _ in 0..3 {
                    if residency.is_cold() {
                        break;
                    }
                    flush(self.subject.file());
                    cache::evict(self.subject.file()).map_err(|e| BenchError::io("evict", self.subject.shown(), e))?;
                    residency = self.residency()?;
                }
                Ok(if residency.is_cold() {
                    Ok(Some(residency))
                } else {
                    Err(format!("{} of {} pages stayed cached", residency.cached, residency.pages))
                })
            }
            CacheState::None => Ok(Ok(None)),
        }
    }

    fn verify(&mut self, work: &Work) -> Result<Result<u64, String>, BenchError> {
        let (expected, found) = match &mut self.expected {
            // A program's sum is not seen; its status was.
            Expected::Sum if work.unseen => return Ok(Ok(0)),
            Expected::Sum => (self.subject.sum(), work.checksum),
            Expected::Blocks { whole, first_words } => {
                let part = work.note.as_deref() == Some(random::FIRST_WORDS);
                (if part { *first_words } else { *whole }, work.checksum)
            }
            Expected::Copy => {
                let found = target_digest(&self.target, &self.interrupted)?;
                (self.subject.digest(), found)
            }
            Expected::Target(expected) => {
                let found = target_digest(&self.target, &self.interrupted)?;
                (*expected, found)
            }
            Expected::Grown { per_run, now } => {
                *now = now.wrapping_add(*per_run);
                let (found, _, _) = digest_of(self.subject.path(), &self.interrupted)?;
                (*now, found)
            }
        };
        Ok(if expected == found {
            Ok(found)
        } else {
            Err(format!("checksum {found:016x} where {expected:016x} was right"))
        })
    }

    fn settle(&mut self) {
        // Nothing to remove when the run made no target.
        let _ = std::fs::remove_file(&self.target);
    }

    fn file(&self) -> Option<&Subject> {
        Some(&self.subject)
    }

    fn subject(&self) -> Option<&Subject> {
        (!self.changes_the_file()).then_some(&self.subject)
    }
}

/// The digest of a file that a run has just made, and that nobody else knows:
/// read in place, because this is done after every trial.
fn target_digest(path: &Path, interrupted: &AtomicBool) -> Result<u64, BenchError> {
    let file = File::open(path).map_err(|e| BenchError::io("open", path, e))?;
    let len = file.metadata().map_err(|e| BenchError::io("fstat", path, e))?.len() as usize;
    let mut digest = Digest::new();
    if len == 0 {
        return Ok(digest.value());
    }
    let mapping =
        Mapping::file(&file, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(|e| BenchError::io("mmap", path, e))?;
    for start in (0..len).step_by(STRETCH) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        // SAFETY: inside the live mapping of a file in a directory of our own,
        // which no run is writing any more.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.address().add(start), STRETCH.min(len - start)) };
        digest.add(bytes);
    }
    Ok(digest.value())
}

/// Touches and frees memory, so that what the next trial takes from the free
/// list is backed by the host already; on a virtual machine the first touch of
/// a page may cost several times the copy that follows it.
pub(crate) fn back_free_memory(bytes: u64, interrupted: &AtomicBool) {
    let wanted = bytes + bytes / 4;
    if meminfo("MemAvailable").is_none_or(|available| wanted > available / 2) {
        return;
    }
    let Ok(mapping) =
        Mapping::anonymous((wanted as usize).next_multiple_of(LARGE_PAGE), libc::MAP_PRIVATE | libc::MAP_NORESERVE)
    else {
        return;
    };
    // Refused where there are no large pages; small ones only take longer.
    let _ = mapping.advise(libc::MADV_HUGEPAGE);
    for at in (0..mapping.len()).step_by(page_size()) {
        if interrupted.load(Ordering::Relaxed) {
            return;
        }
        // SAFETY: inside the live mapping.
        unsafe { mapping.address().add(at).write_volatile(1) };
    }
}
