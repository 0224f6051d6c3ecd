//! Change records of a file in place: a few at seeded offsets (*update*), or
//! every one in turn (*records*).
//!
//! A record has 64 bytes and begins with a counter, to which 1 is added. The
//! traditional loop reads a record, changes it and writes it back; the mapped
//! loop adds to memory.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::{BETWEEN_LOOKS, Fault, Strategy, Task, Work, buffer, call, read_full, retry_or_fail, write_full};
use crate::memory::Mapping;

/// Bytes of a record.
pub const RECORD: usize = 64;

/// Every strategy of *update*; the first is what the others are compared with.
pub fn update_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new("pread_pwrite", "pread, add, pwrite of each record", Some(RECORD), |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mut work = Work::default();
                for offset in task.offsets {
                    task.go_on()?;
                    change_by_calls(&file, *offset, &mut work)?;
                }
                Ok(work)
            }))
        }),
        Strategy::new("mmap", "a new shared mapping, add in place", Some(RECORD), |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mapping = map(&file, &task)?;
                add_at_offsets(&task, &mapping)?;
                Ok(Work { system_calls: 2, ..Work::default() })
            }))
        }),
        Strategy::new("mmap_kept", "a mapping that was touched before", Some(RECORD), |task| {
            let file = open(&task)?;
            let mapping = map(&file, &task)?;
            crate::memory::touch(&mapping);
            Ok(Box::new(move || {
                add_at_offsets(&task, &mapping)?;
                Ok(Work { kept: Some(Arc::new(mapping)), ..Work::default() })
            }))
        }),
        Strategy::new("mmap_msync", "mmap, and msync(MS_SYNC) at the end", Some(RECORD), |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mapping = map(&file, &task)?;
                add_at_offsets(&task, &mapping)?;
                // SAFETY: the range is the live mapping.
                let result = unsafe { libc::msync(mapping.address().cast(), mapping.len(), libc::MS_SYNC) };
                if result != 0 {
                    return Err(call("msync")(std::io::Error::last_os_error()));
                }
                Ok(Work { system_calls: 3, ..Work::default() })
            }))
        }),
        Strategy::new("pwrite_fdatasync", "pread, add, pwrite; fdatasync at the end", Some(RECORD), |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mut work = Work { system_calls: 1, ..Work::default() };
                for offset in task.offsets {
                    task.go_on()?;
                    change_by_calls(&file, *offset, &mut work)?;
                }
                file.sync_data().map_err(call("fdatasync"))?;
                Ok(work)
            }))
        }),
    ]
}

/// Every strategy of *records*; the first is what the others are compared with.
pub fn record_strategies() -> Vec<Strategy> {
    vec![
        Strategy::new("pread_pwrite", "pread, add, pwrite of each record", Some(RECORD), |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mut work = Work::default();
                for offset in (0..task.size).step_by(RECORD) {
                    task.go_on()?;
                    change_by_calls(&file, offset, &mut work)?;
                }
                Ok(work)
            }))
        }),
        Strategy::new("read_write_64k", "1024 records a call", Some(64 << 10), |task| {
            let file = open(&task)?;
            let mut buffer = buffer(64 << 10)?;
            Ok(Box::new(move || {
                let mut work = Work::default();
                loop {
                    task.go_on()?;
                    let block = buffer.bytes();
                    let n = read_full(&file, block, &mut work.system_calls)?;
                    if n == 0 {
                        return Ok(work);
                    }
                    for record in block[..n].chunks_exact_mut(RECORD) {
                        add(record);
                    }
                    // SAFETY: takes a descriptor and integers only.
                    unsafe { libc::lseek(file.as_raw_fd(), -(n as i64), libc::SEEK_CUR) };
                    work.system_calls += 1;
                    write_full(&file, &block[..n], &mut work.system_calls)?;
                    work.copied += 2 * n as u64;
                }
            }))
        }),
        Strategy::new("mmap", "a new shared mapping, add in place", None, |task| {
            let file = open(&task)?;
            Ok(Box::new(move || {
                let mapping = map(&file, &task)?;
                for start in (0..mapping.len()).step_by(super::STRETCH) {
                    task.go_on()?;
                    let end = (start + super::STRETCH).min(mapping.len());
                    for at in (start..end).step_by(RECORD) {
                        add_in_place(&mapping, at);
                    }
                }
                Ok(Work { system_calls: 2, ..Work::default() })
            }))
        }),
    ]
}

fn open(task: &Task<'_>) -> Result<File, Fault> {
    OpenOptions::new().read(true).write(true).open(task.path).map_err(call("open"))
}

fn map(file: &File, task: &Task<'_>) -> Result<Mapping, Fault> {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    Mapping::file(file, 0, task.size as usize, both, libc::MAP_SHARED).map_err(call("mmap"))
}

fn add(record: &mut [u8]) {
    if let Some(counter) = record.first_chunk_mut::<8>() {
        *counter = u64::from_ne_bytes(*counter).wrapping_add(1).to_ne_bytes();
    }
}

fn add_in_place(mapping: &Mapping, at: usize) {
    assert!(at + 8 <= mapping.len());
    // SAFETY: the eight bytes lie inside the live, writable mapping of a file
    // that this run made for itself.
    unsafe {
        let counter = mapping.address().add(at).cast::<u64>();
        counter.write(counter.read().wrapping_add(1));
    }
}

fn add_at_offsets(task: &Task<'_>, mapping: &Mapping) -> Result<(), Fault> {
    for part in task.offsets.chunks(BETWEEN_LOOKS) {
        task.go_on()?;
        for offset in part {
            add_in_place(mapping, *offset as usize);
        }
    }
    Ok(())
}

fn change_by_calls(file: &File, offset: u64, work: &mut Work) -> Result<(), Fault> {
    let mut record = [0u8; RECORD];
    if super::scan::pread_some(file, &mut record, offset, &mut work.system_calls)? < RECORD {
        return Err(Fault::Short);
    }
    add(&mut record);
    loop {
        work.system_calls += 1;
        // SAFETY: the kernel reads RECORD bytes from `record`.
        let n = unsafe { libc::pwrite(file.as_raw_fd(), record.as_ptr().cast(), RECORD, offset as i64) };
        if n == RECORD as isize {
            break;
        }
        if n >= 0 {
            return Err(Fault::Short);
        }
        retry_or_fail("pwrite")?;
    }
    work.copied += 2 * RECORD as u64;
    Ok(())
}
