//! A pager of one's own: demand paging with a clock, by userfaultfd.
//!
//! usage: user_pager FILE FRAMES < ACCESSES   (FRAMES from 1)
//!
//! FILE is seen through memory of the same size, of which FRAMES pages at most have
//! anything in them. A thread waits for the faults of the others: it makes room by
//! the clock, writes back what has changed, and puts the page there.
//!
//! See userfaultfd(2), UFFDIO_COPY in ioctl_userfaultfd(2), madvise(2) MADV_DONTNEED.

use std::ffi::{OsString, c_void};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::{env, fmt, thread};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

const PAGE: usize = 4096;

/// The kernel's interface, as linux/userfaultfd.h has it.
mod uffd {
    pub const USER_MODE_ONLY: libc::c_int = 1;
    pub const API: u64 = 0xaa;
    pub const REGISTER_MODE_MISSING: u64 = 1;
    pub const EVENT_PAGEFAULT: u8 = 0x12;

    #[repr(C)]
    pub struct Api {
        pub api: u64,
        pub features: u64,
        pub ioctls: u64,
    }

    #[repr(C)]
    pub struct Register {
        pub start: u64,
        pub len: u64,
        pub mode: u64,
        pub ioctls: u64,
    }

    #[repr(C)]
    pub struct Copy {
        pub dst: u64,
        pub src: u64,
        pub len: u64,
        pub mode: u64,
        pub copy: i64,
    }

    nix::ioctl_readwrite!(api, 0xaa, 0x3f, Api);
    nix::ioctl_readwrite!(register, 0xaa, 0x00, Register);
    nix::ioctl_readwrite!(copy, 0xaa, 0x03, Copy);
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, frames] = arguments.as_slice() else {
        return usage();
    };
    let Some(frames) = frames.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(Path::new(path), frames) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, frames: NonZeroUsize) -> Result<(), String> {
    let pager: &'static Pager = Box::leak(Box::new(Pager::new(path, frames.get())?));
    // It ends with the process, or ends it.
    thread::spawn(|| {
        if let Err(message) = pager.serve() {
            complain(&message);
            std::process::exit(1);
        }
    });
    let mut values = String::new();
    for (number, line) in (1..).zip(io::stdin().lines()) {
        let line = line.map_err(failed("read stdin"))?;
        let access = Access::parse(&line).filter(|access| access.offset() < pager.length);
        match access.ok_or_else(|| format!("line {number}: no access to {}: {line}", pager.name))? {
            Access::Load(offset) => values.push_str(&format!("{}\n", pager.load(offset))),
            Access::Store(offset, byte) => pager.store(offset, byte),
        }
    }
    let faults = pager.finish()?;
    print(format!("{values}faults {faults}\n").as_bytes())
}

enum Access {
    Load(usize),
    Store(usize, u8),
}

impl Access {
    /// `OFFSET` or `OFFSET=BYTE`.
    fn parse(line: &str) -> Option<Access> {
        match line.split_once('=') {
            Some((offset, byte)) => Some(Access::Store(offset.parse().ok()?, byte.parse().ok()?)),
            None => Some(Access::Load(line.parse().ok()?)),
        }
    }

    fn offset(&self) -> usize {
        match *self {
            Access::Load(offset) | Access::Store(offset, _) => offset,
        }
    }
}

/// FILE as memory.
struct Pager {
    name: String,
    file: File,
    length: usize,
    /// Where page 0 is.
    start: usize,
    faults: OwnedFd,
    /// What the processor's bits would be: nobody but the kernel sees those.
    bits: Box<[Bits]>,
    clock: Mutex<Clock>,
}

#[derive(Default)]
struct Bits {
    accessed: AtomicBool,
    dirty: AtomicBool,
}

struct Clock {
    frames: usize,
    /// The page in each frame that has one.
    pages: Vec<usize>,
    hand: usize,
    faults: u64,
}

