//! What single operations cost on this machine: the terms of the model.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cache;
use crate::error::BenchError;
use crate::memory::{Buffer, Mapping, page_size, sum, touch};
use crate::statistics::{Estimate, estimate};
use crate::strategy::copy::pipe;
use crate::subject::Workshop;

/// Batches of each measurement.
const BATCHES: usize = 9;

/// Memory that no processor cache holds.
const LARGE: usize = 64 << 20;

/// The primitive costs; all in nanoseconds. `None` where this machine does not
/// permit or have the operation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Costs {
    /// The least system call: getppid(2).
    pub syscall_ns: Option<Estimate>,
    /// pread(2) of one cached page.
    pub pread_page_ns: Option<Estimate>,
    /// Copying 1 KiB within the processor's caches.
    pub copy_cached_kib_ns: Option<Estimate>,
    /// Copying 1 KiB from memory into a small buffer.
    pub copy_memory_kib_ns: Option<Estimate>,
    /// Copying 1 KiB from memory to memory.
    pub copy_through_kib_ns: Option<Estimate>,
    /// Summing 1 KiB that lies in the processor's second cache.
    pub sum_cached_kib_ns: Option<Estimate>,
    /// Summing 1 KiB of memory that is mapped already.
    pub sum_memory_kib_ns: Option<Estimate>,
    /// First write to a page of anonymous memory.
    pub fault_anonymous_ns: Option<Estimate>,
    /// First touch of 64 KiB of a file cached in small folios: one fault.
    pub fault_file_small_ns: Option<Estimate>,
    /// First touch of a large folio of a file: one fault.
    pub fault_file_large_ns: Option<Estimate>,
    /// Pages that the large fault mapped.
    pub fault_file_large_pages: Option<f64>,
    /// MADV_POPULATE_READ of a page of a file cached in small folios.
    pub populate_page_ns: Option<Estimate>,
    /// mmap(2) and munmap(2) of a page that is never touched.
    pub map_unmap_ns: Option<Estimate>,
    /// munmap(2) of a touched page, with one thread.
    pub unmap_touched_ns: Option<Estimate>,
    /// The same while a second thread runs on another processor, which must be
    /// told to forget the page (a TLB shootdown).
    pub unmap_shootdown_ns: Option<Estimate>,
    /// A page of a new file, written in calls of 1 MiB.
    pub write_page_ns: Option<Estimate>,
    /// A page of a new file, written in calls of one page.
    pub write_page_alone_ns: Option<Estimate>,
    /// A round trip of one byte through two pipes between two threads.
    pub pipe_round_trip_ns: Option<Estimate>,
    /// The same with both on one processor: two context switches.
    pub pipe_round_trip_one_cpu_ns: Option<Estimate>,
    /// A signal to oneself with a handler.
    pub signal_ns: Option<Estimate>,
    /// fork(2), exit and wait of this process.
    pub fork_ns: Option<Estimate>,
    /// What each MiB of touched memory adds to it.
    pub fork_mib_ns: Option<Estimate>,
    /// Reading 1 MiB of a file that is not cached, through the page cache in
    /// order: the miss, with the kernel's read-ahead.
    pub cache_miss_mib_ns: Option<Estimate>,
    /// Reading 4 KiB from the device, one at a time.
    pub device_4k_ns: Option<Estimate>,
    /// Reading 1 MiB from the device, one at a time.
    pub device_1m_ns: Option<Estimate>,
    /// Reading 1 MiB from the device, four at a time.
    pub device_1m_deep_ns: Option<Estimate>,
}

