//! Processes, waiting and signals, in words.

use std::time::Duration;

use nix::libc;
use observe::{Call, Disposition, ProcessId};

use super::{CallResult, Kind, Said, Speaker, error, exit_words, finish, signal_name};
use crate::timeline::readable::{duration, fit_middle, plural, printable};

const FUTEX_COMMAND: i32 = 0x7f;

impl Speaker<'_> {
    /// `None` for a call whose effect is an event of its own.
    pub(super) fn process_call(&self, call: &Call, result: CallResult) -> Option<Said> {
        let said = match call {
            Call::Fork { flags } if flags & libc::CLONE_THREAD as u64 != 0 => Said::same(Kind::Fork, "starts a thread"),
            Call::Fork { .. } => match result {
                Some(Ok(_)) => return None,
                _ => Said::same(Kind::Fork, "forks"),
            },
            Call::Exec { path } => match result {
                Some(Err(errno)) => return Some(cannot_become(&path.to_string_lossy(), errno)),
                _ => return None,
            },
            Call::Exit { .. } => return None,
            Call::Wait { pid, options, reaped } => return Some(self.wait(*pid, *options, *reaped, result)),
            Call::Kill { pid, target, signal } => self.kill(*pid, *target, *signal),
            Call::Sigaction { signal, disposition, .. } => sigaction(*signal, *disposition),
            Call::Sigmask { .. } => Said::same(Kind::Other, "sets which signals may come now").quiet(),
            Call::SignalWait { .. } => return Some(signal_wait(result)),
            Call::Futex { op, .. } => return Some(futex(op & FUTEX_COMMAND, result)),
            Call::Sleep { nanoseconds } => {
                let time = match nanoseconds {
                    0 => "until a set time".into(),
                    n => duration(Duration::from_nanos(*n)),
                };
                Said { waits: Some("sleeps".into()), ..Said::same(Kind::Wait, format!("sleeps {time}")) }
            }
            Call::Poll { timeout, fds } => return Some(poll(*timeout, fds, result)),
            Call::Timer => Said::same(Kind::Other, "sets a timer"),
            _ => Said::same(Kind::Other, "changes a setting of its own").quiet(),
        };
        Some(finish(said, result))
    }

    fn wait(&self, pid: i32, options: i32, reaped: Option<ProcessId>, result: CallResult) -> Said {
        let whom = match self.obs.processes.iter().position(|p| p.pid == pid && p.parent.is_some()) {
            Some(index) => self.name(ProcessId(index as u32)).to_owned(),
            None => "a child".into(),
        };
        let mut said = match (result, reaped) {
            (Some(Ok(_)), Some(child)) => {
                let name = self.name(child);
                let exit = self.obs.processes.get(child.0 as usize).and_then(|p| p.exit);
                let how = exit.map(|e| {
                    format!(", which {}", exit_words(e).replace("exits", "exited").replace("is ended", "was ended"))
                });
                Said::new(Kind::Reap, format!("collects {name}"), format!("collects {name}{}", how.unwrap_or_default()))
            }
            (Some(Ok(_)), None) => Said::same(Kind::Reap, "finds no child that has ended yet"),
            (Some(Err(libc::ECHILD)), _) if options & libc::WNOHANG != 0 => {
                Said::same(Kind::Reap, "finds that it has no child left").quiet()
            }
            (Some(Err(libc::ECHILD)), _) => Said::same(Kind::Reap, "has no child to wait for (ECHILD)"),
            (Some(Err(errno)), _) => {
                Said::new(Kind::Reap, "waits ✗", format!("cannot wait for {whom}: {}", error(errno)))
            }
            (None, _) => Said::same(Kind::Reap, format!("waits for {whom} to end")),
        };
        said.failed = matches!(result, Some(Err(_))) && !said.quiet;
        if options & libc::WNOHANG != 0 { said } else { said.waits(format!("for {whom} to end")) }
    }

    fn kill(&self, pid: i32, target: Option<ProcessId>, signal: i32) -> Said {
        let whom = match target {
            Some(target) => self.name(target).to_owned(),
            None if pid <= 0 => "a group of processes".into(),
            None => format!("process {pid}"),
        };
        if signal == 0 {
            return Said::same(Kind::Send, format!("asks whether {whom} is there")).quiet();
        }
        Said::same(Kind::Send, format!("sends {} to {whom}", signal_name(signal)))
    }
}

