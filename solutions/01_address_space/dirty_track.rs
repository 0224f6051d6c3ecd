//! Which pages were written, found out by forbidding it.
//!
//! usage: dirty_track N < OFFSETS   (N from 1)
//!
//! Maps N pages that may only be read, and stores a byte at each offset that
//! standard input gives, a line each. The first store to a page is refused; the
//! handler of SIGSEGV notes the page and allows it, and the store is made again.
//!
//! See mprotect(2), sigaction(2) (SA_SIGINFO), signal-safety(7).

use std::ffi::{OsString, c_void};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fmt};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const PAGE: usize = 4096;

/// The memory and what is known of it; for the handler, which gets no arguments of ours.
static TRACKED: OnceLock<Tracked> = OnceLock::new();

struct Tracked {
    start: usize,
    dirty: Box<[AtomicBool]>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pages] = arguments.as_slice() else {
        return usage();
    };
    let Some(pages) = pages.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pages: NonZeroUsize) -> Result<(), String> {
    let memory = Memory::new(pages)?;
    for (number, line) in (1..).zip(io::stdin().lines()) {
        let line = line.map_err(failed("read stdin"))?;
        let offset: usize = line.trim().parse().map_err(|_| format!("line {number}: no offset: {line}"))?;
        memory.store(offset, b'x').ok_or_else(|| format!("line {number}: beyond {pages} pages: {line}"))?;
    }
    let dirty: Vec<String> = memory.dirty().map(|page| page.to_string()).collect();
    let list = if dirty.is_empty() { "none".into() } else { dirty.join(" ") };
    print(format!("dirty: {list}\n").as_bytes())
}

/// Pages that are noted when they are first written.
struct Memory {
    start: NonNull<c_void>,
    tracked: &'static Tracked,
}

impl Memory {
    /// There is one in a process, since there is one handler.
    fn new(pages: NonZeroUsize) -> Result<Memory, String> {
        let length = pages.checked_mul(NonZeroUsize::new(PAGE).unwrap_or(NonZeroUsize::MIN));
        let length = length.ok_or_else(|| format!("mmap {pages} pages: too many"))?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE) };
        let start = start.map_err(failed(format!("mmap {pages} pages")))?;
        let dirty = (0..pages.get()).map(|_| AtomicBool::new(false)).collect();
        let tracked = TRACKED.get_or_init(|| Tracked { start: start.addr().get(), dirty });
        let action = SigAction::new(SigHandler::SigAction(on_fault), SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler does only what is safe wherever the fault may be.
        unsafe { sigaction(Signal::SIGSEGV, &action) }.map_err(failed("sigaction SIGSEGV"))?;
        Ok(Memory { start, tracked })
    }

    fn store(&self, offset: usize, byte: u8) -> Option<()> {
        (offset / PAGE < self.tracked.dirty.len()).then(|| {
            // SAFETY: a byte of the mapping. It may be read only, and is written all the same: the handler allows it.
            unsafe { self.start.cast::<u8>().add(offset).write_volatile(byte) }
        })
    }

    fn dirty(&self) -> impl Iterator<Item = usize> {
        let all = self.tracked.dirty.iter().enumerate();
        all.filter(|(_, dirty)| dirty.load(Ordering::Relaxed)).map(|(page, _)| page)
    }
}

/// Notes the page and allows stores to it; on any other fault the default action follows.
extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel gives a siginfo_t, and for SIGSEGV it has an address.
    let address = unsafe { (*info).si_addr() };
    let allowed = TRACKED.get().is_some_and(|tracked| {
        let page = address.addr().wrapping_sub(tracked.start) / PAGE;
        tracked.dirty.get(page).is_some_and(|dirty| {
            dirty.store(true, Ordering::Relaxed);
            let start = address.map_addr(|address| address - address % PAGE);
            // SAFETY: a page of the mapping, as was just seen, which nobody has a reference to.
            NonNull::new(start).is_some_and(|start| unsafe {
                mprotect(start, PAGE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).is_ok()
            })
        })
    });
    if !allowed {
        // SAFETY: signal(2) may be called in a handler, and no function of ours is given.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: dirty_track N < OFFSETS   (N from 1)");
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
