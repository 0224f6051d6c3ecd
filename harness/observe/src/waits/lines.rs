//! Where in its source a thread is now: from the call that was traced at its entry, or from its stack as it is.

use std::collections::HashMap;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use nix::poll::ppoll;
use nix::sys::ptrace;
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::look::{Look, Snapshot, Task};
use crate::arch;
use crate::memory;
use crate::observation::{Event, SourceLine, Stack, What};
use crate::process_files;
use crate::symbols::{AddressSpace, Images};

/// Threads that were awake are looked at again so often, all together.
pub(super) const RETRIES: u32 = 40;
/// What is done between two sleeps takes less.
const AWAKE: Duration = Duration::from_micros(500);

/// How a running thread may be asked where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It is this process's own tracee.
    Traced,
    /// By stopping it for a moment.
    Attach,
    /// Not at all.
    Never,
}

/// A thread's place.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) line: Option<SourceLine>,
    /// Function names outwards to `main`.
    pub(super) functions: Stack,
    /// When the call that it is in began, since the program's start.
    pub(super) since: Option<Duration>,
}

/// Finds lines, with the code of each process read once.
pub(super) struct Finder<'a> {
    pub(super) events: &'a [Event],
    pub(super) images: &'a mut Images,
    pub(super) program: &'a File,
    pub(super) asking: Asking,
    pub(super) spaces: HashMap<i32, AddressSpace>,
    /// How often, in all, a thread that was awake may be looked at again.
    pub(super) retries: u32,
    /// How long, in all, running threads are waited for: those that have not stopped by then are told without their
    /// lines.
    pub(super) patience: Duration,
}

