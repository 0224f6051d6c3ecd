//! What the model must ask the very file that is measured, because no other
//! file's figures can tell: how it lies in the page cache.

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::costs::{CpuClock, fault_of, minor_faults, populate_of};
use crate::memory::{Buffer, Mapping, page_size};
use crate::request::CacheState;
use crate::statistics::Random;
use crate::strategy::random::BLOCK;
use crate::strategy::scan::pread_some;
use crate::strategy::update::RECORD;
use crate::subject::Subject;

/// Costs of touching and reading some of a cached file, in nanoseconds of CPU time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Mapping and touching a page in order; munmap included.
    pub touch_page_ns: f64,
    /// MADV_POPULATE_READ of a page.
    pub populate_page_ns: f64,
    /// Summing 1 KiB of a mapping that was touched before: pages that lie
    /// scattered take longer.
    pub sum_kib_ns: f64,
    /// Copying 1 KiB out of the page cache into a buffer of each of [`BUFFERS`]:
    /// which cache the buffer fits in matters.
    pub read_kib_ns: [f64; 6],
    /// pread of a block at a random place.
    pub random_pread_ns: f64,
    /// A minor fault at a random place; munmap included.
    pub random_fault_ns: f64,
    /// Summing a block at a random place of a mapping that was touched before.
    pub random_sum_ns: f64,
    /// Reading one word there.
    pub random_word_ns: f64,
    /// Writing a page of a new file of this size, in calls of 1 MiB.
    pub write_page_ns: f64,
    /// Writing to a page of a new file of this size through a mapping, from the
    /// first page to the last; munmap included.
    pub write_mapped_page_ns: f64,
    /// pread and pwrite of a record at a random place; the first write to a page
    /// that is clean is among them as often as in a trial.
    pub record_ns: f64,
    /// The same at one record after the other.
    pub next_record_ns: f64,
    /// A write to a word of a page that may be written to already.
    pub random_write_ns: f64,
    /// A fault by such a write in a new mapping.
    pub write_fault_ns: f64,
    /// A fault by such a write to a page that was only read before.
    pub protect_fault_ns: f64,
}

/// Bytes that a probe looks at.
const PROBED: u64 = 64 << 20;

/// Bytes of the new files.
const WRITTEN: u64 = 256 << 20;

/// Random places that a probe looks at.
const PLACES: usize = 20_000;

/// Records that a probe changes.
const UPDATES: usize = 4000;

