//! Where pages really are: the same frames after fork, and others for what is written.
//!
//! usage: frames PAGES PAGE…
//!
//! The parent writes PAGES pages of private memory and forks; the child writes the pages
//! named. Before and after, each asks /proc/self/pagemap what it has alone.
//!
//! See proc_pid_pagemap(5), fork(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, SysconfVar, fork, sysconf};

const PAGEMAP: &str = "/proc/self/pagemap";

/// What the page map says of a page.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    const PRESENT: u64 = 1 << 63;
    const EXCLUSIVE: u64 = 1 << 56;
    const FRAME: u64 = (1 << 55) - 1;

    /// Whether nobody else has the frame.
    fn letter(self) -> char {
        match self.0 & (Entry::PRESENT | Entry::EXCLUSIVE) {
            present if present & Entry::PRESENT == 0 => '-',
            Entry::PRESENT => 's',
            _ => 'o',
        }
    }
}

impl fmt::Display for Entry {
    /// Frame numbers are a secret of the system's: the others are told 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & Entry::FRAME {
            0 => f.write_str("hidden"),
            frame => write!(f, "{frame:#x}"),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    match numbers.as_deref() {
        Some([all, written @ ..]) if !written.is_empty() && written.iter().all(|page| page < all) => run(*all, written)
            .unwrap_or_else(|message| {
                complain(&message);
                ExitCode::FAILURE
            }),
        _ => usage(),
    }
}

fn run(all: usize, written: &[usize]) -> Result<ExitCode, String> {
    let page = page_size()?;
    let length = all.checked_mul(page).ok_or("mmap memory: too many pages")?;
    // memmap2's anonymous mapping is private.
    let mut memory = MmapMut::map_anon(length).map_err(failed("mmap memory"))?;
    memory.chunks_mut(page).for_each(|bytes| bytes[0] = 1);
    print(&line("parent alone", &entries(&memory, page)?))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => leave(write_some(&mut memory, written, page)),
        // The parent keeps its pages until the child has ended: what nobody else has any more is one's own.
        ForkResult::Parent { child } => wait_for(child),
    }
}

/// The child's part.
fn write_some(memory: &mut [u8], written: &[usize], page: usize) -> Result<(), String> {
    let before = entries(memory, page)?;
    for number in written {
        memory[number * page] = 2;
    }
    let after = entries(memory, page)?;
    let mut text = line("child forked", &before) + &line("child wrote", &after);
    for number in written {
        text += &format!("page {number}: {} became {}\n", before[*number], after[*number]);
    }
    print(&text)
}

fn line(when: &str, entries: &[Entry]) -> String {
    let letters: String = entries.iter().map(|entry| entry.letter()).collect();
    format!("{when}: {letters}\n")
}

/// What this process's page map says of this memory. It is opened anew each time: once open it stays that of the process
/// that opened it, whoever reads it.
fn entries(memory: &[u8], page: usize) -> Result<Vec<Entry>, String> {
    let map = File::open(PAGEMAP).map_err(failed(format_args!("open {PAGEMAP}")))?;
    let mut bytes = vec![0; memory.len() / page * size_of::<u64>()];
    let offset = memory.as_ptr().addr() / page * size_of::<u64>();
    map.read_exact_at(&mut bytes, offset as u64).map_err(failed(format_args!("read {PAGEMAP}")))?;
    let (entries, _) = bytes.as_chunks();
    Ok(entries.iter().map(|entry| Entry(u64::from_ne_bytes(*entry))).collect())
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

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: frames PAGES PAGE…");
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
