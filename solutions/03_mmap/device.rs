//! The first block of a file, read by a request in memory.
//!
//! usage: map_device FILE
//!
//! io_uring is a device of the kernel's own: mapping its descriptor gives memory
//! that this process and the kernel share. A request is a few stores there, its
//! completion a few loads, and one system call lets the kernel look.
//!
//! See io_uring(7), io_uring_setup(2), io_uring_enter(2), mmap(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fmt, ptr};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Where the three parts lie if the descriptor is mapped (`IORING_OFF_*`).
const REQUESTS_RING: u64 = 0;
const COMPLETIONS_RING: u64 = 0x800_0000;
const REQUESTS: u64 = 0x1000_0000;
/// `IORING_OP_READ` and `IORING_ENTER_GETEVENTS`.
const READ: u8 = 22;
const WAIT: u32 = 1;

/// `struct io_uring_params`
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    requests: Offsets,
    completions: Offsets,
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`, which begin alike.
#[repr(C)]
#[derive(Default)]
struct Offsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags_or_overflow: u32,
    dropped_or_entries: u32,
    array_or_flags: u32,
    reserved: u32,
    user_address: u64,
}

/// `struct io_uring_sqe`
#[repr(C)]
#[derive(Default)]
struct Request {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    len: u32,
    operation_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// `struct io_uring_cqe`
#[repr(C)]
#[derive(Clone, Copy)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    let ring = Ring::new()?;
    let mut block = [0; BLOCK];
    let result = ring.read(&file, &mut block)?;
    // An error comes as its number, negative.
    let bytes = usize::try_from(result).map_err(|_| failed(format!("read {name}"))(Errno::from_raw(-result)))?;
    let mut stdout = io::stdout();
    stdout.write_all(&block[..bytes]).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// A ring for one request at a time.
struct Ring {
    descriptor: OwnedFd,
    params: Params,
    requests_ring: MmapRaw,
    completions_ring: MmapRaw,
    requests: MmapRaw,
}

impl Ring {
    fn new() -> Result<Ring, String> {
        let mut params = Params::default();
        // SAFETY: the kernel fills in the parameters it is given room for.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) };
        let fd = Errno::result(fd).map_err(failed("io_uring_setup"))?;
        // SAFETY: just made, and nobody else's.
        let descriptor = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        let map = |offset, len| {
            let part = MmapOptions::new().offset(offset).len(len).map_raw(&descriptor);
            part.map_err(failed("mmap io_uring"))
        };
        let numbers = params.sq_entries as usize * size_of::<u32>();
        let requests_ring = map(REQUESTS_RING, params.requests.array_or_flags as usize + numbers)?;
        let completions = params.cq_entries as usize * size_of::<Completion>();
        let completions_ring = map(COMPLETIONS_RING, params.completions.dropped_or_entries as usize + completions)?;
        let requests = map(REQUESTS, params.sq_entries as usize * size_of::<Request>())?;
        Ok(Ring { descriptor, params, requests_ring, completions_ring, requests })
    }

    /// Reads the beginning of a file, and gives the count, or a negative errno.
    fn read(&self, file: &File, block: &mut [u8]) -> Result<i32, String> {
        let request = Request {
            opcode: READ,
            fd: file.as_raw_fd(),
            address: block.as_mut_ptr().expose_provenance() as u64,
            len: block.len() as u32,
            ..Request::default()
        };
        let Offsets { tail, array_or_flags, .. } = self.params.requests;
        // SAFETY: the first request and the first number of the array are ours
        // until the tail says otherwise; both were mapped, and are aligned.
        unsafe {
            self.requests.as_mut_ptr().cast::<Request>().write(request);
            self.requests_ring.as_mut_ptr().add(array_or_flags as usize).cast::<u32>().write(0);
        }
        word(&self.requests_ring, tail).fetch_add(1, Ordering::Release);
        self.enter()?;
        Ok(self.completion().result)
    }

    /// Lets the kernel take the request, and waits for its completion.
    fn enter(&self) -> Result<(), String> {
        let (requests, completions) = (&self.params.requests, &self.params.completions);
        while waiting(&self.completions_ring, completions) == 0 {
            let left = waiting(&self.requests_ring, requests);
            let (fd, no_mask) = (self.descriptor.as_raw_fd(), ptr::null::<libc::sigset_t>());
            // SAFETY: the memory that the request names outlives it: nobody returns before its completion.
            let entered = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, left, 1, WAIT, no_mask, 0) };
            match Errno::result(entered) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(failed("io_uring_enter")(error)),
            }
        }
        Ok(())
    }

    /// Takes the oldest completion.
    fn completion(&self) -> Completion {
        let Offsets { head, ring_mask, dropped_or_entries, .. } = self.params.completions;
        let ring = &self.completions_ring;
        let index = word(ring, head).load(Ordering::Relaxed) & word(ring, ring_mask).load(Ordering::Relaxed);
        // SAFETY: mapped and aligned, and the kernel leaves it alone until the head has moved on.
        let completion =
            unsafe { ring.as_ptr().add(dropped_or_entries as usize).cast::<Completion>().add(index as usize).read() };
        word(ring, head).fetch_add(1, Ordering::Release);
        completion
    }
}

/// How many there are between the head and the tail.
fn waiting(ring: &MmapRaw, offsets: &Offsets) -> u32 {
    let [head, tail] = [offsets.head, offsets.tail].map(|offset| word(ring, offset).load(Ordering::Acquire));
    tail.wrapping_sub(head)
}

/// A number that the kernel and this process both use.
fn word(part: &MmapRaw, offset: u32) -> &AtomicU32 {
    // SAFETY: the kernel has said that a number lies there, aligned, and it lives
    // as long as the mapping; both sides use it as an atomic only.
    unsafe { AtomicU32::from_ptr(part.as_mut_ptr().add(offset as usize).cast()) }
}

fn usage() -> ExitCode {
    complain("usage: map_device FILE");
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
