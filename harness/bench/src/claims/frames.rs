//! Claims about page tables, and about what leaves memory when it is short.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::lab::{
    Answer, End, Lab, Tried, broke, fork_child, io_counter, map_shared, pages, peek, poke, refused, smaps_kib, wait,
};
use crate::cache::{evict, residency};
use crate::memory::{Mapping, page_size, touch};

/// Bytes of page tables of a process, all levels together.
fn tables(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmPTE:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// What the page tables of a child grow by when it does `what`: its own, which
/// nothing else changes meanwhile.
///
/// # Safety
/// As [`Child::fork`](crate::process::Child::fork).
unsafe fn grown_by(what: impl FnOnce()) -> Result<Option<u64>, crate::BenchError> {
    let (told_out, told_in) = nix::unistd::pipe().map_err(refused("pipe"))?;
    let (go_out, go_in) = nix::unistd::pipe().map_err(refused("pipe"))?;
    let (tell, go) = (told_in.as_raw_fd(), go_out.as_raw_fd());
    // SAFETY: besides what the caller promised, the child reads and writes bytes.
    let child = unsafe {
        fork_child(|| {
            let wait = || {
                let mut byte = 0u8;
                libc::write(tell, (&raw const byte).cast(), 1) == 1 && libc::read(go, (&raw mut byte).cast(), 1) == 1
            };
            if !wait() {
                return 1;
            }
            what();
            i32::from(!wait())
        })
    }?;
    drop(told_in);
    let process = child.id().to_string();
    let after_a_word = || {
        let told = nix::unistd::read(&told_out, &mut [0u8; 1]).map_err(refused("read from the child"))?;
        let tables = tables(&process).filter(|_| told == 1);
        nix::unistd::write(&go_in, b"g").map_err(refused("write to the child"))?;
        Ok(tables)
    };
    let (before, after) = (after_a_word()?, after_a_word()?);
    wait(child)?;
    Ok(before.zip(after).map(|(before, after)| after.saturating_sub(before)))
}

/// Bytes of an entry of the last level: what the tables grow by when pages are
/// touched, over how many those are.
fn entry_bytes() -> Result<Option<u64>, crate::BenchError> {
    const PAGES: usize = 64 * 512;
    let reserve = libc::MAP_PRIVATE | libc::MAP_NORESERVE;
    let mapping = Mapping::anonymous(pages(PAGES), reserve).map_err(broke("mmap"))?;
    mapping.advise(libc::MADV_NOHUGEPAGE).map_err(broke("madvise"))?;
    // Reading maps the page of zeros: the tables grow, memory does not.
    // SAFETY: the child reads memory.
    let grown = unsafe { grown_by(|| touch(&mapping)) }?;
    // Some tables of the levels above are new too.
    Ok(grown.map(|grown| (grown as f64 / PAGES as f64).round() as u64))
}

const NO_STATUS: &str = "/proc/PID/status does not tell the size of page tables here";

pub fn directory_2k(_: &Lab) -> Tried {
    let Some(entry) = entry_bytes()? else { return Ok(Answer::skipped(NO_STATUS)) };
    let entries = page_size() as u64 / entry;
    let why = format!(
        "here an entry has {entry} bytes, and a directory, like every table, is one page of {} bytes with {entries} of \
         them; with 32-bit addresses it was 1024 entries of 4 bytes",
        page_size()
    );
    Ok(Answer::decided(entry == 2, why).with("entry_bytes", entry).with("entries_of_a_table", entries))
}

pub fn table_sizes(_: &Lab) -> Tried {
    let Some(entry) = entry_bytes()? else { return Ok(Answer::skipped(NO_STATUS)) };
    let flat = entry << 20;
    let sparse = Mapping::anonymous(4 << 30, libc::MAP_PRIVATE | libc::MAP_NORESERVE).map_err(broke("mmap"))?;
    sparse.advise(libc::MADV_NOHUGEPAGE).map_err(broke("madvise"))?;
    // SAFETY: the child reads memory.
    let grown = unsafe {
        grown_by(|| {
            peek(&sparse, 0);
            peek(&sparse, 2 << 30);
        })
    }?;
    let grown = grown.unwrap_or(0);
    let why = format!(
        "entries have {entry} bytes here, so a flat table of 2\u{b2}\u{2070} pages would take {} MiB; nobody makes one: \
         4 GiB with two pages touched took {} KiB of tables",
        flat >> 20,
        grown >> 10
    );
    Ok(Answer::decided(flat == 4 << 20, why)
        .with("flat_table_bytes", flat)
        .with("tables_of_two_pages_of_4_gib_bytes", grown))
}

pub fn two_level_12k(_: &Lab) -> Tried {
    // Small and asleep: it waits for its standard input.
    let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut cat) = cat else { return Ok(Answer::skipped("there is no small program to look at (cat)")) };
    let echoed = {
        use std::io::Write;
        let mut byte = [0u8; 1];
        // Once it has answered it is loaded.
        let asked = cat.stdin.as_mut().is_some_and(|input| input.write_all(b"x").is_ok());
        asked && cat.stdout.as_mut().is_some_and(|output| output.read_exact(&mut byte).is_ok())
    };
    let taken = tables(&cat.id().to_string());
    drop(cat.stdin.take());
    cat.wait().map_err(broke("wait"))?;
    let Some(taken) = taken.filter(|_| echoed) else { return Ok(Answer::skipped(NO_STATUS)) };
    let frames = taken / page_size() as u64;
    let why = format!(
        "the tables of a small program (cat) take {frames} frames, {} KiB: with more than two levels, and program, \
         libraries and stack far apart, each has a path of its own",
        taken >> 10
    );
    Ok(Answer::decided(frames <= 3, why).with("frames", frames).with("bytes", taken))
}

