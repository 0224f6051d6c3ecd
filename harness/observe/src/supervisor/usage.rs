//! What a launch uses of the machine, and whether that is too much: then it is at its end.
//!
//! Some limits the kernel keeps by itself, and the program is told (`EAGAIN`, `ENOSPC`, `EMFILE`, …): those are read
//! off the trace, or off the counts of a control group. Others an unprivileged user cannot set by himself: memory touched by all processes together, everywhere;
//! processes and the disk, without namespaces. Those are looked after from here, a few times in a tenth of a second,
//! cheap signs first: a program can pass them for that long.
//!
//! Not bounded here are the kernel's own structures (socket buffers, page tables, pipes up to
//! `fs.pipe-user-pages-soft`), beyond what the limits of processes and descriptors leave room for, and the page cache.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::sys::statvfs::fstatvfs;

use super::cgroups::{Counts, Group};
use super::scratch::{names, subdirectory};
use crate::plan::{Limits, Rung};
use crate::process_files::{self, Size};

/// The shortest time between two looks.
const INTERVAL: Duration = Duration::from_millis(15);
/// A look that took long is followed by this many times as long without one.
const PATIENCE: u32 = 10;

const THOROUGH: u32 = 8;

/// The watch over one launch.
pub(super) struct Usage<'a> {
    limits: Limits,
    next: Instant,
    looks: u32,
    shared_before: u64,
    disk_before: Option<(u64, u64)>,
    over: Option<String>,
    group: Option<(&'a Group, Counts)>,
}

impl<'a> Usage<'a> {
    pub(super) fn new(limits: Limits, rung: Rung, work: &File, group: Option<&'a Group>) -> Usage<'a> {
        let disk_before = if rung == Rung::F { None } else { room(work) };
        let (next, shared_before) = (Instant::now(), shared_memory());
        let group = group.map(|group| (group, group.begin(&limits)));
        Usage { limits, next, looks: 0, shared_before, disk_before, over: None, group }
    }

    /// It is time to look again.
    pub(super) fn due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Looks at these processes, and acts.
    pub(super) fn look(&mut self, living: &[i32], work: &File) {
        let begin = Instant::now();
        self.look_at_group();
        self.looks += 1;
        if living.len() as u64 > self.limits.processes {
            return self.exceeded(too_many_processes(&self.limits));
        }
        let sizes: Vec<Size> = living.iter().filter_map(|pid| process_files::size(*pid)).collect();
        let excess = self.processes(&sizes).or_else(|| self.memory(living, &sizes));
        if let Some(excess) = excess.or_else(|| self.disk(living, work)) {
            self.exceeded(excess);
        }
        self.next = Instant::now() + INTERVAL.max(begin.elapsed() * PATIENCE);
    }

    /// The kernel has killed for memory.
    fn look_at_group(&mut self) {
        if self.group.is_some_and(|(group, before)| group.out_of_memory(before)) {
            self.exceeded(too_much_memory(&self.limits));
        }
    }

    /// The last look, which also finds what the program may have come to terms with.
    pub(super) fn look_back(&mut self) {
        self.look_at_group();
        if self.group.is_some_and(|(group, before)| group.full(before)) {
            self.exceeded(too_many_processes(&self.limits));
        }
    }

    /// A limit was passed: in these words.
    pub(super) fn exceeded(&mut self, limit: String) {
        self.over.get_or_insert(limit);
    }

    /// The limit that was passed, if one was.
    pub(super) fn over(&self) -> Option<&String> {
        self.over.as_ref()
    }

    /// The cheap signs are the machine's as a whole, and others who free something meanwhile may hide what this launch
    /// takes: now and then it is looked at by itself.
    fn thorough(&self) -> bool {
        self.looks.is_multiple_of(THOROUGH)
    }

    fn processes(&self, sizes: &[Size]) -> Option<String> {
        let threads: u64 = sizes.iter().map(|s| s.threads).sum();
        (threads > self.limits.processes).then(|| too_many_processes(&self.limits))
    }

    fn memory(&self, living: &[i32], sizes: &[Size]) -> Option<String> {
        let limit = self.limits.memory;
        let resident: u64 = sizes.iter().map(|s| s.resident).sum();
        let shared = shared_memory().saturating_sub(self.shared_before);
        if resident.max(shared) <= limit && !self.thorough() {
            return None;
        }
        // Pages that several processes share were counted for each: now with care.
        let (private, mapped) = living.iter().map(|pid| own_pages(*pid)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        let held = if shared > limit / 2 || self.thorough() { blocks(&open_files(living, None)) } else { 0 };
        let used = private + mapped.max(held);
        (used > limit).then(|| too_much_memory(&self.limits))
    }

    fn disk(&self, living: &[i32], work: &File) -> Option<String> {
        let ((bytes_before, names_before), (bytes, free_names)) = (self.disk_before?, room(work)?);
        let many = names_before.saturating_sub(free_names) > self.limits.files;
        if bytes_before.saturating_sub(bytes) <= self.limits.disk && !many && !self.thorough() {
            return None;
        }
        // Somebody has used that much: was it this launch?
        let device = work.metadata().ok()?.dev();
        let mut files = open_files(living, Some(device));
        tree(work, self.limits.files, &mut files);
        let used = blocks(&files);
        if used > self.limits.disk {
            return Some(format!("filled more than the {} MiB of its directory", self.limits.disk >> 20));
        }
        (files.len() as u64 > self.limits.files).then(|| format!("made more than {} files", self.limits.files))
    }
}

/// Without what it used: that depends on the moment of the look.
fn too_much_memory(limits: &Limits) -> String {
    format!("used more than its {} MiB of memory", limits.memory >> 20)
}

pub(super) fn too_many_processes(limits: &Limits) -> String {
    format!("made more than {} processes and threads at once", limits.processes)
}

/// Bytes of a process's own pages and of shared memory that it maps, pages of several processes in equal parts.
fn own_pages(pid: i32) -> (u64, u64) {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else {
        // A process may hide itself from its equals: then all that is resident counts.
        return (process_files::size(pid).map_or(0, |s| s.resident), 0);
    };
    let kib = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key));
        line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("Pss_Anon:") << 10, kib("Pss_Shmem:") << 10)
}

