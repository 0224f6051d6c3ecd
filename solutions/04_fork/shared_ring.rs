//! A file from one process to another through a ring in shared memory.
//!
//! usage: shared_ring [--from N] FILE
//!
//! The child reads FILE into the free part of the ring, the parent writes the
//! filled part to standard output. Two counters say how far each of them has
//! come; they run on from 2³² - 1 to 0, and only their difference and their
//! remainder mean anything (--from lets them begin anywhere). Whoever can do no
//! more waits at a bell, which the other rings once for all that it has done.
//!
//! See mmap(2) (MAP_SHARED, MAP_ANONYMOUS), futex(2), fork(2), wait(2).

use std::cell::UnsafeCell;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{env, fmt, ptr, slice};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// Bytes in the ring; a power of two, so that it divides what the counters count.
const CAPACITY: u32 = 1 << 16;

/// What the two processes share.
#[repr(C)]
struct Ring {
    /// How much was ever put in, and taken out.
    filled: AtomicU32,
    emptied: AtomicU32,
    /// No more will be put in, or taken out.
    finished: AtomicBool,
    given_up: AtomicBool,
    /// Rung when there is something new for the one side, or for the other.
    data: Bell,
    room: Bell,
    bytes: UnsafeCell<[u8; CAPACITY as usize]>,
}

/// What a process can wait at until another rings it.
struct Bell(AtomicU32);

impl Bell {
    /// To be asked before one looks whether one must wait: if it is rung after that, `wait` returns at once.
    fn rung(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
        // SAFETY: the kernel only looks up who waits at this address.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, 1) };
    }

    /// Sleeps, unless it has been rung since. It may also return for no reason.
    fn wait(&self, rung: u32) {
        let no_limit = ptr::null::<libc::timespec>();
        // SAFETY: the kernel reads the word, which outlives the call.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAIT, rung, no_limit) };
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (from, path) = match arguments.as_slice() {
        [path] if path != "--from" => (Some(0), path),
        [option, from, path] if option == "--from" => (from.to_str().and_then(|text| text.parse().ok()), path),
        _ => return usage(),
    };
    let Some(from) = from else { return usage() };
    run(Path::new(path), from).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(path: &Path, from: u32) -> Result<ExitCode, String> {
    let name = path.display();
    let mut file = File::open(path).map_err(failed(format!("open {name}")))?;
    // A stream with no buffer of its own: the ring is one.
    let mut output = io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(failed("dup stdout"))?;
    let ring = map_ring().map_err(failed("mmap shared memory"))?;
    ring.filled.store(from, Ordering::Relaxed);
    ring.emptied.store(from, Ordering::Relaxed);

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let result = ring.fill(&mut file).map_err(failed(format!("read {name}")));
            ring.finished.store(true, Ordering::Release);
            ring.data.ring();
            leave(result)
        }
        ForkResult::Parent { child } => {
            let result = ring.empty(&mut output).map_err(failed("write stdout"));
            ring.given_up.store(true, Ordering::Release);
            ring.room.ring();
            let status = wait_for(child)?;
            result.map(|()| status)
        }
    }
}

impl Ring {
    /// Puts everything in that can be read, or as much as the other side wants.
    fn fill(&self, source: &mut File) -> io::Result<()> {
        let mut filled = self.filled.load(Ordering::Relaxed);
        loop {
            let rung = self.room.rung();
            if self.given_up.load(Ordering::Acquire) {
                return Ok(());
            }
            let free = CAPACITY - filled.wrapping_sub(self.emptied.load(Ordering::Acquire));
            if free == 0 {
                self.room.wait(rung);
                continue;
            }
            // SAFETY: what is free is this side's alone until it is counted as filled.
            let bytes = unsafe { self.piece(filled, free) };
            match source.read(bytes) {
                Ok(0) => return Ok(()),
                Ok(n) => filled = filled.wrapping_add(n as u32),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.filled.store(filled, Ordering::Release);
            self.data.ring();
        }
    }

    /// Writes everything out, until no more will come.
    fn empty(&self, sink: &mut File) -> io::Result<()> {
        let mut emptied = self.emptied.load(Ordering::Relaxed);
        loop {
            let rung = self.data.rung();
            let finished = self.finished.load(Ordering::Acquire); // before the count that it makes final
            let there = self.filled.load(Ordering::Acquire).wrapping_sub(emptied);
            if there == 0 {
                if finished {
                    return Ok(());
                }
                self.data.wait(rung);
                continue;
            }
            // SAFETY: what is filled is this side's alone until it is counted as emptied.
            let bytes = unsafe { self.piece(emptied, there) };
            sink.write_all(bytes)?;
            emptied = emptied.wrapping_add(bytes.len() as u32);
            self.emptied.store(emptied, Ordering::Release);
            self.room.ring();
        }
    }

    /// So many bytes from a count on, or as many as there are before the ring's seam.
    ///
    /// # Safety
    /// Nobody else may use them while the slice is alive.
    #[expect(clippy::mut_from_ref, reason = "the counters say whose the bytes are")]
    unsafe fn piece(&self, from: u32, count: u32) -> &mut [u8] {
        let start = from % CAPACITY;
        let len = count.min(CAPACITY - start);
        // SAFETY: both lie in the array, and the caller promises that they are his.
        unsafe { slice::from_raw_parts_mut(self.bytes.get().cast::<u8>().add(start as usize), len as usize) }
    }
}

/// Shared memory, zero at first. It is never unmapped: both processes use it to
/// their end, and end soon.
fn map_ring() -> nix::Result<&'static Ring> {
    let length = NonZeroUsize::new(size_of::<Ring>()).ok_or(Errno::EINVAL)?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
    let start = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) }?;
    // SAFETY: a mapping begins on a page, so it is aligned; it is long enough,
    // full of zeros, which are valid for each field, and is never unmapped.
    Ok(unsafe { start.cast().as_ref() })
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Err(format!("child: killed by {signal}")),
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

/// Ends the child, without running again what the parent set up for its own end.
fn leave(result: Result<(), String>) -> ! {
    let status = match result {
        Ok(()) => 0,
        Err(message) => {
            complain(&message);
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

fn usage() -> ExitCode {
    complain("usage: shared_ring [--from N] FILE   (N below 2^32)");
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
