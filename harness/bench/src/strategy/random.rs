//! Checksum 4 KiB blocks at seeded offsets.

use std::sync::Arc;

use super::scan::pread_some;
use super::uring::Mode;
use super::{BETWEEN_LOOKS, Fault, Prepared, Strategy, Task, Work, buffer, call, uring};
use crate::memory::{Mapping, sum};

/// Bytes of one access.
pub const BLOCK: usize = 4096;

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        Strategy::new("pread_4k", "pread(2) of each block", Some(BLOCK), pread),
        Strategy::new("mmap", "a new mapping, read in place", Some(BLOCK), |t| mmap(t, None)),
        Strategy::new("mmap_random", "mmap with MADV_RANDOM", Some(BLOCK), |t| mmap(t, Some(libc::MADV_RANDOM))),
        Strategy::new("mmap_kept", "a mapping that was touched before", Some(BLOCK), mmap_kept).warm_only(),
        Strategy::new("mmap_touch", "mmap, only 8 bytes of each block: less work, for comparison", Some(8), mmap_touch)
            .less()
            .full(),
        Strategy::new("uring_32", "io_uring, 32 reads in flight", Some(BLOCK), |t| uring::random(t, 32, Mode::Plain)),
        Strategy::new("uring_fixed_32", "the same with registered buffers and file", Some(BLOCK), |t| {
            uring::random(t, 32, Mode::Registered)
        })
        .full(),
        Strategy::new("direct_4k", "pread(2) with O_DIRECT", Some(BLOCK), direct).cold_only(),
        Strategy::new("uring_direct_32", "io_uring with O_DIRECT, registered, 32 in flight", Some(BLOCK), |t| {
            uring::random(t, 32, Mode::Direct)
        })
        .cold_only(),
    ]
}

fn pread(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    let mut buffer = buffer(BLOCK)?;
    Ok(Box::new(move || preads(&task, &file, buffer.bytes(), true)))
}

fn direct(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open_direct()?;
    let mut buffer = buffer(BLOCK)?;
    Ok(Box::new(move || preads(&task, &file, buffer.bytes(), false)))
}

fn preads(task: &Task<'_>, file: &std::fs::File, block: &mut [u8], copies: bool) -> Result<Work, Fault> {
    let mut work = Work::default();
    for offset in task.offsets {
        task.go_on()?;
        if pread_some(file, block, *offset, &mut work.system_calls)? < BLOCK {
            return Err(Fault::Short);
        }
        work.checksum = work.checksum.wrapping_add(sum(block));
    }
    work.copied = if copies { (task.offsets.len() * BLOCK) as u64 } else { 0 };
    Ok(work)
}

fn mmap(task: Task<'_>, advice: Option<i32>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    Ok(Box::new(move || {
        let mapping =
            Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
        let mut work = Work { system_calls: 2, ..Work::default() };
        if let Some(advice) = advice {
            mapping.advise(advice).map_err(call("madvise"))?;
            work.system_calls += 1;
        }
        sum_blocks(&task, &mapping, BLOCK, &mut work)?;
        Ok(work)
    }))
}

/// The sum of the first `len` bytes of each block.
fn sum_blocks(task: &Task<'_>, mapping: &Mapping, len: usize, work: &mut Work) -> Result<(), Fault> {
    for part in task.offsets.chunks(BETWEEN_LOOKS) {
        task.go_on()?;
        for offset in part {
            work.checksum = work.checksum.wrapping_add(mapping.sum(*offset as usize, len));
        }
    }
    Ok(())
}

fn mmap_kept(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    let mapping =
        Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
    crate::memory::touch(&mapping);
    Ok(Box::new(move || {
        let mut work = Work::default();
        sum_blocks(&task, &mapping, BLOCK, &mut work)?;
        work.kept = Some(Arc::new(mapping));
        Ok(work)
    }))
}

/// The note that tells the verifier that only the first words were summed.
pub const FIRST_WORDS: &str = "8 bytes of each block";

fn mmap_touch(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    Ok(Box::new(move || {
        let mapping =
            Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
        let note = Some(FIRST_WORDS.to_owned());
        let mut work = Work { system_calls: 2, note, ..Work::default() };
        sum_blocks(&task, &mapping, 8, &mut work)?;
        Ok(work)
    }))
}
