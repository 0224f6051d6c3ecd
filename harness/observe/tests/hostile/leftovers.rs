//! An independent look at what launches leave: it asks /proc and the file systems, and knows nothing of boxes.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::corpus::BAIT;

/// The variable by which processes of a launch are recognised.
pub const MARK: &str = "HOSTILE_MARK";

/// Where control groups of version 2 are, alone or beside those of version 1.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A mark that no launch has had.
pub fn fresh_mark() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Processes whose environment bears this mark, described.
pub fn processes(mark: &str) -> Vec<String> {
    let living: Vec<Incarnation> = pids().into_iter().filter_map(Incarnation::of).collect();
    let bears = |process: &&Incarnation| process.mark().as_deref() == Some(mark);
    let described = |process: &Incarnation| {
        let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        format!("process {} ({})", process.pid, name.trim())
    };
    let found = living.iter().filter(bears).map(described).collect();
    marks().retain(|process, _| living.contains(process));
    found
}

/// A process from one exec to the next: as long as its environment is the one it was given.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Incarnation {
    pid: i32,
    /// Clock ticks since the machine was started.
    born: u64,
    /// The environment's address, another one in each exec.
    environment: u64,
}

/// Reading a process's environment makes it wait whenever it wants other memory, and the reader as well. Fifty launches
/// that all look at all others would measure that: one look is enough.
fn marks() -> MutexGuard<'static, HashMap<Incarnation, Option<String>>> {
    static MARKS: LazyLock<Mutex<HashMap<Incarnation, Option<String>>>> = LazyLock::new(Mutex::default);
    MARKS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Incarnation {
    fn of(pid: i32) -> Option<Incarnation> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and the state behind the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Incarnation { pid, born: field(22)?, environment: field(50)? })
    }

    fn mark(&self) -> Option<String> {
        let known = marks().get(self).cloned();
        known.unwrap_or_else(|| {
            // In the midst of an exec there is none yet.
            let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok().filter(|e| !e.is_empty())?;
            let mut variables = environment.split(|b| *b == 0);
            let mark = variables.find_map(|v| v.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="));
            let mark = mark.map(|mark| String::from_utf8_lossy(mark).into_owned());
            marks().insert(self.clone(), mark.clone());
            mark
        })
    }
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").map(|e| e.flatten().collect::<Vec<_>>()).unwrap_or_default();
    entries.iter().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
}

/// Whether another user could run this very executable and what it has compiled.
pub fn others_may_run_this() -> bool {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    place.ancestors().all(|p| p.metadata().is_ok_and(|m| m.mode() & 0o005 == 0o005))
}

/// What can be left on a machine.
pub struct Machine(BTreeSet<String>);

impl Machine {
    pub fn look() -> Machine {
        let mut things = BTreeSet::new();
        mounts(&mut things);
        hostile_processes(&mut things);
        for place in ["/dev/shm", "/dev/mqueue"] {
            names(Path::new(place), &mut things);
        }
        for kind in ["shm", "sem", "msg"] {
            let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
            // Key and id of each; the columns after them change with use.
            let rows =
                table.lines().skip(1).map(|row| row.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "));
            things.extend(rows.map(|row| format!("System V {kind} {row}")));
        }
        abstract_sockets(&mut things);
        scratch(&mut things);
        for place in CGROUPS {
            cgroups(Path::new(place), &mut things);
        }
        Machine(things)
    }

    /// What is there now and was not there then. Others use the machine too: what goes away soon was theirs.
    pub fn left_since(&self) -> Vec<String> {
        let mut left = Machine::look().0;
        for _ in 0..20 {
            left.retain(|thing| !self.0.contains(thing));
            if left.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            left = left.intersection(&Machine::look().0).cloned().collect();
        }
        left.into_iter().collect()
    }
}

fn mounts(things: &mut BTreeSet<String>) {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    things.extend(table.lines().map(|line| format!("mount {line}")));
}

/// Processes that run one of the hostile programs, whatever they have done to their environment.
fn hostile_processes(things: &mut BTreeSet<String>) {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    for pid in pids() {
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.starts_with(&place)) {
            things.insert(format!("process {pid}"));
        }
    }
}

fn names(place: &Path, things: &mut BTreeSet<String>) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        things.insert(format!("{}", entry.path().display()));
    }
}

/// Sockets that have a name but no file, other than baits, of this process and of others.
fn abstract_sockets(things: &mut BTreeSet<String>) {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7)?.strip_prefix('@'));
    things.extend(names.filter(|name| !name.starts_with(BAIT)).map(|name| format!("socket @{name}")));
}

/// Directories of launches, and FIFOs and sockets beside them.
fn scratch(things: &mut BTreeSet<String>) {
    let places = [std::env::temp_dir(), PathBuf::from("/dev/shm")];
    for entry in places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(b"syslings-box-");
        let special = entry.file_type().is_ok_and(|t| t.is_fifo() || t.is_socket());
        if ours || special {
            things.insert(format!("{}", entry.path().display()));
        }
    }
}

fn cgroups(top: &Path, things: &mut BTreeSet<String>) {
    let mut open: Vec<PathBuf> = Vec::new();
    if top.join("cgroup.procs").exists() {
        open.push(top.to_owned());
    }
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                let events = fs::read_to_string(entry.path().join("cgroup.events")).unwrap_or_default();
                if events.lines().any(|line| line == "populated 1") {
                    // Somebody lives there; if he should not, he is found as a process.
                    continue;
                }
                things.insert(format!("cgroup {}", entry.path().display()));
                open.push(entry.path());
            }
        }
    }
}
