//! How a file lies in the page cache: in few large folios or in many small
//! ones, which decides more than anything else what a mapping of it costs.
//!
//! [`Shape`] is how a file comes into the cache, [`Layout`] is what came of it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::cache;
use crate::error::BenchError;
use crate::format::{bytes, significant};
use crate::machine::meminfo;
use crate::memory::{LARGE_PAGE, Mapping, page_size, touch};
use crate::request::{CacheState, WorkloadName};
use crate::subject::{Subject, digest_of, flush};

/// A way for a file to come into the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Written in pieces of so many bytes: a folio is no larger than the call
    /// that makes it.
    Written(usize),
    /// Read a page at a time with the kernel's read-ahead turned off.
    ReadByPages,
    /// Read from its start to its end, and read ahead by the kernel.
    ReadAhead,
}

impl Shape {
    /// Those that a file of our own can be given, the smallest folios first, and last what takes longest: each page read
    /// by itself is a request to the device.
    pub const OWN: [Self; 6] = [
        Self::Written(4 << 10),
        Self::Written(64 << 10),
        Self::Written(1 << 20),
        Self::Written(4 << 20),
        Self::ReadAhead,
        Self::ReadByPages,
    ];

    /// Those that need no writing, for a file of the caller's.
    pub const BY_READING: [Self; 2] = [Self::ReadAhead, Self::ReadByPages];

    /// In words that end a sentence about the file.
    pub fn name(self) -> String {
        match self {
            Self::Written(piece) => format!("written {} at a time", bytes(piece as u64)),
            Self::ReadByPages => "read by single pages".to_owned(),
            Self::ReadAhead => "read ahead".to_owned(),
        }
    }

    /// Brings back what the cache has lost of a file that was given this shape:
    /// single pages where it has such anyway, otherwise all of it anew.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub fn restore(self, subject: &Subject, interrupted: &AtomicBool) -> Result<Option<Subject>, BenchError> {
        if !self.by_single_pages() {
            return self.give(subject, interrupted);
        }
        read_by_pages(subject, interrupted).map(|()| None)
    }

    /// Whether each page of the file comes into the cache by itself.
    fn by_single_pages(self) -> bool {
        match self {
            Self::Written(piece) => piece == page_size(),
            Self::ReadByPages => true,
            Self::ReadAhead => false,
        }
    }

    /// Brings all of the file into the cache in this way. The bytes stay as
    /// they are; a file that was written has a new modification time, so it is
    /// a new [`Subject`] that comes back.
    ///
    /// # Errors
    /// What the kernel says, or [`BenchError::Interrupted`].
    pub fn give(self, subject: &Subject, interrupted: &AtomicBool) -> Result<Option<Subject>, BenchError> {
        if let Self::Written(piece) = self {
            let _held = self.by_single_pages().then(hold_fragments);
            return subject.rewritten(piece, interrupted).map(Some);
        }
        let failed = |e| BenchError::io("read", subject.shown(), e);
        flush(subject.file());
        cache::evict(subject.file()).map_err(failed)?;
        let _held = self.by_single_pages().then(hold_fragments);
        if self == Self::ReadAhead {
            digest_of(subject.path(), interrupted)?;
        } else {
            read_by_pages(subject, interrupted)?;
        }
        Ok(None)
    }
}

/// Takes what free memory there is in pieces smaller than a large page, until
/// it is dropped. The kernel would give those first, wherever they lie, and
/// single pages that lie scattered are read far more slowly than neighbours:
/// what is to be varied is the size of the folios and nothing else.
fn hold_fragments() -> Option<Mapping> {
    let most = meminfo("MemAvailable")? / 4;
    let fragments = fragments(&std::fs::read_to_string("/proc/buddyinfo").ok()?) * page_size() as u64;
    let len = fragments.min(most) as usize;
    let mapping = Mapping::anonymous(len, libc::MAP_PRIVATE | libc::MAP_NORESERVE).ok()?;
    mapping.advise(libc::MADV_NOHUGEPAGE).ok()?;
    for at in (0..len).step_by(page_size()) {
        // SAFETY: inside the live mapping.
        unsafe { mapping.address().add(at).write_volatile(1) };
    }
    Some(mapping)
}

