//! What single operations cost on this machine: the terms of the model.

mod device;
mod files;
mod memory;
mod processes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::time::ClockId;
use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::statistics::{Estimate, estimate};
use crate::subject::Workshop;

pub(crate) use files::{fault_of, populate_of};
pub(crate) use processes::round_trip;

/// Batches of each measurement.
const BATCHES: usize = 9;

/// Bytes of the scratch files, all together.
const SCRATCH: u64 = 192 << 20;

/// The primitive costs; all in nanoseconds. `None` where this machine does not
/// permit or have the operation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Costs {
    /// The least system call: getppid(2).
    pub syscall_ns: Option<Estimate>,
    /// pread(2) of one cached page.
    pub pread_page_ns: Option<Estimate>,
    /// Copying 1 KiB within the processor's caches.
    pub copy_cached_kib_ns: Option<Estimate>,
    /// Copying 1 KiB from memory into a small buffer.
    pub copy_memory_kib_ns: Option<Estimate>,
    /// Copying 1 KiB from memory to memory.
    pub copy_through_kib_ns: Option<Estimate>,
    /// Summing 1 KiB that lies in the processor's second cache.
    pub sum_cached_kib_ns: Option<Estimate>,
    /// Summing 1 KiB of memory that is mapped already.
    pub sum_memory_kib_ns: Option<Estimate>,
    /// First write to a page of anonymous memory.
    pub fault_anonymous_ns: Option<Estimate>,
    /// First write to a page of a file's hole through a shared mapping.
    pub fault_file_new_ns: Option<Estimate>,
    /// First touch of 64 KiB of a file cached in small folios: one fault.
    pub fault_file_small_ns: Option<Estimate>,
    /// First touch of a large folio of a file: one fault.
    pub fault_file_large_ns: Option<Estimate>,
    /// Pages that the large fault mapped.
    pub fault_file_large_pages: Option<f64>,
    /// MADV_POPULATE_READ of a page of a file cached in small folios.
    pub populate_page_ns: Option<Estimate>,
    /// mmap(2) and munmap(2) of a page that is never touched.
    pub map_unmap_ns: Option<Estimate>,
    /// open(2) and close(2) of a file that is cached.
    pub open_close_ns: Option<Estimate>,
    /// mmap(2), first touch and munmap(2) of a file of one page.
    pub map_touch_file_ns: Option<Estimate>,
    /// munmap(2) of a touched page, with one thread.
    pub unmap_touched_ns: Option<Estimate>,
    /// The same while a second thread runs on another processor, which must be
    /// told to forget the page (a TLB shootdown).
    pub unmap_shootdown_ns: Option<Estimate>,
    /// A cached page, overwritten in calls of 1 MiB.
    pub overwrite_page_ns: Option<Estimate>,
    /// A page of a new file, written in calls of 1 MiB.
    pub write_page_ns: Option<Estimate>,
    /// A page of a new file, written in calls of one page.
    pub write_page_alone_ns: Option<Estimate>,
    /// A round trip of one byte through two pipes between two threads.
    pub pipe_round_trip_ns: Option<Estimate>,
    /// The same with both on one processor: two context switches.
    pub pipe_round_trip_one_cpu_ns: Option<Estimate>,
    /// A word of shared memory to another processor and back, nobody asleep.
    pub line_round_trip_ns: Option<Estimate>,
    /// vmsplice(2) of a page into a pipe and splice(2) out of it.
    pub splice_page_ns: Option<Estimate>,
    /// A request through io_uring that does nothing, 32 at a time.
    pub uring_request_ns: Option<Estimate>,
    /// A signal to oneself with a handler.
    pub signal_ns: Option<Estimate>,
    /// fork(2), exit and wait of this process.
    pub fork_ns: Option<Estimate>,
    /// What each MiB of touched memory adds to it.
    pub fork_mib_ns: Option<Estimate>,
    /// Reading 1 MiB of a file that is not cached, through the page cache in
    /// order: the miss, with the kernel's read-ahead.
    pub cache_miss_mib_ns: Option<Estimate>,
    /// Reading 4 KiB from the device, one at a time.
    pub device_4k_ns: Option<Estimate>,
    /// The same, 32 at a time.
    pub device_4k_deep_ns: Option<Estimate>,
    /// Reading 1 MiB from the device, one at a time.
    pub device_1m_ns: Option<Estimate>,
    /// Reading 1 MiB from the device, four at a time.
    pub device_1m_deep_ns: Option<Estimate>,
    /// Writing 1 MiB to the device, one at a time.
    pub device_write_1m_ns: Option<Estimate>,
    /// fdatasync(2) of one written page.
    pub sync_ns: Option<Estimate>,
    /// What each further MiB written adds to it.
    pub sync_mib_ns: Option<Estimate>,
}

