//! Claims about what is faster, and by how much.

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::ClaimVerdict;
use super::lab::{
    Answer, Lab, Paired, Tried, broke, fork_child, in_child, map_shared, minor_faults, pages, paired, poke, time, wait,
    wall_time,
};
use crate::cache::{dirty_pages, evict, residency};
use crate::format::{nanoseconds, significant};
use crate::machine::meminfo;
use crate::memory::{Buffer, Mapping, page_size, sum};
use crate::statistics::{Random, Verdict};
use crate::strategy::uring;
use crate::strategy::{Task, random};

/// Bytes of the files that are scanned here.
const SCANNED: usize = 32 << 20;

/// One scan of a file by read(2) of 64 KiB against one by mapping.
fn scan_both_ways(lab: &Lab, piece: usize) -> Result<(Paired, u64), crate::BenchError> {
    let file = lab.filled(SCANNED, piece)?;
    let mut block = Buffer::new(64 << 10).map_err(broke("mmap"))?;
    let mut faults = 0;
    let read = || {
        time(|| {
            for offset in (0..SCANNED).step_by(64 << 10) {
                let _ = file.read_exact_at(block.bytes(), offset as u64);
                black_box(sum(block.bytes()));
            }
        })
    };
    let mapped = || {
        let before = minor_faults();
        let ns = time(|| {
            if let Ok(mapping) = Mapping::file(&file, 0, SCANNED, libc::PROT_READ, libc::MAP_SHARED) {
                black_box(mapping.sum(0, SCANNED));
            }
        });
        faults = minor_faults() - before;
        ns
    };
    let result = paired(15, read, mapped);
    Ok((result, faults))
}

fn small_and_large(lab: &Lab) -> Result<[(Paired, u64); 2], crate::BenchError> {
    Ok([scan_both_ways(lab, page_size())?, scan_both_ways(lab, 4 << 20)?])
}

pub fn mmap_faster(lab: &Lab) -> Tried {
    let [(small, _), (large, _)] = small_and_large(lab)?;
    let verdicts = [small.verdict, large.verdict];
    let verdict = if verdicts.iter().all(|v| *v == Verdict::Faster) {
        ClaimVerdict::Holds
    } else if verdicts.contains(&Verdict::Slower) {
        ClaimVerdict::Fails
    } else {
        ClaimVerdict::Undecided
    };
    let why = format!(
        "mapping a cached file and summing it has {} times the speed of reading it when it is cached in 4 KiB folios, \
         {} times when in large ones: it depends on how the file came into the cache",
        significant(small.ratio.median),
        significant(large.ratio.median)
    );
    Ok(Answer::new(verdict, why)
        .with_estimate("ratio_small_folios", small.ratio)
        .with_estimate("ratio_large_folios", large.ratio))
}

pub fn mmap_not_faster(lab: &Lab) -> Tried {
    let [(small, small_faults), (large, large_faults)] = small_and_large(lab)?;
    let verdict = match (small.verdict, large.verdict) {
        (Verdict::Faster, Verdict::Faster) => ClaimVerdict::Fails,
        (Verdict::Slower, _) | (_, Verdict::Slower) => ClaimVerdict::Holds,
        _ => ClaimVerdict::Undecided,
    };
    let why = format!(
        "with {small_faults} minor faults for 32 MiB mapping has {} times the speed of read, with {large_faults} faults \
         {} times: the faults are what it pays",
        significant(small.ratio.median),
        significant(large.ratio.median)
    );
    Ok(Answer::new(verdict, why)
        .with_estimate("ratio_many_faults", small.ratio)
        .with_estimate("ratio_few_faults", large.ratio)
        .with("faults_small_folios", small_faults)
        .with("faults_large_folios", large_faults))
}