/// Bytes of shared memory and of memory file systems, of the whole machine.
fn shared_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Shmem:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
}

/// Bytes and names that a file system has left.
fn room(work: &File) -> Option<(u64, u64)> {
    let found = fstatvfs(work).ok()?;
    Some((found.blocks_free() * found.fragment_size(), found.files_free()))
}

/// Files by device and inode, each with its bytes.
type Files = HashMap<(u64, u64), u64>;

fn blocks(files: &Files) -> u64 {
    files.values().sum()
}

/// Regular files behind descriptors: those of one device, or those that lie in memory.
fn open_files(living: &[i32], device: Option<u64>) -> Files {
    let mut found = Files::new();
    for (pid, fd) in living.iter().flat_map(|pid| process_files::descriptors(*pid).into_iter().map(move |fd| (pid, fd)))
    {
        let path = format!("/proc/{pid}/fd/{fd}");
        let Ok(metadata) = fs::metadata(&path) else { continue };
        // Anonymous devices, as those of memory file systems, have major number 0.
        let wanted = device.map_or(libc::major(metadata.dev()) == 0, |d| d == metadata.dev());
        if wanted && metadata.is_file() {
            found.insert((metadata.dev(), metadata.ino()), metadata.blocks() * 512);
        }
    }
    found
}

/// Everything below a directory, until there are more names than this.
fn tree(work: &File, most: u64, found: &mut Files) {
    let mut open = match Dir::openat(work, ".", nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty()) {
        Ok(top) => vec![top],
        Err(_) => return,
    };
    while let Some(directory) = open.pop() {
        for name in names(directory.as_fd()).unwrap_or_default() {
            let Ok(status) = fstatat(&directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            found.insert((status.st_dev, status.st_ino), status.st_blocks as u64 * 512);
            let is_directory = status.st_mode & libc::S_IFMT == libc::S_IFDIR;
            if is_directory && let Ok(inner) = subdirectory(directory.as_fd(), &name) {
                open.push(inner);
            }
            if found.len() as u64 > most {
                return;
            }
        }
    }
}