/// The sizes of buffer that are probed.
const BUFFERS: [usize; 6] = [4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

impl Probe {
    /// Probes a file that is cached; a cold one has nothing to probe.
    pub fn of(subject: &Subject, cache: CacheState) -> Self {
        if cache != CacheState::Warm {
            return Self::default();
        }
        let len = subject.size().min(PROBED) as usize;
        let mut probe = Self::default();
        if let Some((cost, pages)) = fault_of(subject.file(), len) {
            probe.touch_page_ns = cost.median / pages;
        }
        if let Some(cost) = populate_of(subject.file(), len) {
            probe.populate_page_ns = cost.median;
        }
        probe.sum_kib_ns = sum_kib(subject, len).unwrap_or(0.0);
        probe.read_kib_ns = BUFFERS.map(|buffer| read_kib(subject, len, buffer).unwrap_or(0.0));
        // A failure leaves zeros, and with them no prediction worth the name.
        let _ = probe.at_random(subject);
        probe
    }

    /// Adds what new files of the subject's size cost; they are made at `target`
    /// and removed.
    pub fn with_writing(mut self, subject: &Subject, target: &Path) -> Self {
        let len = subject.size().min(WRITTEN) as usize;
        let pages = len.div_ceil(page_size()) as f64;
        let passes = || -> Option<(f64, f64)> {
            let bytes = vec![0xA5u8; len.min(1 << 20)];
            let written = quickest(|| {
                let file = File::create_new(target).ok()?;
                let clock = CpuClock::start();
                (0..len / bytes.len()).try_for_each(|_| (&file).write_all(&bytes).ok())?;
                let ns = clock.ns();
                std::fs::remove_file(target).ok().map(|()| ns / pages)
            })?;
            let mapped = quickest(|| {
                let file = File::options().read(true).write(true).create_new(true).open(target).ok()?;
                file.set_len(len as u64).ok()?;
                let both = libc::PROT_READ | libc::PROT_WRITE;
                let mapping = Mapping::file(&file, 0, len, both, libc::MAP_SHARED).ok()?;
                let clock = CpuClock::start();
                for at in (0..len).step_by(page_size()) {
                    // SAFETY: inside the live, writable mapping of a file of our own.
                    unsafe { mapping.address().add(at).write_volatile(1) };
                }
                drop(mapping);
                let ns = clock.ns();
                std::fs::remove_file(target).ok().map(|()| ns / pages)
            })?;
            Some((written, mapped))
        };
        if let Some((written, mapped)) = passes() {
            (self.write_page_ns, self.write_mapped_page_ns) = (written, mapped);
        }
        // Left only by a pass that failed half-way.
        let _ = std::fs::remove_file(target);
        self
    }

    /// Copying 1 KiB into a buffer of about this size.
    pub fn read_kib(&self, buffer: Option<u64>) -> f64 {
        let buffer = buffer.unwrap_or(1 << 20) as usize;
        let index = BUFFERS.iter().rposition(|size| *size <= buffer).unwrap_or(0);
        self.read_kib_ns[index]
    }

    /// Adds what changes in place cost, by writing what is there already.
    pub fn with_updates(mut self, subject: &Subject) -> Self {
        // A failure leaves zeros, as above.
        let _ = self.updates(subject);
        self
    }

    fn updates(&mut self, subject: &Subject) -> Option<()> {
        let file = File::options().read(true).write(true).open(subject.path()).ok()?;
        let records = subject.size() as usize / RECORD;
        let mut numbers = Random::new(23);
        let random: Vec<usize> = (0..UPDATES).map(|_| numbers.below(records) * RECORD).collect();
        let next: Vec<usize> = (0..UPDATES.min(records)).map(|number| number * RECORD).collect();
        let by_calls = |places: &[usize]| {
            quickest(|| {
                file.sync_data().ok()?;
                let (clock, mut record) = (CpuClock::start(), [0u8; RECORD]);
                for place in places {
                    file.read_exact_at(&mut record, *place as u64).ok()?;
                    file.write_all_at(&record, *place as u64).ok()?;
                }
                Some(clock.ns() / places.len() as f64)
            })
        };
        self.record_ns = by_calls(&random)?;
        self.next_record_ns = by_calls(&next)?;
        let len = subject.size() as usize;
        let map = || {
            file.sync_data().ok()?;
            Mapping::file(&file, 0, len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).ok()
        };
        let store = |mapping: &Mapping| {
            let (clock, before) = (CpuClock::start(), minor_faults());
            for place in &random {
                // SAFETY: inside the live, writable mapping of a file of our own.
                unsafe {
                    let word = mapping.address().add(*place).cast::<u64>();
                    word.write_volatile(word.read_volatile());
                }
            }
            (clock.ns(), (minor_faults() - before).max(1) as f64)
        };
        let mapping = map()?;
        store(&mapping);
        self.random_write_ns = quickest(|| Some(store(&mapping).0 / UPDATES as f64))?;
        drop(mapping);
        let words = self.random_write_ns * UPDATES as f64;
        let fault = |touched: bool| {
            quickest(|| {
                let mapping = map()?;
                if touched {
                    crate::memory::touch(&mapping);
                }
                let (ns, faults) = store(&mapping);
                Some((ns - words).max(0.0) / faults)
            })
        };
        self.write_fault_ns = fault(false)?;
        self.protect_fault_ns = fault(true)?;
        Some(())
    }

    fn at_random(&mut self, subject: &Subject) -> Option<()> {
        let blocks = subject.size() as usize / BLOCK;
        if blocks == 0 {
            return None;
        }
        let mut numbers = Random::new(17);
        // Other places each time, or they would all be in the processor's caches.
        let mut places = move || -> Vec<usize> { (0..PLACES).map(|_| numbers.below(blocks) * BLOCK).collect() };
        let mut buffer = Buffer::new(BLOCK).ok()?;
        self.random_pread_ns = quickest(|| {
            let places = places();
            let (clock, mut calls) = (CpuClock::start(), 0);
            for place in &places {
                pread_some(subject.file(), buffer.bytes(), *place as u64, &mut calls).ok()?;
            }
            Some(clock.ns() / PLACES as f64)
        })?;
        let map = || Mapping::file(subject.file(), 0, blocks * BLOCK, libc::PROT_READ, libc::MAP_SHARED).ok();
        let words = |mapping: &Mapping, places: &[usize]| {
            for place in places {
                // SAFETY: inside the live mapping.
                unsafe { mapping.address().add(*place).read_volatile() };
            }
        };
        let kept = map()?;
        crate::memory::touch(&kept);
        self.random_word_ns = quickest(|| {
            let places = places();
            let clock = CpuClock::start();
            words(&kept, &places);
            Some(clock.ns() / PLACES as f64)
        })?;
        let read = self.random_word_ns * PLACES as f64;
        self.random_fault_ns = quickest(|| {
            let places = places();
            let (clock, before) = (CpuClock::start(), minor_faults());
            words(&map()?, &places);
            let faults = minor_faults() - before;
            Some((clock.ns() - read).max(0.0) / faults.max(1) as f64)
        })?;
        self.random_sum_ns = quickest(|| {
            let places = places();
            let clock = CpuClock::start();
            for place in &places {
                black_box(kept.sum(*place, BLOCK));
            }
            Some(clock.ns() / PLACES as f64)
        })?;
        Some(())
    }
}

/// The least of five passes: what a neighbour does to one only makes it slower.
fn quickest(mut pass: impl FnMut() -> Option<f64>) -> Option<f64> {
    (0..5).map(|_| pass()).collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::min)
}

fn read_kib(subject: &Subject, len: usize, buffer: usize) -> Option<f64> {
    let mut buffer = Buffer::new(buffer).ok()?;
    quickest(|| {
        let (clock, mut calls) = (CpuClock::start(), 0);
        let mut offset = 0;
        while offset < len {
            let n = pread_some(subject.file(), buffer.bytes(), offset as u64, &mut calls).ok()?;
            if n == 0 {
                break;
            }
            offset += n;
        }
        Some(clock.ns() / (len as f64 / 1024.0))
    })
}

fn sum_kib(subject: &Subject, len: usize) -> Option<f64> {
    let mapping = Mapping::file(subject.file(), 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
    crate::memory::touch(&mapping);
    quickest(|| {
        let clock = CpuClock::start();
        black_box(mapping.sum(0, len));
        Some(clock.ns() / (len as f64 / 1024.0))
    })
}