pub fn demand_zero(_: &Lab) -> Tried {
    let map = || Mapping::anonymous(pages(64), libc::MAP_PRIVATE).map_err(broke("mmap"));
    let used = map()?;
    (0..64).for_each(|page| poke(&used, pages(page), 0xEE));
    drop(used);
    let fresh = map()?;
    let resident = resident_pages(&fresh, 64);
    let zero = (0..64).all(|page| peek(&fresh, pages(page)) == 0);
    let resident = resident.unwrap_or(0);
    let why = format!(
        "of 64 pages just mapped {resident} were in memory, and {} as zeros, although pages with other bytes had been \
         given back a moment before",
        if zero { "each read" } else { "not all read" }
    );
    Ok(Answer::decided(zero && resident == 0, why).with("all_zero", zero).with("resident_pages_before", resident))
}

/// Pages of a mapping that are in memory. `smaps` would not do: it tells of a neighbour's pages too, once the kernel has
/// made one area of both.
fn resident_pages(mapping: &Mapping, count: usize) -> Option<u64> {
    let mut flags = vec![0u8; count];
    // SAFETY: the range is mapped for as long as `mapping` lives, and the kernel writes one byte for each page of it.
    let done = unsafe { libc::mincore(mapping.address() as *mut libc::c_void, pages(count), flags.as_mut_ptr()) };
    (done == 0).then(|| flags.iter().filter(|flag| **flag & 1 == 1).count() as u64)
}

