//! The supervisor: a copy of the calling executable with one thread, which runs launches one after another.

pub(crate) mod actions;
pub(crate) mod boxes;
pub(crate) mod cgroups;
pub(crate) mod confine;
mod crossings;
mod effects;
mod filters;
mod finish;
mod forks;
mod guardian;
pub(crate) mod holds;
mod inside;
mod interfere;
mod ladder;
mod limits;
mod processors;
pub(crate) mod protocol;
mod ptrace;
mod quiet;
pub(crate) mod root;
mod run;
mod scratch;
pub(crate) mod stacks;
mod starved;
mod stops;
mod streams;
mod tracee;
mod usage;
mod workdir;

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};

use crate::observation::{Observation, Tracing};
use crate::plan::{Launch, Rung};
use crate::symbols::Images;
use boxes::Trouble;
use cgroups::Group;
use processors::OneProcessor;
use protocol::{Channel, Reply};

/// First argument of an executable that is to be a supervisor.
pub(crate) const ARGUMENT: &str = "--become-supervisor";
/// Second argument: nothing is to be done. A box is tried with it.
pub(crate) const ONLY_TRY: &str = "--only-try";

/// What a supervisor keeps of the rights of whoever starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Root becomes an ordinary user.
    Ordinary,
    /// And stays in the group that may make virtual machines, as such a user would be.
    Kvm,
    /// All of them, because commands are the user's own.
    All,
}

impl Rights {
    /// What a launch needs.
    pub(crate) fn of(launch: &Launch) -> Rights {
        match (launch.here, launch.kvm) {
            (true, _) => Rights::All,
            (false, true) => Rights::Kvm,
            (false, false) => Rights::Ordinary,
        }
    }

    /// As a supervisor's second argument.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Rights::Ordinary => "--keep-no-rights",
            Rights::Kvm => "--keep-kvm",
            Rights::All => "--keep-rights",
        }
    }

    /// From it.
    pub(crate) fn named(argument: &OsStr) -> Option<Rights> {
        [Rights::Ordinary, Rights::Kvm, Rights::All].into_iter().find(|rights| argument == rights.argument())
    }
}

/// User and group of the supervisor, as they are outside any user namespace.
static OUTER_IDS: OnceLock<(u32, u32)> = OnceLock::new();
/// The supervisor's own mount namespace, which no box may share.
static OUTER_MOUNTS: OnceLock<PathBuf> = OnceLock::new();

extern "C" fn note_child(_: libc::c_int) {}

/// Never returns: serves launches that come over standard input's socket until it is closed.
///
/// Where it can have control groups of its own, this process becomes their caretaker, and a child the supervisor.
pub(crate) fn serve(rights: Rights) -> ! {
    let site = if rights == Rights::All { None } else { cgroups::Site::make(ordinary()) };
    let mut group = site.and_then(|(site, group)| match site.look_after() {
        Ok(Some(status)) => std::process::exit(status),
        Ok(None) => Some(group),
        Err(_) => None,
    });
    let outcome = prepare(rights).and_then(|()| {
        if group.is_some() {
            // SAFETY: the operation takes plain numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        }
        let mut channel = Channel::inherited();
        let mut images = Images::default();
        while let Some((launch, program)) = channel.next_launch()? {
            group = group.and_then(Group::renewed);
            let reply = match one(&launch, &program, &mut images, &channel, group.as_ref()) {
                Ok(Some(observation)) => Reply::seen(observation),
                Ok(None) => break,
                Err(trouble) => trouble.reply(),
            };
            channel.reply(&reply)?;
            if has_children() {
                // Its end is theirs.
                break;
            }
        }
        Ok(())
    });
    std::process::exit(i32::from(outcome.is_err()))
}

fn prepare(rights: Rights) -> Result<(), String> {
    let text = |what: &'static str| move |e: nix::Error| format!("{what}: {}", e.desc());
    // Its own session: an interrupt from the terminal is for the harness, which then closes the socket.
    let _ = nix::unistd::setsid();
    if rights != Rights::All && geteuid().is_root() {
        become_ordinary(rights == Rights::Kvm).map_err(text("giving up root"))?;
    }
    // SAFETY: the operation takes plain numbers. /proc/self stays this process's own after the change of user.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    let _ = OUTER_IDS.set((geteuid().as_raw(), getegid().as_raw()));
    let _ = OUTER_MOUNTS.set(std::fs::read_link("/proc/self/ns/mnt").map_err(|e| e.to_string())?);
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).map_err(text("sigprocmask"))?;
    let action = SigAction::new(SigHandler::Handler(note_child), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing; it exists so that SIGCHLD interrupts the wait in the event loop.
    unsafe { sigaction(Signal::SIGCHLD, &action) }.map_err(text("sigaction"))?;
    // SAFETY: as above, of the wait for the next stop.
    unsafe { sigaction(Signal::SIGALRM, &action) }.map_err(text("sigaction"))?;
    let alarm = SigSet::from(Signal::SIGALRM);
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&alarm), None).map_err(text("sigprocmask"))?;
    scratch::sweep();
    Ok(())
}

