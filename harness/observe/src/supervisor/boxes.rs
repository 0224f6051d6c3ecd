//! The box of one launch from the supervisor's side: making it, and the descriptors that lead into it.
//!
//! Supervisor → guardian → program. On rung F the guardian is the first process of a PID namespace, so that its
//! death is everybody's; on K and L it is a subreaper, which outlives a killed supervisor just long enough to leave
//! nothing behind. The supervisor has one thread, and so have its forks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use super::cgroups::Group;
use super::forks::Forks;
use super::guardian::Ready;
use super::inside::{Inside, Lines};
use super::processors::OneProcessor;
use super::protocol::{Reply, receive_with};
use super::put_to_rest;
use super::root::WORK;
use super::scratch::Scratch;
use crate::plan::{Launch, Rung};
use crate::process_files;

/// The program's side of its three standard streams.
pub(super) struct Ends {
    pub(super) stdin: OwnedFd,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) terminal: bool,
}

/// Why there is no box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This machine does not have the rung: a lower one may do.
    Rung(String),
    /// Whatever the rung.
    Launch(String),
    /// There is one, and the kernel does not start this executable in it: its word for why.
    Exec(String),
}

impl Trouble {
    /// As it travels from the guardian to the supervisor.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (mark, text) = match self {
            Trouble::Rung(text) => (b'R', text),
            Trouble::Launch(text) => (b'L', text),
            Trouble::Exec(text) => (b'X', text),
        };
        [&[mark], text.as_bytes()].concat()
    }

    /// `None` if nothing was said.
    fn from_bytes(bytes: &[u8]) -> Option<Trouble> {
        let (mark, text) = bytes.split_first()?;
        let text = String::from_utf8_lossy(text).into_owned();
        Some(match mark {
            b'R' => Trouble::Rung(text),
            b'X' => Trouble::Exec(text),
            _ => Trouble::Launch(text),
        })
    }

    /// As the harness is told of it.
    pub(super) fn reply(self) -> Reply {
        match self {
            Trouble::Rung(text) | Trouble::Launch(text) => Reply::Failed(text),
            Trouble::Exec(text) => Reply::NotStarted(text),
        }
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Launch(text)
    }
}

/// A launch whose program waits to be let go.
pub(super) struct Started<'a> {
    pub(super) guardian: Pid,
    pub(super) program: Pid,
    /// The working directory, held open from outside.
    pub(super) work: File,
    /// How paths in the working directory begin, as the program sees them.
    pub(super) work_path: PathBuf,
    /// The control group that the program is in, where there is such a thing.
    pub(super) group: Option<&'a Group>,
    /// Removes a working directory that is on a real file system.
    scratch: Option<Scratch>,
    go: File,
    /// Who answers the program before it forks comes over this, if nobody traces it.
    forks: Option<UnixStream>,
    /// Set-up errors of the program's side; end-of-file once it has become the program.
    trouble: File,
    /// The program's wait status, from the guardian.
    pub(super) status: File,
    /// The guardian takes orders from the other end of this, and ends when this does.
    lifeline: UnixStream,
    /// The guardian can signal everything of the program at one moment.
    all_at_once: bool,
}

impl Started<'_> {
    /// Lets the program begin.
    pub(super) fn release(&mut self) -> io::Result<()> {
        self.go.write_all(b"g")
    }

    /// What the program asks before it forks, if it does; to be taken once, when it has been let go.
    pub(super) fn forks(&mut self) -> Option<Forks> {
        let (_, listener) = receive_with(&self.forks.take()?, &mut [0]).ok()?;
        listener.map(Forks::new)
    }

    /// What went wrong before the program began, once that is known.
    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        said(&mut self.trouble).unwrap_or_else(|error| Some(Trouble::Launch(error.to_string())))
    }

    /// Nobody is left of the program: the guardian, to whom orphans go, is there and has no children.
    pub(super) fn only_guardian(&self) -> bool {
        // In this order: the children of a guardian that has died are nobody's.
        process_files::children(self.guardian.as_raw()).is_empty() && look(self.guardian) == Ok(WaitStatus::StillAlive)
    }

    /// Signals everything of the program, between any two of its forks: true once that is done, false where the kernel
    /// has no means for it.
    pub(super) fn signal_all(&mut self, signal: Signal) -> bool {
        let mut done = [0];
        self.all_at_once
            && self.lifeline.write_all(&[signal as u8]).is_ok()
            && self.lifeline.read_exact(&mut done).is_ok()
    }

    /// Removes the working directory, and only then kills the guardian: until it is gone, whichever of this process
    /// and the guardian is killed, the other removes it. Nothing of the program may be alive.
    pub(super) fn close(&mut self) {
        self.scratch = None;
        if look(self.guardian).is_ok() {
            put_to_rest(self.guardian);
        }
    }

    /// Gives up a program that has not been let go: it and the guardian, which removes the working directory, end with
    /// their lines to the supervisor.
    pub(super) fn abandon(self) {
        let Started { guardian, go, lifeline, .. } = self;
        drop((go, lifeline));
        let _ = waitpid(guardian, Some(WaitPidFlag::__WALL));
    }
}