impl Costs {
    /// Name, figure and what it is, of those that were measured.
    pub fn rows(&self) -> Vec<(&'static str, Estimate, &'static str)> {
        let all = [
            ("system call", self.syscall_ns, "getppid(2)"),
            ("pread of a cached page", self.pread_page_ns, "4 KiB, the same page again"),
            ("copy 1 KiB, in cache", self.copy_cached_kib_ns, "memcpy, 32 KiB to 32 KiB"),
            ("copy 1 KiB out of memory", self.copy_memory_kib_ns, "memcpy into a 64 KiB buffer"),
            ("copy 1 KiB memory to memory", self.copy_through_kib_ns, "memcpy of 32 MiB"),
            ("sum 1 KiB, in cache", self.sum_cached_kib_ns, "64 KiB again and again"),
            ("sum 1 KiB of memory", self.sum_memory_kib_ns, "64 MiB, mapped already"),
            ("fault, anonymous page", self.fault_anonymous_ns, "first write"),
            ("fault, write to a hole", self.fault_file_new_ns, "shared mapping of a new file"),
            ("fault, file in small folios", self.fault_file_small_ns, "maps up to 64 KiB"),
            ("fault, file in large folios", self.fault_file_large_ns, "maps up to 2 MiB"),
            ("populate a page", self.populate_page_ns, "MADV_POPULATE_READ, small folios"),
            ("open and close", self.open_close_ns, "a cached file"),
            ("mmap, touch and munmap", self.map_touch_file_ns, "a file of one page"),
            ("mmap and munmap", self.map_unmap_ns, "one page, not touched"),
            ("munmap of a touched page", self.unmap_touched_ns, "one thread"),
            ("the same with a second thread", self.unmap_shootdown_ns, "TLB shootdown"),
            ("overwrite a cached page", self.overwrite_page_ns, "in calls of 1 MiB"),
            ("write a page of a new file", self.write_page_ns, "in calls of 1 MiB"),
            ("write a page, each by itself", self.write_page_alone_ns, "in calls of 4 KiB"),
            ("pipe round trip", self.pipe_round_trip_ns, "two threads, wherever they run"),
            ("pipe round trip, one CPU", self.pipe_round_trip_one_cpu_ns, "two context switches"),
            ("word of memory, there and back", self.line_round_trip_ns, "two processors, nobody asleep"),
            ("page through a pipe", self.splice_page_ns, "vmsplice and splice"),
            ("io_uring request", self.uring_request_ns, "nothing to do, 32 at a time"),
            ("signal", self.signal_ns, "to oneself, with a handler"),
            ("fork, exit and wait", self.fork_ns, "this process"),
            ("fork, each MiB touched", self.fork_mib_ns, "in 4 KiB pages"),
            ("page-cache miss, 1 MiB", self.cache_miss_mib_ns, "in order, read ahead"),
            ("device read 4 KiB", self.device_4k_ns, "O_DIRECT, one at a time"),
            ("device read 4 KiB, deep", self.device_4k_deep_ns, "io_uring, 32 in flight"),
            ("device read 1 MiB", self.device_1m_ns, "O_DIRECT, one at a time"),
            ("device read 1 MiB, deep", self.device_1m_deep_ns, "io_uring, four in flight"),
            ("device write 1 MiB", self.device_write_1m_ns, "O_DIRECT, one at a time"),
            ("fdatasync", self.sync_ns, "one page written"),
            ("fdatasync, each MiB more", self.sync_mib_ns, "written in order"),
        ];
        all.into_iter().filter_map(|(name, cost, what)| Some((name, cost?, what))).collect()
    }
}

