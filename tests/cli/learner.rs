//! A learner's day, in a fresh copy of the suite.

use std::fs;
use std::path::Path;

use crate::program::{fresh_suite, in_directory, json, prints};

fn state(suite: &Path, exercise: &str) -> String {
    let listed = json(&mut in_directory(suite, &["list", "--json"]), 0);
    let exercises = listed["exercises"].as_array().unwrap();
    exercises.iter().find(|e| e["name"] == exercise).unwrap()["state"].as_str().unwrap().to_owned()
}

#[test]
fn an_exercise_goes_from_not_begun_to_passed_and_back() {
    let suite = fresh_suite();
    let path = suite.path();
    let stub = path.join("exercises/05_pipes/hello.rs");
    let handed_out = fs::read_to_string(&stub).unwrap();
    assert_eq!(state(path, "pipe_hello"), "not_begun");

    fs::write(&stub, format!("{handed_out}\n// begun\n")).unwrap();
    assert_eq!(state(path, "pipe_hello"), "in_progress");
    assert!(prints(&mut in_directory(path, &["run", "pipe_hello"]), 1).starts_with("pipe_hello failed"));

    fs::copy(path.join("solutions/05_pipes/hello.rs"), &stub).unwrap();
    // From another directory of the suite, by another of its names.
    let text = prints(&mut in_directory(&path.join("exercises"), &["run", "pipes::hello"]), 0);
    assert!(text.starts_with("pipe_hello passed"), "{text}");
    assert_eq!(state(path, "pipe_hello"), "passed");
    assert!(prints(&mut in_directory(path, &["list"]), 0).contains("1 of "));

    let passed = fs::read_to_string(&stub).unwrap();
    fs::write(&stub, format!("{passed}\n// changed\n")).unwrap();
    assert_eq!(state(path, "pipe_hello"), "changed_since");

    let text = prints(&mut in_directory(path, &["reset", "pipe_hello"]), 0);
    assert!(text.contains("hello.rs.orig"), "{text}");
    assert_eq!(fs::read_to_string(&stub).unwrap(), handed_out);
    assert!(fs::read_to_string(stub.with_extension("rs.orig")).unwrap().ends_with("// changed\n"));
    assert_eq!(state(path, "pipe_hello"), "not_begun");

    fs::write(&stub, "fn main() {}").unwrap();
    prints(&mut in_directory(path, &["reset", "pipe_hello"]), 0);
    assert_eq!(fs::read_to_string(stub.with_extension("rs.orig.2")).unwrap(), "fn main() {}");
    let text = prints(&mut in_directory(path, &["reset", "pipe_hello"]), 0);
    assert!(text.contains("nothing to do"), "{text}");
}

#[test]
fn one_exercise_that_does_not_compile_fails_alone() {
    let suite = fresh_suite();
    let path = suite.path();
    fs::write(path.join("exercises/05_pipes/hello.rs"), "fn main() { this is no Rust }").unwrap();
    fs::copy(path.join("solutions/03_mmap/private.rs"), path.join("exercises/03_mmap/private.rs")).unwrap();
    let report = json(&mut in_directory(path, &["grade", "--format", "json"]), 1);
    for verdict in report["verdicts"].as_array().unwrap() {
        let expected = match verdict["exercise"].as_str().unwrap() {
            "pipe_hello" => "compile_error",
            "map_private" => "passed",
            _ => "not_begun",
        };
        assert_eq!(verdict["outcome"], expected, "{verdict}");
    }
    let broken = report["verdicts"].as_array().unwrap().iter().find(|v| v["exercise"] == "pipe_hello").unwrap();
    assert!(broken["message"].as_str().unwrap().contains("error"), "{broken}");
}

#[test]
fn what_nobody_has_begun_is_not_held_against_anybody() {
    let suite = fresh_suite();
    let report = json(&mut in_directory(suite.path(), &["grade", "--format", "json"]), 0);
    assert!(report["verdicts"].as_array().unwrap().iter().all(|verdict| verdict["outcome"] == "not_begun"));
}

#[test]
fn a_program_to_mend_shows_its_fault_before_it_is_touched() {
    let suite = fresh_suite();
    let text = prints(&mut in_directory(suite.path(), &["run", "pipe_eof"]), 1);
    assert!(text.starts_with("pipe_eof failed"), "{text}");
    let text = prints(&mut in_directory(suite.path(), &["run", "pipe_hello"]), 0);
    assert!(text.starts_with("pipe_hello not begun"), "{text}");
}

#[test]
fn a_stub_that_is_gone_is_named_and_can_be_brought_back() {
    let suite = fresh_suite();
    let stub = suite.path().join("exercises/05_pipes/hello.rs");
    fs::remove_file(&stub).unwrap();
    assert_eq!(state(suite.path(), "pipe_hello"), "missing");
    let words = crate::program::complains(&mut in_directory(suite.path(), &["run", "pipe_hello"]), 2);
    assert!(words.contains("hello.rs"), "{words}");
    prints(&mut in_directory(suite.path(), &["reset", "pipe_hello"]), 0);
    assert!(stub.exists());
}
