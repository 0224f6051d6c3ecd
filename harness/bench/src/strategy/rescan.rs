//! Checksum a file again: the mapping, or the buffer, is kept from the first time.

use std::sync::Arc;

use super::scan::{self, sum_mapping};
use super::{Fault, Prepared, Strategy, Task, Work, buffer, call};
use crate::machine::meminfo;
use crate::memory::{Mapping, sum};

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        scan::read(64 << 10),
        scan::read(256 << 10),
        Strategy::new("mmap_new", "a new mapping each time", None, |task| {
            let file = task.open()?;
            Ok(Box::new(move || {
                let mapping = map(&file, &task)?;
                let mut work = Work { system_calls: 2, ..Work::default() };
                sum_mapping(&task, &mapping, &mut work)?;
                Ok(work)
            }))
        }),
        mmap_kept(),
        Strategy::new("memory", "a copy in the program's own memory", None, in_memory),
    ]
}

/// The mapping of the first time.
pub fn mmap_kept() -> Strategy {
    Strategy::new("mmap_kept", "the mapping of the first time", None, |task| {
        let file = task.open()?;
        let mapping = map(&file, &task)?;
        sum_mapping(&task, &mapping, &mut Work::default())?;
        Ok(Box::new(move || {
            let mut work = Work::default();
            sum_mapping(&task, &mapping, &mut work)?;
            work.kept = Some(Arc::new(mapping));
            Ok(work)
        }))
    })
}

fn map(file: &std::fs::File, task: &Task<'_>) -> Result<Mapping, Fault> {
    Mapping::file(file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))
}

fn in_memory(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    // The file's own pages, which must stay, count as available.
    if meminfo("MemAvailable").is_some_and(|available| task.size > available / 5 * 2) {
        return Err(Fault::Unsupported("there is no memory for a copy beside the cached file".to_owned()));
    }
    let mut buffer = buffer(task.size as usize)?;
    let mut calls = 0;
    for part in buffer.bytes().chunks_mut(super::STRETCH) {
        task.go_on()?;
        if super::read_full(&file, part, &mut calls)? != part.len() {
            return Err(Fault::Short);
        }
    }
    Ok(Box::new(move || {
        let mut checksum = 0u64;
        for part in buffer.bytes().chunks(super::STRETCH) {
            task.go_on()?;
            checksum = checksum.wrapping_add(sum(part));
        }
        Ok(Work { checksum, kept: Some(Arc::new(buffer)), ..Work::default() })
    }))
}
