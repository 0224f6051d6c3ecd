//! What each event is in plain words: a sentence without its subject, and a few words for a label.

mod files;
mod memory;
mod processes;
mod said;
mod transfers;

pub(super) use files::of_the_system;
pub(super) use said::{Kind, Moved, Said};

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use observe::{Access, Call, Disposition, Event, Exit, ObjectId, ObjectKind, Observation, ProcessId, What};

use super::readable::{fit_middle, printable};

type CallResult = Option<Result<i64, i32>>;

/// Tells the events of an observation one after another, keeping in mind what each descriptor is.
pub(super) struct Speaker<'a> {
    obs: &'a Observation,
    names: &'a [String],
    ends: BTreeMap<(ProcessId, i32), Access>,
}

impl<'a> Speaker<'a> {
    /// A speaker that has told nothing yet.
    pub fn new(obs: &'a Observation, names: &'a [String]) -> Speaker<'a> {
        Speaker { obs, names, ends: BTreeMap::new() }
    }

    /// The event in words; `None` for one that another event tells better.
    pub fn say(&mut self, event: &Event) -> Option<Said> {
        match &event.what {
            What::Called { call, result, injected, sysno } => {
                let mut said = self.call(event.process, call, *result, sysno.name())?;
                said.quiet &= event.source.is_none() || !changes_mappings(call);
                said.quiet |= self.is_of_the_system(call, said.object);
                self.remember(event.process, call, *result);
                if let Some(pages) = event.pages.first() {
                    said.sentence += &format!("; {pages}");
                }
                Some(if *injected { arranged(said) } else { said })
            }
            What::Forked { child, .. } => Some(self.forked(event.process, *child)),
            What::Executed { path, .. } => Some(executed(path)),
            What::Signalled { signal, sender, disposition, address, .. } => {
                Some(self.signalled(event.process, *signal, *sender, *disposition, *address))
            }
            What::HandlerReturned => Some(Said::same(Kind::Signal, "its handler is done").quiet()),
            What::MainBegan => Some(Said::same(Kind::Begin, "begins its main function")),
            What::Exited { exit, .. } => {
                self.ends.retain(|(process, _), _| *process != event.process);
                let mut said = exited(*exit);
                if let Some(pages) = event.pages.last() {
                    said.sentence += &format!("; of what it mapped last, {pages}");
                }
                Some(said)
            }
        }
    }

    fn call(&self, who: ProcessId, call: &Call, result: CallResult, name: &str) -> Option<Said> {
        match call {
            Call::Read { .. } | Call::Write { .. } | Call::Move { .. } => Some(self.transfer(call, result)),
            Call::Mmap { .. }
            | Call::Munmap { .. }
            | Call::Mprotect { .. }
            | Call::Mremap { .. }
            | Call::Msync { .. }
            | Call::Madvise { .. }
            | Call::Brk { .. } => Some(self.memory(call, result)),
            Call::Fork { .. }
            | Call::Exec { .. }
            | Call::Wait { .. }
            | Call::Exit { .. }
            | Call::Kill { .. }
            | Call::Sigaction { .. }
            | Call::Sigmask { .. }
            | Call::SignalWait { .. }
            | Call::Futex { .. }
            | Call::Sleep { .. }
            | Call::Poll { .. }
            | Call::Timer
            | Call::Prctl { .. } => self.process_call(call, result),
            Call::Other { arguments } if name == "io_uring_enter" => {
                Some(finish(Said::same(Kind::Other, ring(arguments[1], arguments[2])), result))
            }
            Call::Other { .. } => Some(finish(Said::same(Kind::Other, format!("calls {name}()")).quiet(), result)),
            _ => Some(self.file(who, call, result)),
        }
    }

    fn remember(&mut self, who: ProcessId, call: &Call, result: CallResult) {
        let Some(Ok(value)) = result else { return };
        let read = Access { read: true, write: false };
        let write = Access { read: false, write: true };
        match call {
            Call::Pipe { read_fd, write_fd, .. } => {
                self.ends.insert((who, *read_fd), read);
                self.ends.insert((who, *write_fd), write);
            }
            Call::Open { flags, .. } => {
                let access = match flags & libc::O_ACCMODE {
                    libc::O_RDONLY => read,
                    libc::O_WRONLY => write,
                    _ => Access { read: true, write: true },
                };
                self.ends.insert((who, value as i32), access);
            }
            Call::Dup { fd, .. } => match self.ends.get(&(who, *fd)).copied() {
                Some(access) => drop(self.ends.insert((who, value as i32), access)),
                None => drop(self.ends.remove(&(who, value as i32))),
            },
            Call::Close { fd, .. } => drop(self.ends.remove(&(who, *fd))),
            _ => {}
        }
    }

    fn forked(&mut self, parent: ProcessId, child: ProcessId) -> Said {
        let inherited: Vec<_> =
            self.ends.iter().filter(|((p, _), _)| *p == parent).map(|((_, fd), a)| (*fd, *a)).collect();
        self.ends.extend(inherited.into_iter().map(|(fd, access)| ((child, fd), access)));
        let name = self.name(child);
        Said::same(Kind::Fork, format!("forks {name}"))
    }

    fn signalled(
        &self,
        who: ProcessId,
        signal: i32,
        sender: Option<ProcessId>,
        what: Disposition,
        address: Option<u64>,
    ) -> Said {
        let name = signal_name(signal);
        let from = sender.filter(|s| *s != who).map(|s| format!(" from {}", self.name(s))).unwrap_or_default();
        let at = address.map(|a| format!(" for touching address {a:#x}")).unwrap_or_default();
        let then = match what {
            Disposition::Default => "",
            Disposition::Ignored => " and ignores it",
            Disposition::Handler => "; its handler runs",
        };
        let said = Said::new(Kind::Signal, format!("gets {name}"), format!("gets {name}{from}{at}{then}"));
        let ordinary = matches!(signal, libc::SIGCHLD | libc::SIGCONT | libc::SIGWINCH);
        if what != Disposition::Handler && ordinary { said.quiet() } else { said }
    }

    /// "the parent", "child 2", "sort".
    pub fn name(&self, id: ProcessId) -> &str {
        self.names.get(id.0 as usize).map_or("a process", String::as_str)
    }

    fn label(&self, object: Option<ObjectId>, fd: i32) -> String {
        match object.and_then(|id| self.obs.objects.get(id.0 as usize)).filter(|o| !o.label.is_empty()) {
            Some(object) => fit_middle(&printable(&object.label), 26),
            None => format!("descriptor {fd}"),
        }
    }

    fn kind(&self, object: Option<ObjectId>) -> Option<&ObjectKind> {
        object.and_then(|id| self.obs.objects.get(id.0 as usize)).map(|o| &o.kind)
    }
}

