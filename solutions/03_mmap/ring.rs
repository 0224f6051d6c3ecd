//! A ring without a seam: one page, twice, side by side.
//!
//! usage: map_ring TEXT
//!
//! Maps a memory file of one page two times, the second right behind the first,
//! stores TEXT so that it runs over the page's end, and prints it in one piece.
//!
//! See memfd_create(2), mmap(2) MAP_FIXED.

use std::ffi::{OsString, c_void};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::{env, fmt};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use nix::unistd::ftruncate;

const PAGE: usize = 4096;
const ONE_PAGE: NonZeroUsize = NonZeroUsize::new(PAGE).unwrap();
const TWO_PAGES: NonZeroUsize = NonZeroUsize::new(2 * PAGE).unwrap();

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [text] = arguments.as_slice() else {
        return usage();
    };
    let text = text.as_bytes();
    if text.is_empty() || text.len() > PAGE {
        return usage();
    }
    match run(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(text: &[u8]) -> Result<(), String> {
    let page = memfd_create(c"ring", MFdFlags::MFD_CLOEXEC).map_err(failed("memfd_create ring"))?;
    ftruncate(&page, PAGE as i64).map_err(failed("ftruncate ring"))?;

    // The range is made ours first, so that nobody else's mapping can come to
    // lie in it; then its two pages are replaced.
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let ring = unsafe { mmap_anonymous(None, TWO_PAGES, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
    let ring = ring.map_err(failed("mmap ring"))?;
    // SAFETY: both addresses lie in the range, which nobody uses yet.
    let second = unsafe {
        place(&page, ring)?;
        let second = ring.add(PAGE);
        place(&page, second)?;
        second.cast::<u8>()
    };

    let before_seam = text.len().div_ceil(2);
    // SAFETY: TEXT is no longer than a page, so it lies in the two; memory
    // that is shared with nobody is read where it was written.
    let text = unsafe {
        let start = second.sub(before_seam);
        start.copy_from_nonoverlapping(NonNull::from(text).cast(), text.len());
        NonNull::slice_from_raw_parts(start, text.len()).as_ref()
    };
    print(text)?;
    print(b"\n")
}

/// Maps the page at this address, in place of what is there.
///
/// # Safety
/// Nobody may use what is there.
unsafe fn place(page: &OwnedFd, address: NonNull<c_void>) -> Result<(), String> {
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
    // SAFETY: the caller's.
    unsafe { mmap(Some(address.addr()), ONE_PAGE, prot, flags, page, 0) }.map(drop).map_err(failed("mmap ring"))
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_ring TEXT");
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
