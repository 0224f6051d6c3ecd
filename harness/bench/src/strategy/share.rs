//! Several processes checksum the same file at the same time.
//!
//! Before the first trial as many processes only take the memory that this
//! needs and keep it, and the kernel is asked how much of that each counts as
//! its own (RSS), and how much it is when what is shared is shared out (PSS).

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

use super::scan::sum_mapping;
use super::{Fault, Footprint, Prepared, Strategy, Task, Work, buffer, call, copy, size_name};
use crate::memory::{Buffer, Mapping, smaps_kib, sum, touch};
use crate::process::{Child, End};

/// How many processes there are, in turn.
pub const PROCESSES: [usize; 3] = [2, 4, 8];

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies(processes: usize) -> Vec<Strategy> {
    let map = |name: &str, what: &str, flags: i32| {
        by(name, what, None, processes, move |task| Ok(Mapped { file: task.open()?, size: task.size as usize, flags }))
    };
    vec![
        read(64 << 10, processes),
        map("mmap", "each maps the file shared", libc::MAP_SHARED),
        by("mmap_inherited", "one mapping, inherited and touched before", None, processes, |task| {
            let file = task.open()?;
            let mapping = Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED);
            let mapping = mapping.map_err(call("mmap"))?;
            touch(&mapping);
            Ok(Inherited(mapping))
        }),
        read(256 << 10, processes),
        map("mmap_private", "each maps the file privately", libc::MAP_PRIVATE).full(),
    ]
}

fn by<W: Way + 'static>(
    name: &str,
    what: &str,
    block: Option<usize>,
    processes: usize,
    way: impl Fn(&Task<'_>) -> Result<W, Fault> + 'static,
) -> Strategy {
    let weighed = OnceCell::new();
    Strategy::new(name, what, block, move |task| {
        let mut way = way(&task)?;
        if weighed.get().is_none() {
            // Empty, so it takes the value.
            let _ = weighed.set(weigh(processes, &mut way)?);
        }
        together(task, processes, way, weighed.get().copied().flatten())
    })
}

/// What each of the processes does. In a child nothing may be allocated.
trait Way {
    /// Checksums the whole file; `None` when that fails or the task should stop,
    /// which only this process hears of.
    fn scan(&mut self, task: &Task<'_>) -> Option<u64>;

    /// The memory that this takes, in use: it stays until the value is dropped.
    fn keep(&mut self) -> Option<Kept>;
}

/// Memory that is in use.
struct Kept {
    address: usize,
    _mapping: Option<Mapping>,
}

struct Read {
    file: File,
    size: u64,
    buffer: Buffer,
}

fn read(block: usize, processes: usize) -> Strategy {
    let name = format!("read_{}", size_name(block));
    let what = format!("each reads by pread(2), {} KiB at a time", block >> 10);
    by(&name, &what, Some(block), processes, move |task| {
        let mut buffer = buffer(block)?;
        buffer.set_apart();
        Ok(Read { file: task.open()?, size: task.size, buffer })
    })
}

impl Way for Read {
    fn scan(&mut self, task: &Task<'_>) -> Option<u64> {
        let (mut offset, mut checksum, mut calls) = (0u64, 0u64, 0);
        while offset < self.size {
            task.go_on().ok()?;
            let n = super::scan::pread_some(&self.file, self.buffer.bytes(), offset, &mut calls).ok()?;
            if n == 0 {
                return None;
            }
            checksum = checksum.wrapping_add(sum(&self.buffer.bytes()[..n]));
            offset += n as u64;
        }
        Some(checksum)
    }

    fn keep(&mut self) -> Option<Kept> {
        // Written to, so that each process has pages of its own.
        self.buffer.bytes().fill(2);
        Some(Kept { address: self.buffer.bytes().as_ptr() as usize, _mapping: None })
    }
}

struct Mapped {
    file: File,
    size: usize,
    flags: i32,
}

impl Mapped {
    fn map(&self) -> Option<Mapping> {
        Mapping::file(&self.file, 0, self.size, libc::PROT_READ, self.flags).ok()
    }
}

impl Way for Mapped {
    fn scan(&mut self, task: &Task<'_>) -> Option<u64> {
        sum_of(&self.map()?, task)
    }

    fn keep(&mut self) -> Option<Kept> {
        let mapping = self.map()?;
        touch(&mapping);
        Some(Kept { address: mapping.address() as usize, _mapping: Some(mapping) })
    }
}

fn sum_of(mapping: &Mapping, task: &Task<'_>) -> Option<u64> {
    let mut work = Work::default();
    sum_mapping(task, mapping, &mut work).ok()?;
    Some(work.checksum)
}

struct Inherited(Mapping);

impl Way for Inherited {
    fn scan(&mut self, task: &Task<'_>) -> Option<u64> {
        sum_of(&self.0, task)
    }