pub fn fork_cheap(_: &Lab) -> Tried {
    let roomy = meminfo("MemAvailable").is_some_and(|available| available > 4 << 30);
    let mib: usize = if roomy { 1024 } else { 128 };
    let fork_with = |mib: usize| -> Result<(f64, f64), crate::BenchError> {
        let mapping = Mapping::anonymous(mib << 20, libc::MAP_PRIVATE).map_err(broke("mmap"))?;
        mapping.advise(libc::MADV_NOHUGEPAGE).map_err(broke("madvise"))?;
        for at in (0..mapping.len()).step_by(page_size()) {
            poke(&mapping, at, 1);
        }
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let clock = Instant::now();
            // SAFETY: the child does nothing.
            unsafe { in_child(|| 0) }?;
            best = best.min(clock.elapsed().as_nanos() as f64);
        }
        // A copy of a part is enough to know what a copy of all would take.
        let part = mapping.len().min(64 << 20);
        let mut buffer = Buffer::new(part).map_err(broke("mmap"))?;
        let copy = time(|| {
            // SAFETY: inside the live mapping; the buffer has `part` bytes of its own.
            unsafe { std::ptr::copy_nonoverlapping(mapping.address(), buffer.bytes().as_mut_ptr(), part) };
            black_box(buffer.bytes());
        });
        Ok((best, copy * mapping.len() as f64 / part as f64))
    };
    let (small, _) = fork_with(1)?;
    let (large, copy) = fork_with(mib)?;
    let why = format!(
        "fork, exit and wait take {} with 1 MiB touched and {} with {mib} MiB, where copying that memory takes {}: the \
         pages are not copied, but their tables are",
        nanoseconds(small),
        nanoseconds(large),
        nanoseconds(copy)
    );
    Ok(Answer::decided(large < copy / 2.0, why)
        .with("fork_1_mib_ns", small.round())
        .with(&format!("fork_{mib}_mib_ns"), large.round())
        .with(&format!("copy_{mib}_mib_ns"), copy.round()))
}

pub fn shm_no_cost(_: &Lab) -> Tried {
    const TRIPS: u32 = 20_000;
    if std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return Ok(Answer::skipped("two processes that wait without a call need two processors"));
    }
    let shared = Mapping::anonymous(page_size(), libc::MAP_SHARED).map_err(broke("mmap"))?;
    // SAFETY: page-aligned, zeroed, mapped for as long as it is used, and only
    // accessed as an atomic by both processes.
    let turn = unsafe { AtomicU32::from_ptr(shared.address().cast()) };
    let spin_until = |value: u32| {
        let mut spins = 0u64;
        while turn.load(Ordering::Acquire) != value {
            std::hint::spin_loop();
            spins += 1;
            // Neither waits for ever for one that died.
            if spins > 4_000_000_000 {
                return false;
            }
        }
        true
    };
    // SAFETY: the child reads and writes one atomic.
    let child = unsafe {
        fork_child(|| {
            for trip in 0..TRIPS {
                if !spin_until(2 * trip + 1) {
                    return 1;
                }
                turn.store(2 * trip + 2, Ordering::Release);
            }
            0
        })
    }?;
    let before = super::lab::io_counter("syscw");
    let ns = time(|| {
        for trip in 0..TRIPS {
            turn.store(2 * trip + 1, Ordering::Release);
            if !spin_until(2 * trip + 2) {
                return;
            }
        }
    }) / f64::from(TRIPS);
    let calls = super::lab::io_counter("syscw").zip(before).map(|(after, before)| after - before);
    wait(child)?;
    let pipe = crate::costs::round_trip(false);
    let Some(pipe) = pipe else { return Ok(Answer::skipped("no pipe could be made")) };
    let why = format!(
        "{TRIPS} messages went through a word of shared memory and back without a write call, {} a round trip (two pipes: \
         {}); what it costs is a processor that watches, or a futex call to sleep",
        nanoseconds(ns),
        nanoseconds(pipe.median)
    );
    Ok(Answer::decided(calls.unwrap_or(0) == 0, why)
        .with("write_calls", calls.unwrap_or(0))
        .with("shared_round_trip_ns", ns.round())
        .with_estimate("pipe_round_trip_ns", pipe))
}

/// A chase through one line of each of `count` pages in random order.
fn chase(mapping: &Mapping, count: usize, rounds: usize) -> f64 {
    let mut order: Vec<usize> = (1..count).collect();
    Random::new(5).shuffle(&mut order);
    order.push(0);
    let mut at = 0;
    for next in order {
        // Another line of each page, or all would fall into the same few sets.
        let line = |page: usize| pages(page) + page % 64 * 64;
        // SAFETY: `count` pages lie inside the live mapping; aligned to 64.
        unsafe { mapping.address().add(line(at)).cast::<usize>().write(line(next)) };
        at = next;
    }
    let mut place = 0usize;
    let ns = time(|| {
        for _ in 0..count * rounds {
            // SAFETY: the chain was written above and stays inside.
            place = unsafe { mapping.address().add(place).cast::<usize>().read_volatile() };
        }
    });
    black_box(place);
    ns / (count * rounds) as f64
}

