//! Control groups of version 2, where this user may make some: the kernel then keeps memory and processes of a launch
//! within their limits, and kills all of it at one word.
//!
//! ```text
//! …/syslings-PID/             a supervisor's own, made and removed by its caretaker
//! …/syslings-PID/supervisor   the supervisor and the guardians
//! …/syslings-PID/box          the program of the launch under way, and what it starts
//! ```
//!
//! What nobody may do as he likes is done without: each launch has its other limits, and is swept up by other means.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::{AccessFlags, Gid, Pid, Uid, access};

use crate::plan::Limits;

const PREFIX: &str = "syslings-";
const SUPERVISOR: &str = "supervisor";
const BOX: &str = "box";
/// Controllers that keep a launch within its limits.
pub(crate) const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// The C library's constant has not room for its bit.
const CLONE_INTO_CGROUP: u64 = 1 << 33;
/// Another supervisor may take a group that nobody is in yet for one that was left.
const TRIES: usize = 5;
/// What was killed and is not gone after this long waits in the kernel for something that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The groups of one supervisor.
pub(super) struct Site(PathBuf);

/// The group of its launches.
pub(super) struct Group {
    path: PathBuf,
    directory: OwnedFd,
    killed: Cell<bool>,
}

/// What the kernel has counted so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Processes killed because there was no more memory for them.
    killed: u64,
    /// Forks refused.
    refused: u64,
}

impl Site {
    /// Makes the groups in the nearest place where that is permitted, for this user's supervisor. Those of supervisors
    /// that are no more are removed on the way.
    pub(super) fn make(owner: (Uid, Gid)) -> Option<(Site, Group)> {
        let place = place()?;
        sweep(&place);
        (0..TRIES).find_map(|_| Site::make_in(&place, owner).ok())
    }

