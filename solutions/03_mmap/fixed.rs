//! Two ways of asking for an address: one that refuses, one that replaces.
//!
//! usage: map_fixed
//!
//! Maps page A and stores the letter A in it. Then asks for page B at the same
//! address: with MAP_FIXED_NOREPLACE, which is refused, and with MAP_FIXED, after
//! which A's address holds B's letter.
//!
//! See mmap(2) MAP_FIXED, MAP_FIXED_NOREPLACE.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let a = unsafe { page(None, MapFlags::empty()) }.map_err(failed("mmap A"))?;
    // SAFETY: the page is ours, and writable.
    unsafe { a.write_volatile(b'A') };

    // SAFETY: never replaces what is there.
    match unsafe { page(Some(a), MapFlags::MAP_FIXED_NOREPLACE) } {
        Err(Errno::EEXIST) => print(b"refused: EEXIST\n")?,
        Err(error) => return Err(failed("mmap B")(error)),
        Ok(_) => return Err("mmap B: nothing stood in its way".into()),
    }

    // SAFETY: page A is replaced; nobody has a reference to it.
    let b = unsafe { page(Some(a), MapFlags::MAP_FIXED) }.map_err(failed("mmap B"))?;
    // SAFETY: both addresses are that of page B.
    let letter = unsafe {
        b.write_volatile(b'B');
        a.read_volatile()
    };
    print(format!("A is now: {}\n", char::from(letter)).as_bytes())
}

/// A new page of memory, at this address if there is one.
///
/// # Safety
/// With `MAP_FIXED`, whatever is mapped there is gone afterwards.
unsafe fn page(address: Option<NonNull<u8>>, flags: MapFlags) -> nix::Result<NonNull<u8>> {
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let address = address.map(NonNull::addr);
    // SAFETY: the caller's.
    unsafe { mmap_anonymous(address, PAGE, prot, flags | MapFlags::MAP_PRIVATE) }.map(NonNull::cast)
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_fixed");
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