pub fn clean_pages_drop(lab: &Lab) -> Tried {
    let size = pages(1024);
    let file = lab.filled(size, 1 << 20)?;
    let cached = || residency(&file, size as u64).map_err(broke("cachestat"));
    let (before, written) = (cached()?, io_counter("write_bytes"));
    evict(&file).map_err(broke("posix_fadvise"))?;
    let after = cached()?;
    let written = io_counter("write_bytes").zip(written).map_or(0, |(after, before)| after - before);
    if !after.is_cold() {
        return Ok(Answer::skipped("this file system keeps its files in memory"));
    }
    let anonymous = Mapping::anonymous(size, libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    (0..1024).for_each(|page| poke(&anonymous, pages(page), 1));
    // Refused by kernels before 5.4; then all of it stays, as it must without swap.
    let _ = anonymous.advise(libc::MADV_PAGEOUT);
    let kept = smaps_kib(anonymous.address(), "Rss").unwrap_or(0);
    let swapped = smaps_kib(anonymous.address(), "Swap").unwrap_or(0);
    let why = format!(
        "{} clean pages of a file left memory with {written} bytes written; of {} KiB of anonymous memory, asked to \
         leave, {kept} KiB stayed and {swapped} KiB had to be written to swap",
        before.cached,
        size >> 10
    );
    Ok(Answer::decided(written == 0, why)
        .with("clean_pages_dropped", before.cached)
        .with("bytes_written", written)
        .with("anonymous_kept_kib", kept)
        .with("anonymous_swapped_kib", swapped))
}

/// A memory cgroup of our own, removed when dropped.
struct Limited {
    dir: PathBuf,
}

impl Limited {
    /// Makes one of at most `bytes`; `None` where that is not permitted.
    fn new(bytes: usize) -> Option<Self> {
        let name = format!("syslings-claim-{}", std::process::id());
        let limits = [("memory.max", "/sys/fs/cgroup"), ("memory.limit_in_bytes", "/sys/fs/cgroup/memory")];
        limits.into_iter().find_map(|(limit, parent)| {
            let group = Self { dir: Path::new(parent).join(&name) };
            fs::create_dir(&group.dir).ok()?;
            // Writing makes no file here: where there is no such limit it fails.
            fs::OpenOptions::new().write(true).open(group.dir.join(limit)).ok()?;
            fs::write(group.dir.join(limit), bytes.to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Refused while a process is in it, and none is.
        let _ = fs::remove_dir(&self.dir);
    }
}

pub fn thrash(lab: &Lab) -> Tried {
    const LIMIT: usize = 16 << 20;
    const ROUNDS: usize = 3;
    let Some(group) = Limited::new(LIMIT) else {
        return Ok(Answer::skipped("no memory cgroup may be made here, to be short of memory in"));
    };
    let procs = fs::OpenOptions::new().write(true).open(group.dir.join("cgroup.procs")).map_err(broke("open"))?;
    let told = Mapping::anonymous(page_size(), libc::MAP_SHARED).map_err(broke("mmap"))?;
    // Pages that had to be read from the device, once all had been touched.
    let reread = |size: usize| -> Result<Option<u64>, crate::BenchError> {
        let file = lab.filled(size, 1 << 20)?;
        // What is cached already is not charged to whoever touches it.
        evict(&file).map_err(broke("posix_fadvise"))?;
        let mapping = map_shared(&file, size)?;
        mapping.advise(libc::MADV_RANDOM).map_err(broke("madvise"))?;
        let (procs, answer) = (procs.as_raw_fd(), told.address().cast::<u64>());
        // SAFETY: the child writes a string, touches memory and asks for its usage.
        let child = unsafe {
            fork_child(|| {
                if libc::write(procs, c"0".as_ptr().cast(), 1) != 1 {
                    return 1;
                }
                let faults = || {
                    let mut usage: libc::rusage = std::mem::zeroed();
                    libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
                    usage.ru_majflt as u64
                };
                touch(&mapping);
                let before = faults();
                for _ in 0..ROUNDS {
                    touch(&mapping);
                }
                answer.write_volatile(faults() - before);
                0
            })
        }?;
        let end = wait(child)?;
        // SAFETY: the child has ended; the word lies in the live mapping.
        Ok((end == End::Exited(0)).then(|| unsafe { answer.read_volatile() }))
    };
    let (Some(fits), Some(exceeds)) = (reread(LIMIT / 4)?, reread(LIMIT * 2)?) else {
        return Ok(Answer::skipped("the kernel lets no child into the cgroup that was made"));
    };
    let touches = (ROUNDS * 2 * LIMIT / page_size()) as u64;
    let why = format!(
        "with {} MiB of memory, touching {} MiB again and again read {fits} pages from the device, touching {} MiB \
         {exceeds} of {touches}: what is needed next has just been thrown out",
        LIMIT >> 20,
        LIMIT >> 22,
        LIMIT >> 19
    );
    Ok(Answer::decided(exceeds > touches / 4 && fits < exceeds / 10, why)
        .with("limit_bytes", LIMIT)
        .with("pages_read_again_when_it_fits", fits)
        .with("pages_read_again_when_it_does_not", exceeds)
        .with("touches_when_it_does_not", touches))
}
