//! Checksum a file once, in order.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::sync::mpsc;

use super::uring::Mode;
use super::{Fault, Prepared, STRETCH, Strategy, Task, Work, buffer, call, read_full, retry_or_fail, size_name, uring};
use crate::memory::{Buffer, Mapping, sum};

/// MAP_POPULATE stops for no interrupt, so it is done in windows; large enough
/// that the call itself costs nothing.
const POPULATE_WINDOW: usize = 64 << 20;

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    vec![
        read(64 << 10),
        Strategy::new("mmap", "map the file shared and read it in place", None, |t| mmap(t, libc::MAP_SHARED, None)),
        read(256 << 10),
        Strategy::new("mmap_populate", "the same with MAP_POPULATE", None, mmap_populate),
        Strategy::new("direct_1m", "O_DIRECT reads past the cache", Some(1 << 20), |t| direct(t, 1 << 20)).cold_only(),
        read(1 << 20),
        read(4 << 10),
        Strategy::new("mmap_sequential", "mmap with MADV_SEQUENTIAL", None, |t| {
            mmap(t, libc::MAP_SHARED, Some(libc::MADV_SEQUENTIAL))
        }),
        Strategy::new("uring_256k", "io_uring, four reads in flight", Some(256 << 10), |t| {
            uring::scan(t, 256 << 10, 4, Mode::Plain)
        }),
        Strategy::new("uring_fixed_256k", "the same with registered buffers and file", Some(256 << 10), |t| {
            uring::scan(t, 256 << 10, 4, Mode::Registered)
        })
        .full(),
        read(16 << 10).full(),
        read(4 << 20).full(),
        Strategy::new("pread_256k", "pread with offsets of its own", Some(256 << 10), |t| pread(t, 256 << 10)).full(),
        Strategy::new("readv_4x64k", "readv into four buffers", Some(256 << 10), readv).full(),
        Strategy::new(
            "nowait_256k",
            "preadv2 with RWF_NOWAIT, and without where it would wait",
            Some(256 << 10),
            |t| preadv2(t, libc::RWF_NOWAIT),
        )
        .full(),
        Strategy::new(
            "dontcache_256k",
            "preadv2 with RWF_DONTCACHE: dropped from the cache once read",
            Some(256 << 10),
            |t| preadv2(t, RWF_DONTCACHE),
        )
        .full()
        .cold_only(),
        Strategy::new("bufreader", "std BufReader, 8 KiB", Some(8 << 10), bufreader).full(),
        Strategy::new("stdio", "libc fread through FILE*, 4 KiB", Some(4 << 10), stdio).full(),
        Strategy::new("thread_256k", "a thread reads the next block while this one is summed", Some(256 << 10), |t| {
            read_ahead(t, 256 << 10)
        })
        .full(),
        Strategy::new("mmap_private", "map the file privately", None, |t| mmap(t, libc::MAP_PRIVATE, None)).full(),
        Strategy::new("mmap_huge", "mmap with MADV_HUGEPAGE", None, |t| {
            mmap(t, libc::MAP_SHARED, Some(libc::MADV_HUGEPAGE))
        })
        .full(),
        Strategy::new("mmap_populate_read", "MADV_POPULATE_READ, 8 MiB at a time", Some(8 << 20), populate_read).full(),
        Strategy::new("direct_4m", "O_DIRECT, 4 MiB at a time", Some(4 << 20), |t| direct(t, 4 << 20))
            .full()
            .cold_only(),
        Strategy::new(
            "uring_direct_1m",
            "io_uring with O_DIRECT, registered, four reads in flight",
            Some(1 << 20),
            |t| uring::scan(t, 1 << 20, 4, Mode::Direct),
        )
        .full()
        .cold_only(),
    ]
}

/// read(2) into one buffer again and again.
pub fn read(block: usize) -> Strategy {
    let name = format!("read_{}", size_name(block));
    let what = format!("read(2), {} KiB at a time", block >> 10);
    Strategy::new(&name, &what, Some(block), move |task| {
        let file = task.open()?;
        let mut buffer = buffer(block)?;
        Ok(Box::new(move || {
            let mut work = Work::default();
            let block = buffer.bytes();
            loop {
                task.go_on()?;
                let n = read_full(&file, block, &mut work.system_calls)?;
                work.checksum = work.checksum.wrapping_add(sum(&block[..n]));
                work.copied += n as u64;
                if n < block.len() {
                    return Ok(work);
                }
            }
        }))
    })
}

fn pread(task: Task<'_>, block: usize) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    let mut buffer = buffer(block)?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        let mut offset = 0;
        while offset < task.size {
            task.go_on()?;
            let n = pread_some(&file, buffer.bytes(), offset, &mut work.system_calls)?;
            if n == 0 {
                return Err(Fault::Short);
            }
            // A short read in the middle would put the words out of step.
            let whole = if offset + n as u64 == task.size { n } else { n & !7 };
            work.checksum = work.checksum.wrapping_add(sum(&buffer.bytes()[..whole]));
            work.copied += n as u64;
            offset += whole as u64;
        }
        Ok(work)
    }))
}