impl Costs {
    /// Name, figure and what it is, of those that were measured.
    pub fn rows(&self) -> Vec<(&'static str, Estimate, &'static str)> {
        let all = [
            ("system call", self.syscall_ns, "getppid(2)"),
            ("pread of a cached page", self.pread_page_ns, "4 KiB, the same page again"),
            ("copy 1 KiB, in cache", self.copy_cached_kib_ns, "memcpy, 32 KiB to 32 KiB"),
            ("copy 1 KiB out of memory", self.copy_memory_kib_ns, "memcpy into a 64 KiB buffer"),
            ("copy 1 KiB memory to memory", self.copy_through_kib_ns, "memcpy of 32 MiB"),
            ("sum 1 KiB, in cache", self.sum_cached_kib_ns, "64 KiB again and again"),
            ("sum 1 KiB of memory", self.sum_memory_kib_ns, "64 MiB, mapped already"),
            ("fault, anonymous page", self.fault_anonymous_ns, "first write"),
            ("fault, file in small folios", self.fault_file_small_ns, "maps up to 64 KiB"),
            ("fault, file in large folios", self.fault_file_large_ns, "maps up to 2 MiB"),
            ("populate a page", self.populate_page_ns, "MADV_POPULATE_READ, small folios"),
            ("mmap and munmap", self.map_unmap_ns, "one page, not touched"),
            ("munmap of a touched page", self.unmap_touched_ns, "one thread"),
            ("the same with a second thread", self.unmap_shootdown_ns, "TLB shootdown"),
            ("write a page of a new file", self.write_page_ns, "in calls of 1 MiB"),
            ("write a page, each by itself", self.write_page_alone_ns, "in calls of 4 KiB"),
            ("pipe round trip", self.pipe_round_trip_ns, "two threads, wherever they run"),
            ("pipe round trip, one CPU", self.pipe_round_trip_one_cpu_ns, "two context switches"),
            ("signal", self.signal_ns, "to oneself, with a handler"),
            ("fork, exit and wait", self.fork_ns, "this process"),
            ("fork, each MiB touched", self.fork_mib_ns, "in 4 KiB pages"),
            ("page-cache miss, 1 MiB", self.cache_miss_mib_ns, "in order, read ahead"),
            ("device read 4 KiB", self.device_4k_ns, "O_DIRECT, one at a time"),
            ("device read 1 MiB", self.device_1m_ns, "O_DIRECT, one at a time"),
            ("device read 1 MiB, deep", self.device_1m_deep_ns, "io_uring, four in flight"),
        ];
        all.into_iter().filter_map(|(name, cost, what)| Some((name, cost?, what))).collect()
    }
}

/// Measures them all, in about a second.
///
/// # Errors
/// [`BenchError::NoSpace`] when the scratch files do not fit, and
/// [`BenchError::Interrupted`].
pub fn measure(workshop: &Workshop, interrupted: &AtomicBool) -> Result<Costs, BenchError> {
    workshop.ensure_space(3 * LARGE as u64, "measuring primitive costs")?;
    let go_on = || {
        if interrupted.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    };
    let mut costs = Costs::default();
    calls(&mut costs);
    go_on()?;
    memory_costs(&mut costs);
    go_on()?;
    faults(&mut costs);
    go_on()?;
    files(workshop, &mut costs, &go_on)?;
    go_on()?;
    processes(&mut costs);
    Ok(costs)
}

/// Nanoseconds of one of the `operations` that `batch` does, over some batches.
pub(crate) fn per_operation(operations: usize, mut batch: impl FnMut()) -> Estimate {
    batch();
    let samples: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let clock = Instant::now();
            batch();
            clock.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    estimate(&undisturbed(samples), 1)
}

/// The faster two thirds: what a neighbour or an interrupt does to a batch only
/// makes it slower, and the cost of an operation is what it takes by itself.
fn undisturbed(mut samples: Vec<f64>) -> Vec<f64> {
    samples.sort_by(f64::total_cmp);
    samples.truncate(samples.len().div_ceil(3) * 2);
    samples
}

/// The same for a batch that says itself how long its part took.
pub(crate) fn per_operation_timed(operations: usize, mut batch: impl FnMut() -> Option<f64>) -> Option<Estimate> {
    let samples: Option<Vec<f64>> = (0..BATCHES).map(|_| batch().map(|ns| ns / operations as f64)).collect();
    samples.map(|samples| estimate(&undisturbed(samples), 1))
}

fn calls(costs: &mut Costs) {
    const CALLS: usize = 5000;
    costs.syscall_ns = Some(per_operation(CALLS, || {
        for _ in 0..CALLS {
            // SAFETY: takes nothing, changes nothing.
            black_box(unsafe { libc::syscall(libc::SYS_getppid) });
        }
    }));
}

