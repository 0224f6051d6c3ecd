//! The harness killed with SIGKILL in the middle of a grading run: within a second nothing is left of what it has
//! compiled and run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{binary, root, syslings};

/// What is there after this long is left. A busy machine is late with everything, so the short form allows more.
const PROMISED: Duration = Duration::from_secs(1);
const ON_A_BUSY_MACHINE: Duration = Duration::from_secs(10);
/// What is still there after this long stays.
const PATIENCE: Duration = Duration::from_secs(20);
/// A run is killed at some moment of its first two seconds: it compiles, and it launches.
const MOMENTS: u64 = 2_000_000;

/// A class, and a build directory of its own: whatever has to do with either is this test's.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::Builder::new().prefix("killed-").tempdir().unwrap() };
        // Root's programs run as another user.
        for (path, mode) in [(place.path(), 0o755), (&place.at("tmp"), 0o1777), (&place.at("target/grade"), 0o755)] {
            fs::create_dir_all(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        // The libraries are not built anew: where they are is noted beside the programs.
        let built = binary().parent().and_then(Path::parent).unwrap().join("grade");
        syslings(&["grade", "pipe_hello", "--tree", "solutions"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        for entry in fs::read_dir(built).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), place.at("target/grade").join(entry.file_name())).unwrap();
        }
        place
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Answers that were never compiled before: right ones, hostile ones, and one on which the compiler works for long.
    fn hand_in(&self, round: u64) -> PathBuf {
        let class = self.at("class");
        let _ = fs::remove_dir_all(&class);
        let hostile = ["fork_bomb_sessions", "daemon", "memory_touched", "deep_directory", "names_left", "deaf"];
        let long = "fixtures/submissions/cheats/pipe_hello/computes_without_end.rs";
        let mut answers: Vec<String> = hostile.iter().map(|name| format!("fixtures/hostile/{name}.rs")).collect();
        answers.extend(["solutions/05_pipes/hello.rs".to_owned(), long.to_owned()]);
        for (n, answer) in answers.iter().enumerate() {
            let home = class.join(format!("student-{n}"));
            fs::create_dir_all(&home).unwrap();
            let text = fs::read_to_string(root().join(answer)).unwrap();
            fs::write(home.join("pipe_hello.rs"), format!("{text}\n// {round}\n")).unwrap();
        }
        class
    }

    /// Processes that run, or make, something of this place's; the harness's own are known by their environment.
    fn processes(&self) -> Vec<String> {
        let mark = self.path().as_os_str().as_encoded_bytes();
        let bears = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let runs = fs::read_link(path.join("exe")).is_ok_and(|exe| bears(exe.as_os_str().as_encoded_bytes()));
            let knows = fs::read(path.join("environ")).is_ok_and(|environment| bears(&environment));
            if runs || knows {
                let words = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
                found.push(format!("{}: {}", path.display(), words.replace('\0', " ")));
            }
        }
        found
    }

    /// Working directories, FIFOs and sockets of launches, and what the compilers were about to make.
    fn names(&self) -> Vec<String> {
        let names = |place: &str| fs::read_dir(self.at(place)).into_iter().flatten().flatten();
        let drafts = names("target/grade/programs").filter(|e| e.file_name().as_encoded_bytes().starts_with(b"."));
        names("tmp").chain(drafts).map(|entry| entry.path().display().to_string()).collect()
    }
}

/// What a launch could leave on the machine itself. Working directories of others' launches are not looked at.
fn machine() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: BTreeSet<String> = mounts.lines().map(str::to_owned).collect();
    for place in ["/dev/shm", "/dev/mqueue"] {
        let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path().display().to_string());
        found.extend(names.filter(|name| !name.contains("syslings-box-")));
    }
    for kind in ["shm", "sem", "msg"] {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        let keys = table.lines().skip(1).map(|row| row.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
        found.extend(keys.map(|key| format!("System V {kind} {key}")));
    }
    found
}

/// Control groups of these supervisors.
fn groups(supervisors: &[i32]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let pid = name.strip_prefix("syslings-").and_then(|pid| pid.parse().ok());
                found.extend(pid.filter(|pid| supervisors.contains(pid)).map(|_| entry.path().display().to_string()));
                open.push(entry.path());
            }
        }
    }
    found
}

fn children(pid: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Kills a grading run on each of these rungs so often; how long the slowest was in leaving nothing.
fn kill_gradings(rungs: &[&str], times: u64, allowed: Duration) -> Duration {
    let place = Place::new();
    let before = machine();
    let mut slowest = Duration::ZERO;
    for round in 0..times {
        let rung = rungs[round as usize % rungs.len()];
        let class = place.hand_in(round);
        let mut command = syslings(&["grade", "--rung", rung, "--jobs", "4", "--submissions", class.to_str().unwrap()]);
        command.env("CARGO_TARGET_DIR", place.at("target")).env("TMPDIR", place.at("tmp"));
        let mut harness = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Spread evenly, in no order.
        let moment = Duration::from_micros(20_000 + (round * 618_034 + 271_828) % MOMENTS);
        std::thread::sleep(moment);
        let supervisors = children(harness.id());
        assert!(harness.try_wait().unwrap().is_none(), "it came to its end before it was killed");
        harness.kill().unwrap();
        harness.wait().unwrap();
        let killed = Instant::now();
        let took = loop {
            let mut left = [place.processes(), place.names(), groups(&supervisors)].concat();
            let elapsed = killed.elapsed();
            if left.is_empty() {
                break elapsed;
            }
            left.truncate(20);
            assert!(elapsed < PATIENCE, "rung {rung}, killed after {moment:?}: left for good: {left:#?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert!(took < allowed, "rung {rung}, killed after {moment:?}: something was left for {took:?}");
        slowest = slowest.max(took);
    }
    // Others use the machine too: what goes away is theirs.
    let began = Instant::now();
    let mut left: Vec<String> = machine().difference(&before).cloned().collect();
    while !left.is_empty() {
        assert!(began.elapsed() < PATIENCE, "left: {left:#?}");
        std::thread::sleep(Duration::from_millis(50));
        left.retain(|thing| machine().contains(thing));
    }
    slowest
}

#[test]
fn a_killed_grading_leaves_nothing() {
    kill_gradings(&["f", "k", "l"], 6, ON_A_BUSY_MACHINE);
}

#[test]
#[ignore = "the long form: minutes"]
fn a_grading_killed_a_hundred_times_leaves_nothing() {
    let slowest = kill_gradings(&["f", "k", "l"], 100, PROMISED);
    println!("a grading killed 100 times, on rungs F, K and L: nothing left after at most {slowest:?}");
}
