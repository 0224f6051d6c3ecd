//! The compiler's box. A source is a program for the compiler too: it can name files to take in (`include!`, `.incbin`,
//! `#include`), compute without end in a constant, and grow without bound in a macro. So the compiler may read the
//! system's files, the libraries and this one source, write in one directory, and use so much of the machine.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::lifeline;
use crate::GradeError;
use crate::weigh::visible;

/// Processor time of one process; a program of this suite takes 0.15 s.
const CPU_SECONDS: u64 = 15;
/// Address space of one process; rustc takes less than a fifth of it.
const MEMORY: u64 = 4 << 30;
/// Length of a file that it writes.
const FILE: u64 = 64 << 20;
/// Only for what waits without computing: a busy machine may make 15 s of processor time that long.
const DEADLINE: Duration = Duration::from_secs(300);
/// Bytes of its message that are kept.
const MESSAGE: usize = 64 << 10;

/// The newest rights that are asked for; an older kernel enforces those that it knows.
const RIGHTS: ABI = ABI::V6;
/// Where systems keep compilers, linkers and libraries.
const SYSTEM: [&str; 14] = [
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/include",
    "/usr/local",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix",
    "/opt",
    "/etc/ld.so.cache",
];

/// What the compiler may reach.
pub(super) struct Reach<'a> {
    /// The suite, which it may not: no directory that holds it is open.
    pub suite: &'a Path,
    /// Files and directories to read, and programs to run.
    pub read: Vec<PathBuf>,
    /// Directories of which only the names may be read.
    pub list: Vec<PathBuf>,
    /// The directory to write in.
    pub write: &'a Path,
}

/// Runs a compiler in its box: its own message if it refuses the program, a sentence if it came to no end.
pub(super) fn run(mut command: Command, name: &str, reach: &Reach) -> Result<(), GradeError> {
    let broken = |e: &dyn std::fmt::Display| GradeError::Toolchain(format!("{name} cannot be run: {e}"));
    let rules = rules(reach).map_err(|e| broken(&e))?;
    bare_environment(&mut command, reach.write);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let _lifeline = lifeline::tie(&mut command).map_err(|e| broken(&e))?;
    // SAFETY: between fork and exec the closure makes system calls alone; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || confine(rules.as_ref())) };
    let mut child = command.spawn().map_err(|e| broken(&e))?;
    let (message, in_time) = watch(&mut child);
    let status = child.wait().map_err(|e| broken(&e))?;
    if status.success() {
        return Ok(());
    }
    Err(refusal(status, in_time, &message, name))
}

fn refusal(status: ExitStatus, in_time: bool, message: &str, name: &str) -> GradeError {
    let limits = format!(
        "{CPU_SECONDS} s of processor time, {} GiB of memory and {} MiB for the executable are what a program may take to compile",
        MEMORY >> 30,
        FILE >> 20
    );
    if !in_time {
        return GradeError::Compile(format!("error: {name} came to no end on this program\n{message}"));
    }
    match status.signal().map(Signal::try_from) {
        None if message.contains("Permission denied (os error 13)") => {
            GradeError::Compile(format!("{message}\nnote: an answer is one file: its compiler can read no other\n"))
        }
        None => GradeError::Compile(message.into()),
        // From outside: a person, or the kernel in need of memory.
        Some(Ok(Signal::SIGKILL | Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)) => {
            GradeError::Toolchain(format!("{name} was ended by a signal ({status})\n{message}"))
        }
        Some(signal) => {
            let signal = signal.map_or("a signal", Signal::as_str);
            GradeError::Compile(format!("error: {name} was ended by {signal} on this program: {limits}\n{message}"))
        }
    }
}

/// Its message, as much as is kept, and whether it ended in time. It has ended when nobody holds its standard error.
fn watch(child: &mut Child) -> (String, bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut kept = Vec::new();
    let mut in_time = true;
    if let Some(mut stderr) = child.stderr.take() {
        in_time = read_until(&mut stderr, deadline, &mut kept);
        if !in_time {
            // Gone already is as good as killed; its id is not given anew before it is waited for.
            let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
        }
    }
    (visible(&String::from_utf8_lossy(&kept)), in_time)
}

fn read_until(stderr: &mut ChildStderr, deadline: Instant, kept: &mut Vec<u8>) -> bool {
    let mut piece = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return false,
            Err(nix::errno::Errno::EINTR) => continue,
            _ => {}
        }
        match stderr.read(&mut piece) {
            Ok(0) => return true,
            Ok(n) => kept.extend(&piece[..n.min(MESSAGE.saturating_sub(kept.len()))]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// `env!` reads what the compiler has been given: what finds programs, and nothing else.
fn bare_environment(command: &mut Command, temporary: &Path) {
    let names = ["PATH", "HOME", "CPATH", "LIBRARY_PATH"];
    let kept = |name: &str| names.contains(&name) || name.starts_with("RUSTUP") || name.starts_with("NIX_");
    let kept: Vec<_> = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)).collect();
    command.env_clear().envs(kept).env("TMPDIR", temporary).env("LANG", "C.UTF-8");
}

/// None where the kernel has no Landlock.
fn rules(reach: &Reach) -> Result<Option<OwnedFd>, RulesetError> {
    let read = AccessFs::from_read(RIGHTS);
    let all = AccessFs::from_all(RIGHTS);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(RIGHTS))?
        .create()?;
    let system = SYSTEM.iter().map(Path::new).filter(|place| !reach.suite.starts_with(place));
    for place in system.chain(reach.read.iter().map(PathBuf::as_path)) {
        rules = allow(rules, place, read)?;
    }
    for place in &reach.list {
        rules = allow(rules, place, AccessFs::ReadDir.into())?;
    }
    rules = allow(rules, Path::new("/dev/null"), all)?;
    Ok(allow(rules, reach.write, all)?.into())
}

fn allow(rules: RulesetCreated, place: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(place) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access).set_compatibility(CompatLevel::BestEffort)),
        // What a machine lacks needs no rule.
        Err(_) => Ok(rules),
    }
}

/// In the child, just before it becomes the compiler.
fn confine(rules: Option<&OwnedFd>) -> io::Result<()> {
    for (resource, most) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_AS, MEMORY),
        (Resource::RLIMIT_FSIZE, FILE),
    ] {
        // The hard limit stays: at the soft one of processor time comes SIGXCPU, which says why.
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, most.min(hard), hard)?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    let Some(rules) = rules else { return Ok(()) };
    // SAFETY: the call takes two numbers.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