fn memory_costs(costs: &mut Costs) {
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

fn faults(costs: &mut Costs) {
    const PAGES: usize = 1024;
    let private = libc::MAP_PRIVATE;
    costs.fault_anonymous_ns = per_operation_timed(PAGES, || {
        let mapping = Mapping::anonymous(PAGES * page_size(), private).ok()?;
        // Without it one fault may bring a large page.
        let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
        let clock = Instant::now();
        for at in (0..mapping.len()).step_by(page_size()) {
            // SAFETY: inside the live mapping.
            unsafe { mapping.address().add(at).write_volatile(1) };
        }
        Some(clock.elapsed().as_nanos() as f64)
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
            let clock = Instant::now();
            drop(mapping);
            ns += clock.elapsed().as_nanos() as f64;
        }
        Some(ns)
    })
}

fn files(workshop: &Workshop, costs: &mut Costs, go_on: &dyn Fn() -> Result<(), BenchError>) -> Result<(), BenchError> {
    let scratch = |name: &str, piece: usize, size: usize| -> Result<(File, f64), BenchError> {
        let path = workshop.path(name);
        let failed = |e| BenchError::io("write", &path, e);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).map_err(failed)?;
        let bytes = vec![0xA5u8; piece];
        let clock = Instant::now();
        for _ in 0..size / piece {
            (&file).write_all(&bytes).map_err(failed)?;
        }
        let ns = clock.elapsed().as_nanos() as f64;
        std::fs::remove_file(&path).map_err(|e| BenchError::io("remove", &path, e))?;
        Ok((file, ns))
    };
    use std::io::Write;
    let size = 32 << 20;
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
    let (large, _) = scratch("large-folios", 4 << 20, size)?;
    if let Some((cost, pages)) = fault_of(&large, size) {
        costs.fault_file_large_ns = Some(cost);
        costs.fault_file_large_pages = Some(pages);
    }
    drop(large);
    go_on()?;
    device(workshop, costs)
}

/// Cost of a minor fault on a cached file, munmap included, and the pages that
/// one fault maps.
pub(crate) fn fault_of(file: &File, len: usize) -> Option<(Estimate, f64)> {
    let mut counted = 0u64;
    let cost = per_operation_timed(1, || {
        let before = minor_faults();
        let clock = Instant::now();
        let mapping = Mapping::file(file, 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
        touch(&mapping);
        drop(mapping);
        let ns = clock.elapsed().as_nanos() as f64;
        counted = (minor_faults() - before).max(1);
        Some(ns / counted as f64)
    })?;
    Some((cost, (len / page_size()) as f64 / counted as f64))
}

/// Cost of MADV_POPULATE_READ a page, munmap included.
pub(crate) fn populate_of(file: &File, len: usize) -> Option<Estimate> {
    per_operation_timed(len / page_size(), || {
        let clock = Instant::now();
        let mapping = Mapping::file(file, 0, len, libc::PROT_READ, libc::MAP_SHARED).ok()?;
        mapping.advise(libc::MADV_POPULATE_READ).ok()?;
        drop(mapping);
        Some(clock.elapsed().as_nanos() as f64)
    })
}

/// Page faults without I/O of this thread so far.
pub(crate) fn minor_faults() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.minor_page_faults() as u64)
}