    fn keep(&mut self) -> Option<Kept> {
        Some(Kept { address: self.0.address() as usize, _mapping: None })
    }
}

/// What a child says: one word at a time, which a pipe takes whole.
fn say(fd: &OwnedFd, word: u64) -> bool {
    let bytes = word.to_ne_bytes();
    // SAFETY: eight bytes of a local array.
    unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) == 8 }
}

fn hear(fd: &OwnedFd) -> Option<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: eight bytes into a local array.
    let n = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    (n == 8).then(|| u64::from_ne_bytes(bytes))
}

/// One of the other processes. What it is told has a pipe of its own, or one
/// that is quick would hear what is meant for another.
struct Other {
    child: Child,
    go: OwnedFd,
    answer: OwnedFd,
}

/// Lets all of them go on.
fn all_go(others: &[Other]) -> Result<(), Fault> {
    if others.iter().all(|other| say(&other.go, 0)) {
        Ok(())
    } else {
        Err(call("write")(std::io::Error::last_os_error()))
    }
}

/// Forks all processes but this one; each does `part`, with the descriptors on
/// which it is told to go on and on which it answers.
///
/// # Safety
/// As [`Child::fork`].
unsafe fn fork_others(
    processes: usize,
    mut part: impl FnMut(&OwnedFd, &OwnedFd) -> Option<()>,
) -> Result<Vec<Other>, Fault> {
    (1..processes)
        .map(|_| {
            let (wait, go) = copy::pipe(4096)?;
            let (answer, tell) = copy::pipe(4096)?;
            // SAFETY: promised by the caller.
            let child = unsafe { Child::fork(|| i32::from(part(&wait, &tell).is_none())) };
            Ok(Other { child: child.map_err(call("fork"))?, go, answer })
        })
        .collect()
}

fn wait_for(others: Vec<Other>) -> Result<(), Fault> {
    for other in others {
        match other.child.wait().map_err(call("wait"))? {
            End::Exited(0) => {}
            end => return Err(Fault::Unsupported(format!("another process ended early: {end:?}"))),
        }
    }
    Ok(())
}

/// Has all processes keep the memory that the way takes, and asks the kernel
/// what it comes to; `None` where /proc does not tell.
fn weigh(processes: usize, way: &mut impl Way) -> Result<Option<Footprint>, Fault> {
    // SAFETY: the ways above map, touch and write memory, and allocate nothing.
    let others = unsafe {
        fork_others(processes, |wait, tell| {
            let kept = way.keep()?;
            say(tell, kept.address as u64).then_some(())?;
            hear(wait).map(drop)
        })
    }?;
    let kept = way.keep().ok_or(Fault::Short)?;
    let mut places = vec![("self".to_owned(), kept.address)];
    for other in &others {
        places.push((other.child.id().to_string(), hear(&other.answer).ok_or(Fault::Short)? as usize));
    }
    let total = |field: &str| {
        let parts = places.iter().map(|(process, address)| smaps_kib(process, *address, field));
        parts.sum::<Option<u64>>().map(|kib| kib << 10)
    };
    let footprint = total("Rss").zip(total("Pss"));
    all_go(&others)?;
    wait_for(others)?;
    Ok(footprint.map(|(resident, proportional)| Footprint { resident, proportional }))
}

/// Runs the scan in children and here, all from the same moment.
fn together<'a>(
    task: Task<'a>,
    processes: usize,
    mut way: impl Way + 'a,
    footprint: Option<Footprint>,
) -> Result<Prepared<'a>, Fault> {
    // SAFETY: the ways above read memory and make system calls; what they free
    // is a mapping of their own.
    let others = unsafe {
        fork_others(processes, |wait, tell| {
            hear(wait)?;
            let checksum = way.scan(&task)?;
            say(tell, checksum).then_some(())
        })
    }?;
    Ok(Box::new(move || {
        all_go(&others)?;
        let Some(checksum) = way.scan(&task) else {
            task.go_on()?;
            return Err(Fault::Short);
        };
        let mut agreed = true;
        for other in &others {
            agreed &= hear(&other.answer).ok_or(Fault::Short)? == checksum;
        }
        let ended = Some(Instant::now());
        wait_for(others)?;
        task.go_on()?;
        // A wrong sum of a child's must not go unseen.
        let checksum = if agreed { checksum } else { !checksum };
        Ok(Work { checksum, footprint, ended, ..Work::default() })
    }))
}