impl Finder<'_> {
    /// The last event of a thread, if it is a call that has not returned.
    fn pending(&self, task: &Task) -> Option<&Event> {
        let last = self.events.iter().rev().find(|e| e.thread == task.tid)?;
        let open = matches!(&last.what, What::Called { result: None, .. });
        // A fork or a signal may have been recorded since; the call that they interrupted is what counts.
        let forked = matches!(&last.what, What::Forked { .. } | What::Signalled { .. });
        match (open, forked) {
            (true, _) => Some(last),
            (_, true) => {
                let called = |e: &&Event| e.thread == task.tid && matches!(&e.what, What::Called { .. });
                self.events.iter().rev().find(called).filter(|e| matches!(&e.what, What::Called { result: None, .. }))
            }
            _ => None,
        }
    }

    /// A thread stops when it has a processor next: those that share few wait for that together, and then leave them to
    /// whoever is still to stop.
    pub(super) fn stop_those_who_run(&self, look: &Look) {
        if self.asking == Asking::Traced {
            let tasks = look.processes.iter().flat_map(|process| &process.tasks);
            for task in tasks.filter(|task| task.state.letter == 'R') {
                // It is asked, when its turn comes, whether it has stopped.
                let _ = ptrace::interrupt(Pid::from_raw(task.tid));
            }
        }
    }

    pub(super) fn place(&mut self, process: &Snapshot, task: &Task) -> Place {
        let known =
            self.pending(task).map(|e| Place { line: e.source.clone(), functions: e.stack.clone(), since: Some(e.at) });
        match known {
            Some(place) if !place.functions.is_empty() => place,
            known => {
                let (line, functions) = self.live(process.door, task);
                Place { line, functions, since: known.and_then(|p| p.since) }
            }
        }
    }

    fn live(&mut self, pid: i32, task: &Task) -> (Option<SourceLine>, Stack) {
        if !matches!(task.state.letter, 'S' | 'D') || task.stopped {
            return self.running_at(task.tid).map(|at| self.calls_at(pid, task.tid, at)).unwrap_or_default();
        }
        // Who sleeps again and again may be awake at this moment, and on its way elsewhere at the next.
        loop {
            let before = blocked_at(pid, task.tid);
            let found = before.map(|at| self.calls_at(pid, task.tid, at)).unwrap_or_default();
            let stayed = before.is_some() && blocked_at(pid, task.tid) == before;
            if found.0.is_some() || stayed || self.retries == 0 {
                return found;
            }
            self.retries -= 1;
            std::thread::sleep(AWAKE);
        }
    }

    fn calls_at(&mut self, pid: i32, tid: i32, (ip, sp, bp): (u64, u64, Option<u64>)) -> (Option<SourceLine>, Stack) {
        let space = self.spaces.entry(pid).or_insert_with(|| {
            let mut space = AddressSpace::default();
            space.reload(pid, self.images, self.program);
            space
        });
        let guesses = bp.map_or_else(|| frames_above(pid, tid, sp, space), |bp| vec![bp]);
        let mut best = (None, Stack::default());
        for bp in guesses {
            let found = space.trace(pid, tid, (ip, sp, bp), self.images, self.program);
            let whole = found.0.is_some() && found.1.last().is_some_and(|f| f == "main" || f.ends_with("::main"));
            if found.1.len() > best.1.len() || (found.0.is_some() && best.0.is_none()) {
                best = found;
            }
            if whole {
                break;
            }
        }
        best
    }

    fn running_at(&mut self, tid: i32) -> Option<(u64, u64, Option<u64>)> {
        let thread = Pid::from_raw(tid);
        match self.asking {
            Asking::Never => return None,
            Asking::Traced => {}
            Asking::Attach => ptrace::seize(thread, ptrace::Options::empty()).ok()?,
        }
        let begin = Instant::now();
        let pointers = self.registers_when_stopped(thread).map(|(ip, sp, bp)| (ip, sp, Some(bp)));
        self.patience = self.patience.saturating_sub(begin.elapsed());
        if self.asking == Asking::Attach {
            // One that has ended meanwhile needs no detaching.
            let _ = ptrace::detach(thread, None);
        }
        pointers
    }

    /// Stops a traced thread and reads where it is. It stays stopped. Where many want a processor, whoever sleeps for a
    /// short time waits for one each time.
    fn registers_when_stopped(&self, thread: Pid) -> Option<(u64, u64, u64)> {
        // What its tracees do wakes a tracer by SIGCHLD. Whoever attaches may be `syslings why`, which has no handler for
        // that, and looks again.
        let pause = Duration::from_millis(if self.asking == Asking::Traced { 20 } else { 1 });
        let begin = Instant::now();
        // A thread that is stopped already needs no interruption.
        let _ = ptrace::interrupt(thread);
        loop {
            match waitpid(thread, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {
                    if let Ok(registers) = ptrace::getregs(thread) {
                        return Some(arch::pointers(&registers));
                    }
                    if begin.elapsed() > self.patience {
                        return None;
                    }
                    let _ = ppoll(&mut [], Some(TimeSpec::from(pause)), Some(SigSet::empty()));
                }
                Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => return None,
                Ok(_) => return ptrace::getregs(thread).ok().map(|r| arch::pointers(&r)),
            }
        }
    }
}

/// Instruction and stack pointer of a blocked thread. /proc does not tell the frame pointer.
fn blocked_at(pid: i32, tid: i32) -> Option<(u64, u64, Option<u64>)> {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).ok()?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    match words.as_slice() {
        [.., sp, ip] => Some((hex(ip)?, hex(sp)?, None)),
        _ => None,
    }
}

/// What the frame pointer may have been: wherever a frame seems to begin as frames with a frame pointer do, with what
/// was saved and above it an address in code. Which it is shows in how far the stack can be followed.
fn frames_above(pid: i32, tid: i32, sp: u64, space: &AddressSpace) -> Vec<u64> {
    const LOOKED_AT: u64 = 4 << 10;
    const GUESSES: usize = 12;
    // Not a byte beyond the stack: to read a page of the next mapping may be what makes it.
    let end = process_files::regions(pid).iter().find(|r| (r.start..r.end).contains(&sp)).map_or(sp, |r| r.end);
    let stack = memory::read(tid, sp, (end - sp).min(LOOKED_AT) as usize);
    let words: Vec<u64> = stack.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default())).collect();
    let returns = (1..words.len()).filter(|n| space.is_code(words[*n]));
    let mut guesses: Vec<u64> = returns.map(|n| sp + 8 * (n as u64 - 1)).take(GUESSES).collect();
    guesses.insert(0, 0);
    guesses
}
