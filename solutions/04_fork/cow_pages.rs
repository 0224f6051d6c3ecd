//! What a child's copy of memory costs: the pages that it writes, and no others.
//!
//! usage: cow_pages N K   (K from 0 to N, N from 1)
//!
//! The parent writes N pages of private memory and forks. Both then have the
//! same pages, until one of them writes: the child writes K, counts its page
//! faults meanwhile, and asks the kernel how much of the memory is its own now.
//!
//! See fork(2), mmap(2) (MAP_PRIVATE), getrusage(2), proc_pid_smaps(5).

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, SysconfVar, fork, sysconf};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[all, written]) if all > 0 && written <= all => run(all, written).unwrap_or_else(|message| {
            complain(&message);
            ExitCode::FAILURE
        }),
        _ => usage(),
    }
}

fn run(all: usize, written: usize) -> Result<ExitCode, String> {
    let page = page_size()?;
    let length = all.checked_mul(page).ok_or("mmap memory: too many pages")?;
    // memmap2's anonymous mapping is private.
    let mut memory = MmapMut::map_anon(length).map_err(failed("mmap memory"))?;
    write_pages(&mut memory, all, page);

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(count_copies(&mut memory, written, page)),
        // The parent keeps its pages until the child has ended: a page with one owner is not copied.
        ForkResult::Parent { child } => wait_for(child),
    }
}

/// The child's part.
fn count_copies(memory: &mut [u8], written: usize, page: usize) -> Result<(), String> {
    let before = minor_faults()?;
    write_pages(memory, written, page);
    let faults = minor_faults()? - before;
    let private = private_kib(memory.as_ptr().addr())?;
    let mut stdout = io::stdout();
    stdout
        .write_all(format!("faults {faults}\nprivate {private} KiB\n").as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(failed("write stdout"))
}

/// A byte in each of the first so many pages.
fn write_pages(memory: &mut [u8], count: usize, page: usize) {
    for bytes in memory.chunks_mut(page).take(count) {
        bytes[0] += 1;
    }
}

fn minor_faults() -> Result<i64, String> {
    getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.minor_page_faults()).map_err(failed("getrusage"))
}

/// What belongs to this process alone of the mapping that has this address in it.
fn private_kib(address: usize) -> Result<u64, String> {
    let path = "/proc/self/smaps";
    let text = fs::read_to_string(path).map_err(failed(format!("read {path}")))?;
    let mut inside = false;
    let mut sum = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(range) = range_of(first) {
            inside = range.contains(&address);
        } else if inside && matches!(first, "Private_Clean:" | "Private_Dirty:") {
            sum += words.next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// The addresses of a mapping, from the first word of its first line: `7f0000000000-7f0000001000`.
fn range_of(word: &str) -> Option<std::ops::Range<usize>> {
    let (start, end) = word.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

fn page_size() -> Result<usize, String> {
    let size = sysconf(SysconfVar::PAGE_SIZE).map_err(failed("sysconf"))?;
    size.and_then(|size| usize::try_from(size).ok()).ok_or_else(|| "sysconf: no page size".into())
}

/// Waits for the child; a child that failed has said why itself.
fn wait_for(child: Pid) -> Result<ExitCode, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Exited(_, 0)) => return Ok(ExitCode::SUCCESS),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Err(format!("child: killed by {signal}")),
            Ok(_) => return Ok(ExitCode::FAILURE),
        }
    }
}

/// Ends the child, without running again what the parent set up for its own end.
fn leave(result: Result<(), String>) -> ! {
    let status = match result {
        Ok(()) => 0,
        Err(message) => {
            complain(&message);
            1
        }
    };
    // SAFETY: _exit asks for nothing and does not return.
    unsafe { libc::_exit(status) }
}

fn usage() -> ExitCode {
    complain("usage: cow_pages N K   (K from 0 to N, N from 1)");
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
