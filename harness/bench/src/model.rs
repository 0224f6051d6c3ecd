//! A strategy's time, predicted from primitive costs and its own counts.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::costs::{Costs, fault_of, populate_of};
use crate::memory::{Buffer, page_size};
use crate::report::ResultRow;
use crate::request::{CacheState, WorkloadName};
use crate::subject::Subject;

/// How the very file lies in the page cache, which no figure of another file
/// can tell: a touch and a read of some of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Probe {
    /// Mapping and touching a page, in nanoseconds; munmap included.
    pub touch_page_ns: f64,
    /// MADV_POPULATE_READ of a page, in nanoseconds.
    pub populate_page_ns: f64,
    /// Copying 1 KiB out of the page cache into a buffer of 64 KiB, of 256 KiB
    /// and of 1 MiB, in nanoseconds: which cache the buffer fits in matters.
    pub read_kib_ns: [f64; 3],
}

/// Bytes that a probe looks at.
const PROBED: u64 = 64 << 20;

impl Probe {
    /// Copying 1 KiB into a buffer of about this size.
    fn read_kib(&self, buffer: Option<u64>) -> f64 {
        let buffer = buffer.unwrap_or(1 << 20) as usize;
        let index = BUFFERS.iter().rposition(|size| *size <= buffer).unwrap_or(0);
        self.read_kib_ns[index]
    }

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
        probe.read_kib_ns = BUFFERS.map(|buffer| read_kib(subject, len, buffer).unwrap_or(0.0));
        probe
    }
}

/// The sizes of buffer that are probed.
const BUFFERS: [usize; 3] = [64 << 10, 256 << 10, 1 << 20];

fn read_kib(subject: &Subject, len: usize, buffer: usize) -> Option<f64> {
    let mut buffer = Buffer::new(buffer).ok()?;
    let mut samples = Vec::new();
    for _ in 0..5 {
        let clock = Instant::now();
        let mut offset = 0;
        while offset < len {
            let mut calls = 0;
            let n =
                crate::strategy::scan::pread_some(subject.file(), buffer.bytes(), offset as u64, &mut calls).ok()?;
            if n == 0 {
                break;
            }
            offset += n;
        }
        samples.push(clock.elapsed().as_nanos() as f64 / (len as f64 / 1024.0));
    }
    // What a neighbour does to a pass only makes it slower.
    samples.into_iter().reduce(f64::min)
}

/// The predicted wall time of a row, in nanoseconds; `None` where the model has
/// no term for what the strategy does.
pub fn predict(row: &ResultRow, costs: &Costs, probe: Option<&Probe>) -> Option<f64> {
    if row.cache == CacheState::Cold {
        return cold(row, costs);
    }
    let probe = probe?;
    match row.workload {
        WorkloadName::Scan | WorkloadName::Rescan | WorkloadName::Shape => scan(row, costs, probe),
        WorkloadName::Copy => copy(row, costs, probe),
        _ => None,
    }
}

fn name(row: &ResultRow) -> &str {
    row.strategy.strip_suffix("_again").unwrap_or(&row.strategy)
}

fn kib(row: &ResultRow) -> f64 {
    row.bytes as f64 / 1024.0
}

fn pages(row: &ResultRow) -> f64 {
    (row.bytes as f64 / page_size() as f64).ceil()
}

fn scan(row: &ResultRow, costs: &Costs, probe: &Probe) -> Option<f64> {
    let in_memory = kib(row) * costs.sum_memory_kib_ns?.median;
    let name = name(row);
    if name.starts_with("read_") || name.starts_with("pread_") || name.starts_with("readv_") {
        // What is copied into a buffer of this size is then summed there.
        let block = row.block_bytes? as f64 / 1024.0;
        let sum = if block < 1024.0 { costs.sum_cached_kib_ns?.median } else { costs.sum_memory_kib_ns?.median };
        let calls = row.system_calls as f64 * costs.syscall_ns?.median;
        return Some(calls + kib(row) * (probe.read_kib(row.block_bytes) + sum));
    }
    match name {
        "mmap" | "mmap_new" | "mmap_private" | "mmap_sequential" | "mmap_huge" => {
            Some(in_memory + pages(row) * probe.touch_page_ns)
        }
        "mmap_populate" | "mmap_populate_read" => Some(in_memory + pages(row) * probe.populate_page_ns),
        "mmap_kept" | "memory" => Some(in_memory),
        _ => None,
    }
}

fn copy(row: &ResultRow, costs: &Costs, probe: &Probe) -> Option<f64> {
    let calls = row.system_calls as f64 * costs.syscall_ns?.median;
    let written = pages(row) * costs.write_page_ns?.median;
    let name = name(row);
    if name.starts_with("read_write_") && !name.ends_with("_allocated") {
        let alone = costs.write_page_alone_ns?.median - costs.write_page_ns?.median;
        let writes = row.system_calls as f64 / 2.0;
        return Some(calls + kib(row) * probe.read_kib(row.block_bytes) + written + writes * alone.max(0.0));
    }
    match name {
        "mmap_write" => {
            // The source comes from memory and not from a small buffer.
            let far = costs.copy_memory_kib_ns?.median - costs.copy_cached_kib_ns?.median;
            Some(calls + pages(row) * probe.touch_page_ns + written + kib(row) * far.max(0.0))
        }
        "copy_file_range" | "sendfile" | "splice_1m" => {
            Some(calls + kib(row) * probe.read_kib(Some(64 << 10)) + written)
        }
        _ => None,
    }
}

fn cold(row: &ResultRow, costs: &Costs) -> Option<f64> {
    let mib = row.bytes as f64 / (1 << 20) as f64;
    let sum = kib(row) * costs.sum_cached_kib_ns?.median;
    let miss = mib * costs.cache_miss_mib_ns?.median;
    let name = name(row);
    match row.workload {
        // One at a time: the device waits while the sum is made.
        WorkloadName::Scan if name == "direct_1m" => Some(mib * costs.device_1m_ns?.median + sum),
        WorkloadName::Scan if name.contains("direct") => Some((mib * costs.device_1m_deep_ns?.median).max(sum)),
        WorkloadName::Scan => Some(miss + sum),
        WorkloadName::Copy if name.starts_with("read_write_") && !name.ends_with("_allocated") => {
            let alone = costs.write_page_alone_ns?.median - costs.write_page_ns?.median;
            let writes = row.system_calls as f64 / 2.0 * alone.max(0.0);
            Some(miss + pages(row) * costs.write_page_ns?.median + writes)
        }
        WorkloadName::Copy if matches!(name, "mmap_write" | "copy_file_range" | "sendfile" | "splice_1m") => {
            Some(miss + pages(row) * costs.write_page_ns?.median)
        }
        _ => None,
    }
}