fn cannot_become(path: &str, errno: i32) -> Said {
    let name = fit_middle(&printable(path), 30);
    let mut said = Said::new(Kind::Exec, format!("runs {name} ✗"), format!("cannot run {name}: {}", error(errno)));
    said.failed = true;
    said
}

fn sigaction(signal: i32, disposition: Option<Disposition>) -> Said {
    let name = signal_name(signal);
    match disposition {
        Some(Disposition::Handler) => {
            let said = Said::same(Kind::Other, format!("sets a handler for {name}"));
            let said = Said { plural: "sets handlers for signals", ..said };
            if of_the_library(signal) { said.quiet() } else { said }
        }
        Some(Disposition::Ignored) => {
            let said = Said::same(Kind::Other, format!("ignores {name} from now on"));
            let said = Said { plural: "ignores signals", ..said };
            if of_the_library(signal) { said.quiet() } else { said }
        }
        Some(Disposition::Default) => {
            let said = Said::same(Kind::Other, format!("gives {name} its default effect"));
            if signal == libc::SIGPIPE { said } else { said.quiet() }
        }
        None => Said::same(Kind::Other, format!("asks what {name} would do")).quiet(),
    }
}

/// The real-time signals before the first for programs.
fn of_the_library(signal: i32) -> bool {
    (32..libc::SIGRTMIN()).contains(&signal)
}

/// sigwait(3) and its kin return the signal that they take; pause(2) and sigsuspend(2) leave that to a handler.
fn signal_wait(result: CallResult) -> Said {
    let words = match result {
        None => "waits for a signal".into(),
        Some(Ok(signal @ 1..)) => format!("takes {}", signal_name(signal as i32)),
        Some(Err(libc::EAGAIN)) => "waits for a signal in vain".into(),
        Some(_) => "stops waiting for a signal".into(),
    };
    Said::same(Kind::Wait, words).waits("for a signal")
}

fn futex(command: i32, result: CallResult) -> Said {
    const WAKES: [i32; 3] = [1, 5, 10];
    if WAKES.contains(&command) {
        let woken = result.and_then(Result::ok).unwrap_or(0).max(0) as u64;
        let said = Said::new(Kind::Send, "wakes (futex)", format!("wakes {} (futex)", plural(woken, "waiter")));
        return if woken == 0 { said.quiet() } else { said };
    }
    let (said, quiet) = match result {
        Some(Ok(_)) => {
            (Said::new(Kind::Wait, "is woken (futex)", "is woken: the word in memory has changed (futex)"), false)
        }
        Some(Err(libc::EAGAIN)) => {
            (Said::same(Kind::Wait, "need not wait: the word has changed already (futex)"), true)
        }
        Some(Err(errno)) => {
            (Said::same(Kind::Wait, format!("stops waiting on a word in memory: {}", error(errno))), false)
        }
        None => (Said::same(Kind::Wait, "waits for a word in memory to change (futex)"), false),
    };
    let said = said.waits("for a word in memory to change");
    if quiet { said.quiet() } else { said }
}

fn poll(timeout: i64, fds: &[i32], result: CallResult) -> Said {
    let what = match fds {
        [] if timeout >= 0 => "for a time to pass".into(),
        [] => "until a descriptor is ready".into(),
        [one] => format!("until descriptor {one} is ready"),
        many => format!("until one of {} is ready", plural(many.len() as u64, "descriptor")),
    };
    let said = match result {
        Some(Ok(0)) => Said::new(Kind::Wait, "nothing ready", "finds no descriptor ready in time"),
        Some(Ok(n)) => Said::new(
            Kind::Wait,
            format!("{n} ready"),
            format!("finds {} ready", plural(n.max(0) as u64, "descriptor")),
        ),
        Some(Err(errno)) => Said::new(Kind::Wait, "poll ✗", format!("stops waiting for descriptors: {}", error(errno))),
        None => Said::same(Kind::Wait, format!("waits {what}")),
    };
    if timeout == 0 { said.quiet() } else { said.waits(what) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_was_waited_for_is_named() {
        let told = |result| signal_wait(result).sentence;
        assert_eq!(told(None), "waits for a signal");
        assert_eq!(told(Some(Ok(libc::SIGUSR1.into()))), "takes SIGUSR1");
        assert_eq!(told(Some(Err(libc::EAGAIN))), "waits for a signal in vain");
        assert_eq!(told(Some(Err(libc::EINTR))), "stops waiting for a signal");
    }
}
