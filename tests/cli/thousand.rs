//! A class of a thousand: how grading scales, what it holds in memory, what a hostile submission costs the others.
//!
//! `cargo run --release -- dev prove class`; `SYSLINGS_SUBMISSIONS` makes it fewer, and the machine should have nothing
//! else to do.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{binary, prints, root, syslings};

/// What a grading takes: how long it goes on, and how much memory its harness holds at most, early and in all.
#[derive(Debug)]
struct Cost {
    wall: Duration,
    early_kib: u64,
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

/// Grades on these processors, with nothing compiled before.
fn grade(class: &Path, processors: &str, jobs: &str) -> Cost {
    let target = tempfile::tempdir().unwrap();
    let grading = |directory: &Path| {
        let mut command = Command::new("taskset");
        command.args(["-c", processors]).arg(binary()).args(["grade", "--jobs", jobs, "--output"]);
        command.arg(target.path().join("report.json")).args(["--format", "json", "--submissions"]).arg(directory);
        command.current_dir(root()).env("CARGO_TARGET_DIR", target.path()).stderr(Stdio::null());
        command
    };
    // The libraries are no part of it.
    let one = self::class(1);
    grading(one.path()).status().unwrap();
    let began = Instant::now();
    let mut child = grading(class).spawn().unwrap();
    let mut cost = Cost { wall: Duration::ZERO, early_kib: 0, peak_kib: 0 };
    let journal = target.path().join("report.json.journal");
    let tenth = entries(class) / 10;
    while child.try_wait().unwrap().is_none() {
        cost.peak_kib = peak_kib(&child).max(cost.peak_kib);
        if cost.early_kib == 0 && lines(&journal) >= tenth {
            cost.early_kib = cost.peak_kib;
        }
        thread::sleep(Duration::from_millis(200));
    }
    cost.wall = began.elapsed();
    cost
}

fn entries(class: &Path) -> usize {
    fs::read_dir(class).unwrap().map(|person| fs::read_dir(person.unwrap().path()).unwrap().count()).sum()
}

fn lines(path: &Path) -> usize {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut text));
    read.map_or(0, |_| text.iter().filter(|byte| **byte == b'\n').count())
}

fn peak_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    field.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[test]
#[ignore = "takes half an hour, and a machine to itself"]
fn a_thousand_submissions_are_graded_twice_as_fast_on_two_processors_in_the_same_memory() {
    let class = class(submissions());
    let one = grade(class.path(), "0", "1");
    let two = grade(class.path(), "0,1", "2");
    let ratio = one.wall.as_secs_f64() / two.wall.as_secs_f64();
    println!("{} submissions: {one:?} on one processor, {two:?} on two: {ratio:.2} times as fast", submissions());
    assert!(ratio >= 1.8);
    // A verdict is some kilobytes, and kept for the report.
    let allowed = 8 * 1024 + 16 * submissions() as u64;
    assert!(two.peak_kib < two.early_kib + allowed && one.peak_kib < one.early_kib + allowed);
}
