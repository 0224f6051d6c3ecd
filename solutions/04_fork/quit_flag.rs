//! A child that works until it is told to stop.
//!
//! usage: quit_flag MS
//!
//! The child counts as fast as it can, and between two numbers it looks at a
//! flag in shared memory. The parent sleeps for MS milliseconds, raises the flag
//! and waits for the child, which has left its count in the same memory.
//!
//! See mmap(2) (MAP_SHARED, MAP_ANONYMOUS), fork(2), nanosleep(2), wait(2).

use std::ffi::OsString;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fmt, thread};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// What the two processes share.
struct Work {
    quit: AtomicBool,
    counted: AtomicU64,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<u32>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[milliseconds]) = numbers.as_deref() else {
        return usage();
    };
    match run(Duration::from_millis(milliseconds.into())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(time: Duration) -> Result<(), String> {
    let work = map_work().map_err(failed("mmap shared memory"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => count(work),
        ForkResult::Parent { child } => {
            thread::sleep(time); // the whole of it, however often it is interrupted
            work.quit.store(true, Ordering::Relaxed);
            wait_for(child)?;
        }
    }
    // A child that was waited for has stored all that it ever will.
    let counted = work.counted.load(Ordering::Relaxed);
    let mut stdout = io::stdout();
    writeln!(stdout, "counted {counted}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The child's part. An atomic is loaded anew each time: of an ordinary variable
/// that nobody changes in this loop, the compiler would make one load for all.
fn count(work: &Work) -> ! {
    let mut number: u64 = 1;
    while !work.quit.load(Ordering::Relaxed) {
        number += 1;
    }
    work.counted.store(number, Ordering::Relaxed);
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(0) }
}

/// Shared memory, zero at first. It is never unmapped: both processes use it to
/// their end, and end soon.
fn map_work() -> nix::Result<&'static Work> {
    let length = NonZeroUsize::new(size_of::<Work>()).ok_or(Errno::EINVAL)?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
    let start = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) }?;
    // SAFETY: a mapping begins on a page, so it is aligned; it is long enough,
    // full of zeros, which are valid atomics, and is never unmapped.
    Ok(unsafe { start.cast().as_ref() })
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
    complain("usage: quit_flag MS");
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