/// One pread(2), repeated only after EINTR.
pub fn pread_some(file: &File, block: &mut [u8], offset: u64, calls: &mut u64) -> Result<usize, Fault> {
    loop {
        *calls += 1;
        // SAFETY: the kernel writes at most `block.len()` bytes into `block`.
        let n = unsafe { libc::pread(file.as_raw_fd(), block.as_mut_ptr().cast(), block.len(), offset as i64) };
        if n >= 0 {
            return Ok(n as usize);
        }
        retry_or_fail("pread")?;
    }
}

fn readv(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    const PART: usize = 64 << 10;
    let file = task.open()?;
    let mut buffer = buffer(4 * PART)?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        loop {
            task.go_on()?;
            let mut parts: [libc::iovec; 4] =
                std::array::from_fn(|_| libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
            for (part, chunk) in parts.iter_mut().zip(buffer.bytes().chunks_mut(PART)) {
                *part = libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: chunk.len() };
            }
            work.system_calls += 1;
            // SAFETY: the four parts lie in `buffer`, which outlives the call.
            let n = unsafe { libc::readv(file.as_raw_fd(), parts.as_ptr(), 4) };
            match n {
                0 => return Ok(work),
                n if n > 0 => {
                    let n = n as usize;
                    work.checksum = work.checksum.wrapping_add(sum(&buffer.bytes()[..n]));
                    work.copied += n as u64;
                }
                _ => retry_or_fail("readv")?,
            }
        }
    }))
}

/// `RWF_DONTCACHE` of linux/fs.h, since Linux 6.14.
const RWF_DONTCACHE: i32 = 0x80;

/// preadv2(2) in order. What RWF_NOWAIT says would wait is read without it.
fn preadv2(task: Task<'_>, flags: i32) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    let mut buffer = buffer(256 << 10)?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        let (mut flags_now, mut waited) = (flags, 0u64);
        loop {
            task.go_on()?;
            let bytes = buffer.bytes();
            let part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            work.system_calls += 1;
            // SAFETY: the part is `buffer`, which outlives the call. An offset
            // of −1 means the file's own.
            let n = unsafe { libc::preadv2(file.as_raw_fd(), &raw const part, 1, -1, flags_now) };
            flags_now = flags;
            match n {
                0 => break,
                n if n > 0 => {
                    let n = n as usize;
                    work.checksum = work.checksum.wrapping_add(sum(&bytes[..n]));
                    work.copied += n as u64;
                }
                _ => {
                    let error = std::io::Error::last_os_error();
                    match error.raw_os_error() {
                        Some(libc::EAGAIN) => (flags_now, waited) = (0, waited + 1),
                        Some(libc::EINTR) => {}
                        _ => return Err(call("preadv2")(error)),
                    }
                }
            }
        }
        if waited > 0 {
            work.note = Some(format!("{waited} reads would have waited, and were made again without RWF_NOWAIT"));
        }
        Ok(work)
    }))
}

fn bufreader(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let mut reader = BufReader::new(task.open()?);
    Ok(Box::new(move || {
        let mut work = Work::default();
        loop {
            task.go_on()?;
            let bytes = reader.fill_buf().map_err(call("read"))?;
            work.system_calls += 1;
            let n = bytes.len();
            if n == 0 {
                return Ok(work);
            }
            work.checksum = work.checksum.wrapping_add(sum(bytes));
            work.copied += n as u64;
            reader.consume(n);
        }
    }))
}

/// A FILE* that is closed when dropped.
struct Stream(*mut libc::FILE);

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: opened by fopen, not yet closed.
        unsafe { libc::fclose(self.0) };
    }
}

fn stdio(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(task.path.as_os_str().as_bytes()).map_err(|e| call("fopen")(e.into()))?;
    // SAFETY: both are strings that end in 0.
    let stream = unsafe { libc::fopen(path.as_ptr(), c"r".as_ptr()) };
    if stream.is_null() {
        return Err(call("fopen")(std::io::Error::last_os_error()));
    }
    let stream = Stream(stream);
    let mut buffer = buffer(1 << 10)?;
    Ok(Box::new(move || {
        let stream = stream;
        let mut work = Work::default();
        loop {
            task.go_on()?;
            let bytes = buffer.bytes();
            // SAFETY: `bytes` is writable for its length and the stream is open.
            let n = unsafe { libc::fread(bytes.as_mut_ptr().cast(), 1, bytes.len(), stream.0) };
            work.checksum = work.checksum.wrapping_add(sum(&bytes[..n]));
            // Once by the kernel, once by the library.
            work.copied += 2 * n as u64;
            if n < bytes.len() {
                work.system_calls = task.size.div_ceil(4096) + 1;
                return Ok(work);
            }
        }
    }))
}

