//! What bytes in memory and pages without a file cost.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Costs, CpuClock, per_operation, per_operation_timed};
use crate::memory::{Buffer, Mapping, page_size, sum, touch};
use crate::statistics::Estimate;

/// Memory that no processor cache holds.
const LARGE: usize = 64 << 20;

/// Copying and summing bytes, and first touches of memory without a file.
pub(super) fn measure(costs: &mut Costs) {
    bytes(costs);
    pages(costs);
}

fn bytes(costs: &mut Costs) {
    const SMALL: usize = 32 << 10;
    let Ok(mut large) = Buffer::large(LARGE) else { return };
    let Ok(mut small) = Buffer::new(2 * SMALL) else { return };
    costs.copy_cached_kib_ns = Some(per_operation(64 * 32, || {
        for _ in 0..64 {
            let (a, b) = small.bytes().split_at_mut(SMALL);
            black_box(b).copy_from_slice(a);
        }
    }));
    costs.sum_cached_kib_ns = Some(per_operation(64 * 64, || {
        for _ in 0..64 {
            black_box(sum(small.bytes()));
        }
    }));
    let kib = LARGE >> 10;
    costs.sum_memory_kib_ns = Some(per_operation(kib, || {
        black_box(sum(large.bytes()));
    }));
    costs.copy_memory_kib_ns = Some(per_operation(kib, || {
        for part in large.bytes().chunks(2 * SMALL) {
            black_box(small.bytes()).copy_from_slice(part);
        }
    }));
    costs.copy_through_kib_ns = Some(per_operation(kib / 2, || {
        let (a, b) = large.bytes().split_at_mut(LARGE / 2);
        black_box(b).copy_from_slice(a);
    }));
}

fn pages(costs: &mut Costs) {
    const PAGES: usize = 1024;
    let private = libc::MAP_PRIVATE;
    costs.fault_anonymous_ns = per_operation_timed(PAGES, || {
        let mapping = Mapping::anonymous(PAGES * page_size(), private).ok()?;
        // Without it one fault may bring a large page.
        let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
        let clock = CpuClock::start();
        for at in (0..mapping.len()).step_by(page_size()) {
            // SAFETY: inside the live mapping.
            unsafe { mapping.address().add(at).write_volatile(1) };
        }
        Some(clock.ns())
    });
    const MAPS: usize = 200;
    costs.map_unmap_ns = Some(per_operation(MAPS, || {
        for _ in 0..MAPS {
            let _ = black_box(Mapping::anonymous(page_size(), private));
        }
    }));
    costs.unmap_touched_ns = unmap_touched();
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) {
        let stop = AtomicBool::new(false);
        costs.unmap_shootdown_ns = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let cost = unmap_touched();
            stop.store(true, Ordering::Relaxed);
            cost
        });
    }
}

fn unmap_touched() -> Option<Estimate> {
    const MAPS: usize = 200;
    per_operation_timed(MAPS, || {
        let mut ns = 0.0;
        for _ in 0..MAPS {
            let mapping = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).ok()?;
            touch(&mapping);
            // SAFETY: inside the live mapping.
            unsafe { mapping.address().write_volatile(1) };
            let clock = CpuClock::start();
            drop(mapping);
            ns += clock.ns();
        }
        Some(ns)
    })
}