/// A change of the address space that, where a line of the program's own makes it, is no housekeeping.
fn changes_mappings(call: &Call) -> bool {
    match call {
        Call::Mmap { flags, .. } => flags & libc::MAP_STACK == 0,
        Call::Munmap { .. } => true,
        _ => false,
    }
}

fn arranged(mut said: Said) -> Said {
    said.sentence += " (the harness arranged this)";
    said
}

/// Adds to a plain sentence that the call failed, or never came back.
fn finish(mut said: Said, result: CallResult) -> Said {
    match result {
        Some(Ok(_)) => {}
        Some(Err(errno)) => {
            said.sentence = format!("{}, which fails: {}", said.sentence, error(errno));
            said.brief += " ✗";
            said.failed = true;
        }
        None => said.sentence += ", and does not come back from it",
    }
    said
}

fn executed(path: &std::path::Path) -> Said {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    Said::same(Kind::Exec, format!("becomes the program {}", fit_middle(&printable(&name), 24)))
}

/// "exits with status 0", "is ended by SIGPIPE".
pub(super) fn exit_words(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exits with status {code}"),
        Exit::Signal(signal) => format!("is ended by {}", signal_name(signal)),
    }
}

fn exited(exit: Exit) -> Said {
    let brief = match exit {
        Exit::Code(code) => format!("exits {code}"),
        Exit::Signal(signal) => format!("ended by {}", signal_name(signal)),
    };
    let mut said = Said::new(Kind::Exit, brief, exit_words(exit));
    said.failed = matches!(exit, Exit::Signal(_));
    said
}

/// `SIGPIPE`; real-time ones by their number.
pub(super) fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

/// "Broken pipe (EPIPE)".
fn error(errno: i32) -> String {
    let known = Errno::from_raw(errno);
    format!("{} ({known:?})", known.desc())
}

/// What a program asks of its ring: so many requests taken, and so many results waited for.
fn ring(submitted: u64, awaited: u64) -> String {
    let requests = |count: u64| if count == 1 { "1 request".into() } else { format!("{count} requests") };
    match (submitted, awaited) {
        (0, awaited) => format!("waits until {} of io_uring are done", requests(awaited)),
        (submitted, 0) => format!("submits {} to io_uring", requests(submitted)),
        (submitted, awaited) => {
            format!("submits {} to io_uring, and waits for {awaited} to be done", requests(submitted))
        }
    }
}