/// The free pages of /proc/buddyinfo that lie in pieces smaller than a large
/// page: a column for each power of two.
fn fragments(buddyinfo: &str) -> u64 {
    let orders = (LARGE_PAGE / page_size()).ilog2() as usize;
    buddyinfo
        .lines()
        .flat_map(|line| line.split_whitespace().skip(4).take(orders).enumerate())
        .filter_map(|(order, count)| Some(count.parse::<u64>().ok()? << order))
        .sum()
}

/// Reads every page of the file by itself; those that are cached stay as they are.
fn read_by_pages(subject: &Subject, interrupted: &AtomicBool) -> Result<(), BenchError> {
    let failed = |e| BenchError::io("read", subject.shown(), e);
    // The advice holds for an open file, so for one of our own.
    let file = File::open(subject.path()).map_err(failed)?;
    // SAFETY: takes a descriptor and integers only.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
    let mut page = vec![0u8; page_size()];
    for offset in (0..subject.size()).step_by(page.len()) {
        if interrupted.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        file.read_at(&mut page, offset).map_err(failed)?;
    }
    Ok(())
}

/// How a cached file was found to lie, before the trials on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The workload whose trials came after.
    pub workload: WorkloadName,
    /// In which state.
    pub cache: CacheState,
    /// The shape, where the workload varies it.
    pub shape: Option<String>,
    /// Bytes that were looked at, from the file's start.
    pub looked_at: u64,
    /// Minor faults for each MiB that was mapped and touched.
    pub faults_per_mib: f64,
    /// Folios by size, smallest first: bytes of one, and how many there are.
    /// Empty where the flags of physical pages may not be read.
    pub folios: Vec<(u64, u64)>,
    /// Pieces of memory that those bytes lie in, neighbours counted as one;
    /// `None` where the kernel does not tell the numbers of frames.
    #[serde(default)]
    pub runs: Option<u64>,
}

/// Bytes that are looked at.
const LOOKED_AT: u64 = 64 << 20;

impl Layout {
    /// Looks at a file that is cached; `None` when it cannot be mapped.
    pub fn of(subject: &Subject, workload: WorkloadName, shape: Option<&str>) -> Option<Self> {
        let len = subject.size().min(LOOKED_AT) as usize;
        let mapping = Mapping::file(subject.file(), 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
        let before = crate::costs::minor_faults();
        touch(&mapping);
        let faults = crate::costs::minor_faults() - before;
        let frames = frames(&mapping);
        Some(Self {
            workload,
            cache: CacheState::Warm,
            shape: shape.map(str::to_owned),
            looked_at: len as u64,
            faults_per_mib: faults as f64 / (len as f64 / (1 << 20) as f64),
            folios: frames.as_deref().and_then(histogram).unwrap_or_default(),
            runs: frames.map(|frames| runs(&frames).count() as u64),
        })
    }

    /// The size of folio that most of the bytes lie in.
    pub fn usual_folio(&self) -> Option<u64> {
        self.folios.iter().max_by_key(|(size, count)| size * count).map(|(size, _)| *size)
    }

    /// In words: "0.50 faults for each MiB mapped; folios in the first 64 MiB:
    /// 32 of 2 MiB; in 3 pieces of memory".
    pub fn words(&self) -> String {
        let faults = format!("{} faults for each MiB mapped", significant(self.faults_per_mib));
        if self.folios.is_empty() {
            return format!("{faults}; the sizes of folios are for a privileged user to see");
        }
        let folios: Vec<String> =
            self.folios.iter().map(|(size, count)| format!("{count} of {}", bytes(*size))).collect();
        let pieces = self
            .runs
            .map_or(String::new(), |runs| format!("; in {runs} piece{} of memory", if runs == 1 { "" } else { "s" }));
        format!("{faults}; folios in the first {}: {}{pieces}", bytes(self.looked_at), folios.join(", "))
    }
}

/// Bits of an entry of /proc/self/pagemap.
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

/// The bit of an entry of /proc/kpageflags (linux/kernel-page-flags.h) that
/// every page of a folio has but its first.
const COMPOUND_TAIL: u64 = 1 << 16;

/// The folios behind these frames, by size.
fn histogram(frames: &[u64]) -> Option<Vec<(u64, u64)>> {
    Some(by_size(&flags(frames)?, page_size() as u64))
}

/// Neighbouring frames, a piece at a time.
fn runs(frames: &[u64]) -> impl Iterator<Item = &[u64]> {
    frames.chunk_by(|a, b| a + 1 == *b)
}

/// The frame number of each page of a mapping that has been touched; `None`
/// where the kernel does not tell them.
fn frames(mapping: &Mapping) -> Option<Vec<u64>> {
    let pages = mapping.len().div_ceil(page_size());
    let mut entries = vec![0u8; pages * 8];
    let first = (mapping.address() as usize / page_size()) as u64;
    File::open("/proc/self/pagemap").ok()?.read_exact_at(&mut entries, first * 8).ok()?;
    let frames: Vec<u64> = words(&entries).map(|entry| if entry & PRESENT == 0 { 0 } else { entry & FRAME }).collect();
    // Without the privilege every number reads as 0.
    (!frames.contains(&0)).then_some(frames)
}

/// The flags of each frame, read a run of neighbours at a time.
fn flags(frames: &[u64]) -> Option<Vec<u64>> {
    let file = File::open("/proc/kpageflags").ok()?;
    let mut flags = Vec::with_capacity(frames.len());
    for run in runs(frames) {
        let mut entries = vec![0u8; run.len() * 8];
        file.read_exact_at(&mut entries, run[0] * 8).ok()?;
        flags.extend(words(&entries));
    }
    Some(flags)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word))
}