fn device(workshop: &Workshop, costs: &mut Costs) -> Result<(), BenchError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let path = workshop.path("device");
    let size = 32usize << 20;
    let failed = |e| BenchError::io("write", &path, e);
    let mut file = File::create_new(&path).map_err(failed)?;
    let mut bytes = vec![0u8; 1 << 20];
    let mut random = crate::statistics::Random::new(99);
    for _ in 0..size >> 20 {
        crate::subject::fill(&mut bytes, &mut random);
        file.write_all(&bytes).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    costs.cache_miss_mib_ns = cache_miss(&path, size);
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&path);
    let ring_read = || {
        crate::strategy::uring::scan(
            crate::strategy::Task { path: &path, size: size as u64, target: &path, offsets: &[], interrupted: &NEVER },
            1 << 20,
            4,
            true,
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

static NEVER: AtomicBool = AtomicBool::new(false);

fn processes(costs: &mut Costs) {
    costs.pipe_round_trip_ns = round_trip(false);
    costs.pipe_round_trip_one_cpu_ns = round_trip(true);
    costs.signal_ns = signal();
    if let Some(fork) = fork_cost() {
        costs.fork_ns = Some(fork);
        const MIB: usize = 64;
        if let Ok(mapping) = Mapping::anonymous(MIB << 20, libc::MAP_PRIVATE) {
            let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
            for at in (0..mapping.len()).step_by(page_size()) {
                // SAFETY: inside the live mapping.
                unsafe { mapping.address().add(at).write_volatile(1) };
            }
            if let Some(with) = fork_cost() {
                let part = |with: f64, without: f64| ((with - without) / MIB as f64).max(0.0);
                costs.fork_mib_ns = Some(Estimate {
                    median: part(with.median, fork.median),
                    low: part(with.low, fork.high),
                    high: part(with.high, fork.low),
                });
            }
        }
    }
}

/// Round trips of one byte through two pipes between this and another thread.
pub(crate) fn round_trip(one_cpu: bool) -> Option<Estimate> {
    const TRIPS: usize = 200;
    let (ping_out, ping_in) = pipe(4096).ok()?;
    let (pong_out, pong_in) = pipe(4096).ok()?;
    let pin = |cpu: usize| {
        let mut set = nix::sched::CpuSet::new();
        set.set(cpu).and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set))
    };
    // Both ends in threads of their own, so that this thread keeps its place.
    std::thread::scope(|scope| {
        let first = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
            .ok()
            .and_then(|set| (0..1024).find(|cpu| set.is_set(*cpu).unwrap_or(false)));
        let one_cpu = if one_cpu { Some(first?) } else { None };
        scope.spawn(move || {
            if let Some(cpu) = one_cpu {
                let _ = pin(cpu);
            }
            let mut byte = [0u8; 1];
            while nix::unistd::read(&ping_out, &mut byte) == Ok(1) {
                if nix::unistd::write(&pong_in, &byte) != Ok(1) {
                    break;
                }
            }
        });
        scope
            .spawn(move || {
                if let Some(cpu) = one_cpu {
                    let _ = pin(cpu);
                }
                let mut byte = [0u8; 1];
                per_operation_timed(TRIPS, || {
                    let clock = Instant::now();
                    for _ in 0..TRIPS {
                        nix::unistd::write(&ping_in, &byte).ok()?;
                        nix::unistd::read(&pong_out, &mut byte).ok()?;
                    }
                    Some(clock.elapsed().as_nanos() as f64)
                })
            })
            .join()
            .ok()?
    })
}

extern "C" fn on_signal(_: libc::c_int) {}

/// A signal that this process sends to its own thread, with a handler. Only a
/// signal whose action is the default is borrowed, and it is given back.
fn signal() -> Option<Estimate> {
    const SIGNALS: usize = 500;
    // SAFETY: all zeros is a valid sigaction: the default action, no flags.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // Restarting, so that a neighbour's call is not cut short.
    action.sa_flags = libc::SA_RESTART;
    let number = libc::SIGURG;
    // SAFETY: both point to valid structs; the handler does nothing.
    if unsafe { libc::sigaction(number, &raw const action, &raw mut previous) } != 0 {
        return None;
    }
    let cost = per_operation(SIGNALS, || {
        for _ in 0..SIGNALS {
            // SAFETY: the handler is in place.
            unsafe { libc::raise(number) };
        }
    });
    // SAFETY: puts back what was there.
    unsafe { libc::sigaction(number, &raw const previous, std::ptr::null_mut()) };
    Some(cost)
}

/// fork(2), `_exit` in the child, and the wait for it.
pub(crate) fn fork_cost() -> Option<Estimate> {
    const FORKS: usize = 5;
    per_operation_timed(FORKS, || {
        let clock = Instant::now();
        for _ in 0..FORKS {
            // SAFETY: the child calls nothing but _exit, which is safe after a
            // fork of a process with threads.
            let pid = unsafe { libc::fork() };
            match pid {
                0 => {
                    // SAFETY: ends the child without running anything of the parent's.
                    unsafe { libc::_exit(0) }
                }
                pid if pid > 0 => {
                    // SAFETY: waits for the child just made; no status is wanted.
                    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                }
                _ => return None,
            }
        }
        Some(clock.elapsed().as_nanos() as f64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cost_that_is_measured_is_a_time() {
        let workshop = Workshop::new(None).unwrap();
        let costs = measure(&workshop, &NEVER).unwrap();
        assert!(costs.syscall_ns.is_some() && costs.fork_ns.is_some());
        for (name, cost, _) in costs.rows() {
            assert!(cost.median.is_finite() && cost.median >= 0.0, "{name}: {cost:?}");
        }
        assert_eq!(std::fs::read_dir(workshop.dir()).unwrap().count(), 0);
    }
}