fn read_ahead(task: Task<'_>, block: usize) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    let buffers = [buffer(block)?, buffer(block)?];
    Ok(Box::new(move || {
        let (full_in, full_out) = mpsc::sync_channel::<(Buffer, usize)>(2);
        let (empty_in, empty_out) = mpsc::sync_channel::<Buffer>(2);
        for buffer in buffers {
            // Both fit: the channel holds two.
            let _ = empty_in.send(buffer);
        }
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut calls = 0;
                while let Ok(mut buffer) = empty_out.recv() {
                    task.go_on()?;
                    let n = read_full(&file, buffer.bytes(), &mut calls)?;
                    if full_in.send((buffer, n)).is_err() || n < block {
                        break;
                    }
                }
                Ok(calls)
            });
            let mut work = Work { note: Some("two threads".to_owned()), ..Work::default() };
            while let Ok((mut buffer, n)) = full_out.recv() {
                work.checksum = work.checksum.wrapping_add(sum(&buffer.bytes()[..n]));
                work.copied += n as u64;
                // After the last block nobody waits for the buffer.
                let _ = empty_in.send(buffer);
            }
            drop(empty_in);
            work.system_calls = reader.join().unwrap_or(Ok(0))?;
            Ok(work)
        })
    }))
}

fn mmap(task: Task<'_>, flags: i32, advice: Option<i32>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    Ok(Box::new(move || {
        let mapping = Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, flags).map_err(call("mmap"))?;
        let mut work = Work { system_calls: 2, ..Work::default() };
        if let Some(advice) = advice {
            mapping.advise(advice).map_err(|e| Fault::Unsupported(format!("madvise: {e}")))?;
            work.system_calls += 1;
        }
        sum_mapping(&task, &mapping, &mut work)?;
        Ok(work)
    }))
}

/// The sum of a whole mapping, with a look at the interrupt flag now and then.
pub fn sum_mapping(task: &Task<'_>, mapping: &Mapping, work: &mut Work) -> Result<(), Fault> {
    for start in (0..mapping.len()).step_by(STRETCH) {
        task.go_on()?;
        let len = STRETCH.min(mapping.len() - start);
        work.checksum = work.checksum.wrapping_add(mapping.sum(start, len));
    }
    Ok(())
}

fn mmap_populate(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    let file = task.open()?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        let mut offset = 0;
        while offset < task.size {
            let len = (POPULATE_WINDOW as u64).min(task.size - offset) as usize;
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            let mapping = Mapping::file(&file, offset, len, libc::PROT_READ, flags).map_err(call("mmap"))?;
            work.system_calls += 2;
            sum_mapping(&task, &mapping, &mut work)?;
            offset += len as u64;
        }
        Ok(work)
    }))
}

fn populate_read(task: Task<'_>) -> Result<Prepared<'_>, Fault> {
    const WINDOW: usize = 8 << 20;
    let file = task.open()?;
    Ok(Box::new(move || {
        let len = task.size as usize;
        let mapping = Mapping::file(&file, 0, len, libc::PROT_READ, libc::MAP_SHARED).map_err(call("mmap"))?;
        let mut work = Work { system_calls: 2, ..Work::default() };
        for start in (0..len).step_by(WINDOW) {
            task.go_on()?;
            let part = WINDOW.min(len - start);
            mapping.advise_range(start, part, libc::MADV_POPULATE_READ).map_err(|e| match e.raw_os_error() {
                Some(libc::EINVAL) => {
                    Fault::Unsupported("this kernel has no MADV_POPULATE_READ (Linux 5.14)".to_owned())
                }
                _ => call("madvise (MADV_POPULATE_READ)")(e),
            })?;
            work.system_calls += 1;
            work.checksum = work.checksum.wrapping_add(mapping.sum(start, part));
        }
        Ok(work)
    }))
}

fn direct(task: Task<'_>, block: usize) -> Result<Prepared<'_>, Fault> {
    let file = task.open_direct()?;
    let mut buffer = Buffer::large(block).map_err(call("mmap a buffer"))?;
    let note = Some(buffer.layout().to_owned());
    Ok(Box::new(move || {
        let mut work = Work { note, ..Work::default() };
        let mut offset = 0;
        while offset < task.size {
            task.go_on()?;
            let n = pread_some(&file, buffer.bytes(), offset, &mut work.system_calls).map_err(|fault| match fault {
                Fault::Call { source, .. } if source.raw_os_error() == Some(libc::EINVAL) => {
                    Fault::Unsupported("O_DIRECT reads are refused here".to_owned())
                }
                other => other,
            })?;
            if n == 0 {
                return Err(Fault::Short);
            }
            work.checksum = work.checksum.wrapping_add(sum(&buffer.bytes()[..n]));
            offset += n as u64;
        }
        Ok(work)
    }))
}
