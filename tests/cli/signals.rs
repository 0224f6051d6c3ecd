//! Ctrl-C and SIGTERM: an end within a second, status 130, and nothing left.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{fixture, fresh_suite, in_directory, root, syslings};

/// Longer than the program may take to end.
const SOON: Duration = Duration::from_millis(1500);

/// Starts it as the leader of a session of its own, with its temporary files in a directory of their own.
fn start(mut command: Command, temporary: &Path) -> Child {
    command.env("TMPDIR", temporary).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: setsid is a system call and allocates nothing.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into)) };
    command.spawn().unwrap()
}

/// Processes of this session, and those whose executable was compiled for a grading and has this name.
fn left_over(session: u32, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((before, after)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = after.split_whitespace().collect();
        let dead = fields.first().is_some_and(|state| ["Z", "X"].contains(state));
        let ours = fields.get(3).is_some_and(|id| *id == session.to_string());
        let named = before.split_once('(').is_some_and(|(_, command)| command == name);
        if !dead && (ours || named) {
            found.push(stat.clone());
        }
    }
    found
}

fn must_end(mut child: Child, signal: Signal, temporary: &Path, name: &str) {
    let session = child.id();
    kill(Pid::from_raw(session.cast_signed()), signal).unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if began.elapsed() > SOON => {
                child.kill().unwrap();
                panic!("it did not end within {SOON:?}");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    assert_eq!(status.code(), Some(130));
    let patience = Instant::now();
    while !left_over(session, name).is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(1), "left: {:?}", left_over(session, name));
        std::thread::sleep(Duration::from_millis(20));
    }
    let files: Vec<_> = fs::read_dir(temporary).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(files.is_empty(), "left: {files:?}");
}

/// A program that hangs in a way that nothing proves, so that only the deadline would end it.
fn hanging(dir: &Path) -> String {
    let path = dir.join("hanging.rs");
    fs::write(&path, "fn main() { loop { std::hint::spin_loop(); } }").unwrap();
    path.to_str().unwrap().to_owned()
}

fn interrupted_after(command: Command, patience: Duration, signal: Signal, name: &str) {
    let temporary = tempfile::tempdir().unwrap();
    let child = start(command, temporary.path());
    std::thread::sleep(patience);
    must_end(child, signal, temporary.path(), name);
}

#[test]
fn a_grading_under_way_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = hanging(dir.path());
    let run = || syslings(&["run", "fifo_hello", "--file", &file]);
    interrupted_after(run(), Duration::from_millis(1500), Signal::SIGINT, "fifo_hello");
    interrupted_after(run(), Duration::from_millis(1000), Signal::SIGTERM, "fifo_hello");
}

#[test]
fn a_class_under_way_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let file = hanging(dir.path());
    for name in ["ann", "bob", "eve"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::copy(&file, dir.path().join(name).join("shared_anon.rs")).unwrap();
    }
    let command = syslings(&["grade", "--submissions", dir.path().to_str().unwrap()]);
    interrupted_after(command, Duration::from_millis(1500), Signal::SIGINT, "shared_anon");
}

#[test]
fn a_comparison_under_way_is_given_up() {
    let command = syslings(&["bench", "scan", "--size", "64M", "--budget", "30"]);
    interrupted_after(command, Duration::from_millis(1500), Signal::SIGINT, "no program");
}

#[test]
fn a_tour_under_way_is_given_up() {
    let reports = tempfile::tempdir().unwrap();
    for milliseconds in [300, 6000] {
        let mut command = syslings(&["tour", "--quick", "--output"]);
        command.arg(reports.path());
        interrupted_after(command, Duration::from_millis(milliseconds), Signal::SIGINT, "no program");
    }
}

#[test]
fn a_trace_and_a_why_under_way_are_given_up() {
    interrupted_after(
        syslings(&["trace", "--", "sleep", "77.1"]),
        Duration::from_millis(700),
        Signal::SIGINT,
        "no program",
    );
    let why = syslings(&["why", "--after", "60", "--", "sleep", "77.2"]);
    interrupted_after(why, Duration::from_millis(700), Signal::SIGTERM, "no program");
}

#[test]
fn a_watch_without_a_terminal_ends_at_a_signal() {
    let suite = fresh_suite();
    fs::copy(
        root().join(fixture("wrong", "pipe_eof", "child_keeps_write_end.rs")),
        suite.path().join("exercises/05_pipes/eof.rs"),
    )
    .or_else(|_| {
        fs::copy(suite.path().join("solutions/05_pipes/eof.rs"), suite.path().join("exercises/05_pipes/eof.rs"))
    })
    .unwrap();
    let command = in_directory(suite.path(), &["watch", "pipe_eof"]);
    interrupted_after(command, Duration::from_millis(800), Signal::SIGTERM, "no program");
}
