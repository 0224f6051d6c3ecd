//! The page cache of one file: how much of it is there, made so, and proved.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::memory::{Mapping, page_size};

/// How much of a file is cached, in pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residency {
    /// Pages in the page cache.
    pub cached: u64,
    /// Pages that the file has.
    pub pages: u64,
    /// Which call said so.
    pub witness: Witness,
}

/// The system call that a residency was read with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// cachestat(2), since Linux 6.5.
    Cachestat,
    /// mincore(2) on a mapping, everywhere else.
    Mincore,
}

impl Witness {
    /// The call's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cachestat => "cachestat(2)",
            Self::Mincore => "mincore(2)",
        }
    }
}

impl Residency {
    /// Whether every page is cached.
    pub fn is_warm(&self) -> bool {
        self.cached == self.pages
    }

    /// Whether no page is cached.
    pub fn is_cold(&self) -> bool {
        self.cached == 0
    }
}

/// `struct cachestat_range` of linux/mman.h.
#[repr(C)]
struct CachestatRange {
    off: u64,
    len: u64,
}

/// `struct cachestat` of linux/mman.h.
#[repr(C)]
#[derive(Default)]
struct Cachestat {
    nr_cache: u64,
    nr_dirty: u64,
    nr_writeback: u64,
    nr_evicted: u64,
    nr_recently_evicted: u64,
}

/// The same number on every architecture, as all calls since 5.1.
const SYS_CACHESTAT: libc::c_long = 451;

/// Set once cachestat(2) has been refused, so that it is asked only once.
static NO_CACHESTAT: AtomicBool = AtomicBool::new(false);

/// How much of the first `size` bytes of `file` is cached.
///
/// # Errors
/// What the kernel says when neither cachestat(2) nor mincore(2) works.
pub fn residency(file: &File, size: u64) -> io::Result<Residency> {
    let pages = size.div_ceil(page_size() as u64);
    if !NO_CACHESTAT.load(Ordering::Relaxed) {
        match cachestat(file, size) {
            Ok(stat) => {
                return Ok(Residency { cached: stat.nr_cache, pages, witness: Witness::Cachestat });
            }
            // ENOSYS: an older kernel; EPERM: a seccomp filter.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                NO_CACHESTAT.store(true, Ordering::Relaxed);
            }
            // EOPNOTSUPP: hugetlbfs; mincore may still know.
            Err(_) => {}
        }
    }
    mincore(file, size).map(|cached| Residency { cached, pages, witness: Witness::Mincore })
}

/// Pages that are dirty or on their way to the device; `None` without cachestat(2).
pub fn dirty_pages(file: &File, size: u64) -> Option<u64> {
    cachestat(file, size).ok().map(|stat| stat.nr_dirty + stat.nr_writeback)
}

fn cachestat(file: &File, size: u64) -> io::Result<Cachestat> {
    let range = CachestatRange { off: 0, len: size };
    let mut stat = Cachestat::default();
    // SAFETY: both structs have the kernel's layout and outlive the call, which
    // reads the one and writes the other and keeps neither.
    let result = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut stat, 0u32) };
    if result == 0 { Ok(stat) } else { Err(io::Error::last_os_error()) }
}

fn mincore(file: &File, size: u64) -> io::Result<u64> {
    let mapping = Mapping::file(file, 0, size as usize, libc::PROT_READ, libc::MAP_SHARED)?;
    let mut present = vec![0u8; (size as usize).div_ceil(page_size())];
    // SAFETY: the mapping is live and `present` has one byte for each of its pages.
    let result = unsafe { libc::mincore(mapping.address().cast(), mapping.len(), present.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(present.iter().filter(|byte| **byte & 1 == 1).count() as u64)
}

/// Drops the file's pages from the cache. Dirty pages stay (call `sync_data`
/// first), and so do pages that anybody has mapped: ask [`residency`].
///
/// # Errors
/// What the kernel says to posix_fadvise(2).
pub fn evict(file: &File) -> io::Result<()> {
    // SAFETY: takes a descriptor and integers only.
    let errno = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, SeekFrom, Write};

    /// A file that was written to disk; the directory of the build is on one,
    /// where the one for temporary files may be in memory.
    fn file_of(size: usize) -> File {
        let dir = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let mut file = tempfile::tempfile_in(dir).unwrap();
        file.write_all(&vec![7u8; size]).unwrap();
        file.sync_all().unwrap();
        file
    }

    #[test]
    fn a_written_file_is_warm_and_an_evicted_one_cold() {
        let size = 1 << 20;
        let mut file = file_of(size);
        assert!(residency(&file, size as u64).unwrap().is_warm());
        evict(&file).unwrap();
        let after = residency(&file, size as u64).unwrap();
        if !after.is_cold() {
            eprintln!("this file system keeps its pages ({after:?}): the rest is not shown");
            return;
        }
        let mut page = [0u8; 1];
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_exact(&mut page).unwrap();
        assert!(!residency(&file, size as u64).unwrap().is_cold());
    }

    #[test]
    fn both_witnesses_agree() {
        let size = 1 << 20;
        let file = file_of(size);
        let warm = mincore(&file, size as u64).unwrap();
        assert_eq!(warm, (size / page_size()) as u64);
        if let Ok(stat) = cachestat(&file, size as u64) {
            assert_eq!(stat.nr_cache, warm);
        }
    }

    #[test]
    fn dirty_pages_are_not_evicted_and_the_proof_says_so() {
        let size = 1 << 20;
        let mut file = file_of(size);
        evict(&file).unwrap();
        if !residency(&file, size as u64).unwrap().is_cold() {
            return;
        }
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&[1u8; 8192]).unwrap();
        let mapping = Mapping::file(&file, 0, 8192, libc::PROT_READ, libc::MAP_SHARED).unwrap();
        crate::memory::touch(&mapping);
        evict(&file).unwrap();
        assert!(!residency(&file, size as u64).unwrap().is_cold());
    }
}
