//! Copy a file to a new file. Nothing is made durable: that is another workload.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::{
    Fault, Prepared, STRETCH, Strategy, Task, Work, buffer, call, read_full, retry_or_fail, size_name, uring,
    write_full,
};
use crate::memory::Mapping;

/// Bytes that one in-kernel copy is asked for, so that an interrupt is seen.
const KERNEL_STRETCH: usize = 16 << 20;

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        read_write(256 << 10),
        Strategy::new("mmap_both", "memcpy between two mappings", None, mmap_both),
        Strategy::new("mmap_write", "write(2) from a mapping of the source", None, mmap_write),
        Strategy::new("copy_file_range", "the kernel copies, file to file", None, |t| {
            kernel_copy(t, "copy_file_range", copy_file_range)
        }),
        read_write(1 << 20),
        read_write(4 << 10).full(),
        Strategy::new("sendfile", "the kernel copies, by sendfile(2)", None, |t| kernel_copy(t, "sendfile", sendfile))
            .full(),
        Strategy::new("splice_1m", "through a pipe of 1 MiB, by splice(2)", Some(1 << 20), splice).full(),
        read_write(64 << 10).full(),
        read_write(4 << 20).full(),
        Strategy::new("read_write_1m_allocated", "fallocate(2) first, then as read_write_1m", Some(1 << 20), allocated)
            .full(),
        Strategy::new("uring_256k", "io_uring, four blocks in flight", Some(256 << 10), |t| {
            uring::copy(t, 256 << 10, 4)
        })
        .full(),
    ]
}

fn read_write(block: usize) -> Strategy {
    let name = format!("read_write_{}", size_name(block));
    let what = format!("read(2) and write(2), {} KiB at a time", block >> 10);
    Strategy::new(&name, &what, Some(block), move |task| {
        let source = task.open()?;
        let mut buffer = buffer(block)?;
        Ok(Box::new(move || {
            let target = task.create()?;
            let mut work = Work { system_calls: 2, ..Work::default() };
            pour(&task, &source, &target, buffer.bytes(), &mut work)?;
            Ok(work)
        }))
    })
}

fn pour(task: &Task<'_>, source: &File, target: &File, block: &mut [u8], work: &mut Work) -> Result<(), Fault> {
    loop {
        task.go_on()?;
        let n = read_full(source, block, &mut work.system_calls)?;
        write_full(target, &block[..n], &mut work.system_calls)?;
        work.copied += 2 * n as u64;
        if n < block.len() {
            return Ok(());
        }
    }
}

fn allocated(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let source = task.open()?;
    let mut buffer = buffer(1 << 20)?;
    Ok(Box::new(move || {
        let target = task.create()?;
        // SAFETY: takes a descriptor and integers only.
        let result = unsafe { libc::fallocate(target.as_raw_fd(), 0, 0, task.size as i64) };
        if result != 0 {
            return Err(call("fallocate")(std::io::Error::last_os_error()));
        }
        let mut work = Work { system_calls: 3, ..Work::default() };
        pour(&task, &source, &target, buffer.bytes(), &mut work)?;
        Ok(work)
    }))
}

fn mmap_write(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let source = task.open()?;
    Ok(Box::new(move || {
        let target = task.create()?;
        let len = task.size as usize;
        let mapping = Mapping::file(&source, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
        let mut work = Work { system_calls: 4, copied: task.size, ..Work::default() };
        let mut start = 0;
        while start < len {
            task.go_on()?;
            let part = STRETCH.min(len - start);
            work.system_calls += 1;
            // SAFETY: the range lies inside the live mapping, which the kernel
            // reads; a cut file gives EFAULT here, not SIGBUS.
            let n = unsafe { libc::write(target.as_raw_fd(), mapping.address().add(start).cast(), part) };
            match n {
                n if n >= 0 => start += n as usize,
                _ => retry_or_fail("write")?,
            }
        }
        Ok(work)
    }))
}

fn mmap_both(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let source = task.open()?;
    Ok(Box::new(move || {
        let target = task.create()?;
        let len = task.size as usize;
        target.set_len(task.size).map_err(call("ftruncate"))?;
        let from = Mapping::file(&source, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let to = Mapping::file(&target, 0, len, both, libc::MAP_SHARED).map_err(call("mmap"))?;
        for start in (0..len).step_by(STRETCH) {
            task.go_on()?;
            let part = STRETCH.min(len - start);
            // SAFETY: both ranges lie inside live mappings that do not overlap.
            unsafe {
                std::ptr::copy_nonoverlapping(from.address().add(start), to.address().add(start), part);
            }
        }
        Ok(Work { system_calls: 7, copied: task.size, ..Work::default() })
    }))
}

fn kernel_copy<'a>(
    task: Task<'a>,
    operation: &'static str,
    step: fn(&File, &File, usize) -> isize,
) -> Result<Prepared<'a>, Fault> {
    let source = task.open()?;
    Ok(Box::new(move || {
        let target = task.create()?;
        let mut work = Work { system_calls: 2, copied: task.size, ..Work::default() };
        let mut left = task.size as usize;
        while left > 0 {
            task.go_on()?;
            work.system_calls += 1;
            match step(&source, &target, left.min(KERNEL_STRETCH)) {
                0 => return Err(Fault::Short),
                n if n > 0 => left -= n as usize,
                _ => retry_or_fail(operation)?,
            }
        }
        Ok(work)
    }))
}

fn copy_file_range(source: &File, target: &File, len: usize) -> isize {
    let null = std::ptr::null_mut();
    // SAFETY: null offsets mean the descriptors' own.
    unsafe { libc::copy_file_range(source.as_raw_fd(), null, target.as_raw_fd(), null, len, 0) }
}

fn sendfile(source: &File, target: &File, len: usize) -> isize {
    // SAFETY: a null offset means the descriptor's own.
    unsafe { libc::sendfile(target.as_raw_fd(), source.as_raw_fd(), std::ptr::null_mut(), len) }
}

/// A pipe, as large as is permitted up to `capacity` bytes.
pub fn pipe(capacity: usize) -> Result<(OwnedFd, OwnedFd), Fault> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(call("pipe")(std::io::Error::last_os_error()));
    }
    // SAFETY: both were just opened and belong to nobody else.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // Refused beyond pipe-max-size; then it stays as it is.
    // SAFETY: takes a descriptor and integers only.
    unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, capacity as libc::c_int) };
    Ok((read, write))
}

fn splice(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let source = task.open()?;
    let (read_end, write_end) = pipe(1 << 20)?;
    Ok(Box::new(move || {
        let target = task.create()?;
        let mut work = Work { system_calls: 2, copied: task.size, ..Work::default() };
        let mut left = task.size as usize;
        while left > 0 {
            task.go_on()?;
            let mut piped = splice_some(&source, &write_end, left.min(1 << 20), &mut work)?;
            if piped == 0 {
                return Err(Fault::Short);
            }
            left -= piped;
            while piped > 0 {
                piped -= splice_some(&read_end, &target, piped, &mut work)?;
            }
        }
        Ok(work)
    }))
}

fn splice_some(from: &impl AsRawFd, to: &impl AsRawFd, len: usize, work: &mut Work) -> Result<usize, Fault> {
    let null = std::ptr::null_mut();
    loop {
        work.system_calls += 1;
        // SAFETY: null offsets mean the descriptors' own.
        let n = unsafe { libc::splice(from.as_raw_fd(), null, to.as_raw_fd(), null, len, libc::SPLICE_F_MOVE) };
        if n >= 0 {
            return Ok(n as usize);
        }
        retry_or_fail("splice")?;
    }
}
