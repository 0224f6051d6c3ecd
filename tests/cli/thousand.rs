//! A class of a thousand: how grading scales, and what it holds in memory.
//!
//! `cargo run --release -- dev prove class`; `SYSLINGS_SUBMISSIONS` makes it fewer, and the machine should have nothing
//! else to do. Two processors are often two halves of one, or share what is below them: what they reach with two compilers
//! that know nothing of one another is more than any grading can, and is measured beside it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use tempfile::TempDir;

use crate::program::{binary, prints, root, syslings};

/// Submissions of a small class.
const FEW: usize = 200;
/// Of each submission it is known whose it is, where its verdict lies on disk and what line it makes; the verdict itself
/// takes more than twice as much, in whatever form.
const ALLOWED_BYTES: u64 = 2560;

/// What a verdict is made of, all that was seen of one program, with what that takes on its way.
const ALLOWED_WORKER_KIB: u64 = 128 << 10;

/// The class is graded in so many parts, each on one processor and on two before the next: a machine that others share
/// changes its pace within the minutes that a whole class takes. Not in more of them, since at the end of each one of two
/// processors has nothing to do while the other grades the last program.
const PARTS: usize = 4;

/// What a grading's harness holds: commonly (the median of many looks), in the second tenth and in the last; and at most,
/// in the first half and in all. The second half are the programs of the first once more: what one of them takes is as
/// much early as late.
#[derive(Debug)]
struct Memory {
    early_kib: u64,
    late_kib: u64,
    early_peak_kib: u64,
    peak_kib: u64,
}

fn submissions() -> usize {
    std::env::var("SYSLINGS_SUBMISSIONS").map_or(1000, |number| number.parse().unwrap())
}

fn class(submissions: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let number = submissions.to_string();
    prints(&mut syslings(&["dev", "class", dir.path().to_str().unwrap(), "--submissions", &number]), 0);
    dir
}

/// A class and then, as other people with sources of their own, the same once more.
fn class_twice(submissions: usize) -> TempDir {
    let dir = class(submissions);
    let persons: Vec<PathBuf> = fs::read_dir(dir.path()).unwrap().map(|person| person.unwrap().path()).collect();
    for person in persons {
        let again = dir.path().join(person.file_name().unwrap().to_str().unwrap().replace("person", "person-again"));
        fs::create_dir(&again).unwrap();
        for program in fs::read_dir(&person).unwrap().map(|program| program.unwrap()) {
            let text = fs::read_to_string(program.path()).unwrap() + "// again\n";
            fs::write(again.join(program.file_name()), text).unwrap();
        }
    }
    dir
}

/// Gradings on some processors, with as many workers, whose programs nobody has compiled before.
struct Grader {
    target: TempDir,
    processors: &'static str,
    jobs: &'static str,
}

impl Grader {
    /// With the libraries compiled, which are no part of what is measured.
    fn new(processors: &'static str, jobs: &'static str) -> Self {
        let grader = Self { target: tempfile::tempdir().unwrap(), processors, jobs };
        grader.grading(class(1).path(), &[]).status().unwrap();
        grader
    }

    fn journal(&self) -> PathBuf {
        self.target.path().join("report.json.journal")
    }

    fn grading(&self, class: &Path, options: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", self.processors]).arg(binary()).args(["grade", "--jobs", self.jobs, "--output"]);
        command.arg(self.target.path().join("report.json")).args(["--format", "json"]).args(options);
        command.arg("--submissions").arg(class);
        command.current_dir(root()).env("CARGO_TARGET_DIR", self.target.path()).stderr(Stdio::null());
        command
    }

    fn wall_of(&self, class: &Path, part: usize) -> f64 {
        let began = Instant::now();
        let status = self.grading(class, &["--shard", &format!("{part}/{PARTS}")]).status().unwrap();
        assert!(matches!(status.code(), Some(0 | 1)), "every program is graded, right or wrong");
        began.elapsed().as_secs_f64()
    }

    fn memory_of(&self, class: &Path) -> Memory {
        let mut child = self.grading(class, &[]).spawn().unwrap();
        let entries = entries(class);
        let mut by_tenth: [Vec<u64>; 11] = Default::default();
        let (mut early_peak_kib, mut peak_kib) = (0, 0);
        while child.try_wait().unwrap().is_none() {
            peak_kib = memory_kib(&child, "VmHWM:").max(peak_kib);
            let tenth = lines(&self.journal()) * 10 / entries;
            if tenth < 5 {
                early_peak_kib = peak_kib;
            }
            by_tenth[tenth].push(memory_kib(&child, "VmRSS:"));
            thread::sleep(Duration::from_millis(200));
        }
        let [early_kib, late_kib] = [1, 9].map(|tenth| median(&mut by_tenth[tenth]));
        Memory { early_kib, late_kib, early_peak_kib, peak_kib }
    }
}

fn median(figures: &mut [u64]) -> u64 {
    figures.sort_unstable();
    figures[figures.len() / 2]
}

