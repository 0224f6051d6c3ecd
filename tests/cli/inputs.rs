//! Bad input: named, with the reason, and exit status 2.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::program::{complains, in_directory, syslings};

/// Each command line, and what must be said of it.
#[test]
fn each_mistake_of_the_command_line_is_named() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["run"], "EXERCISE"),
        (&["run", "pipe_helo"], "pipe_hello"),
        (&["run", "xyzzy"], "list"),
        (&["run", "pipe_hello", "--file", "nowhere.rs"], "nowhere.rs"),
        (&["run", "pipe_hello", "--file", "exercises"], "directory"),
        (&["run", "pipe_hello", "--file", "Cargo.toml"], ".rs"),
        (&["run", "pipe_hello", "--solution", "--replay", "zero"], "zero"),
        (&["run", "pipe_hello", "--solution", "--file", "x.rs"], "--solution"),
        (&["hint", "pipe_hello", "4"], "4"),
        (&["hint", "pipe_hello", "0"], "0"),
        (&["hint", "pipe_helo"], "pipe_hello"),
        (&["reset", "pipe_helo"], "pipe_hello"),
        (&["demo", "pipe_helo"], "pipe_hello"),
        (&["demo", "pipe_eof", "--svg", "/nowhere/at/all.svg"], "/nowhere/at/all.svg"),
        (&["watch", "pipe_helo"], "pipe_hello"),
        (&["dev", "prove", "mutant"], "mutants"),
        (&["grade", "pipe_helo"], "pipe_hello"),
        (&["grade", "--file", "pipe_hello"], "EXERCISE=F.rs"),
        (&["grade", "--file", "=x.rs"], "EXERCISE=F.rs"),
        (&["grade", "--file", "pipe_hello=nowhere.rs"], "nowhere.rs"),
        (&["grade", "--shard", "0/0"], "K/N"),
        (&["grade", "--shard", "3/2"], "K/N"),
        (&["grade", "--jobs", "0"], "0"),
        (&["grade", "--seed", "many"], "many"),
        (&["grade", "--format", "yaml"], "yaml"),
        (&["grade", "--tree", "forest"], "forest"),
        (&["grade", "--submissions", "nowhere"], "nowhere"),
        (&["grade", "--output", "/nowhere/report.json"], "/nowhere"),
        (&["grade", "--output", "exercises"], "directory"),
        (&["merge"], "JSON"),
        (&["merge", "nowhere.json"], "nowhere.json"),
        (&["merge", "Cargo.toml"], "Cargo.toml"),
        (&["bench", "frobnicate"], "frobnicate"),
        (&["bench", "--file", "nowhere"], "nowhere"),
        (&["bench", "--file", "exercises"], "directory"),
        (&["bench", "--file", "/proc/self/status"], "proc"),
        (&["bench", "--size", "0"], "0"),
        (&["bench", "--size", "12X"], "X"),
        (&["bench", "--cache", "tepid"], "tepid"),
        (&["bench", "--budget", "-1"], "-1"),
        (&["bench", "--strategies", "telepathy"], "telepathy"),
        (&["bench", "--json", "/nowhere/a.json"], "/nowhere"),
        (&["bench", "--mine", "mine"], "NAME=COMMAND"),
        (&["bench", "--compare", "nowhere.json", "nowhere.json"], "nowhere.json"),
        (&["bench", "--compare", "one.json"], "compare"),
        (&["tour", "--file", "nowhere"], "nowhere"),
        (&["tour", "--file", "exercises"], "directory"),
        (&["tour", "--output", "/proc/nowhere"], "/proc/nowhere"),
        (&["claims", "--json", "/nowhere/claims.json"], "/nowhere"),
        (&["trace"], "COMMAND"),
        (&["trace", "--", "no-such-program-anywhere"], "no-such-program-anywhere"),
        (&["why"], "PID"),
        (&["why", "0"], "0"),
        (&["why", "999999999"], "999999999"),
        (&["why", "--after", "0", "--", "true"], "0"),
        (&["list", "--suite", "/"], "suite"),
        (&["--color", "sometimes", "list"], "sometimes"),
    ];
    for (arguments, word) in cases {
        let words = complains(&mut syslings(arguments), 2);
        assert!(words.contains(word), "{arguments:?} says: {words}");
    }
}

#[test]
fn an_empty_and_an_unreadable_file_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (empty, locked) = (dir.path().join("empty.rs"), dir.path().join("locked.rs"));
    fs::write(&empty, "").unwrap();
    fs::write(&locked, "fn main() {}").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let about =
        |path: &std::path::Path| complains(&mut syslings(&["run", "pipe_hello", "--file", path.to_str().unwrap()]), 2);
    assert!(about(&empty).contains("empty"));
    // Root may read everything.
    if !nix::unistd::geteuid().is_root() {
        assert!(about(&locked).contains("may not be read"));
    }
    let words = complains(&mut syslings(&["tour", "--file", empty.to_str().unwrap()]), 2);
    assert!(words.contains("empty"), "{words}");
}

#[test]
fn a_class_without_submissions_and_one_with_strays_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let words = complains(
        &mut in_directory(crate::program::root(), &["grade", "--submissions", dir.path().to_str().unwrap()]),
        2,
    );
    assert!(words.contains("no submission"), "{words}");
    fs::write(dir.path().join("notes.txt"), "x").unwrap();
    fs::create_dir(dir.path().join("ann")).unwrap();
    fs::write(dir.path().join("ann/pipe_helo.rs"), "fn main() {}").unwrap();
    fs::write(dir.path().join("ann/essay.pdf"), "x").unwrap();
    std::os::unix::fs::symlink(
        crate::program::root().join("solutions/05_pipes/hello.rs"),
        dir.path().join("ann/pipe_hello.rs"),
    )
    .unwrap();
    let words = complains(&mut syslings(&["grade", "--submissions", dir.path().to_str().unwrap()]), 2);
    for stray in ["notes.txt", "pipe_helo.rs", "essay.pdf", "pipe_hello.rs"] {
        assert!(words.contains(stray), "{stray}: {words}");
    }
}
