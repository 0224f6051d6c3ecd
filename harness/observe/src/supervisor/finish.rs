//! The end of a launch: everything of it is killed, proved gone, and what was seen is put together.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::boxes::Trouble;
use super::guardian::put_down;
use super::limits;
use super::run::{EVENTS_OF_STOPPED, Run};
use super::workdir::{self, KEPT_IN_ALL, KEPT_OF_FAILED};
use crate::observation::{Ending, Exit, FileLeft, Observation, Process, ProcessId};
use crate::plan::Rung;
use crate::process_files;

/// A process that was killed and is not gone after this long waits in the kernel for something that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Kills what is left, and proves that nothing is.
    pub(super) fn finish(mut self, alive: bool) -> Result<Option<Observation>, Trouble> {
        let wall =
            self.root_exit.map_or_else(|| self.begin.elapsed(), |(_, at)| at.saturating_duration_since(self.begin));
        let survivors = if self.root_exit.is_some() { self.survivors() } else { Vec::new() };
        self.kill_all()?;
        let gone = self.begin.elapsed();
        self.look_at_what_the_kernel_did();
        let over_limit = self
            .usage
            .over()
            .cloned()
            .or_else(|| limits::met(&self.launch.limits, &self.events, &self.registry, self.root_exit));
        let failed = over_limit.is_some() || self.had_to_be_stopped();
        let left = if alive && !self.launch.here { self.left(failed) } else { Vec::new() };
        self.started.close();
        self.streams.stdout.take(self.begin);
        self.streams.stderr.take(self.begin);
        if let Some(trouble) = self.started.trouble() {
            return Err(trouble);
        }
        if !alive {
            return Ok(None);
        }
        let now = self.now();
        for member in &mut self.members {
            if member.seen.ended.is_none() {
                member.seen.killed = true;
                member.seen.ended = Some(now);
            }
        }
        let kept = self.well_named.min(EVENTS_OF_STOPPED);
        if self.had_to_be_stopped() && self.events.len() > kept {
            self.events.truncate(kept);
            self.truncated = true;
        }
        let cpu = self.members.iter().map(|m| m.seen.cpu).sum();
        let processes: Vec<Process> = self.members.into_iter().map(|m| m.seen).collect();
        Ok(Some(Observation {
            ending: self.ending.unwrap_or(Ending::Deadline),
            stdout: self.streams.stdout.into_output(),
            stderr: self.streams.stderr.into_output(),
            processes,
            events: self.events,
            objects: self.registry.into_objects(),
            files: left,
            survivors,
            hang: self.hang,
            fifo_bytes: self.actions.fifo_bytes(),
            actions_done: self.actions.done(),
            faults_hit: self.faults.hits(),
            wall,
            gone,
            left_out: self.left_out,
            starved: self.starved,
            cpu,
            tracing: self.tracing,
            rung: self.rung,
            rung_reason: None,
            over_limit,
            truncated: self.truncated,
        }))
    }

    fn had_to_be_stopped(&self) -> bool {
        !matches!(self.ending, Some(Ending::Ended(_) | Ending::Deadlocked))
    }

    fn left(&self, failed: bool) -> Vec<FileLeft> {
        let kept = if failed { KEPT_OF_FAILED } else { KEPT_IN_ALL };
        workdir::left(&self.started.work, self.launch.watch.file_bytes as u64, kept)
    }

    /// A program that the kernel killed for its memory has not ended by itself.
    fn look_at_what_the_kernel_did(&mut self) {
        let known = self.usage.over().is_some();
        self.usage.look_back();
        let killed = matches!(self.root_exit, Some((Exit::Signal(libc::SIGKILL), _)));
        if killed && (known || self.usage.over().is_some()) {
            self.ending = Some(Ending::OverLimit);
        }
    }

    /// Those that have outlived the program itself.
    fn survivors(&mut self) -> Vec<ProcessId> {
        if !self.traced() && self.rung != Rung::F {
            // Those that hop from number to number would be missed.
            self.started.signal_all(Signal::SIGSTOP);
        }
        let living = self.living();
        if !self.traced() {
            self.meet(&living);
        }
        let alive = |n: &usize| self.members[*n].seen.ended.is_none() && living.contains(&self.members[*n].pid);
        (1..self.members.len()).filter(alive).map(|n| ProcessId(n as u32)).collect()
    }

    /// Leaves the guardian where it may still have to remove the working directory. Comes to an end whatever the
    /// program does, if not as it should.
    fn kill_all(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        let guardian = self.started.guardian;
        let kill = |pid: i32| {
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        };
        let namespaced = self.rung == Rung::F && !self.launch.here;
        let all_at_once = !namespaced && self.started.signal_all(Signal::SIGKILL);
        if namespaced {
            kill(guardian.as_raw());
        }
        // Whoever is known need not wait until the guardian has a processor to end on. The number of a tracee is
        // nobody else's until it has been waited for.
        for tid in self.threads.keys().chain(self.early.keys()) {
            let _ = super::ptrace::without_exit_stop(*tid);
            kill(*tid);
        }
        loop {
            for tid in self.threads.keys().chain(self.early.keys()) {
                // A stop on the way out does not end with SIGKILL, and one taken before its birth was announced has
                // nobody else to go on from it.
                let _ = super::ptrace::go_on(*tid, 0);
            }
            if !namespaced && !all_at_once {
                if let Some(group) = self.started.group
                    && !process_files::children(guardian.as_raw()).is_empty()
                {
                    group.kill();
                }
                put_down(guardian.as_raw());
            }
            if self.reap_the_dying(namespaced) || !namespaced && self.started.only_guardian() {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("something of the program is still there {PATIENCE:?} after it was killed"));
            }
            let _ = ppoll(&mut [], Some(TimeSpec::from(Duration::from_millis(5))), Some(SigSet::empty()));
        }
    }

    /// Takes every stop and end that is waiting; true once nobody is left.
    fn reap_the_dying(&mut self, namespaced: bool) -> bool {
        loop {
            let mut status = 0;
            // SAFETY: waitpid writes the status it is given room for.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
            if pid <= 0 {
                return pid < 0 && Errno::last() == Errno::ECHILD;
            }
            if libc::WIFSTOPPED(status) {
                if !namespaced {
                    // It may have been born since the others were killed.
                    let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                // The last stop of a dying thread, or one before: then this is the last.
                let _ = super::ptrace::without_exit_stop(pid);
                let _ = super::ptrace::go_on(pid, 0);
            } else {
                self.threads.remove(&pid);
                self.early.remove(&pid);
            }
        }
    }
}
