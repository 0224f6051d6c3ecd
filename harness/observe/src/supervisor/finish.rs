//! The end of a launch: everything of it is killed, proved gone, and what was seen is put together.

use std::time::Duration;

use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

use super::run::Run;
use crate::observation::{Ending, Observation, Process, ProcessId};
use crate::plan::Rung;
use crate::process_files;

impl Run<'_> {
    /// Kills what is left, and proves that nothing is.
    pub(super) fn finish(mut self, alive: bool) -> Result<Option<Observation>, String> {
        let wall =
            self.root_exit.map_or_else(|| self.begin.elapsed(), |(_, at)| at.saturating_duration_since(self.begin));
        let survivors: Vec<ProcessId> = if self.root_exit.is_some() && self.traced() {
            (1..self.members.len())
                .filter(|n| self.members[*n].seen.ended.is_none())
                .map(|n| ProcessId(n as u32))
                .collect()
        } else {
            Vec::new()
        };
        let left = super::workdir_unless_here(self.launch, &self.started.work);
        self.kill_all();
        self.streams.stdout.take(self.begin);
        self.streams.stderr.take(self.begin);
        if let Some(text) = self.started.trouble() {
            return Err(text);
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
            cpu,
            tracing: self.tracing,
            rung: self.rung,
            over_limit: None,
            truncated: self.truncated,
        }))
    }

    fn kill_all(&mut self) {
        let guardian = self.started.guardian;
        let kill = |pid: i32| {
            let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        };
        let namespaced = self.rung == Rung::F && !self.launch.here;
        loop {
            if !namespaced {
                for tid in self.threads.keys().chain(self.early.keys()) {
                    kill(*tid);
                }
                for pid in process_files::descendants(guardian.as_raw()) {
                    kill(pid);
                }
            }
            if namespaced || process_files::children(guardian.as_raw()).is_empty() {
                kill(guardian.as_raw());
            }
            let mut status = 0;
            // SAFETY: waitpid writes the status it is given room for.
            let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
            if pid < 0 && Errno::last() == Errno::ECHILD {
                break;
            }
            if pid > 0 {
                if libc::WIFSTOPPED(status) {
                    // The last stop of a dying thread.
                    let _ = super::ptrace::go_on(pid, 0);
                } else {
                    self.threads.remove(&pid);
                    self.early.remove(&pid);
                }
                continue;
            }
            let _ = ppoll(&mut [], Some(TimeSpec::from(Duration::from_millis(5))), Some(SigSet::empty()));
        }
    }
}
