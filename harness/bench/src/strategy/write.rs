//! Write a new file and make it durable.

use std::os::fd::AsRawFd;

use super::{Fault, Prepared, STRETCH, Strategy, Task, Work, call, size_name, write_full};
use crate::memory::{Buffer, Mapping};
use crate::statistics::Random;
use crate::subject::fill;

/// The seed of the bytes written, so that the verifier knows them.
const PATTERN_SEED: u64 = 0x5EED;

/// The piece of bytes that is written again and again.
pub fn pattern() -> Vec<u8> {
    let mut bytes = vec![0u8; STRETCH];
    fill(&mut bytes, &mut Random::new(PATTERN_SEED));
    bytes
}

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        write_sync(256 << 10),
        write_sync(4 << 10),
        write_sync(1 << 20),
        Strategy::new("mmap_msync", "a shared mapping, then msync(MS_SYNC)", None, mmap_msync),
        Strategy::new(
            "write_1m_range",
            "sync_file_range behind each 8 MiB, fdatasync at the end",
            Some(1 << 20),
            ranged,
        ),
        Strategy::new("direct_1m", "O_DIRECT writes, then fdatasync", Some(1 << 20), direct),
        Strategy::new("write_256k_only", "not made durable: what the wait costs", Some(256 << 10), |t| {
            write(t, 256 << 10, false)
        })
        .less(),
    ]
}

fn write_sync(block: usize) -> Strategy {
    let name = format!("write_{}_fdatasync", size_name(block));
    let what = format!("write(2), {} KiB at a time, then fdatasync", block >> 10);
    Strategy::new(&name, &what, Some(block), move |task| write(task, block, true))
}

fn source() -> Result<Buffer, Fault> {
    let mut buffer = Buffer::large(STRETCH).map_err(call("mmap a buffer"))?;
    buffer.bytes().copy_from_slice(&pattern());
    Ok(buffer)
}

fn write(task: Task<'_>, block: usize, durable: bool) -> Result<Prepared<'_>, Fault> {
    let mut buffer = source()?;
    Ok(Box::new(move || {
        let file = task.create()?;
        let mut work = Work { system_calls: 2, copied: task.size, ..Work::default() };
        let mut done = 0u64;
        while done < task.size {
            task.go_on()?;
            let from = done as usize % STRETCH;
            let part = (block as u64).min(task.size - done) as usize;
            write_full(&file, &buffer.bytes()[from..from + part], &mut work.system_calls)?;
            done += part as u64;
        }
        if durable {
            file.sync_data().map_err(call("fdatasync"))?;
            work.system_calls += 1;
        }
        Ok(work)
    }))
}

fn ranged(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    const BEHIND: u64 = 8 << 20;
    let mut buffer = source()?;
    Ok(Box::new(move || {
        let file = task.create()?;
        let mut work = Work { system_calls: 3, copied: task.size, ..Work::default() };
        let mut done = 0u64;
        while done < task.size {
            task.go_on()?;
            let part = (STRETCH as u64).min(task.size - done) as usize;
            write_full(&file, &buffer.bytes()[..part], &mut work.system_calls)?;
            done += part as u64;
            if done.is_multiple_of(BEHIND) {
                work.system_calls += 1;
                // SAFETY: takes a descriptor and integers only.
                let result = unsafe {
                    libc::sync_file_range(
                        file.as_raw_fd(),
                        (done - BEHIND) as i64,
                        BEHIND as i64,
                        libc::SYNC_FILE_RANGE_WRITE,
                    )
                };
                if result != 0 {
                    return Err(call("sync_file_range")(std::io::Error::last_os_error()));
                }
            }
        }
        file.sync_data().map_err(call("fdatasync"))?;
        Ok(work)
    }))
}

fn mmap_msync(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let mut buffer = source()?;
    Ok(Box::new(move || {
        let file = task.create()?;
        file.set_len(task.size).map_err(call("ftruncate"))?;
        let len = task.size as usize;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let mapping = Mapping::file(&file, 0, len, both, libc::MAP_SHARED).map_err(call("mmap"))?;
        for start in (0..len).step_by(STRETCH) {
            task.go_on()?;
            let part = STRETCH.min(len - start);
            // SAFETY: the range lies inside the live mapping; the buffer is
            // memory of its own.
            unsafe {
                std::ptr::copy_nonoverlapping(buffer.bytes().as_ptr(), mapping.address().add(start), part);
            }
        }
        // SAFETY: the range is the live mapping.
        let result = unsafe { libc::msync(mapping.address().cast(), len, libc::MS_SYNC) };
        if result != 0 {
            return Err(call("msync")(std::io::Error::last_os_error()));
        }
        Ok(Work { system_calls: 6, copied: task.size, ..Work::default() })
    }))
}

fn direct(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    use std::os::unix::fs::OpenOptionsExt;
    if !task.size.is_multiple_of(4096) {
        return Err(Fault::Unsupported("O_DIRECT writes whole blocks of 4 KiB only".to_owned()));
    }
    let mut buffer = source()?;
    let note = Some(buffer.layout().to_owned());
    Ok(Box::new(move || {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .custom_flags(libc::O_DIRECT)
            .open(task.target)
            .map_err(|e| match e.raw_os_error() {
                Some(libc::EINVAL) => Fault::Unsupported("this file system has no O_DIRECT".to_owned()),
                _ => call("open (O_DIRECT)")(e),
            })?;
        let mut work = Work { system_calls: 3, note, ..Work::default() };
        let mut done = 0u64;
        while done < task.size {
            task.go_on()?;
            let part = (STRETCH as u64).min(task.size - done) as usize;
            write_full(&file, &buffer.bytes()[..part], &mut work.system_calls)?;
            done += part as u64;
        }
        file.sync_data().map_err(call("fdatasync"))?;
        Ok(work)
    }))
}