/// Whether a child has ended, without reaping it; an error if it has been reaped.
fn look(child: Pid) -> nix::Result<WaitStatus> {
    let flags = WaitPidFlag::__WALL | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(child), flags)
}

fn said(pipe: &mut File) -> io::Result<Option<Trouble>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(Trouble::from_bytes(&bytes))
}

pub(super) fn describe(what: &str) -> impl Fn(nix::Error) -> String + '_ {
    move |error| format!("{what}: {}", error.desc())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), String> {
    pipe2(OFlag::O_CLOEXEC).map_err(describe("pipe"))
}

/// Makes the box and forks the program in it, up to just before its exec.
pub(super) fn start<'a>(
    launch: &Launch,
    program: &File,
    ends: Ends,
    rung: Rung,
    (trace, processor): (bool, Option<&OneProcessor>),
    group: Option<&'a Group>,
) -> Result<Started<'a>, Trouble> {
    let (go_read, go_write) = pipe()?;
    let (trouble_read, trouble_write) = pipe()?;
    let (status_read, status_write) = pipe()?;
    let (ready_read, ready_write) = pipe()?;
    let namespaced = rung == Rung::F && !launch.here;
    let counted = !trace && !namespaced && !launch.here;
    let (forks, forks_inside) = match counted.then(UnixStream::pair).transpose() {
        Ok(pair) => pair.unzip(),
        Err(error) => return Err(Trouble::Launch(format!("socketpair: {error}"))),
    };
    let (lifeline, other_end) = UnixStream::pair().map_err(|e| format!("socketpair: {e}"))?;
    let group = group.filter(|_| !launch.here);
    let inside = Inside { launch, program, rung, trace, processor, group };

    let guardian = if namespaced { clone_into_namespaces()? } else { plain_fork()? };
    if guardian == 0 {
        drop((go_write, trouble_read, status_read, ready_read, lifeline, forks));
        let lines = Lines {
            go: go_read.into(),
            trouble: trouble_write.into(),
            status: status_write.into(),
            ready: ready_write.into(),
            lifeline: other_end,
            forks: forks_inside,
        };
        inside.guard(ends, lines)
    }
    drop((go_read, trouble_write, status_write, ready_write, other_end, forks_inside, ends));
    let guardian = Pid::from_raw(guardian);
    let mut trouble = File::from(trouble_read);
    let Ok(ready) = Ready::read(&mut File::from(ready_read)) else {
        let reason = said(&mut trouble).ok().flatten();
        let _ = waitpid(guardian, Some(WaitPidFlag::__WALL));
        return Err(reason.unwrap_or_else(|| Trouble::Launch("the guardian of the box died".into())));
    };
    let found = only_child(guardian, ready.program, namespaced).and_then(|program| {
        let (work, work_path, scratch) =
            directory(guardian, namespaced, launch.here).map_err(|e| format!("working directory of the box: {e}"))?;
        Ok((program, work, work_path, scratch))
    });
    let (program, work, work_path, scratch) = match found {
        Ok(found) => found,
        Err(text) => {
            // The program waits for its start, which never comes: both end with their lines to the supervisor.
            drop((go_write, lifeline));
            let _ = waitpid(guardian, Some(WaitPidFlag::__WALL));
            return Err(Trouble::Launch(text));
        }
    };
    Ok(Started {
        guardian,
        program,
        work,
        work_path,
        group,
        scratch,
        go: go_write.into(),
        trouble,
        status: status_read.into(),
        lifeline,
        forks,
        all_at_once: ready.all_at_once,
    })
}

/// The working directory, which is the guardian's too: held open, its name for the program, and the care for its end.
fn directory(guardian: Pid, namespaced: bool, here: bool) -> io::Result<(File, PathBuf, Option<Scratch>)> {
    let link = format!("/proc/{guardian}/cwd");
    let work = File::open(&link)?;
    if namespaced {
        return Ok((work, PathBuf::from(WORK), None));
    }
    let path = std::fs::read_link(link)?;
    let scratch = if here { None } else { Some(Scratch::shared(path.clone())?) };
    Ok((work, path, scratch))
}

/// The guardian knows the program by its number in the box; outside it has another.
fn only_child(guardian: Pid, inner: i32, namespaced: bool) -> Result<Pid, String> {
    if !namespaced {
        return Ok(Pid::from_raw(inner));
    }
    process_files::children(guardian.as_raw())
        .first()
        .map(|pid| Pid::from_raw(*pid))
        .ok_or_else(|| "the kernel does not list children in /proc (CONFIG_PROC_CHILDREN)".into())
}

fn clone_into_namespaces() -> Result<i32, Trouble> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2) with namespaces: the child goes on with a copy
    // of everything. The supervisor has one thread, so no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid < 0 { Err(Trouble::Rung(format!("namespaces: {}", io::Error::last_os_error()))) } else { Ok(pid as i32) }
}

fn plain_fork() -> Result<i32, Trouble> {
    // SAFETY: the supervisor has one thread, so the child may do whatever it could.
    match unsafe { fork() }.map_err(describe("fork"))? {
        ForkResult::Parent { child } => Ok(child.as_raw()),
        ForkResult::Child => Ok(0),
    }
}
