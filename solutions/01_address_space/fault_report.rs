//! What a fault says of itself, told by the one who is about to die of it.
//!
//! usage: fault_report unmapped|protected OFFSET   (OFFSET below 4096)
//!
//! Makes a page that is not mapped, or may only be read, and touches its byte
//! OFFSET. The handler of SIGSEGV tells address and cause on standard error, and
//! leaves the rest to the default action: the access is made again, and is the end.
//!
//! See sigaction(2) (SA_SIGINFO, SA_RESETHAND), signal-safety(7).

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::{env, fmt};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// `si_code` of SIGSEGV where nothing is mapped.
const SEGV_MAPERR: libc::c_int = 1;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [kind, offset] = arguments.as_slice() else {
        return usage();
    };
    let offset = offset.to_str().and_then(|word| word.parse().ok()).filter(|offset| *offset < PAGE.get());
    let survived = match (kind.to_str(), offset) {
        (Some("unmapped"), Some(offset)) => load_from_nowhere(offset),
        (Some("protected"), Some(offset)) => store_where_only_loads_are_allowed(offset),
        _ => return usage(),
    };
    complain(&survived.err().unwrap_or_else(|| "the access was allowed".into()));
    ExitCode::FAILURE
}

fn load_from_nowhere(offset: usize) -> Result<(), String> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe { mmap_anonymous(None, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE) };
    let page = page.map_err(failed("mmap"))?;
    // SAFETY: the page just mapped, to which nobody has a reference.
    unsafe { munmap(page, PAGE.get()) }.map_err(failed("munmap"))?;
    report_faults()?;
    // SAFETY: none. Nothing is there any more, and the kernel ends this process for it.
    unsafe { page.cast::<u8>().add(offset).read_volatile() };
    Ok(())
}

fn store_where_only_loads_are_allowed(offset: usize) -> Result<(), String> {
    // SAFETY: as above.
    let page = unsafe { mmap_anonymous(None, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE) };
    let page = page.map_err(failed("mmap"))?;
    report_faults()?;
    // SAFETY: none. The page may not be written, and the kernel ends this process for it.
    unsafe { page.cast::<u8>().add(offset).write_volatile(1) };
    Ok(())
}

/// From now on SIGSEGV is told of, once; after that it does what it does by default.
fn report_faults() -> Result<(), String> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::SigAction(on_fault), flags, SigSet::empty());
    // SAFETY: the handler does only what is safe wherever the fault may be.
    unsafe { sigaction(Signal::SIGSEGV, &action) }.map_err(failed("sigaction SIGSEGV"))?;
    Ok(())
}

extern "C" fn on_fault(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel gives a siginfo_t, and for SIGSEGV it has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let mut digits = [0; 16];
    write_to_stderr(b"SIGSEGV at 0x");
    write_to_stderr(hexadecimal(address, &mut digits));
    write_to_stderr(if code == SEGV_MAPERR { b": unmapped\n" } else { b": protected\n" });
}

/// The digits of a number, without `format!`, which asks for memory.
fn hexadecimal(mut number: usize, digits: &mut [u8; 16]) -> &[u8] {
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b"0123456789abcdef"[number % 16];
        number /= 16;
        if number == 0 {
            return &digits[first..];
        }
    }
}

/// Without a lock, unlike `eprint!`.
fn write_to_stderr(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: the bytes are there, as many as that.
        let written = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) => bytes = &bytes[written..],
            Err(_) if nix::errno::Errno::last() == nix::errno::Errno::EINTR => {}
            Err(_) => return,
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: fault_report unmapped|protected OFFSET   (OFFSET below 4096)");
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
