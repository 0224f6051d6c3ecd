//! Claims about mapped files: rules, sharing, faults.

use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use super::lab::{
    Answer, End, Lab, Tried, broke, fork_child, in_child, io_counter, major_faults, map_private, map_shared,
    minor_faults, pages, peek, poke, refused, smaps_kib, wait,
};
use crate::cache::{evict, residency};
use crate::memory::{Mapping, page_size, touch};

pub fn no_syscall(lab: &Lab) -> Tried {
    const ACCESSES: usize = 1000;
    let file = lab.filled(pages(ACCESSES), 1 << 20)?;
    let mapping = map_shared(&file, pages(ACCESSES))?;
    let count = |what: &mut dyn FnMut()| -> Option<u64> {
        let before = io_counter("syscr")?;
        what();
        let between = io_counter("syscr")?;
        let idle = io_counter("syscr")? - between;
        Some((between - before).saturating_sub(idle))
    };
    let mapped = count(&mut || touch(&mapping));
    let mut byte = [0u8; 1];
    let read = count(&mut || {
        for page in 0..ACCESSES {
            let _ = file.read_at(&mut byte, pages(page) as u64);
        }
    });
    let (Some(mapped), Some(read)) = (mapped, read) else {
        return Ok(Answer::skipped("the kernel keeps no counters of calls in /proc/thread-self/io"));
    };
    let why = format!(
        "{ACCESSES} accesses to the mapping made {mapped} read calls, the same through pread {read}; what they do make \
         is page faults, at the first touch"
    );
    Ok(Answer::decided(mapped == 0 && read as usize >= ACCESSES, why)
        .with("read_calls_mapped", mapped)
        .with("read_calls_pread", read))
}

pub fn no_copy(lab: &Lab) -> Tried {
    let file = lab.filled(page_size(), page_size())?;
    let mapping = map_shared(&file, page_size())?;
    let mut copy = [0u8; 1];
    file.read_exact_at(&mut copy, 0).map_err(broke("pread"))?;
    copy[0] = 0xEE;
    let after_copy = peek(&mapping, 0);
    poke(&mapping, 0, 0xDD);
    let mut seen = [0u8; 1];
    file.read_exact_at(&mut seen, 0).map_err(broke("pread"))?;
    let holds = after_copy != copy[0] && seen[0] == 0xDD;
    let why = "a byte stored through the mapping is what pread returns next, before any msync: both are the same page \
               of the cache; a byte changed in read\u{2019}s buffer changes nothing but the buffer";
    Ok(Answer::decided(holds, why)
        .with("store_in_mapping_seen_by_pread", seen[0] == 0xDD)
        .with("store_in_buffer_seen_in_file", after_copy == copy[0]))
}

pub fn lazy(lab: &Lab) -> Tried {
    let size = pages(16384);
    let file = lab.filled(size, 1 << 20)?;
    evict(&file).map_err(broke("posix_fadvise"))?;
    let cached = || residency(&file, size as u64).map_err(broke("cachestat"));
    if !cached()?.is_cold() {
        return Ok(Answer::skipped("this file system keeps its files in memory"));
    }
    let mapping = map_shared(&file, size)?;
    let mapped = cached()?.cached;
    mapping.advise(libc::MADV_RANDOM).map_err(broke("madvise"))?;
    peek(&mapping, size / 2);
    let random = cached()?.cached;
    drop(mapping);
    evict(&file).map_err(broke("posix_fadvise"))?;
    let mapping = map_shared(&file, size)?;
    peek(&mapping, size / 2);
    let default = cached()?.cached;
    let all = (size / page_size()) as u64;
    let why = format!(
        "mapping {all} pages loaded {mapped}; touching one then loaded {default} (the kernel reads around it), with \
         MADV_RANDOM {random}"
    );
    Ok(Answer::decided(mapped == 0 && default < all && random < all / 100, why)
        .with("pages_mapped", all)
        .with("pages_loaded_by_mmap", mapped)
        .with("pages_loaded_by_one_touch", default)
        .with("pages_loaded_by_one_touch_madv_random", random))
}

pub fn faults_first_touch(lab: &Lab) -> Tried {
    let size = pages(4096);
    let file = lab.filled(size, page_size())?;
    let mapping = map_shared(&file, size)?;
    let count = || {
        let before = minor_faults();
        touch(&mapping);
        minor_faults() - before
    };
    let (first, second) = (count(), count());
    let why = format!(
        "4096 pages, all cached, brought {first} minor faults when first touched and {second} the second time; one \
         fault maps its neighbours too"
    );
    Ok(Answer::decided(first > 0 && second == 0, why).with("faults_first", first).with("faults_second", second))
}