/// The same chase in small pages and in large ones, each the best of several
/// that take turns: what disturbs one only makes it slower.
struct Chases {
    small_ns: f64,
    large_ns: f64,
    small_faults: u64,
    large_faults: u64,
}

const CHASED: usize = 16_384;

fn chases() -> Result<Chases, crate::BenchError> {
    let prepare = |advice| -> Result<(Mapping, u64), crate::BenchError> {
        let mapping = Mapping::anonymous(pages(CHASED) + (4 << 20), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
        mapping.advise(advice).map_err(broke("madvise"))?;
        let before = minor_faults();
        chase(&mapping, CHASED, 1);
        Ok((mapping, minor_faults() - before))
    };
    let (small, small_faults) = prepare(libc::MADV_NOHUGEPAGE)?;
    let (large, large_faults) = prepare(libc::MADV_HUGEPAGE)?;
    let mut chases = Chases { small_ns: f64::INFINITY, large_ns: f64::INFINITY, small_faults, large_faults };
    for _ in 0..9 {
        chases.small_ns = chases.small_ns.min(chase(&small, CHASED, 2));
        chases.large_ns = chases.large_ns.min(chase(&large, CHASED, 2));
    }
    Ok(chases)
}

const NO_LARGE_PAGES: &str = "no large pages were to be had for the comparison";

pub fn walk_cost(_: &Lab) -> Tried {
    let Chases { small_ns, large_ns, large_faults, .. } = chases()?;
    if large_faults as usize > CHASED / 2 {
        return Ok(Answer::skipped(NO_LARGE_PAGES));
    }
    let ratio = small_ns / large_ns;
    let why = format!(
        "a random access that misses the TLB takes {}, one that hits {}: {} times as long{}",
        nanoseconds(small_ns),
        nanoseconds(large_ns),
        significant(ratio),
        if ratio < 4.0 { ", because the tables themselves are cached" } else { "" }
    );
    Ok(Answer::decided(ratio >= 4.0, why)
        .with("tlb_missing_ns", small_ns)
        .with("tlb_hitting_ns", large_ns)
        .with("ratio", ratio))
}

pub fn large_pages(_: &Lab) -> Tried {
    let Chases { small_ns, large_ns, small_faults, large_faults } = chases()?;
    if large_faults as usize > CHASED / 2 {
        return Ok(Answer::skipped(NO_LARGE_PAGES));
    }
    let why = format!(
        "64 MiB in large pages took {large_faults} faults where small ones took {small_faults}, and a random access {} \
         where it took {}",
        nanoseconds(large_ns),
        nanoseconds(small_ns)
    );
    Ok(Answer::decided(large_faults * 8 < small_faults && large_ns <= small_ns, why)
        .with("faults_small_pages", small_faults)
        .with("faults_large_pages", large_faults)
        .with("access_small_pages_ns", small_ns)
        .with("access_large_pages_ns", large_ns))
}

pub fn read_ahead(lab: &Lab) -> Tried {
    let size = 32 << 20;
    let file = lab.filled(size, 1 << 20)?;
    evict(&file).map_err(broke("posix_fadvise"))?;
    let cached = || residency(&file, size as u64).map_err(broke("cachestat"));
    if !cached()?.is_cold() {
        return Ok(Answer::skipped("this file system keeps its files in memory"));
    }
    let mut page = [0u8; 4096];
    for block in 0..4 {
        file.read_exact_at(&mut page, block * 4096).map_err(broke("pread"))?;
    }
    let after = cached()?.cached;
    let why = format!("4 blocks of 4 KiB read from the start of a cold file brought {after} pages into the cache");
    Ok(Answer::decided(after > 4, why).with("pages_asked_for", 4).with("pages_cached", after))
}

pub fn write_behind(lab: &Lab) -> Tried {
    use std::io::Write;
    let bytes = vec![7u8; 1 << 20];
    let mut file = lab.file()?;
    let write = Instant::now();
    for _ in 0..16 {
        file.write_all(&bytes).map_err(broke("write"))?;
    }
    let written = write.elapsed().as_nanos() as f64;
    let Some(dirty) = dirty_pages(&file, 16 << 20) else {
        return Ok(Answer::skipped("this kernel has no cachestat(2), which counts dirty pages"));
    };
    let sync = Instant::now();
    file.sync_data().map_err(broke("fdatasync"))?;
    let synced = sync.elapsed().as_nanos() as f64;
    let after = dirty_pages(&file, 16 << 20).unwrap_or(0);
    let why = format!(
        "when the writes of 16 MiB had returned, after {}, {dirty} of its 4 KiB pages were still to be written; fdatasync \
         waited {} for them",
        nanoseconds(written),
        nanoseconds(synced)
    );
    Ok(Answer::decided(dirty > 0 && after == 0, why)
        .with("dirty_pages_after_write", dirty)
        .with("dirty_pages_after_fdatasync", after)
        .with("write_ns", written.round())
        .with("fdatasync_ns", synced.round()))
}

pub fn one_io(lab: &Lab) -> Tried {
    use std::os::unix::fs::OpenOptionsExt;
    const READS: usize = 200;
    let subject = lab.subject("one-io", 64 << 20, 1 << 20)?;
    let mut numbers = Random::new(3);
    let blocks = (subject.size() as usize) / random::BLOCK;
    let offsets: Vec<u64> = (0..READS).map(|_| (numbers.below(blocks) * random::BLOCK) as u64).collect();
    let task = Task {
        path: subject.path(),
        size: subject.size(),
        target: subject.path(),
        offsets: &offsets,
        interrupted: &lab.interrupted,
    };
    let direct = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(subject.path());
    let done = |answer: Answer| {
        std::fs::remove_file(subject.path()).map_err(broke("unlink"))?;
        Ok(answer)
    };
    let (Ok(direct), Ok(mut block)) = (direct, Buffer::new(random::BLOCK)) else {
        return done(Answer::skipped("this file system has no O_DIRECT"));
    };
    if uring::random(task, 32, uring::Mode::Direct).and_then(|run| run()).is_err() {
        return done(Answer::skipped("io_uring is not to be had here"));
    }
    let one = || {
        wall_time(|| {
            for offset in &offsets {
                let _ = direct.read_exact_at(block.bytes(), *offset);
            }
        }) / READS as f64
    };
    let many = || {
        let Ok(run) = uring::random(task, 32, uring::Mode::Direct) else { return f64::NAN };
        let mut run = Some(run);
        // Tried above; what it reads does not matter here.
        wall_time(|| drop(run.take().map(|run| run()))) / READS as f64
    };
    let result = paired(9, one, many);
    let verdict = match result.verdict {
        Verdict::Faster => ClaimVerdict::Fails,
        Verdict::Slower => ClaimVerdict::Holds,
        Verdict::Undecided => ClaimVerdict::Undecided,
    };
    let why = format!(
        "one after the other, reads of 4 KiB take {} each; with io_uring one process has 32 in flight and they take {} \
         each",
        nanoseconds(result.a.median),
        nanoseconds(result.b.median)
    );
    done(
        Answer::new(verdict, why)
            .with_estimate("one_at_a_time_ns", result.a)
            .with_estimate("depth_32_ns", result.b)
            .with_estimate("ratio", result.ratio),
    )
}

pub fn msync_or_eventually(lab: &Lab) -> Tried {
    let size = pages(64);
    let file = lab.filled(size, 1 << 20)?;
    let mapping = map_shared(&file, size)?;
    for page in 0..64 {
        poke(&mapping, pages(page), 0x5A);
    }
    let sync = Instant::now();
    // SAFETY: the range is the live mapping.
    if unsafe { libc::msync(mapping.address().cast(), size, libc::MS_SYNC) } != 0 {
        return Err(broke("msync")(std::io::Error::last_os_error()));
    }
    let ns = sync.elapsed().as_nanos() as f64;
    drop(mapping);
    // Only clean pages can be dropped: that none stays proves that all were written.
    evict(&file).map_err(broke("posix_fadvise"))?;
    let left = residency(&file, size as u64).map_err(broke("cachestat"))?;
    if left.cached == left.pages {
        return Ok(Answer::skipped("this file system keeps its files in memory"));
    }
    let mut byte = [0u8; 1];
    file.read_exact_at(&mut byte, pages(63) as u64).map_err(broke("pread"))?;
    let why = format!(
        "after msync (which took {}) no page of the file was dirty, and read back from the device it has the new bytes; \
         without it the kernel writes them within about half a minute",
        nanoseconds(ns)
    );
    Ok(Answer::decided(left.is_cold() && byte[0] == 0x5A, why)
        .with("msync_ns", ns.round())
        .with("pages_left_dirty", left.cached))
}

/// The accessors of a boundary-tag allocator, as calls.
mod called {
    #[inline(never)]
    pub fn header(block: u64) -> u64 {
        std::hint::black_box(block)
    }
    #[inline(never)]
    pub fn size(header: u64) -> u64 {
        header & !0xF
    }
    #[inline(never)]
    pub fn allocated(header: u64) -> bool {
        header & 1 == 1
    }
}

/// The same, inlined.
mod inlined {
    #[inline(always)]
    pub fn header(block: u64) -> u64 {
        std::hint::black_box(block)
    }
    #[inline(always)]
    pub fn size(header: u64) -> u64 {
        header & !0xF
    }
    #[inline(always)]
    pub fn allocated(header: u64) -> bool {
        header & 1 == 1
    }
}

/// Nanoseconds a block of a walk that adds up what is free. The accessors are
/// types of their own here, so that those that may be inlined are.
fn walk(heap: &[u64], header: impl Fn(u64) -> u64, size: impl Fn(u64) -> u64, allocated: impl Fn(u64) -> bool) -> f64 {
    time(|| {
        for _ in 0..50 {
            let mut free = 0u64;
            for block in heap {
                let header = header(*block);
                if !allocated(header) {
                    free += size(header);
                }
            }
            black_box(free);
        }
    }) / (50.0 * heap.len() as f64)
}

pub fn accessor_tons(_: &Lab) -> Tried {
    let mut random = Random::new(9);
    let heap: Vec<u64> = (0..4096).map(|_| random.bits() & 0xFFF1).collect();
    let result = paired(
        15,
        || walk(&heap, called::header, called::size, called::allocated),
        || walk(&heap, inlined::header, inlined::size, inlined::allocated),
    );
    let verdict = if result.ratio.low >= 2.0 {
        ClaimVerdict::Holds
    } else if result.ratio.high < 2.0 {
        ClaimVerdict::Fails
    } else {
        ClaimVerdict::Undecided
    };
    let why = format!(
        "a walk over an allocator\u{2019}s blocks takes {} a block with calls and {} inlined, {} times as long (\u{201c}\
         tons\u{201d} is taken to mean at least twice)",
        nanoseconds(result.a.median),
        nanoseconds(result.b.median),
        significant(result.ratio.median)
    );
    Ok(Answer::new(verdict, why)
        .with_estimate("called_ns", result.a)
        .with_estimate("inlined_ns", result.b)
        .with_estimate("ratio", result.ratio))
}

pub fn address_bits(_: &Lab) -> Tried {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let bits = text
        .lines()
        .find(|l| l.starts_with("address sizes"))
        .and_then(|l| l.split(',').nth(1)?.split_whitespace().next()?.parse::<u64>().ok());
    let Some(bits) = bits else {
        return Ok(Answer::skipped("/proc/cpuinfo does not tell the width of virtual addresses here"));
    };
    let five_levels = text.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == "la57"));
    let why = format!(
        "this processor\u{2019}s virtual addresses have {bits} bits{}",
        if five_levels { "; it knows five-level paging, where bit 56 is the one repeated" } else { "" }
    );
    Ok(Answer::decided(bits == 48, why).with("virtual_address_bits", bits).with("five_level_paging", five_levels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chase_visits_every_page() {
        let mapping = Mapping::anonymous(pages(100), libc::MAP_PRIVATE).unwrap();
        assert!(chase(&mapping, 100, 1) > 0.0);
    }
}
