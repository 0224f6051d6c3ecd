//! A strategy's time, predicted from primitive costs and its own counts.
//!
//! Each function below is one workload's sum of terms. What a strategy has no
//! term for is left out rather than guessed.

mod cold;
mod probe;

pub use probe::Probe;

use crate::costs::Costs;
use crate::memory::page_size;
use crate::report::ResultRow;
use crate::request::{CacheState, WorkloadName};
use crate::statistics::Estimate;
use crate::strategy::ipc;
use crate::strategy::random::BLOCK;

/// The predicted wall time of a row, in nanoseconds; `None` where the model has
/// no term for what the strategy does, or this machine no figure for the term.
pub fn predict(row: &ResultRow, costs: &Costs, probe: Option<&Probe>) -> Option<f64> {
    let terms = Terms { row, costs, probe };
    if row.cache == CacheState::Cold {
        return cold::predict(&terms);
    }
    match row.workload {
        WorkloadName::Scan | WorkloadName::Rescan | WorkloadName::Shape => scan(&terms),
        WorkloadName::Random => random(&terms),
        WorkloadName::Copy => copy(&terms),
        WorkloadName::Update => update(&terms),
        WorkloadName::Records => records(&terms),
        WorkloadName::Write => write(&terms),
        WorkloadName::Share => share(&terms),
        WorkloadName::Small => small(&terms),
        WorkloadName::Pipe => pipe(&terms),
        WorkloadName::Ipc => messages(&terms),
    }
}

/// One row, and what its terms are made of.
struct Terms<'a> {
    row: &'a ResultRow,
    costs: &'a Costs,
    probe: Option<&'a Probe>,
}

impl Terms<'_> {
    fn name(&self) -> &str {
        self.row.strategy.strip_suffix("_again").unwrap_or(&self.row.strategy)
    }

    fn kib(&self) -> f64 {
        self.row.bytes as f64 / 1024.0
    }

    fn mib(&self) -> f64 {
        self.row.bytes as f64 / (1 << 20) as f64
    }

    fn pages(&self) -> f64 {
        (self.row.bytes as f64 / page_size() as f64).ceil()
    }

    fn operations(&self) -> f64 {
        self.row.operations.unwrap_or(0) as f64
    }

    fn faults(&self) -> f64 {
        self.row.minor_faults as f64
    }

    /// The system calls themselves.
    fn calls(&self) -> Option<f64> {
        Some(self.row.system_calls as f64 * self.costs.syscall_ns?.median)
    }

    /// Summing 1 KiB that was just copied into a buffer, which the processor's
    /// caches then hold.
    fn sum_copied(&self) -> Option<f64> {
        ns(self.costs.sum_cached_kib_ns)
    }

    /// Summing all of the bytes where they lie in the page cache.
    fn sum_in_place(&self) -> Option<f64> {
        Some(self.kib() * self.probe?.sum_kib_ns)
    }

    /// Making what was written durable.
    fn sync(&self, mib: f64) -> Option<f64> {
        Some(ns(self.costs.sync_ns)? + mib * ns(self.costs.sync_mib_ns)?)
    }

    /// What a call that writes one page costs beside the page's part of a large one.
    fn write_call(&self) -> Option<f64> {
        Some((ns(self.costs.write_page_alone_ns)? - ns(self.costs.write_page_ns)?).max(0.0))
    }
}

fn ns(cost: Option<Estimate>) -> Option<f64> {
    cost.map(|cost| cost.median)
}

fn scan(terms: &Terms<'_>) -> Option<f64> {
    let (row, costs, probe) = (terms.row, terms.costs, terms.probe?);
    let (name, kib) = (terms.name(), terms.kib());
    let copied = probe.read_kib(row.block_bytes);
    match name {
        "mmap" | "mmap_new" | "mmap_private" | "mmap_sequential" | "mmap_huge" => {
            Some(terms.sum_in_place()? + terms.pages() * probe.touch_page_ns)
        }
        "mmap_populate" | "mmap_populate_read" => Some(terms.sum_in_place()? + terms.pages() * probe.populate_page_ns),
        "mmap_kept" => terms.sum_in_place(),
        "memory" => Some(kib * ns(costs.sum_memory_kib_ns)?),
        // Once into the library's buffer, once out of it.
        "stdio" => Some(kib * (copied + ns(costs.copy_cached_kib_ns)? + terms.sum_copied()?)),
        // Whichever of the two threads has more to do.
        "thread_256k" => Some((kib * copied).max(kib * ns(costs.sum_memory_kib_ns)?)),
        _ if name.starts_with("uring_") => {
            let requests = row.bytes as f64 / row.block_bytes? as f64;
            // Its buffers together are four blocks.
            let copied = probe.read_kib(row.block_bytes.map(|block| 4 * block));
            Some(requests * ns(costs.uring_request_ns)? + kib * (copied + terms.sum_copied()?))
        }
        // The probe's reads were calls too.
        _ if row.block_bytes.is_some() => Some(kib * (copied + terms.sum_copied()?)),
        _ => None,
    }
}