/// Counts the folios that begin within `flags`, by their bytes.
fn by_size(flags: &[u64], page: u64) -> Vec<(u64, u64)> {
    let mut sizes: Vec<u64> = Vec::new();
    for flag in flags {
        match sizes.last_mut() {
            Some(size) if flag & COMPOUND_TAIL != 0 => *size += page,
            _ => sizes.push(page),
        }
    }
    let mut counts = std::collections::BTreeMap::new();
    for size in sizes {
        *counts.entry(size).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Workshop;

    static CALM: AtomicBool = AtomicBool::new(false);

    #[test]
    fn folios_are_counted_from_head_to_last_tail() {
        let (head, tail) = (0, COMPOUND_TAIL);
        let flags = [head, head, tail, tail, tail, head, tail, head];
        assert_eq!(by_size(&flags, 4096), [(4096, 2), (8192, 1), (16384, 1)]);
        assert_eq!(by_size(&[], 4096), []);
    }

    #[test]
    fn fragments_are_the_free_pages_in_pieces_below_a_large_page() {
        let text = "Node 0, zone      DMA      1      0      0      0      0      0      0      0      1      1      3\n\
                    Node 0, zone   Normal     10      5      1      0      0      0      0      0      0      7    900\n";
        // 1 and 256 in the first zone, 10, 10 and 4 in the second.
        assert_eq!(page_size(), 4096);
        assert_eq!(fragments(text), 281);
        assert_eq!(fragments(""), 0);
    }

    #[test]
    fn a_shape_changes_how_a_file_lies_and_not_what_it_holds() {
        let workshop = Workshop::new(None).unwrap();
        let mut subject = Subject::generate(&workshop, "data", 8 << 20, 4 << 20, 1, &CALM).unwrap();
        let before = subject.digest();
        for shape in Shape::OWN {
            if subject.in_memory() && !matches!(shape, Shape::Written(_)) {
                continue;
            }
            if let Some(new) = shape.give(&subject, &CALM).unwrap() {
                subject = new;
            }
            subject.ensure_unchanged().unwrap();
            assert_eq!(digest_of(subject.path(), &CALM).unwrap().1, before, "{}", shape.name());
            let layout = Layout::of(&subject, WorkloadName::Shape, None).unwrap();
            assert!(layout.faults_per_mib > 0.0);
            if let (Shape::Written(4096), Some(folio)) = (shape, layout.usual_folio()) {
                assert_eq!(folio, page_size() as u64, "{}", layout.words());
            }
            let seen: u64 = layout.folios.iter().map(|(size, count)| size * count).sum();
            assert!(layout.folios.is_empty() || seen == 8 << 20, "{}", layout.words());
            let folios: u64 = layout.folios.iter().map(|(_, count)| count).sum();
            assert!(layout.runs.is_none_or(|runs| runs >= 1 && (folios == 0 || runs <= folios)), "{}", layout.words());
        }
    }
}