pub fn shared_frame(lab: &Lab) -> Tried {
    let size = pages(1024);
    let file = lab.filled(size, 1 << 20)?;
    let mapping = map_shared(&file, size)?;
    touch(&mapping);
    let alone = smaps_kib(mapping.address(), "Pss");
    let (ready_out, ready_in) = nix::unistd::pipe().map_err(refused("pipe"))?;
    let (done_out, done_in) = nix::unistd::pipe().map_err(refused("pipe"))?;
    let (ready, done) = (ready_in.as_raw_fd(), done_out.as_raw_fd());
    let write_end = done_in.as_raw_fd();
    // SAFETY: the child reads memory and calls read, write and close only.
    let child = unsafe {
        fork_child(|| {
            libc::close(write_end);
            touch(&mapping);
            let mut byte = 0u8;
            libc::write(ready, (&raw const byte).cast(), 1);
            libc::read(done, (&raw mut byte).cast(), 1);
            0
        })
    }?;
    drop(ready_in);
    let mut byte = [0u8; 1];
    let told = nix::unistd::read(&ready_out, &mut byte);
    let (rss, pss) = (smaps_kib(mapping.address(), "Rss"), smaps_kib(mapping.address(), "Pss"));
    drop(done_in);
    wait(child)?;
    told.map_err(refused("read from the child"))?;
    let (Some(alone), Some(rss), Some(pss)) = (alone, rss, pss) else {
        return Ok(Answer::skipped("/proc/self/smaps is not readable here"));
    };
    let why = format!(
        "with a second process reading the same {rss} KiB, this one\u{2019}s proportional share fell from {alone} to \
         {pss} KiB: the frames are the same"
    );
    Ok(Answer::decided(pss * 10 <= rss * 6, why)
        .with("rss_kib", rss)
        .with("pss_alone_kib", alone)
        .with("pss_shared_kib", pss))
}

pub fn cow_page(lab: &Lab) -> Tried {
    let size = pages(256);
    let file = lab.filled(size, 1 << 20)?;
    let mapping = map_private(&file, size)?;
    touch(&mapping);
    let before = smaps_kib(mapping.address(), "Private_Dirty");
    poke(&mapping, pages(100) + 5, 0xEE);
    let after = smaps_kib(mapping.address(), "Private_Dirty");
    let mut byte = [0u8; 1];
    file.read_exact_at(&mut byte, pages(100) as u64 + 5).map_err(broke("pread"))?;
    let (Some(before), Some(after)) = (before, after) else {
        return Ok(Answer::skipped("/proc/self/smaps is not readable here"));
    };
    let copied = after - before;
    let why =
        format!("one byte written to a private mapping of {size} bytes copied {copied} KiB; the file kept its byte");
    Ok(Answer::decided(copied as usize == page_size() >> 10 && byte[0] != 0xEE, why).with("copied_kib", copied))
}

pub fn private_unwritten(lab: &Lab) -> Tried {
    let file = lab.filled(pages(2), page_size())?;
    let mapping = map_private(&file, pages(2))?;
    touch(&mapping);
    poke(&mapping, pages(1), 0x11);
    file.write_all_at(&[0xAA], 0).map_err(broke("pwrite"))?;
    file.write_all_at(&[0xAA], page_size() as u64).map_err(broke("pwrite"))?;
    let (unwritten, written) = (peek(&mapping, 0), peek(&mapping, pages(1)));
    let why = "a page of the private mapping that was not written shows what was written to the file meanwhile; one \
               that was written does not; POSIX leaves it open, this kernel does so";
    Ok(Answer::decided(unwritten == 0xAA && written == 0x11, why)
        .with("unwritten_page_follows_file", unwritten == 0xAA)
        .with("written_page_follows_file", written == 0xAA))
}

pub fn file_41(lab: &Lab) -> Tried {
    use std::io::{Seek, SeekFrom, Write};
    let size = |to: u64| -> Result<u64, crate::BenchError> {
        let mut file = lab.file()?;
        file.seek(SeekFrom::Start(to)).map_err(broke("lseek"))?;
        file.write_all(&[0]).map_err(broke("write"))?;
        Ok(file.metadata().map_err(broke("fstat"))?.len())
    };
    let (at_size, before) = (size(40)?, size(39)?);
    let why = format!(
        "seeking to 40 and writing one byte makes a file of {at_size} bytes; for 40, seek to 39, or call ftruncate"
    );
    Ok(Answer::decided(at_size == 41 && before == 40, why).with("bytes_seek_40", at_size).with("bytes_seek_39", before))
}