fn random(terms: &Terms<'_>) -> Option<f64> {
    let (row, costs, probe) = (terms.row, terms.costs, terms.probe?);
    let blocks = row.bytes as f64 / BLOCK as f64;
    let sum = BLOCK as f64 / 1024.0 * ns(costs.sum_cached_kib_ns)?;
    let faults = terms.faults() * probe.random_fault_ns;
    match terms.name() {
        "pread_4k" => Some(blocks * (probe.random_pread_ns + sum)),
        "mmap" | "mmap_random" => Some(faults + blocks * probe.random_sum_ns),
        "mmap_kept" => Some(blocks * probe.random_sum_ns),
        "mmap_touch" => Some(faults + blocks * probe.random_word_ns),
        name if name.starts_with("uring_") => {
            let read = probe.random_pread_ns - ns(costs.syscall_ns)? + ns(costs.uring_request_ns)?;
            Some(terms.calls()? + blocks * (read + sum))
        }
        _ => None,
    }
}

fn copy(terms: &Terms<'_>) -> Option<f64> {
    let (row, costs, probe) = (terms.row, terms.costs, terms.probe?);
    let (name, kib, pages) = (terms.name(), terms.kib(), terms.pages());
    let calls = terms.calls()?;
    let written = pages * probe.write_page_ns;
    let read = kib * probe.read_kib(row.block_bytes);
    match name {
        "mmap_write" => {
            // The source comes from memory and not from a small buffer.
            let far = ns(costs.copy_memory_kib_ns)? - ns(costs.copy_cached_kib_ns)?;
            Some(calls + pages * probe.touch_page_ns + written + kib * far.max(0.0))
        }
        "mmap_both" => {
            let new = pages * probe.write_mapped_page_ns;
            Some(calls + pages * probe.touch_page_ns + new + kib * ns(costs.copy_through_kib_ns)?)
        }
        "copy_file_range" | "sendfile" | "splice_1m" => Some(calls + kib * probe.read_kib(Some(64 << 10)) + written),
        "uring_256k" => {
            let requests = 2.0 * row.bytes as f64 / row.block_bytes? as f64;
            Some(calls + requests * ns(costs.uring_request_ns)? + read + written)
        }
        _ if name.starts_with("read_write_") => {
            let writes = row.system_calls as f64 / 2.0;
            Some(read + written + writes * terms.write_call()?)
        }
        _ => None,
    }
}

fn update(terms: &Terms<'_>) -> Option<f64> {
    let (count, probe) = (terms.operations(), terms.probe?);
    let by_calls = count * probe.record_ns;
    let stored = count * probe.random_write_ns;
    // Nearly every page of so small a file is written to.
    let dirty = count.min(terms.row.file_pages? as f64) * page_size() as f64 / (1 << 20) as f64;
    match terms.name() {
        "pread_pwrite" => Some(by_calls),
        "pwrite_fdatasync" => Some(by_calls + terms.sync(dirty)?),
        "mmap" => Some(stored + terms.faults() * probe.write_fault_ns),
        "mmap_kept" => Some(stored + terms.faults() * probe.protect_fault_ns),
        "mmap_msync" => Some(stored + terms.faults() * probe.write_fault_ns + terms.sync(dirty)?),
        _ => None,
    }
}

fn records(terms: &Terms<'_>) -> Option<f64> {
    let (costs, probe) = (terms.costs, terms.probe?);
    match terms.name() {
        "pread_pwrite" => Some(terms.operations() * probe.next_record_ns),
        "read_write_64k" => {
            let copied = terms.kib() * probe.read_kib(terms.row.block_bytes);
            Some(copied + terms.pages() * ns(costs.overwrite_page_ns)?)
        }
        // One store a line: what the memory gives is what it takes.
        "mmap" => Some(terms.kib() * ns(costs.sum_memory_kib_ns)? + terms.faults() * probe.write_fault_ns),
        _ => None,
    }
}

