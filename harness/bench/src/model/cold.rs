//! Predictions for a file that is not cached: the device decides.

use super::{Terms, ns};
use crate::request::WorkloadName;
use crate::strategy::random::BLOCK;

pub fn predict(terms: &Terms<'_>) -> Option<f64> {
    match terms.row.workload {
        WorkloadName::Scan => scan(terms),
        WorkloadName::Copy => copy(terms),
        WorkloadName::Random => random(terms),
        _ => None,
    }
}

fn scan(terms: &Terms<'_>) -> Option<f64> {
    let (costs, name) = (terms.costs, terms.name());
    let sum = terms.kib() * ns(costs.sum_cached_kib_ns)?;
    if name == "direct_1m" {
        // One at a time: the device waits while the sum is made.
        Some(terms.mib() * ns(costs.device_1m_ns)? + sum)
    } else if name.contains("direct") {
        Some((terms.mib() * ns(costs.device_1m_deep_ns)?).max(sum))
    } else {
        Some(terms.mib() * ns(costs.cache_miss_mib_ns)? + sum)
    }
}

fn copy(terms: &Terms<'_>) -> Option<f64> {
    let costs = terms.costs;
    let miss = terms.mib() * ns(costs.cache_miss_mib_ns)?;
    let written = terms.pages() * ns(costs.write_page_ns)?;
    match terms.name() {
        "mmap_both" => {
            let new = terms.pages() * ns(costs.fault_file_new_ns)?;
            Some(miss + new + terms.kib() * ns(costs.copy_memory_kib_ns)?)
        }
        "mmap_write" | "copy_file_range" | "sendfile" | "splice_1m" | "uring_256k" => Some(miss + written),
        name if name.starts_with("read_write_") => {
            let writes = terms.row.system_calls as f64 / 2.0;
            Some(miss + written + writes * terms.write_call()?)
        }
        _ => None,
    }
}

fn random(terms: &Terms<'_>) -> Option<f64> {
    let costs = terms.costs;
    let blocks = terms.row.bytes as f64 / BLOCK as f64;
    let sum = BLOCK as f64 / 1024.0 * ns(costs.sum_cached_kib_ns)?;
    match terms.name() {
        "pread_4k" | "direct_4k" | "mmap_random" => Some(blocks * (ns(costs.device_4k_ns)? + sum)),
        name if name.starts_with("uring_") => Some(blocks * (ns(costs.device_4k_deep_ns)? + sum)),
        // mmap reads around each fault, and how far is for the kernel to say.
        _ => None,
    }
}