fn entries(class: &Path) -> usize {
    fs::read_dir(class).unwrap().map(|person| fs::read_dir(person.unwrap().path()).unwrap().count()).sum()
}

fn lines(path: &Path) -> usize {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    read.map_or(0, |_| text.iter().filter(|byte| **byte == b'\n').count())
}

fn memory_kib(child: &Child, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix(field));
    field.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// How much faster two processors compile than one: what the machine itself allows.
fn ceiling() -> f64 {
    const PROGRAMS: u32 = 20;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("program.rs");
    fs::write(&source, "fn main() { println!(\"{:?}\", std::env::args().collect::<Vec<String>>()); }").unwrap();
    let compile = |processor: &str| {
        let one = format!("rustc -C debuginfo=line-tables-only -o {processor} program.rs");
        let script = format!("for n in $(seq {PROGRAMS}); do {one} || exit 1; done");
        let mut command = Command::new("taskset");
        command.args(["-c", processor, "sh", "-c", &script]).current_dir(dir.path());
        command.spawn().unwrap()
    };
    let time = |processors: &[&str]| {
        let began = Instant::now();
        let children: Vec<Child> = processors.iter().map(|processor| compile(processor)).collect();
        assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
        began.elapsed().as_secs_f64()
    };
    // One before and one after: a machine that changes its pace is no better for it.
    let first = time(&["0"]);
    let both = time(&["0", "1"]);
    (first + time(&["0"])) / both
}

/// What is no program is graded without a launch: whatever grows here, grows with the class.
fn strangers(submissions: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..submissions {
        let person = dir.path().join(format!("person-{number:04}"));
        fs::create_dir(&person).unwrap();
        fs::write(person.join("pipe_hello.rs"), b"\xff").unwrap();
    }
    dir
}

/// The most memory that a grading has held while its report was read, a page at a time, to the end.
fn peak_of(class: &Path, format: &str) -> u64 {
    let arguments = ["grade", "--jobs", "2", "--format", format, "--submissions", class.to_str().unwrap()];
    let mut child = syslings(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut report = child.stdout.take().unwrap();
    fcntl(&report, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let (mut peak, mut page) = (0, [0; 4096]);
    while report.read(&mut page).unwrap() > 0 {
        peak = memory_kib(&child, "VmHWM:").max(peak);
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    peak
}

#[test]
fn ten_times_the_class_is_graded_in_the_same_memory() {
    let (few, many) = (strangers(FEW), strangers(10 * FEW));
    for format in ["json", "junit", "gradescope", "text"] {
        let [before, after] = [&few, &many].map(|class| peak_of(class.path(), format));
        println!("{format}: {before} KiB for {FEW} submissions, {after} KiB for ten times as many");
        assert!(after < before + 9 * FEW as u64 * ALLOWED_BYTES / 1024, "{format}: {before} KiB, then {after} KiB");
    }
}

#[test]
#[ignore = "takes a quarter of an hour, and a machine to itself"]
fn a_thousand_submissions_are_graded_twice_as_fast_on_two_processors() {
    let class = class(submissions());
    let (one, two) = (Grader::new("0", "1"), Grader::new("0,1", "2"));
    let walls: Vec<[f64; 2]> = (1..=PARTS)
        .map(|part| {
            // Each is the first one in half of the parts.
            let walls = if part % 2 == 1 {
                [&one, &two].map(|grader| grader.wall_of(class.path(), part))
            } else {
                let [two, one] = [&two, &one].map(|grader| grader.wall_of(class.path(), part));
                [one, two]
            };
            println!("part {part}: {:.1} s on one processor, {:.1} s on two", walls[0], walls[1]);
            walls
        })
        .collect();
    let [one, two] = [0, 1].map(|which| walls.iter().map(|wall| wall[which]).sum::<f64>());
    let ratio = one / two;
    println!("{} submissions: {one:.1} s on one processor, {two:.1} s on two: {ratio:.2} times as fast", submissions());
    println!("two compilers side by side on this machine: {:.2} times one after the other", ceiling());
    assert!(ratio >= 1.8);
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn a_thousand_submissions_are_graded_to_the_last_in_the_memory_of_the_first() {
    let class = class_twice(submissions() / 2);
    let graders = [Grader::new("0", "1"), Grader::new("0,1", "2")];
    let memories = thread::scope(|scope| {
        let watched = graders.each_ref().map(|grader| scope.spawn(|| grader.memory_of(class.path())));
        watched.map(|watched| watched.join().unwrap())
    });
    // What differs from one observation to the next is some megabytes.
    let allowed = 8 * 1024 + submissions() as u64 * ALLOWED_BYTES / 1024;
    for (workers, memory) in (1..).zip(memories) {
        println!("{} submissions, {workers} at once: {memory:?}", submissions());
        assert!(memory.late_kib < memory.early_kib + allowed);
        assert!(memory.peak_kib < memory.early_peak_kib + allowed);
        assert!(memory.peak_kib < workers * ALLOWED_WORKER_KIB);
    }
}
