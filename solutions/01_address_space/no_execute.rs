//! Data that becomes a program, when the kernel is told so.
//!
//! usage: no_execute
//!
//! Writes the machine code of `return 42` into a page. A child that calls it while
//! it is data dies of SIGSEGV; then the page is made executable, and no longer
//! writable, and what the call returns is printed.
//!
//! See mprotect(2), waitpid(2).

use std::ffi::c_void;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const PAGE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// x86-64: `mov eax, 42; ret`.
const RETURN_42: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        complain("usage: no_execute");
        return ExitCode::from(2);
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
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page =
        unsafe { mmap_anonymous(None, PAGE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE) };
    let page = page.map_err(failed("mmap"))?;
    // SAFETY: a page of our own has room for six bytes.
    unsafe { page.cast().write(RETURN_42) };

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        // SAFETY: none. The page is data, and the kernel ends the child for calling it: that is what it is for.
        ForkResult::Child => unsafe {
            call(page);
            libc::_exit(0)
        },
        ForkResult::Parent { child } => print(format!("child: {}\n", end_of(child)?).as_bytes())?,
    }

    // SAFETY: nobody has a reference to the page.
    unsafe { mprotect(page, PAGE.get(), ProtFlags::PROT_READ | ProtFlags::PROT_EXEC) }.map_err(failed("mprotect"))?;
    // SAFETY: a function of that type is there now, and may be executed.
    let answer = unsafe { call(page) };
    print(format!("{answer}\n").as_bytes())
}

/// Calls what is there.
///
/// # Safety
/// The code of a function without arguments, which returns a number, must be there.
unsafe fn call(page: NonNull<c_void>) -> i32 {
    // SAFETY: the caller says so.
    let function: extern "C" fn() -> i32 = unsafe { std::mem::transmute(page) };
    function()
}

/// How the child ended: the name of the signal, or its status.
fn end_of(child: Pid) -> Result<String, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("waitpid")(error)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(signal.to_string()),
            Ok(WaitStatus::Exited(_, status)) => return Ok(format!("exit {status}")),
            Ok(_) => {}
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
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
