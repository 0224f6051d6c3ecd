//! The harness itself is killed at random moments, and with it now and then its supervisors: nothing may be left a
//! second later.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use observe::{Observer, Rung};

use super::corpus::Corpus;
use super::{leftovers, letter};

/// First argument of a harness that is to be killed.
pub const VICTIM: &str = "--to-be-killed";
/// What is left after this long stays.
const PATIENCE: Duration = Duration::from_secs(20);
const THREADS: usize = 4;

/// What came of it.
#[derive(Default)]
pub struct Figures {
    pub left: Vec<String>,
    /// How long it took until nothing was left, sorted.
    pub times: Vec<Duration>,
}

/// Runs launches without end, until it is killed.
pub fn be_the_victim(arguments: &[String]) -> ! {
    let [rung, mark] = arguments else { std::process::exit(2) };
    let rung = super::RUNGS.into_iter().find(|r| *rung == letter(*r).to_string()).unwrap_or(Rung::F);
    let Ok(corpus) = Corpus::compile() else { std::process::exit(2) };
    let observer = Observer::new();
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let observer = &observer;
            scope.spawn(move || {
                for program in corpus.programs.iter().cycle().skip(first * corpus.programs.len() / THREADS) {
                    let _ = observer.run(&corpus.launch(program, rung, mark));
                }
            });
        }
    });
    std::process::exit(0)
}

/// Kills this many harnesses, on the rungs in turn; for as long as `allowed`, something may be left of one.
pub fn rounds(corpus: &Corpus, rungs: &[Rung], count: usize, allowed: Duration) -> Figures {
    let mut figures = Figures::default();
    let mut chance = Chance::new();
    for (n, rung) in rungs.iter().cycle().take(if rungs.is_empty() { 0 } else { count }).enumerate() {
        match one(*rung, &mut chance, n / rungs.len() % 2 == 1) {
            Ok((took, last)) => {
                if took > allowed {
                    figures.left.push(format!("rung {}: left for {took:?}: {last}", letter(*rung)));
                }
                figures.times.push(took);
            }
            Err(text) => figures.left.push(format!("rung {}: {text}", letter(*rung))),
        }
    }
    if std::fs::read_to_string(corpus.victim.join("keep")).ok().as_deref() != Some("kept") {
        figures.left.push("a link was followed: the victim's file is gone or changed".into());
    }
    figures.times.sort();
    figures
}

/// How long something was left, and what it was at last; or what is left for good.
fn one(rung: Rung, chance: &mut Chance, supervisors_too: bool) -> Result<(Duration, String), String> {
    let mark = leftovers::fresh_mark();
    let place = tempfile::Builder::new().prefix("hostile-kill-").tempdir().map_err(|e| e.to_string())?;
    let place = place.path();
    // Root's supervisors become another user, who must be able to work here.
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o1777);
    std::fs::set_permissions(place, open).map_err(|e| e.to_string())?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(VICTIM).arg(letter(rung).to_string()).arg(&mark);
    command.env(leftovers::MARK, &mark).env("TMPDIR", place).stdout(Stdio::null()).stderr(Stdio::null());
    let mut harness = command.spawn().map_err(|e| e.to_string())?;
    std::thread::sleep(Duration::from_micros(50_000 + chance.below(1_200_000)));
    let supervisors = if supervisors_too { supervisors(harness.id()) } else { Vec::new() };
    let _ = harness.kill();
    for pid in supervisors {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
    let _ = harness.wait();
    let killed = Instant::now();
    let mut last = Vec::new();
    let outcome = loop {
        let left = left(&mark, place);
        if left.is_empty() {
            break Ok((killed.elapsed(), last.join(", ")));
        }
        if killed.elapsed() > PATIENCE {
            break Err(left.join(", "));
        }
        last = left;
        std::thread::sleep(Duration::from_millis(2));
    };
    // With the directory goes the harness's own bait, which is no launch's.
    outcome
}

fn left(mark: &str, place: &Path) -> Vec<String> {
    let mut left = leftovers::processes(mark);
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"syslings-box-") {
            left.push(entry.path().display().to_string());
        }
    }
    left
}

/// The harness's children; or theirs, where those are only caretakers of control groups.
fn supervisors(harness: u32) -> Vec<i32> {
    let of = |child: i32| {
        let group = format!("/syslings-{child}/supervisor");
        let inside = |pid: &i32| {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            groups.lines().any(|line| line.ends_with(&group))
        };
        children(child.cast_unsigned()).into_iter().find(inside).unwrap_or(child)
    };
    children(harness).into_iter().map(of).collect()
}

fn children(pid: u32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lines = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    lines.flat_map(|l| l.split_ascii_whitespace().filter_map(|w| w.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Enough chance for choosing moments.
struct Chance(u64);

impl Chance {
    fn new() -> Chance {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Chance(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
