//! Many processes that count in one place.
//!
//! usage: shared_counter P N   (P from 1 to 32)
//!
//! P children add 1 N times each to a counter in shared memory. The addition
//! is one atomic step, so none is lost however the children meet; the parent
//! loads the sum when all of them have ended.
//!
//! See mmap(2) (MAP_SHARED, MAP_ANONYMOUS), fork(2), wait(2).

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<u32>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[children @ 1..=32, each]) = numbers.as_deref() else {
        return usage();
    };
    match run(children, each) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(children: u32, each: u32) -> Result<(), String> {
    let counter = map_counter().map_err(failed("mmap shared memory"))?;

    let mut made = Vec::new();
    let mut forked = Ok(());
    for _ in 0..children {
        // SAFETY: this process has one thread, so the child may do anything.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => count(counter, each),
            Ok(ForkResult::Parent { child }) => made.push(child),
            Err(error) => {
                forked = Err(failed("fork")(error));
                break;
            }
        }
    }
    // Those that were made are waited for even if not all could be.
    let ends: Vec<_> = made.into_iter().map(wait_for).collect();
    forked?;
    ends.into_iter().collect::<Result<(), _>>()?;

    // A child that was waited for has stored all that it ever will.
    let sum = counter.load(Ordering::Relaxed);
    let mut stdout = io::stdout();
    writeln!(stdout, "{sum}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Shared memory for the counter, zero at first. It is never unmapped: all
/// processes use it to their end, and end soon.
fn map_counter() -> nix::Result<&'static AtomicU64> {
    let length = NonZeroUsize::new(size_of::<AtomicU64>()).ok_or(Errno::EINVAL)?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
    let start = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) }?;
    // SAFETY: a mapping begins on a page, so it is aligned; it is long enough,
    // full of zeros, which are a valid atomic, and is never unmapped.
    Ok(unsafe { start.cast().as_ref() })
}

/// The child's part. Nothing but the sum is asked for, so Relaxed is enough.
fn count(counter: &AtomicU64, each: u32) -> ! {
    for _ in 0..each {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(0) }
}

fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(other) => return Err(format!("child {child}: {other:?}")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: shared_counter P N   (P from 1 to 32)");
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
