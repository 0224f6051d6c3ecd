//! Memory that stays shared across fork: the parent stores, the child adds.
//!
//! usage: shared_anon A B
//!
//! A shared anonymous mapping is made, then a child. The parent stores the
//! integers A and B in the mapping; the child, told over a pipe that they are
//! there, prints their sum.
//!
//! See mmap(2) (MAP_SHARED, MAP_ANONYMOUS), fork(2), pipe(2), pipe(7).

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// The two numbers, as both processes see them.
type Pair = [AtomicI64; 2];

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<i64>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    let Some(&[a, b]) = numbers.as_deref() else {
        return usage();
    };
    run(a, b).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(a: i64, b: i64) -> Result<ExitCode, String> {
    let pair = map_pair().map_err(failed("mmap shared memory"))?;
    let (stored, store) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            drop(store); // or its own copy would keep it waiting for ever
            leave(print_sum(pair, stored))
        }
        ForkResult::Parent { child } => {
            drop(stored);
            pair[0].store(a, Ordering::Release);
            pair[1].store(b, Ordering::Release);
            let told = tell(store);
            let status = wait_for(child)?;
            match told {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed("write pipe")(error)),
                _ => Ok(status), // a child that was gone has said why itself
            }
        }
    }
}

/// Shared memory for the pair. It is never unmapped: both processes use it to
/// their end, and end soon.
fn map_pair() -> nix::Result<&'static Pair> {
    let length = NonZeroUsize::new(size_of::<Pair>()).ok_or(Errno::EINVAL)?;
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
    let start = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) }?;
    // SAFETY: a mapping begins on a page, so it is aligned; it is as long as a
    // Pair, full of zeros, which are valid atomics, and is never unmapped.
    Ok(unsafe { start.cast().as_ref() })
}

/// The parent: one byte that means no more than "they are stored".
fn tell(mut store: PipeWriter) -> io::Result<()> {
    store.write_all(b"!")
}

/// The child: blocks until told, then adds.
fn print_sum(pair: &Pair, mut stored: PipeReader) -> Result<(), String> {
    stored.read_exact(&mut [0]).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => String::new(), // the parent failed, and says why
        _ => failed("read pipe")(error),
    })?;
    let [a, b] = pair.each_ref().map(|number| i128::from(number.load(Ordering::Acquire)));

    let mut stdout = io::stdout();
    writeln!(stdout, "{}", a + b).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Err(format!("child: killed by {signal}"));
            }
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

/// Ends the child, without running again what the parent set up for its own end.
fn leave(result: Result<(), String>) -> ! {
    let status = match result {
        Ok(()) => 0,
        Err(message) if message.is_empty() => 1,
        Err(message) => {
            complain(&message);
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

fn usage() -> ExitCode {
    complain("usage: shared_anon A B   (integers)");
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