/// The user that boxes are made by: this one, or whom root becomes, who is the one that called sudo, or nobody.
fn ordinary() -> (Uid, Gid) {
    if !geteuid().is_root() {
        return (geteuid(), getegid());
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok()).filter(|n| *n != 0);
    (Uid::from_raw(number("SUDO_UID").unwrap_or(65534)), Gid::from_raw(number("SUDO_GID").unwrap_or(65534)))
}

fn become_ordinary(kvm: bool) -> nix::Result<()> {
    let (uid, gid) = ordinary();
    let device = std::fs::metadata(root::KVM).ok().filter(|_| kvm);
    let of_device = device.map(|device| Gid::from_raw(device.gid())).filter(|group| group.as_raw() != 0);
    let groups: Vec<Gid> = [Some(gid), of_device].into_iter().flatten().collect();
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)
}

/// One launch; `None` if the harness went away meanwhile.
fn one(
    launch: &Launch,
    program: &File,
    images: &mut Images,
    channel: &Channel,
    group: Option<&Group>,
) -> Result<Option<Observation>, Trouble> {
    let (mut rung, mut reason) = ladder::first(launch)?;
    loop {
        match attempt(launch, program, images, channel, rung, group) {
            Ok(seen) => {
                return Ok(seen.map(|mut seen| {
                    seen.rung_reason = reason;
                    seen
                }));
            }
            Err(trouble) => (rung, reason) = ladder::after(trouble, launch, rung)?,
        }
    }
}

fn attempt(
    launch: &Launch,
    program: &File,
    images: &mut Images,
    channel: &Channel,
    rung: Rung,
    group: Option<&Group>,
) -> Result<Option<Observation>, Trouble> {
    let wanted = launch.watch.trace && rung != Rung::L;
    let mut tracing = match (launch.watch.trace, rung) {
        (false, _) => Tracing::NotAsked,
        (true, Rung::L) => Tracing::NotPermitted("rung L does without ptrace".into()),
        (true, _) => Tracing::On,
    };
    if wanted && let Err(errno) = tracing_permitted() {
        tracing = Tracing::NotPermitted(errno);
    }
    let trace = tracing == Tracing::On;
    let (streams, ends) = streams::make(launch)?;
    let processor = OneProcessor::here();
    let started = boxes::start(launch, program, ends, rung, (trace, processor.as_ref()), group)?;
    if trace && let Err(errno) = ptrace::seize(started.program.as_raw()) {
        // Without its tracer every watched call would fail: this launch cannot go on.
        started.abandon();
        return Err(Trouble::Launch(format!("ptrace: {}", errno.desc())));
    }
    run::Run::new(launch, program, images, started, streams, (tracing, processor), rung).complete(channel.as_fd())
}

/// Tries to trace a child, once per supervisor.
fn tracing_permitted() -> Result<(), String> {
    static OUTCOME: OnceLock<Result<(), String>> = OnceLock::new();
    OUTCOME.get_or_init(try_tracing).clone()
}

fn try_tracing() -> Result<(), String> {
    if std::env::var_os("SYSLINGS_NO_PTRACE").is_some() {
        return Err("tracing not permitted: SYSLINGS_NO_PTRACE is set".into());
    }
    let refused = |e: nix::Error| format!("tracing not permitted: ptrace: {}", e.desc());
    let supervisor = nix::unistd::getpid();
    // SAFETY: the supervisor has one thread; the child only waits to be killed.
    match unsafe { nix::unistd::fork() }.map_err(refused)? {
        nix::unistd::ForkResult::Child => {
            // SAFETY: the operation takes plain numbers. It dies with a supervisor that is killed.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // A supervisor that died before that sends nothing.
            while nix::unistd::getppid() == supervisor {
                // SAFETY: pause takes nothing.
                unsafe { libc::pause() };
            }
            // SAFETY: _exit runs no destructor and no atexit handler of the supervisor that this is a copy of.
            unsafe { libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            let outcome = ptrace::seize(child.as_raw());
            put_to_rest(child);
            outcome.map_err(refused)
        }
    }
}

/// Something of a launch could not be got rid of.
fn has_children() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let any = WaitPidFlag::__WALL | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, any) != Err(nix::Error::ECHILD)
}

/// Kills a child and reaps it, through the stop that a traced one makes on its way out.
fn put_to_rest(child: nix::unistd::Pid) {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
    while let Ok(status) = waitpid(child, Some(WaitPidFlag::__WALL)) {
        match status {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => break,
            _ => {
                let _ = ptrace::go_on(child.as_raw(), 0);
            }
        }
    }
}