    fn make_in(place: &Path, (uid, gid): (Uid, Gid)) -> io::Result<(Site, Group)> {
        let top = place.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&top)?;
        let site = Site(top);
        let made = site.furnish(uid, gid);
        if made.is_err() {
            site.remove();
        }
        made.map(|group| (site, group))
    }

    fn furnish(&self, uid: Uid, gid: Gid) -> io::Result<Group> {
        for name in CONTROLLERS {
            // A machine may have the one and not the other.
            let _ = fs::write(self.0.join("cgroup.subtree_control"), format!("+{name}"));
        }
        let group = Group::new(self.0.join(BOX))?;
        fs::create_dir(self.0.join(SUPERVISOR))?;
        // Who moves a process needs the right to do so in the groups above both places.
        let mut given = vec![self.0.clone(), self.0.join("cgroup.procs"), group.path.clone()];
        given.extend(Group::FILES.map(|name| group.path.join(name)));
        for file in given.iter().filter(|file| file.exists()) {
            chown(file, Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        Ok(group)
    }

    /// Forks the supervisor into its group: returns in the child, and in the parent once the supervisor has ended
    /// and nothing is left of it, with its status.
    pub(super) fn look_after(self) -> io::Result<Option<i32>> {
        let directory = open(&self.0.join(SUPERVISOR))?;
        let pid = match fork_into(&directory) {
            Ok(0) => return Ok(None),
            Ok(pid) => pid,
            Err(error) => {
                self.remove();
                return Err(error);
            }
        };
        // The supervisor's socket must end with it.
        // SAFETY: closes descriptors that nothing in this process uses any more.
        unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
        let status = loop {
            match waitpid(Pid::from_raw(pid), None) {
                Err(nix::Error::EINTR) => {}
                Ok(nix::sys::wait::WaitStatus::Exited(_, code)) => break code,
                _ => break 1,
            }
        };
        self.remove();
        Ok(Some(status))
    }

    /// Kills what is still in the box, and removes the groups once the guardians have ended too.
    fn remove(&self) {
        let begin = Instant::now();
        while !remove(&self.0) && begin.elapsed() < PATIENCE {
            let _ = fs::write(self.0.join(BOX).join("cgroup.kill"), "1");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// True once the groups are gone.
fn remove(top: &Path) -> bool {
    let _ = fs::remove_dir(top.join(BOX));
    let _ = fs::remove_dir(top.join(SUPERVISOR));
    fs::remove_dir(top).is_ok() || !top.exists()
}

/// Removes the groups of supervisors whose caretaker was killed with them.
fn sweep(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        if ours && count(&entry.path().join("cgroup.events"), "populated") == Some(0) {
            remove(&entry.path());
        }
    }
}

impl Group {
    /// What a supervisor writes to.
    const FILES: [&str; 6] =
        ["cgroup.procs", "cgroup.kill", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max"];

    fn new(path: PathBuf) -> io::Result<Group> {
        fs::create_dir(&path)?;
        let directory = open(&path)?;
        Ok(Group { path, directory, killed: Cell::new(false) })
    }

    /// Makes it fit for another launch: Linux 6.13 and later kill at birth what is forked into a group that was killed.
    pub(super) fn renewed(self) -> Option<Group> {
        if !self.killed.get() {
            return Some(self);
        }
        fs::remove_dir(&self.path).ok()?;
        Group::new(self.path).ok()
    }

    /// Sets the limits of a launch, of those controllers that there are.
    pub(super) fn begin(&self, limits: &Limits) -> Counts {
        let put = |name: &str, value: u64| fs::write(self.path.join(name), value.to_string());
        let _ = put("memory.max", limits.memory);
        let _ = put("memory.swap.max", 0);
        let _ = put("memory.oom.group", 1);
        // With room for the one too many that shows the limit to be passed.
        let _ = put("pids.max", limits.processes + 1);
        self.counts()
    }

    fn counts(&self) -> Counts {
        let of = |file: &str, key: &str| count(&self.path.join(file), key).unwrap_or(0);
        Counts { killed: of("memory.events", "oom_kill"), refused: of("pids.events", "max") }
    }

    /// A process was killed since then because there was no more memory for it.
    pub(super) fn out_of_memory(&self, before: Counts) -> bool {
        self.counts().killed > before.killed
    }

    /// A fork was refused since then.
    pub(super) fn full(&self, before: Counts) -> bool {
        self.counts().refused > before.refused
    }

    /// Kills everything in it, whatever it does meanwhile (from Linux 5.14).
    pub(super) fn kill(&self) {
        self.killed.set(true);
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }

    /// Forks a process into it, or beside it where that is not permitted after all. As `fork`.
    pub(super) fn fork(&self) -> io::Result<i32> {
        fork_into(&self.directory)
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(path)?.into())
}

/// `fork` with another group for the child: moving it there later would wait for the kernel, 10 ms and more.
fn fork_into(group: &OwnedFd) -> io::Result<i32> {
    // SAFETY: all zeros is a valid clone_args.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = group.as_raw_fd() as u64;
    // SAFETY: without CLONE_VM and with a null stack this is fork(2): the child goes on with a copy of everything. The
    // caller has one thread, so no lock is held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &arguments, size_of_val(&arguments)) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// The nearest group around this process in which this user may make others: one whose children have the controllers
/// if there is one, else any.
fn place() -> Option<PathBuf> {
    let top = mount()?;
    let own = own(&fs::read_to_string("/proc/self/cgroup").ok()?)?;
    let around = || own.ancestors().map(|group| top.join(group)).take_while(|path| path.starts_with(&top));
    let writable = |path: &PathBuf| {
        let mut needed = [path.clone(), path.join("cgroup.procs")].into_iter();
        needed.all(|file| access(&file, AccessFlags::W_OK).is_ok())
    };
    around().find(|path| writable(path) && equipped(path)).or_else(|| around().find(writable))
}

/// The group's children have the controllers, or can be given them. A service manager's groups are its own to change.
fn equipped(path: &Path) -> bool {
    let control = path.join("cgroup.subtree_control");
    let managed = Path::new("/run/systemd/system").exists();
    CONTROLLERS.iter().all(|name| {
        controllers(path).iter().any(|there| there == name)
            || !managed && fs::write(&control, format!("+{name}")).is_ok()
    })
}

/// Controllers of the group's children.
pub(crate) fn controllers(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The group of version 2 that a `/proc/PID/cgroup` names, below the top.
pub(crate) fn own(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // Outside this process's cgroup namespace nothing can be named.
    (!path.starts_with("..")).then(|| PathBuf::from(path))
}

/// Whether a group is that of a supervisor's launches; its directory.
pub(crate) fn of_a_box(group: &Path) -> Option<PathBuf> {
    let site = group.parent().filter(|_| group.file_name() == Some(OsStr::new(BOX)))?;
    let ours = site.file_name()?.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    ours.then_some(mount()?.join(group))
}

/// Where the hierarchy of version 2 is mounted as a whole.
fn mount() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    table.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (system.starts_with("cgroup2 ") && root == "/").then(|| PathBuf::from(point))
    })
}

/// The number after a word in one of the kernel's small tables.
fn count(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few machines lend their controllers: what is written and read is tried on files of the same names.
    #[test]
    fn limits_are_set_and_events_counted_from_the_beginning_of_a_launch() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(BOX);
        let group = Group::new(path.clone()).unwrap();
        fs::write(path.join("memory.events"), "low 0\nhigh 0\nmax 9\noom 9\noom_kill 2\noom_group_kill 1\n").unwrap();
        fs::write(path.join("pids.events"), "max 5\n").unwrap();
        let before = group.begin(&Limits { memory: 64 << 20, processes: 10, ..Limits::default() });
        let set = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        assert_eq!((set("memory.max"), set("memory.swap.max")), ((64 << 20).to_string(), "0".into()));
        assert_eq!((set("memory.oom.group"), set("pids.max")), ("1".into(), "11".into()));
        assert!(!group.out_of_memory(before) && !group.full(before));
        fs::write(path.join("memory.events"), "low 0\nhigh 0\nmax 12\noom 10\noom_kill 3\noom_group_kill 2\n").unwrap();
        assert!(group.out_of_memory(before) && !group.full(before));
        fs::write(path.join("pids.events"), "max 6\n").unwrap();
        assert!(group.full(before));
    }

    #[test]
    fn a_group_that_was_killed_is_made_anew_or_given_up() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(BOX);
        let group = Group::new(path.clone()).unwrap().renewed().expect("nobody was killed in it");
        group.kill();
        assert_eq!(fs::read_to_string(path.join("cgroup.kill")).unwrap(), "1");
        // As the kernel does it: its own files are not in the way.
        fs::remove_file(path.join("cgroup.kill")).unwrap();
        let group = group.renewed().expect("it can be made anew");
        group.kill();
        // Somebody is in it still.
        assert!(group.renewed().is_none());
    }

    #[test]
    fn the_group_of_version_2_is_read_off_both_kinds_of_machine() {
        assert_eq!(own("0::/user.slice/a\n"), Some("user.slice/a".into()));
        assert_eq!(own("4:memory:/b\n1:cpu:/\n0::/\n"), Some("".into()));
        assert_eq!(own("0::/../c\n"), None);
        assert_eq!(own("4:memory:/b\n"), None);
    }
}
