//! A hole in the address space, and what it is to step into it.
//!
//! usage: map_unmap FILE
//!
//! Maps three pages of FILE, unmaps the middle one, and prints the regions that
//! the kernel then lists there: pages and permissions. A child touches the hole,
//! and the program says what became of it.
//!
//! See munmap(2), proc_pid_maps(5), fork(2), waitpid(2).

use std::ffi::{OsString, c_void};
use std::fs::{self, File};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const PAGE: usize = 4096;
const THREE_PAGES: NonZeroUsize = NonZeroUsize::new(3 * PAGE).unwrap();

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
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe { mmap(None, THREE_PAGES, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) };
    let start = start.map_err(failed(format!("mmap {name}")))?;
    // SAFETY: the second page of the three.
    let hole = unsafe { start.add(PAGE) };
    // SAFETY: nobody has a reference to that page.
    unsafe { munmap(hole, PAGE) }.map_err(failed(format!("munmap {name}")))?;

    let begin = start.addr().get();
    for (range, permissions) in regions(begin..begin + 3 * PAGE)? {
        print(format!("{} {permissions}\n", range.len() / PAGE).as_bytes())?;
    }

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => step_into(hole),
        ForkResult::Parent { child } => print(format!("child: {}\n", end_of(child)?).as_bytes()),
    }
}

/// The regions of this process that begin in `within`, with their permissions.
fn regions(within: Range<usize>) -> Result<Vec<(Range<usize>, String)>, String> {
    let maps = fs::read_to_string("/proc/self/maps").map_err(failed("read /proc/self/maps"))?;
    let region = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let address = |digits| usize::from_str_radix(digits, 16).ok();
        Some((address(start)?..address(end)?, rest.get(..4)?.to_owned()))
    };
    Ok(maps.lines().filter_map(region).filter(|(range, _)| within.contains(&range.start)).collect())
}

/// The child: a load from where nothing is mapped.
fn step_into(hole: NonNull<c_void>) -> ! {
    // SAFETY: none. There is no memory at this address, and the kernel ends
    // this process for it with SIGSEGV: that is what it is for.
    unsafe {
        hole.cast::<u8>().read_volatile();
        libc::_exit(0)
    }
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

fn usage() -> ExitCode {
    complain("usage: map_unmap FILE");
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
