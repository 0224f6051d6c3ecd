//! What the device below a file costs, past the page cache or for its misses.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use super::{Costs, NEVER, per_operation_timed, wall};
use crate::cache;
use crate::error::BenchError;
use crate::memory::{Buffer, page_size};
use crate::statistics::{Estimate, Random};
use crate::strategy::{Task, uring};
use crate::subject::Workshop;

/// Reads and writes of a scratch file that reach the device.
pub(super) fn measure(workshop: &Workshop, costs: &mut Costs) -> Result<(), BenchError> {
    let path = workshop.path("device");
    let size = 32usize << 20;
    let failed = |e| BenchError::io("write", &path, e);
    let mut file = File::create_new(&path).map_err(failed)?;
    let mut bytes = vec![0u8; 1 << 20];
    let mut random = Random::new(99);
    for _ in 0..size >> 20 {
        crate::subject::fill(&mut bytes, &mut random);
        file.write_all(&bytes).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    syncs(&file, costs);
    costs.cache_miss_mib_ns = cache_miss(&path, size);
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let ring_read = || {
        uring::scan(
            Task { path: &path, size: size as u64, target: &path, offsets: &[], interrupted: &NEVER },
            1 << 20,
            4,
            uring::Mode::Direct,
        )
    };
    if let Ok(direct) = direct
        && let Ok(mut buffer) = Buffer::large(1 << 20)
    {
        let mut at = 0usize;
        let mut read = |len: usize, times: usize| {
            let clock = Instant::now();
            for _ in 0..times {
                at = (at + 7 * len) % (size - len + 1) / 4096 * 4096;
                let place = buffer.bytes()[..len].as_mut_ptr();
                // SAFETY: the kernel writes at most `len` bytes into the buffer.
                let n = unsafe { libc::pread(direct.as_raw_fd(), place.cast(), len, at as i64) };
                if n != len as isize {
                    return None;
                }
            }
            Some(clock.elapsed().as_nanos() as f64)
        };
        // A device of milliseconds would take too long for nine batches of these.
        let once = read(4096, 1).unwrap_or(f64::MAX);
        let times = if once > 2e6 { 1 } else { 16 };
        costs.device_4k_ns = per_operation_timed(times, || read(4096, times));
        costs.device_1m_ns = per_operation_timed(times.min(8), || read(1 << 20, times.min(8)));
        costs.device_4k_deep_ns = deep_4k(&path, size);
        costs.device_write_1m_ns = direct_write(&path);
        costs.device_1m_deep_ns = per_operation_timed(size >> 20, || {
            let run = ring_read().ok()?;
            let clock = Instant::now();
            run().ok()?;
            Some(clock.elapsed().as_nanos() as f64)
        });
    }
    std::fs::remove_file(&path).map_err(|e| BenchError::io("remove", &path, e))
}

/// Reads the file through the cache after evicting it; `None` where it cannot be.
fn cache_miss(path: &Path, size: usize) -> Option<Estimate> {
    let file = File::open(path).ok()?;
    let mut buffer = Buffer::new(256 << 10).ok()?;
    per_operation_timed(size >> 20, || {
        cache::evict(&file).ok()?;
        if !cache::residency(&file, size as u64).ok()?.is_cold() {
            return None;
        }
        let clock = Instant::now();
        for offset in (0..size).step_by(256 << 10) {
            file.read_exact_at(buffer.bytes(), offset as u64).ok()?;
        }
        Some(clock.elapsed().as_nanos() as f64)
    })
}

/// 4 KiB at random places, 32 in flight.
fn deep_4k(path: &Path, size: usize) -> Option<Estimate> {
    const READS: usize = 128;
    let mut numbers = Random::new(7);
    let offsets: Vec<u64> = (0..READS).map(|_| (numbers.below(size / 4096) * 4096) as u64).collect();
    let task = Task { path, size: size as u64, target: path, offsets: &offsets, interrupted: &NEVER };
    per_operation_timed(READS, || {
        let run = uring::random(task, 32, uring::Mode::Direct).ok()?;
        wall(|| run().ok().map(drop))
    })
}

/// 1 MiB over what the file has, past the cache.
fn direct_write(path: &Path) -> Option<Estimate> {
    const LEN: usize = 1 << 20;
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    let mut buffer = Buffer::large(LEN).ok()?;
    per_operation_timed(4, || {
        wall(|| (0..4u64).try_for_each(|block| file.write_all_at(buffer.bytes(), block << 20).ok()))
    })
}

/// What waiting for the device adds to writing: for one page, and for each MiB.
fn syncs(file: &File, costs: &mut Costs) {
    const MIB: u64 = 8;
    let bytes = vec![0x5Au8; 1 << 20];
    let sync = |write: &dyn Fn() -> Option<()>| {
        per_operation_timed(1, || {
            write()?;
            wall(|| file.sync_data().ok())
        })
    };
    costs.sync_ns = sync(&|| file.write_all_at(&bytes[..page_size()], 0).ok());
    let many = sync(&|| (0..MIB).try_for_each(|mib| file.write_all_at(&bytes, mib << 20).ok()));
    if let (Some(one), Some(many)) = (costs.sync_ns, many) {
        let part = |many: f64, one: f64| ((many - one) / MIB as f64).max(0.0);
        costs.sync_mib_ns = Some(Estimate {
            median: part(many.median, one.median),
            low: part(many.low, one.high),
            high: part(many.high, one.low),
        });
    }
}