pub fn sigbus(lab: &Lab) -> Tried {
    let file = lab.filled(100, 100)?;
    let mapping = map_shared(&file, pages(2))?;
    let tail = peek(&mapping, 200);
    // SAFETY: the child only reads memory; that it dies of it is the trial.
    let end = unsafe { in_child(|| i32::from(peek(&mapping, pages(1)))) }?;
    let why = "a file of 100 bytes, mapped for two pages: behind its end the first page reads as 0, the second page \
               raises SIGBUS";
    Ok(Answer::decided(end == End::Killed(libc::SIGBUS) && tail == 0, why)
        .with("second_page", format!("{end:?}"))
        .with("behind_the_end_in_first_page", tail))
}

pub fn len_rounded(lab: &Lab) -> Tried {
    let file = lab.filled(pages(2), page_size())?;
    let mapping = map_shared(&file, 1)?;
    let last = pages(1) - 1;
    let address = mapping.address();
    // SAFETY: the child reads one byte of the page that the length was rounded
    // up to, or dies of it.
    let end = unsafe { in_child(|| i32::from(address.add(last).read_volatile() == 0)) }?;
    let why = "a mapping of 1 byte lets its whole page be read";
    Ok(Answer::decided(matches!(end, End::Exited(_)), why).with("last_byte_of_page", format!("{end:?}")))
}

pub fn off_aligned(lab: &Lab) -> Tried {
    let file = lab.filled(pages(2), page_size())?;
    let map = |offset| Mapping::file(&file, offset, 100, libc::PROT_READ, libc::MAP_SHARED);
    let odd = map(1).err().and_then(|e| e.raw_os_error());
    let whole = map(page_size() as u64).is_ok();
    let why = "an offset of 1 is refused with EINVAL, one of a whole page is taken";
    Ok(Answer::decided(odd == Some(libc::EINVAL) && whole, why)
        .with("errno_offset_1", odd.unwrap_or(0))
        .with("offset_of_a_page_accepted", whole))
}