fn write(terms: &Terms<'_>) -> Option<f64> {
    let (costs, probe) = (terms.costs, terms.probe?);
    let written = terms.calls()? + terms.pages() * probe.write_page_ns;
    // One call for every block, of which a page's part is in the term above.
    let calls = terms.row.system_calls as f64 * terms.write_call()?;
    match terms.name() {
        "direct_1m" => Some(terms.mib() * ns(costs.device_write_1m_ns)?),
        "mmap_msync" => {
            let copied = terms.kib() * ns(costs.copy_memory_kib_ns)?;
            Some(terms.pages() * probe.write_mapped_page_ns + copied + terms.sync(terms.mib())?)
        }
        // The device works while the program still writes.
        "write_1m_range" => Some((written + calls).max(terms.sync(terms.mib())?)),
        "write_256k_only" => Some(written + calls),
        _ => Some(written + calls + terms.sync(terms.mib())?),
    }
}

/// All processes do the same at the same time, from a wake-up on; where there
/// are more of them than processors, these are shared.
fn share(terms: &Terms<'_>) -> Option<f64> {
    let (row, probe) = (terms.row, terms.probe?);
    let processes: usize = row.shape.as_deref()?.split(' ').next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    let woken = ns(terms.costs.pipe_round_trip_ns)? / 2.0;
    let each = match terms.name() {
        // Inherited or not, each process has page tables of its own to fill.
        name if name.starts_with("mmap") => terms.sum_in_place()? + terms.pages() * probe.touch_page_ns,
        _ => terms.kib() * (probe.read_kib(row.block_bytes) + terms.sum_copied()?),
    };
    Some(woken + each * (processes as f64 / processors as f64).max(1.0))
}

fn small(terms: &Terms<'_>) -> Option<f64> {
    let costs = terms.costs;
    let files = terms.operations();
    let each = terms.pages() / files;
    let opened = ns(costs.open_close_ns)?;
    // What fits into a processor's caches stays there from file to file.
    let sum = ns(if terms.row.bytes < 1 << 20 { costs.sum_cached_kib_ns } else { costs.sum_memory_kib_ns })?;
    let name = terms.name();
    let one = if name.starts_with("mmap") {
        // Few faults for many pages are faults on large folios.
        let large = terms.pages() > 64.0 * terms.faults();
        let (fault, most) = if large {
            (ns(costs.fault_file_large_ns)?, costs.fault_file_large_pages?)
        } else {
            (ns(costs.fault_file_small_ns)?, 16.0)
        };
        let (fault, pages) = (fault / most, each - 1.0);
        let shootdown = (ns(costs.unmap_shootdown_ns)? - ns(costs.unmap_touched_ns)?).max(0.0);
        let told = if name.ends_with("_2_threads") { 2.0 * shootdown } else { 0.0 };
        opened + ns(costs.syscall_ns)? + ns(costs.map_touch_file_ns)? + pages * fault + told
    } else {
        opened + ns(costs.pread_page_ns)? + ns(costs.syscall_ns)? + (each - 1.0) * 4.0 * ns(costs.copy_memory_kib_ns)?
    };
    let all = files * one + terms.kib() * sum;
    Some(if name.ends_with("_2_threads") { all / 2.0 } else { all })
}

/// The two ends work at the same time; each time that one sleeps, both wait
/// for its waking.
fn pipe(terms: &Terms<'_>) -> Option<f64> {
    let (row, costs) = (terms.row, terms.costs);
    let one_cpu = terms.name().starts_with("one_cpu_");
    let trip = if one_cpu { costs.pipe_round_trip_one_cpu_ns } else { costs.pipe_round_trip_ns };
    let slept = row.context_switches as f64 * ns(trip)? / 2.0;
    let sum = ns(costs.sum_cached_kib_ns)?;
    match terms.name() {
        "one_cpu_splice" => Some(slept + terms.pages() * ns(costs.splice_page_ns)?),
        "vmsplice_splice" | "vmsplice_splice_busy" => Some(slept + terms.pages() * ns(costs.splice_page_ns)? / 2.0),
        "vmsplice_read" | "one_cpu_vmsplice" => {
            Some(slept + terms.calls()? + terms.kib() * (ns(costs.copy_cached_kib_ns)? + sum))
        }
        name if name.starts_with("shared_ring") => {
            Some(terms.kib() * ns(costs.copy_memory_kib_ns)?.max(ns(costs.sum_memory_kib_ns)?))
        }
        _ => Some(slept + terms.calls()? + terms.kib() * (ns(costs.copy_memory_kib_ns)? + sum)),
    }
}

fn messages(terms: &Terms<'_>) -> Option<f64> {
    // One way, messages wait for each other as the scheduler has it.
    if terms.row.shape.as_deref() != Some(ipc::TRIPS) {
        return None;
    }
    let trip = match terms.name() {
        "spin" => ns(terms.costs.line_round_trip_ns)?,
        _ => ns(terms.costs.pipe_round_trip_ns)?,
    };
    Some(terms.operations() * trip)
}