impl Pager {
    fn new(path: &Path, frames: usize) -> Result<Pager, String> {
        let name = path.display().to_string();
        let file = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
        let length = file.metadata().map_err(failed(format!("stat {name}")))?.len() as usize;
        let pages = length.div_ceil(PAGE);
        let size = NonZeroUsize::new(pages * PAGE).ok_or_else(|| format!("mmap {name}: it is empty"))?;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) };
        let start = start.map_err(failed(format!("mmap {name}")))?.addr().get();
        let faults = faults_of(start, size.get())?;
        let bits = (0..pages).map(|_| Bits::default()).collect();
        let clock = Mutex::new(Clock { frames, pages: Vec::new(), hand: 0, faults: 0 });
        Ok(Pager { name, file, length, start, faults, bits, clock })
    }

    fn load(&self, offset: usize) -> u8 {
        // SAFETY: a byte of the mapping; if its page is not there, the pager's thread puts it there.
        let byte = unsafe { self.address(offset).read_volatile() };
        self.bits[offset / PAGE].accessed.store(true, Relaxed);
        byte
    }

    fn store(&self, offset: usize, byte: u8) {
        // SAFETY: as above.
        unsafe { self.address(offset).write_volatile(byte) };
        self.bits[offset / PAGE].accessed.store(true, Relaxed);
        self.bits[offset / PAGE].dirty.store(true, Relaxed);
    }

    fn address(&self, offset: usize) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.start + offset)
    }

    /// The pager's thread: each message is a fault, and whoever made it waits.
    fn serve(&self) -> Result<(), String> {
        loop {
            let mut message = [0_u8; 32];
            match nix::unistd::read(&self.faults, &mut message) {
                Err(Errno::EINTR) => continue,
                result => result.map_err(failed("read userfaultfd"))?,
            };
            // struct uffd_msg: the event, flags from byte 8, and the address from byte 16.
            if let ([uffd::EVENT_PAGEFAULT, ..], Some(address)) = (message, message[16..].first_chunk()) {
                self.bring((usize::from_ne_bytes(*address) - self.start) / PAGE)?;
            }
        }
    }

    /// Puts a page into a frame, the frame of another if none is free.
    fn bring(&self, page: usize) -> Result<(), String> {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.faults += 1;
        if clock.pages.len() < clock.frames {
            clock.pages.push(page);
        } else {
            let frame = self.victim(&mut clock);
            self.evict(clock.pages[frame])?;
            clock.pages[frame] = page;
        }
        let mut bytes = [0; PAGE];
        self.file
            .read_exact_at(&mut bytes[..self.bytes_of(page)], (page * PAGE) as u64)
            .map_err(failed(format!("read {}", self.name)))?;
        self.bits[page].accessed.store(true, Relaxed);
        let mut copy = uffd::Copy {
            dst: (self.start + page * PAGE) as u64,
            src: bytes.as_ptr().addr() as u64,
            len: PAGE as u64,
            mode: 0,
            copy: 0,
        };
        // SAFETY: the kernel copies a page of ours to where nothing is, and wakes who waits for it.
        unsafe { uffd::copy(self.faults.as_raw_fd(), &mut copy) }.map_err(failed("ioctl UFFDIO_COPY"))?;
        Ok(())
    }

    /// Whose bit is set is spared once.
    fn victim(&self, clock: &mut Clock) -> usize {
        loop {
            let frame = clock.hand;
            clock.hand = (frame + 1) % clock.frames;
            if !self.bits[clock.pages[frame]].accessed.swap(false, Relaxed) {
                return frame;
            }
        }
    }

    /// Whoever could touch the page waits for another one meanwhile.
    fn evict(&self, page: usize) -> Result<(), String> {
        self.write_back(page)?;
        let address = NonNull::new(self.address(page * PAGE).cast::<c_void>()).ok_or("madvise: no address")?;
        // SAFETY: a page of the mapping, whose contents are in FILE, and which nobody has a reference to.
        unsafe { madvise(address, PAGE, MmapAdvise::MADV_DONTNEED) }.map_err(failed("madvise"))
    }

    fn write_back(&self, page: usize) -> Result<(), String> {
        if !self.bits[page].dirty.swap(false, Relaxed) {
            return Ok(());
        }
        // SAFETY: a page that is there, and that nobody writes meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(self.address(page * PAGE), self.bytes_of(page)) };
        self.file.write_all_at(bytes, (page * PAGE) as u64).map_err(failed(format!("write {}", self.name)))
    }

    /// The last page may be only partly FILE's.
    fn bytes_of(&self, page: usize) -> usize {
        PAGE.min(self.length - page * PAGE)
    }

    /// Writes back what is still in memory; says how many faults there were.
    fn finish(&self) -> Result<u64, String> {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.pages.iter().try_for_each(|page| self.write_back(*page))?;
        Ok(clock.faults)
    }
}

/// A descriptor from which the faults of this memory can be read.
fn faults_of(start: usize, length: usize) -> Result<OwnedFd, String> {
    // SAFETY: the call takes flags only.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | uffd::USER_MODE_ONLY) };
    let fd = Errno::result(fd).map_err(failed("userfaultfd"))? as i32;
    // SAFETY: the descriptor was just made, and nobody else knows of it.
    let faults = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut api = uffd::Api { api: uffd::API, features: 0, ioctls: 0 };
    // SAFETY: a structure of the kernel's, which outlives the call.
    unsafe { uffd::api(fd, &mut api) }.map_err(failed("ioctl UFFDIO_API"))?;
    let mode = uffd::REGISTER_MODE_MISSING;
    let mut register = uffd::Register { start: start as u64, len: length as u64, mode, ioctls: 0 };
    // SAFETY: as above; the memory is ours.
    unsafe { uffd::register(fd, &mut register) }.map_err(failed("ioctl UFFDIO_REGISTER"))?;
    Ok(faults)
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: user_pager FILE FRAMES < ACCESSES   (FRAMES from 1)");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