pub fn fixed_fails(_: &Lab) -> Tried {
    let old = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    poke(&old, 0, 77);
    let map = |flags| {
        // SAFETY: the range is the mapping of this function and nobody else's;
        // `old` stays its owner, whatever now backs it.
        let address = unsafe {
            libc::mmap(
                old.address().cast(),
                page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED { std::io::Error::last_os_error().raw_os_error() } else { None }
    };
    let careful = map(libc::MAP_FIXED_NOREPLACE);
    let kept = peek(&old, 0);
    let fixed = map(libc::MAP_FIXED);
    let replaced = peek(&old, 0);
    let fails = fixed.is_some();
    let why = "MAP_FIXED over a mapping in use succeeds and silently replaces it; MAP_FIXED_NOREPLACE is what refuses, \
               with EEXIST";
    Ok(Answer::decided(fails, why)
        .with("byte_before", kept)
        .with("byte_after_map_fixed", replaced)
        .with("errno_noreplace", careful.unwrap_or(0)))
}

pub fn munmap_segv(_: &Lab) -> Tried {
    let mapping = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    poke(&mapping, 0, 1);
    let address = mapping.address();
    // SAFETY: in the child: munmap of its own copy, and a read that it dies of.
    let end = unsafe {
        in_child(|| {
            libc::munmap(address.cast(), page_size());
            i32::from(address.read_volatile())
        })
    }?;
    let why = "a read after munmap ended the process by SIGSEGV";
    Ok(Answer::decided(end == End::Killed(libc::SIGSEGV), why).with("end", format!("{end:?}")))
}

pub fn x_loop(_: &Lab) -> Tried {
    let ordinary = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    let shared = Mapping::anonymous(page_size(), libc::MAP_SHARED).map_err(broke("mmap"))?;
    poke(&ordinary, 0, 1);
    // SAFETY: the child writes memory only.
    unsafe {
        in_child(|| {
            poke(&ordinary, 0, 2);
            poke(&shared, 0, 2);
            0
        })
    }?;
    let (private, common) = (peek(&ordinary, 0), peek(&shared, 0));
    let why = "the child\u{2019}s write to ordinary memory stayed with the child, its write to shared memory was seen";
    Ok(Answer::decided(private == 1 && common == 2, why)
        .with("ordinary_seen_by_parent", private == 2)
        .with("shared_seen_by_parent", common == 2))
}

pub fn nx(_: &Lab) -> Tried {
    #[cfg(target_arch = "x86_64")]
    const RETURN_42: [u8; 6] = [0xB8, 42, 0, 0, 0, 0xC3];
    #[cfg(target_arch = "aarch64")]
    const RETURN_42: [u8; 8] = [0x40, 0x05, 0x80, 0x52, 0xC0, 0x03, 0x5F, 0xD6];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Ok(Answer::skipped("no instructions for this architecture are known here"));
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        let page = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
        for (at, byte) in RETURN_42.into_iter().enumerate() {
            poke(&page, at, byte);
        }
        let run = |executable: bool| {
            let address = page.address();
            // SAFETY: in the child: a call of a function that is nothing but
            // "return 42", on a page that may or may not be executed.
            unsafe {
                in_child(|| {
                    let prot = libc::PROT_READ | if executable { libc::PROT_EXEC } else { 0 };
                    libc::mprotect(address.cast(), page_size(), prot);
                    let function: extern "C" fn() -> i32 = std::mem::transmute(address);
                    function()
                })
            }
        };
        let (without, with) = (run(false)?, run(true)?);
        let why = "the same instructions return 42 with PROT_EXEC and die by SIGSEGV without it";
        Ok(Answer::decided(without == End::Killed(libc::SIGSEGV) && with == End::Exited(42), why)
            .with("without_prot_exec", format!("{without:?}"))
            .with("with_prot_exec", format!("{with:?}")))
    }
}

pub fn dirty_bit(_: &Lab) -> Tried {
    let size = pages(64);
    let mapping = Mapping::anonymous(size, libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    mapping.advise(libc::MADV_NOHUGEPAGE).map_err(broke("madvise"))?;
    touch(&mapping);
    let dirty = || smaps_kib(mapping.address(), "Private_Dirty");
    let read = dirty();
    for page in 0..10 {
        poke(&mapping, pages(page), 1);
    }
    let (Some(read), Some(written)) = (read, dirty()) else {
        return Ok(Answer::skipped("/proc/self/smaps is not readable here"));
    };
    let expected = pages(10) as u64 >> 10;
    let why = format!("64 pages read were {read} KiB dirty; after writes to 10 of them {written} KiB");
    Ok(Answer::decided(read == 0 && written == expected, why)
        .with("dirty_after_reads_kib", read)
        .with("dirty_after_writes_kib", written))
}

pub fn referenced_bit(_: &Lab) -> Tried {
    let size = pages(64);
    let mapping = Mapping::anonymous(size, libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    mapping.advise(libc::MADV_NOHUGEPAGE).map_err(broke("madvise"))?;
    for page in 0..64 {
        poke(&mapping, pages(page), 1);
    }
    if let Err(error) = std::fs::write("/proc/self/clear_refs", "1") {
        return Ok(Answer::skipped(format!("/proc/self/clear_refs: {error}")));
    }
    // An entry that the TLB still holds is not looked up, so not noted again; a
    // fork has the TLB of this process flushed.
    // SAFETY: the child does nothing.
    unsafe { in_child(|| 0) }?;
    let referenced = || smaps_kib(mapping.address(), "Referenced");
    let cleared = referenced();
    for page in 0..10 {
        peek(&mapping, pages(page));
    }
    let (Some(cleared), Some(after)) = (cleared, referenced()) else {
        return Ok(Answer::skipped("/proc/self/smaps is not readable here"));
    };
    let expected = pages(10) as u64 >> 10;
    let why = format!(
        "with the bits cleared by the kernel, {cleared} KiB counted as referenced; after reads of 10 pages {after} KiB: \
         the processor set the bits"
    );
    Ok(Answer::decided(cleared == 0 && after == expected, why)
        .with("referenced_after_clearing_kib", cleared)
        .with("referenced_after_10_reads_kib", after))
}

pub fn second_chance(lab: &Lab) -> Tried {
    const COUNT: usize = 1024;
    let size = pages(COUNT);
    let file = lab.filled(size, page_size())?;
    let mapping = map_shared(&file, size)?;
    touch(&mapping);
    let take_away = || mapping.advise(libc::MADV_DONTNEED).map_err(broke("madvise"));
    let faults = || {
        let before = (minor_faults(), major_faults());
        touch(&mapping);
        (minor_faults() - before.0, major_faults() - before.1)
    };
    take_away()?;
    let still_cached = residency(&file, size as u64).map_err(broke("cachestat"))?;
    let (minor, major) = faults();
    take_away()?;
    evict(&file).map_err(broke("posix_fadvise"))?;
    let gone = residency(&file, size as u64).map_err(broke("cachestat"))?.is_cold();
    let (_, from_device) = faults();
    if !still_cached.is_warm() {
        return Ok(Answer::new(super::ClaimVerdict::Undecided, "the kernel took pages of the file away meanwhile"));
    }
    let contrast = if gone {
        format!("; of the faults after they had left the page cache too {from_device} waited")
    } else {
        String::new()
    };
    let why = format!(
        "{COUNT} pages taken from a process while their frames still held them came back by {minor} faults, {major} of \
         which waited for the device{contrast}"
    );
    Ok(Answer::decided(minor > 0 && major == 0, why)
        .with("faults_while_cached", minor)
        .with("faults_while_cached_with_io", major)
        .with("faults_after_eviction_with_io", from_device))
}

pub fn exec_replaces(lab: &Lab) -> Tried {
    use std::process::{Command, Stdio};
    // A name that the list of mappings shows.
    let path = lab.path("mapped-before-exec");
    let failed = |operation| broke(operation);
    std::fs::write(&path, vec![1u8; page_size()]).map_err(failed("write"))?;
    let file = std::fs::File::open(&path).map_err(failed("open"))?;
    let mapping = Mapping::file(&file, 0, page_size(), libc::PROT_READ, libc::MAP_SHARED).map_err(failed("mmap"))?;
    let name = path.to_string_lossy().into_owned();
    let before = std::fs::read_to_string("/proc/self/maps").map_err(failed("read the list of mappings"))?;
    let shell = Command::new("sh")
        .args(["-c", "echo $$; cat /proc/$$/maps"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    // The child had its copy at its fork, or stood in this very memory.
    drop(mapping);
    std::fs::remove_file(&path).map_err(failed("unlink"))?;
    let Ok(shell) = shell else { return Ok(Answer::skipped("there is no program to execute (sh)")) };
    let forked = shell.id().to_string();
    let output = shell.wait_with_output().map_err(failed("wait"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let (process, after) = told.split_once('\n').unwrap_or_default();
    let kept = after.contains(&name);
    if !before.contains(&name) || after.is_empty() {
        return Ok(Answer::skipped("/proc does not list the mappings of a process here"));
    }
    let why = format!(
        "the process that executed another program {} its open pipe, through which this came; of the memory it had \
         been forked with, a mapped file {}",
        if process == forked { "kept its number and" } else { "got another number, but kept" },
        if kept { "was still there" } else { "was gone" }
    );
    Ok(Answer::decided(!kept && process == forked, why)
        .with("same_process_number", process == forked)
        .with("mapping_kept", kept))
}

pub fn device_mapping(_: &Lab) -> Tried {
    let text = std::fs::read_to_string("/proc/iomem").unwrap_or_default();
    let ranges = physical_ranges(&text);
    if ranges.is_empty() {
        return Ok(Answer::skipped("/proc/iomem does not list the physical addresses here"));
    }
    let memory = ranges.iter().filter(|name| **name == "System RAM").count();
    let devices: Vec<&str> = ranges.iter().copied().filter(|name| is_device(name)).collect();
    let mut examples = devices.clone();
    examples.dedup();
    examples.truncate(3);
    let why = format!(
        "of the physical addresses {memory} ranges are memory, and {} belong to devices ({}): a load or a store there \
         goes to the device; which addresses those are differs from machine to machine",
        devices.len(),
        examples.join(", ")
    );
    Ok(Answer::decided(memory > 0 && !devices.is_empty(), why)
        .with("ranges_of_memory", memory)
        .with("ranges_of_devices", devices.len()))
}

/// The names of /proc/iomem's ranges.
fn physical_ranges(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| Some(line.split_once(" : ")?.1.trim())).collect()
}

/// Whether a range of that name is neither memory nor set aside by the firmware.
fn is_device(name: &str) -> bool {
    const NO_DEVICES: [&str; 7] =
        ["System RAM", "System ROM", "Reserved", "reserved", "Kernel ", "ACPI ", "Crash kernel"];
    !NO_DEVICES.iter().any(|other| name.starts_with(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_from_memory_by_their_names() {
        let text = "00001000-0009fbff : System RAM\n  01000000-022090c7 : Kernel code\nfec00000-fec003ff : IOAPIC 0\n\
                    4000000000-7fffffffff : PCI Bus 0000:00\n  4000000000-400007ffff : 0000:00:01.0\n";
        let ranges = physical_ranges(text);
        let devices: Vec<_> = ranges.into_iter().filter(|name| is_device(name)).collect();
        assert_eq!(devices, ["IOAPIC 0", "PCI Bus 0000:00", "0000:00:01.0"]);
    }
}
