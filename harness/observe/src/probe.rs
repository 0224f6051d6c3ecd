//! What the ladder of containment looks like on this machine, found out by climbing it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observation::{Ending, Exit, Observation, Tracing};
use crate::observer::{ARGUMENT, ONLY_TRY, Observer};
use crate::plan::{Launch, Rung};
use crate::supervisor::cgroups;
use crate::supervisor::confine::Landlock;
use crate::supervisor::root::KVM;

/// One rung, tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RungReport {
    /// Which.
    pub rung: Rung,
    /// A launch on it succeeded.
    pub available: bool,
    /// What it contains, or why it is not to be had.
    pub why: String,
    /// What it is made of: the layer, whether it holds here, and what it keeps in (or what that it does not hold
    /// lets through).
    pub layers: Vec<(String, bool, String)>,
}

/// Tries every rung with a program that does nothing, best rung first.
pub fn probe() -> Vec<RungReport> {
    let observer = Observer::new();
    [Rung::F, Rung::K, Rung::L].into_iter().map(|rung| report(rung, trial(&observer, rung))).collect()
}

/// Why no launch that asks for `/dev/kvm` can open it, as an error number: what this user is told, or whom root becomes
/// for it, an ordinary user in the device's group.
pub fn kvm_refusal() -> Option<i32> {
    let device = match File::options().read(true).write(true).open(KVM) {
        Ok(device) => device.metadata().ok()?,
        Err(error) => return error.raw_os_error(),
    };
    let in_group = device.mode() & 0o060 == 0o060 && device.gid() != 0;
    let may = !nix::unistd::geteuid().is_root() || in_group || device.mode() & 0o006 == 0o006;
    (!may).then_some(libc::EACCES)
}

/// This very executable, told to do nothing, in a box.
fn trial(observer: &Observer, rung: Rung) -> Result<Observation, String> {
    let mut launch = Launch::new("/proc/self/exe");
    launch.args = vec![ARGUMENT.into(), ONLY_TRY.into()];
    launch.rung = Some(rung);
    launch.watch.sources = false;
    launch.deadline = Duration::from_secs(5);
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    match seen.ending {
        Ending::Ended(Exit::Code(0)) => Ok(seen),
        other => Err(format!("a program that does nothing came to this end in it: {other:?}")),
    }
}

fn report(rung: Rung, trial: Result<Observation, String>) -> RungReport {
    let landlock = Landlock::of_this_kernel();
    let unguarded = rung != Rung::F && !landlock.files();
    let (available, why) = match &trial {
        Ok(_) if unguarded => {
            (false, "the kernel has no Landlock: only if asked for by name, for programs that are trusted".to_owned())
        }
        Ok(_) => (true, held(rung).to_owned()),
        Err(why) => (false, why.clone()),
    };
    RungReport { rung, available, why, layers: layers(rung, landlock, trial.as_ref()) }
}

fn held(rung: Rung) -> &'static str {
    match rung {
        Rung::F => {
            "nothing of the machine is seen or reached but its system files, read-only; everything ends with the box"
        }
        Rung::K => {
            "the machine's processes are seen, its system files can be read; what the program starts is traced and ends with its tracer"
        }
        Rung::L => {
            "as K, but without a tracer: what the program starts is killed by its guardian, and little of it is seen"
        }
    }
}

fn layers(rung: Rung, landlock: Landlock, trial: Result<&Observation, &String>) -> Vec<(String, bool, String)> {
    let made = trial.is_ok();
    let version = landlock.version();
    let boxed = rung == Rung::F;
    let tracing = match trial.map(|seen| &seen.tracing) {
        Ok(Tracing::On) => Ok("processes end with their tracer, and every limit met is seen".to_owned()),
        Ok(Tracing::NotPermitted(why)) => Err(why.clone()),
        Ok(Tracing::NotAsked) => Err("not asked for".to_owned()),
        Err(why) => Err(why.clone()),
    };
    let group = trial.ok().and_then(|seen| cgroups::of_a_box(&cgroups::own(&seen.stdout.text())?));
    let kept = group.as_ref().and_then(|group| group.parent()).map(cgroups::controllers).unwrap_or_default();
    let layer = |name: &str, holds: bool, text: &str| (name.to_owned(), holds, text.to_owned());
    vec![
        layer("user namespace", boxed && made, "processes are limited by number for each launch"),
        layer("PID namespace", boxed && made, "process numbers are the same in every run; nothing outlives the box"),
        layer("mount namespace", boxed && made, "a root of its own; /proc, /tmp and /dev/shm are fresh"),
        layer("IPC namespace", boxed && made, "System V objects and message queues end with the box"),
        layer("network namespace", boxed && made, "no network, and no abstract sockets of others"),
        layer("Landlock files", made && landlock.files(), &format!("interface version {version}, 1 needed")),
        layer("Landlock TCP", made && landlock.tcp(), &format!("interface version {version}, 4 needed")),
        layer("Landlock scope", made && landlock.scope(), &scope(version, boxed)),
        layer("seccomp", made, "calls that no exercise needs fail with EPERM"),
        layer("ptrace", tracing.is_ok(), &tracing.unwrap_or_else(|why| why)),
        layer("resource limits", made, "address space, descriptors, file length, processor time; no core files"),
        layer(
            "memory watch",
            made,
            "all processes together, looked at many times a second; page cache and socket buffers do not count",
        ),
        layer(
            "control group",
            group.is_some(),
            "the kernel kills all of a launch at one word; needs a cgroup of version 2 that this user may make others in",
        ),
        layer(
            "control group's memory",
            kept.iter().any(|name| name == "memory"),
            "the kernel keeps memory of every kind within the limit; needs the memory controller in such a cgroup",
        ),
        layer(
            "control group's processes",
            kept.iter().any(|name| name == "pids"),
            "the kernel keeps the number of processes within the limit; needs the pids controller in such a cgroup",
        ),
    ]
}

fn scope(version: i64, boxed: bool) -> String {
    let without = if boxed {
        "not needed: the namespaces do the same"
    } else {
        "without it, only the harness itself is kept from signals, by number"
    };
    format!("interface version {version}, 6 needed; {without}")
}