/// Measures them all, in about a second.
///
/// # Errors
/// [`BenchError::NoSpace`] when the scratch files do not fit, and
/// [`BenchError::Interrupted`].
pub fn measure(workshop: &Workshop, interrupted: &AtomicBool) -> Result<Costs, BenchError> {
    workshop.ensure_space(SCRATCH, "measuring primitive costs")?;
    let go_on = || {
        if interrupted.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    };
    let mut costs = Costs::default();
    processes::calls(&mut costs);
    go_on()?;
    memory::measure(&mut costs);
    go_on()?;
    files::measure(workshop, &mut costs, &go_on)?;
    go_on()?;
    device::measure(workshop, &mut costs)?;
    go_on()?;
    processes::measure(&mut costs);
    Ok(costs)
}

/// The CPU time of this thread: what an operation costs that does not wait, and
/// the same on a machine whose processors others use too.
pub(crate) struct CpuClock(Duration);

impl CpuClock {
    pub(crate) fn start() -> Self {
        Self(Self::now())
    }

    /// Nanoseconds since the start.
    pub(crate) fn ns(&self) -> f64 {
        Self::now().saturating_sub(self.0).as_nanos() as f64
    }

    fn now() -> Duration {
        ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
    }
}

/// Nanoseconds of CPU time of one of the `operations` that `batch` does, over
/// some batches.
pub(crate) fn per_operation(operations: usize, mut batch: impl FnMut()) -> Estimate {
    batch();
    let samples: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let clock = CpuClock::start();
            batch();
            clock.ns() / operations as f64
        })
        .collect();
    estimate(&undisturbed(samples), 1)
}

/// The faster two thirds: what a neighbour or an interrupt does to a batch only
/// makes it slower, and the cost of an operation is what it takes by itself.
fn undisturbed(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples.truncate(samples.len().div_ceil(3) * 2);
    samples
}

/// The same for a batch that says itself how long its part took.
pub(crate) fn per_operation_timed(operations: usize, mut batch: impl FnMut() -> Option<f64>) -> Option<Estimate> {
    let samples: Option<Vec<f64>> = (0..BATCHES).map(|_| batch().map(|ns| ns / operations as f64)).collect();
    samples.map(|samples| estimate(&undisturbed(samples), 1))
}

/// Nanoseconds of wall time, for what waits.
fn wall(what: impl FnOnce() -> Option<()>) -> Option<f64> {
    let clock = Instant::now();
    what()?;
    Some(clock.elapsed().as_nanos() as f64)
}

/// Page faults without I/O of this thread so far.
pub(crate) fn minor_faults() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.minor_page_faults() as u64)
}

/// Page faults of this thread so far that waited for I/O.
pub(crate) fn major_faults() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.major_page_faults() as u64)
}

/// For the operations that look whether they should stop: these need not.
static NEVER: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cost_that_is_measured_is_a_time() {
        let workshop = Workshop::new(None).unwrap();
        let costs = measure(&workshop, &NEVER).unwrap();
        assert!(costs.syscall_ns.is_some() && costs.fork_ns.is_some());
        for (name, cost, _) in costs.rows() {
            assert!(cost.median.is_finite() && cost.median >= 0.0, "{name}: {cost:?}");
        }
        assert_eq!(std::fs::read_dir(workshop.dir()).unwrap().count(), 0);
    }
}
