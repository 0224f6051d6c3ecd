//! A file that loses its pages while it is mapped, and a reader who lives to tell.
//!
//! usage: map_sigbus FILE
//!
//! Maps FILE, says `ready`, and waits for a line on standard input; meanwhile
//! anybody may truncate FILE. Then a child reads every page, and the first one that
//! is gone is its end; it leaves word of how far it came in memory that is shared.
//!
//! See mmap(2) SIGBUS, fork(2), waitpid(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fmt};

use memmap2::Mmap;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    // SAFETY: that FILE may be truncated is the point. Only the child touches
    // the mapping, and all that depends on it is whether the child survives.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {name}")))?;
    let reached = shared_number().map_err(failed("mmap"))?;

    print(b"ready\n")?;
    io::stdin().read_line(&mut String::new()).map_err(failed("read stdin"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => read_every_page(&mapping, reached),
        ForkResult::Parent { child } => match end_of(child)? {
            WaitStatus::Exited(_, 0) => print(b"all there\n"),
            WaitStatus::Signaled(_, Signal::SIGBUS, _) => {
                print(format!("gone at page {}\n", reached.load(Ordering::Relaxed)).as_bytes())
            }
            status => Err(format!("child: {status:?}")),
        },
    }
}

/// The child: notes each page before it touches it. Where the page is gone, the
/// kernel ends this process with SIGBUS.
fn read_every_page(mapping: &[u8], reached: &AtomicUsize) -> ! {
    for (page, bytes) in mapping.chunks(PAGE).enumerate() {
        reached.store(page, Ordering::Relaxed);
        // SAFETY: a byte of the mapping. Volatile, for nobody uses what it is.
        unsafe { bytes.as_ptr().read_volatile() };
    }
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(0) }
}

fn end_of(child: Pid) -> Result<WaitStatus, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            status => return status.map_err(failed("waitpid")),
        }
    }
}

/// A number that children share.
fn shared_number() -> nix::Result<&'static AtomicUsize> {
    let size = NonZeroUsize::new(size_of::<AtomicUsize>()).unwrap_or(NonZeroUsize::MIN);
    let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new memory, zero, aligned to a page, and never unmapped.
    unsafe { Ok(mmap_anonymous(None, size, prot, MapFlags::MAP_SHARED)?.cast().as_ref()) }
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_sigbus FILE");
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
