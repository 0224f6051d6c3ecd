//! What reads, writes and faults of cached files cost.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::{BATCHES, Costs, CpuClock, NEVER, minor_faults, per_operation, per_operation_timed, undisturbed};
use crate::error::BenchError;
use crate::memory::{Mapping, page_size, touch};
use crate::statistics::{Estimate, estimate};
use crate::subject::Workshop;

const BOTH: i32 = libc::PROT_READ | libc::PROT_WRITE;

/// Reads, writes and faults of cached files.
pub(super) fn measure(
    workshop: &Workshop,
    costs: &mut Costs,
    go_on: &dyn Fn() -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let scratch = |name: &str, piece: usize, size: usize| -> Result<(File, f64), BenchError> {
        let path = workshop.path(name);
        let failed = |e| BenchError::io("write", &path, e);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).map_err(failed)?;
        let bytes = vec![0xA5u8; piece];
        let clock = CpuClock::start();
        for _ in 0..size / piece {
            (&file).write_all(&bytes).map_err(failed)?;
        }
        let ns = clock.ns();
        std::fs::remove_file(&path).map_err(|e| BenchError::io("remove", &path, e))?;
        Ok((file, ns))
    };
    let size = 32 << 20;
    crate::workload::file::back_free_memory(2 * size as u64, &NEVER);
    let per_page = |piece: usize, size: usize| -> Result<Estimate, BenchError> {
        let mut samples = Vec::new();
        for _ in 0..BATCHES {
            go_on()?;
            let (_, ns) = scratch("scratch", piece, size)?;
            samples.push(ns / (size / page_size()) as f64);
        }
        Ok(estimate(&undisturbed(samples), 1))
    };
    costs.write_page_ns = Some(per_page(1 << 20, size)?);
    costs.write_page_alone_ns = Some(per_page(page_size(), 4 << 20)?);
    let (small, _) = scratch("small-folios", page_size(), 16 << 20)?;
    let mut page = [0u8; 4096];
    const READS: usize = 2000;
    costs.pread_page_ns = Some(per_operation(READS, || {
        for _ in 0..READS {
            // SAFETY: the kernel writes at most 4096 bytes into `page`.
            black_box(unsafe { libc::pread(small.as_raw_fd(), page.as_mut_ptr().cast(), 4096, 0) });
        }
    }));
    if let Some((cost, _)) = fault_of(&small, 16 << 20) {
        costs.fault_file_small_ns = Some(cost);
    }
    costs.populate_page_ns = populate_of(&small, 16 << 20);
    drop(small);
    costs.fault_file_new_ns = fault_new(workshop);
    opened(workshop, costs);
    let (large, _) = scratch("large-folios", 4 << 20, size)?;
    if let Some((cost, pages)) = fault_of(&large, size) {
        costs.fault_file_large_ns = Some(cost);
        costs.fault_file_large_pages = Some(pages);
    }
    costs.overwrite_page_ns = overwrite(&large, size);
    Ok(())
}

/// Cost of a minor fault on a cached file, munmap included, and the pages that
/// one fault maps.
pub(crate) fn fault_of(file: &File, len: usize) -> Option<(Estimate, f64)> {
    let mut counted = 0u64;
    let cost = per_operation_timed(1, || {
        let before = minor_faults();
        let clock = CpuClock::start();
        let mapping = Mapping::file(file, 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
        touch(&mapping);
        drop(mapping);
        let ns = clock.ns();
        counted = (minor_faults() - before).max(1);
        Some(ns / counted as f64)
    })?;
    Some((cost, (len / page_size()) as f64 / counted as f64))
}

/// Cost of MADV_POPULATE_READ a page, munmap included.
pub(crate) fn populate_of(file: &File, len: usize) -> Option<Estimate> {
    per_operation_timed(len / page_size(), || {
        let clock = CpuClock::start();
        let mapping = Mapping::file(file, 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
        mapping.advise(libc::MADV_POPULATE_READ).ok()?;
        drop(mapping);
        Some(clock.ns())
    })
}

/// The first write to each page of a shared mapping of a file that is all hole.
fn fault_new(workshop: &Workshop) -> Option<Estimate> {
    const LEN: usize = 4 << 20;
    let path = workshop.path("hole");
    per_operation_timed(LEN / page_size(), || {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).ok()?;
        std::fs::remove_file(&path).ok()?;
        file.set_len(LEN as u64).ok()?;
        let mapping = Mapping::file(&file, 0, LEN, BOTH, libc::MAP_SHARED).ok()?;
        let clock = CpuClock::start();
        write_pages(&mapping);
        drop(mapping);
        Some(clock.ns())
    })
}

fn write_pages(mapping: &Mapping) {
    for at in (0..mapping.len()).step_by(page_size()) {
        // SAFETY: inside the live, writable mapping of a scratch file.
        unsafe { mapping.address().add(at).write_volatile(1) };
    }
}

/// What a file costs before a byte of it is read.
fn opened(workshop: &Workshop, costs: &mut Costs) {
    const TIMES: usize = 200;
    let path = workshop.path("page");
    if std::fs::write(&path, vec![1u8; page_size()]).is_err() {
        return;
    }
    costs.open_close_ns = Some(per_operation(TIMES, || {
        for _ in 0..TIMES {
            let _ = black_box(File::open(&path));
        }
    }));
    if let Ok(file) = File::open(&path) {
        costs.map_touch_file_ns = per_operation_timed(TIMES, || {
            let clock = CpuClock::start();
            for _ in 0..TIMES {
                touch(&Mapping::file(&file, 0, page_size(), libc::PROT_READ, libc::MAP_SHARED).ok()?);
            }
            Some(clock.ns())
        });
    }
    // Goes with the workshop otherwise.
    let _ = std::fs::remove_file(&path);
}

/// Writes of 1 MiB over cached pages.
fn overwrite(file: &File, len: usize) -> Option<Estimate> {
    let bytes = vec![0x3Cu8; 1 << 20];
    per_operation_timed(len / page_size(), || {
        let clock = CpuClock::start();
        (0..len >> 20).try_for_each(|mib| file.write_all_at(&bytes, (mib as u64) << 20).ok())?;
        Some(clock.ns())
    })
}
