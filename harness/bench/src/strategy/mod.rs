//! A strategy: one way to do a workload, as its best honest form.
//!
//! A strategy is prepared (opened, buffers touched, rings set up) outside the
//! timed part, and then run once within it. What it must undo before its bytes
//! are safe or its memory is free, such as munmap, is within.

pub mod copy;
pub mod external;
pub mod ipc;
pub mod pipe;
pub mod random;
pub mod rescan;
pub mod scan;
pub mod share;
pub mod small;
pub mod update;
pub mod uring;
pub mod write;

use std::any::Any;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::memory::Buffer;
use crate::request::CacheState;

/// A stretch of work between two looks at the interrupt flag, in bytes.
pub const STRETCH: usize = 1 << 20;

/// Accesses to memory between two such looks, where one takes so little time
/// that the look would be seen in it.
pub const BETWEEN_LOOKS: usize = 64;

/// What a strategy works on.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The file to read.
    pub path: &'a Path,
    /// Its bytes.
    pub size: u64,
    /// Where a new file goes; it does not exist when a trial begins.
    pub target: &'a Path,
    /// Byte offsets, for the workloads that jump.
    pub offsets: &'a [u64],
    /// Set when the work should stop.
    pub interrupted: &'a AtomicBool,
}

impl Task<'_> {
    /// The file, opened for reading.
    pub fn open(&self) -> Result<File, Fault> {
        File::open(self.path).map_err(call("open"))
    }

    /// The file, opened for reading past the page cache.
    pub fn open_direct(&self) -> Result<File, Fault> {
        OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(self.path).map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL) => Fault::Unsupported("this file system has no O_DIRECT".to_owned()),
            _ => Fault::Call { operation: "open (O_DIRECT)", source: e },
        })
    }

    /// The target, made anew.
    pub fn create(&self) -> Result<File, Fault> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.target).map_err(call("create"))
    }

    /// Fails when the work should stop.
    pub fn go_on(&self) -> Result<(), Fault> {
        if self.interrupted.load(Ordering::Relaxed) { Err(Fault::Interrupted) } else { Ok(()) }
    }
}

/// What a run of a strategy did, by its own count.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// The sum of the words read, where the workload reads.
    pub checksum: u64,
    /// System calls made in the timed part.
    pub system_calls: u64,
    /// Bytes that the kernel or the strategy copied from one place in memory
    /// to another.
    pub copied: u64,
    /// Something a reader of the figure should know.
    pub note: Option<String>,
    /// Whether a program of the caller's did it.
    pub program: bool,
    /// Whether nobody looked at the bytes, so that they cannot be checked.
    pub unseen: bool,
    /// What the memory of all its processes came to, where that was asked.
    pub footprint: Option<Footprint>,
    /// When the last byte was there, where a process must still be waited for
    /// that has nothing more to do.
    pub ended: Option<Instant>,
    /// What the workload keeps from run to run, and whose end is therefore not
    /// to be timed.
    pub kept: Option<Arc<dyn Any + Send + Sync>>,
}

/// Memory of several processes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// As each process counts it (RSS), added up.
    pub resident: u64,
    /// With what is shared counted once (PSS).
    pub proportional: u64,
}

/// Why a run of a strategy did not end well.
#[derive(Debug)]
pub enum Fault {
    /// The caller asked to stop.
    Interrupted,
    /// This machine or file system does not have it.
    Unsupported(String),
    /// The file ended before its size.
    Short,
    /// A system call failed.
    Call {
        /// Which.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// For `map_err`: the failed call by name, and what is not supported told apart.
pub fn call(operation: &'static str) -> impl Fn(io::Error) -> Fault {
    move |source| match source.raw_os_error() {
        Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::EXDEV) => Fault::Unsupported(format!("{operation}: {source}")),
        _ => Fault::Call { operation, source },
    }
}

/// The timed part, ready to run once.
pub type Prepared<'a> = Box<dyn FnOnce() -> Result<Work, Fault> + 'a>;

/// What makes the timed part ready.
pub type Prepare = Box<dyn for<'a> Fn(Task<'a>) -> Result<Prepared<'a>, Fault>>;

/// When a strategy takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Always.
    Core,
    /// When the budget has room for it.
    Full,
}

/// One way to do a workload.
pub struct Strategy {
    /// The name as it is typed and shown.
    pub name: String,
    /// What it does, in a few words.
    pub what: String,
    /// Bytes asked for at a time, where it has such a size.
    pub block_bytes: Option<u64>,
    /// When it takes part.
    pub tier: Tier,
    /// The one state that it takes part in, where the other would mean nothing:
    /// O_DIRECT reads past the cache, a mapping that is kept keeps its pages.
    pub only: Option<CacheState>,
    /// Whether it does less than the others, and is there for comparison only.
    pub less: bool,
    /// Makes the timed part ready.
    pub prepare: Prepare,
}

impl Strategy {
    /// A strategy of the core tier.
    pub fn new<F>(name: &str, what: &str, block: Option<usize>, prepare: F) -> Self
    where
        F: for<'a> Fn(Task<'a>) -> Result<Prepared<'a>, Fault> + 'static,
    {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            block_bytes: block.map(|b| b as u64),
            tier: Tier::Core,
            only: None,
            less: false,
            prepare: Box::new(prepare),
        }
    }

    /// Takes part only when the budget has room.
    pub fn full(self) -> Self {
        Self { tier: Tier::Full, ..self }
    }

    /// Does less than the others.
    pub fn less(self) -> Self {
        Self { less: true, ..self }
    }

    /// Takes part only in cold comparisons.
    pub fn cold_only(self) -> Self {
        Self { only: Some(CacheState::Cold), ..self }
    }

    /// Takes part only in warm comparisons.
    pub fn warm_only(self) -> Self {
        Self { only: Some(CacheState::Warm), ..self }
    }
}

/// "64k" for 65536.
pub fn size_name(bytes: usize) -> String {
    if bytes >= 1 << 20 { format!("{}m", bytes >> 20) } else { format!("{}k", bytes >> 10) }
}

/// Fills `block` from the file as far as it goes; counts the calls.
pub fn read_full(file: &File, block: &mut [u8], calls: &mut u64) -> Result<usize, Fault> {
    let mut filled = 0;
    while filled < block.len() {
        let rest = &mut block[filled..];
        *calls += 1;
        // SAFETY: the kernel writes at most `rest.len()` bytes into `rest`.
        let n = unsafe { libc::read(file.as_raw_fd(), rest.as_mut_ptr().cast(), rest.len()) };
        match n {
            0 => break,
            n if n > 0 => filled += n as usize,
            _ => retry_or_fail("read")?,
        }
    }
    Ok(filled)
}

/// Writes all of `block`; counts the calls.
pub fn write_full(file: &File, block: &[u8], calls: &mut u64) -> Result<(), Fault> {
    let mut done = 0;
    while done < block.len() {
        let rest = &block[done..];
        *calls += 1;
        // SAFETY: the kernel reads at most `rest.len()` bytes from `rest`.
        let n = unsafe { libc::write(file.as_raw_fd(), rest.as_ptr().cast(), rest.len()) };
        match n {
            n if n >= 0 => done += n as usize,
            _ => retry_or_fail("write")?,
        }
    }
    Ok(())
}

/// Goes on after EINTR, and fails with what else the last call said.
pub fn retry_or_fail(operation: &'static str) -> Result<(), Fault> {
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(call(operation)(error)) }
}

/// A touched buffer, with the failure as a fault.
pub fn buffer(len: usize) -> Result<Buffer, Fault> {
    Buffer::new(len).map_err(call("mmap a buffer"))
}
