//! What the harness does to the program from outside while it runs.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run::Run;
use super::tracee::Member;
use super::workdir;
use crate::observation::ProcessId;
use crate::plan::{Action, Deed, Launch, Trigger};
use crate::process_files::{self, ThreadState};

/// Bytes kept of what was read from a FIFO.
const FIFO_KEPT: usize = 1 << 20;

/// The actions of a launch, in order.
#[derive(Debug)]
pub(super) struct Actions {
    actions: Vec<Action>,
    next: usize,
    /// Calls counted for the next action's trigger.
    calls: u32,
    reading: Vec<(Option<File>, Vec<u8>)>,
    writing: Vec<(File, Vec<u8>)>,
}

impl Actions {
    pub(super) fn new(launch: &Launch) -> Actions {
        Actions { actions: launch.actions.clone(), next: 0, calls: 0, reading: Vec::new(), writing: Vec::new() }
    }

    pub(super) fn done(&self) -> usize {
        self.next
    }

    pub(super) fn fifo_bytes(&self) -> Vec<Vec<u8>> {
        self.reading.iter().map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Moves what can be moved through the FIFOs that are open.
    fn pump(&mut self) {
        let mut buffer = [0; 4096];
        for (file, bytes) in &mut self.reading {
            while let Some(open) = file {
                match open.read(&mut buffer) {
                    // No writer yet reads the same as no writer any more: until something has come, keep waiting.
                    Ok(0) if bytes.is_empty() => break,
                    Ok(0) => *file = None,
                    Ok(n) if bytes.len() < FIFO_KEPT => bytes.extend_from_slice(&buffer[..n]),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => *file = None,
                }
            }
        }
        self.writing.retain_mut(|(file, bytes)| match file.write(bytes) {
            Ok(n) => {
                bytes.drain(..n);
                !bytes.is_empty()
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
    }
}

impl Run<'_> {
    /// Does whatever is due, apart from a call.
    pub(super) fn step_actions(&mut self) {
        self.actions.pump();
        while let Some(action) = self.actions.actions.get(self.actions.next).cloned() {
            let due = match &action.when {
                Trigger::Printed(bytes) => contains(self.streams.stdout.bytes(), bytes),
                Trigger::AfterPrevious => self.actions.next > 0,
                Trigger::AllBlocked => self.all_blocked(),
                Trigger::Before { .. } | Trigger::Released => false,
            };
            if !due || !self.act(&action.what) {
                return;
            }
            self.next_action();
        }
    }

    /// Does what is due just before this call, whose caller is stopped; true if that was a signal.
    pub(super) fn actions_before(&mut self, name: &str) -> bool {
        let Some(action) = self.actions.actions.get(self.actions.next).cloned() else { return false };
        let Trigger::Before { calls, nth } = &action.when else { return false };
        if !calls.iter().any(|c| c == name) {
            return false;
        }
        self.actions.calls += 1;
        if self.actions.calls != *nth || !self.act(&action.what) {
            return false;
        }
        self.next_action();
        matches!(action.what, Deed::Signal(_))
    }

    /// Does what is due when a held process is about to go on.
    pub(super) fn actions_at_release(&mut self) {
        let Some(action) = self.actions.actions.get(self.actions.next).cloned() else { return };
        if action.when == Trigger::Released && self.act(&action.what) {
            self.next_action();
        }
    }

    fn next_action(&mut self) {
        self.actions.next += 1;
        self.actions.calls = 0;
        self.activity += 1;
    }

    fn all_blocked(&self) -> bool {
        let began = self.members.iter().all(|m| m.main_began || m.seen.ended.is_some()) || !self.traced();
        let mut known = self.members.iter().enumerate();
        began && known.all(|(n, m)| self.gone_for_good(n, m) || self.blocked(m.pid))
    }

    /// Nobody waits for its end any more: a traced process that is on its way out is not there yet.
    fn gone_for_good(&self, n: usize, member: &Member) -> bool {
        member.seen.ended.is_some() && !self.threads.values().any(|thread| thread.process == ProcessId(n as u32))
    }

    fn blocked(&self, pid: i32) -> bool {
        let states: Vec<ThreadState> =
            process_files::threads(pid).into_iter().filter_map(|tid| process_files::thread_state(pid, tid)).collect();
        // Until its tracer has taken note of a process's end, whoever waits for that goes on waiting.
        let ending = self.traced() && states.iter().all(ThreadState::dead);
        !ending && states.iter().all(ThreadState::blocked)
    }

    /// Does one deed; false if it is to be tried again.
    fn act(&mut self, deed: &Deed) -> bool {
        let work = &self.started.work;
        let outcome = match deed {
            Deed::WriteFile { path, bytes } => workdir::write(work, path, bytes, false),
            Deed::AppendFile { path, bytes } => workdir::write(work, path, bytes, true),
            Deed::Truncate { path, len } => workdir::truncate(work, path, *len),
            Deed::Feed(bytes) => {
                self.streams.add_input(bytes);
                Ok(())
            }
            Deed::CloseStdin => {
                self.streams.close_input_when_fed();
                Ok(())
            }
            Deed::Signal(number) => {
                send(self.started.program.as_raw(), *number);
                Ok(())
            }
            Deed::SignalChild { nth, signal } => match self.members.get(*nth as usize) {
                Some(member) if member.seen.ended.is_none() => {
                    send(member.pid, *signal);
                    Ok(())
                }
                _ => Err(ErrorKind::NotFound.into()),
            },
            Deed::ReadFifo(path) => {
                let opened = open_fifo(work, path, libc::O_RDONLY);
                opened.map(|file| self.actions.reading.push((Some(file), Vec::new())))
            }
            Deed::WriteFifo { path, bytes } => {
                let opened = open_fifo(work, path, libc::O_WRONLY);
                opened.map(|file| self.actions.writing.push((file, bytes.clone())))
            }
        };
        // A FIFO not there yet, or without its reader, is tried again; whatever else failed stays failed, and the
        // observation's count of actions done shows it.
        outcome.is_ok()
    }
}

/// Who is gone already needs no signal.
fn send(pid: i32, number: i32) {
    if let Ok(signal) = Signal::try_from(number) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn open_fifo(work: &File, path: &Path, access: i32) -> std::io::Result<File> {
    workdir::open(work, path, access | libc::O_NONBLOCK, 0)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|w| w == needle)
}
