//! Which files a program in the box may reach, by Landlock. Set by the program's side itself just before its exec.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::getppid;

use super::filters;
use super::root::{SYSTEM, devices};
use crate::plan::{Launch, Rung};

/// The newest rights that this crate asks for; an older kernel enforces those that it knows.
const RIGHTS: ABI = ABI::V6;

/// What the kernel's Landlock can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Landlock(i64);

impl Landlock {
    /// Asks the kernel. `SYSLINGS_LANDLOCK_ABI` makes it seem older than it is.
    pub(crate) fn of_this_kernel() -> Landlock {
        const VERSION: libc::c_ulong = 1;
        // SAFETY: with this flag and no attributes the call only answers with a number.
        let known = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
        let wanted = std::env::var("SYSLINGS_LANDLOCK_ABI").ok().and_then(|v| v.parse().ok()).unwrap_or(i64::MAX);
        Landlock(known.clamp(0, wanted))
    }

    /// Version of the interface; 0 where there is none.
    pub(crate) fn version(self) -> i64 {
        self.0
    }

    /// It can keep files from a program.
    pub(crate) fn files(self) -> bool {
        self.0 >= 1
    }

    /// It can keep TCP from a program.
    pub(crate) fn tcp(self) -> bool {
        self.0 >= 4
    }

    /// It can keep signals and abstract sockets within the box.
    pub(crate) fn scope(self) -> bool {
        self.0 >= 6
    }
}

/// Lets this process, the guardian, signal nobody but what it starts: then `kill(-1)` is for all of these at one moment,
/// however fast they fork, and for nobody else. False where the kernel cannot do that.
pub(super) fn signals() -> bool {
    let restrict = || -> Result<bool, RulesetError> {
        let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).scope(Scope::Signal)?;
        Ok(asked.create()?.restrict_self()?.ruleset == RulesetStatus::FullyEnforced)
    };
    // The supervisor is this very user's: only the scope can keep it from being signalled.
    Landlock::of_this_kernel().scope() && restrict().unwrap_or(false) && kill(getppid(), None) == Err(Errno::EPERM)
}

/// Lets the program reach the system's own files, its executable, its terminal and its working directory (which this
/// process is in), and nothing else; and signal nobody outside the box. Does as much of that as the kernel knows how to.
pub(super) fn files(launch: &Launch, program: &File, rung: Rung, terminal: Option<&OwnedFd>) -> Result<(), String> {
    if !Landlock::of_this_kernel().files() {
        return Ok(());
    }
    restrict(launch, program, rung, terminal).map_err(|e| format!("Landlock: {e}"))
}

fn restrict(launch: &Launch, program: &File, rung: Rung, terminal: Option<&OwnedFd>) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(RIGHTS);
    let read = AccessFs::from_read(RIGHTS);
    let mut asked = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(RIGHTS))?;
    if Landlock::of_this_kernel().scope() {
        asked = asked.scope(Scope::AbstractUnixSocket | Scope::Signal)?;
    }
    let mut rules = asked.create()?;
    for place in SYSTEM.iter().chain(&["/proc"]) {
        rules = allow(rules, place, read)?;
    }
    for device in devices(launch) {
        rules = allow(rules, device, all)?;
    }
    if rung == Rung::F {
        // The box's own. On the other rungs it is the machine's, where names would be seen by others and stay.
        rules = allow(rules, "/dev/shm", all)?;
    }
    rules = allow(rules, ".", all)?;
    if let Some(terminal) = terminal {
        rules = rules.add_rule(PathBeneath::new(terminal, all).set_compatibility(CompatLevel::BestEffort))?;
    }
    rules.add_rule(PathBeneath::new(program, AccessFs::ReadFile | AccessFs::Execute))?.restrict_self()?;
    Ok(())
}

fn allow(
    rules: RulesetCreated,
    place: impl AsRef<Path>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(place) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access).set_compatibility(CompatLevel::BestEffort)),
        // What a machine lacks needs no rule.
        Err(_) => Ok(rules),
    }
}

/// Installs the filters. This process must have given up new privileges.
pub(super) fn calls(trace: bool, transfers: bool, here: bool, rung: Rung) -> Result<(), String> {
    let watch = trace.then(|| filters::watching(transfers)).transpose()?;
    let forbid = if here { Vec::new() } else { filters::forbidding(rung)? };
    // From the first on, calls of this process are seen; the last forbids to install any.
    let mut all = watch.iter().chain(&forbid);
    all.try_for_each(|filter| filters::install(filter, 0).map(drop).map_err(filters::failed))
}
