//! The three kinds of page fault, each made on purpose and counted.
//!
//! usage: fault_kinds MINOR INVALID FILE PAGE…
//!
//! Touches MINOR new pages of memory, the given pages of FILE after it was
//! dropped from memory, and lets INVALID children each touch a page that nobody
//! may. Prints how many faults there were of each kind, by the kernel's count.
//!
//! See getrusage(2), posix_fadvise(2), madvise(2) MADV_RANDOM, mmap(2) PROT_NONE.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::{Advice, Mmap, MmapMut};
use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [minor, invalid, file, pages @ ..] = arguments.as_slice() else {
        return usage();
    };
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok();
    let pages: Option<Vec<usize>> = pages.iter().map(number).collect();
    match (number(minor), number(invalid), pages) {
        (Some(minor), Some(invalid), Some(pages)) if minor > 0 && !pages.is_empty() => {
            run(minor, invalid, Path::new(file), &pages).map_or_else(
                |message| {
                    complain(&message);
                    ExitCode::FAILURE
                },
                |()| ExitCode::SUCCESS,
            )
        }
        _ => usage(),
    }
}

fn run(minor: usize, invalid: usize, path: &Path, pages: &[usize]) -> Result<(), String> {
    let minor = minor_faults(minor)?;
    let major = major_faults(path, pages)?;
    let invalid = invalid_faults(invalid)?;
    print(format!("minor: {minor}\nmajor: {major}\ninvalid: {invalid}\n").as_bytes())
}

/// Stores to new pages: the kernel has only to find a frame for each.
fn minor_faults(pages: usize) -> Result<i64, String> {
    let mut memory = MmapMut::map_anon(pages.saturating_mul(PAGE)).map_err(failed(format!("mmap {pages} pages")))?;
    let before = used()?.minor_page_faults();
    for page in memory.chunks_mut(PAGE) {
        page[0] = 1;
    }
    Ok(used()?.minor_page_faults() - before)
}

/// Loads from pages that are on the device only: somebody has to wait for it.
fn major_faults(path: &Path, pages: &[usize]) -> Result<i64, String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)
        .map_err(failed(format!("posix_fadvise {name}")))?;
    // SAFETY: nothing depends on what the bytes are.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {name}")))?;
    // Without this the first fault would bring the pages around it as well.
    mapping.advise(Advice::Random).map_err(failed(format!("madvise {name}")))?;
    if let Some(page) = pages.iter().find(|page| **page >= mapping.len().div_ceil(PAGE)) {
        return Err(format!("{name}: there is no page {page}"));
    }
    let before = used()?.major_page_faults();
    for page in pages {
        // SAFETY: a byte of the mapping, as was just seen. Volatile, for nobody uses what it is.
        unsafe { mapping.as_ptr().add(page * PAGE).read_volatile() };
    }
    Ok(used()?.major_page_faults() - before)
}

/// Lets children touch a page that allows nothing, and counts those that died of it.
fn invalid_faults(children: usize) -> Result<usize, String> {
    let page = NonZeroUsize::new(PAGE).unwrap_or(NonZeroUsize::MIN);
    // SAFETY: a new mapping at an address of the kernel's choice.
    let forbidden = unsafe { mmap_anonymous(None, page, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
    let forbidden = forbidden.map_err(failed("mmap"))?.cast::<u8>();
    let mut died = 0;
    for _ in 0..children {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() }.map_err(failed("fork"))? {
            // SAFETY: none. The kernel ends the child for the load with SIGSEGV: that is what it is for.
            ForkResult::Child => unsafe {
                forbidden.read_volatile();
                libc::_exit(0)
            },
            ForkResult::Parent { child } => {
                died += usize::from(matches!(end_of(child)?, WaitStatus::Signaled(_, Signal::SIGSEGV, _)));
            }
        }
    }
    Ok(died)
}

fn used() -> Result<Usage, String> {
    getrusage(UsageWho::RUSAGE_SELF).map_err(failed("getrusage"))
}

fn end_of(child: Pid) -> Result<WaitStatus, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            status => return status.map_err(failed("waitpid")),
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: fault_kinds MINOR INVALID FILE PAGE…");
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
