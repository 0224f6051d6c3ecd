//! What each command shows of itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{complains, fixture, json, prints, root, syslings};

#[test]
fn help_names_every_command_and_the_exit_statuses() {
    let text = prints(&mut syslings(&["--help"]), 0);
    let commands = [
        "tour", "list", "run", "watch", "hint", "reset", "demo", "grade", "merge", "bench", "claims", "trace", "why",
        "doctor",
    ];
    for word in commands.iter().chain(&["130"]) {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn list_has_every_exercise_with_its_state() {
    let listed = json(&mut syslings(&["list", "--json"]), 0);
    assert_eq!(listed["schema"], 1);
    let text = prints(&mut syslings(&["list"]), 0);
    let exercises = listed["exercises"].as_array().unwrap();
    assert!(exercises.len() >= 11);
    for exercise in exercises {
        assert!(text.contains(exercise["name"].as_str().unwrap()));
        let state = exercise["state"].as_str().unwrap();
        assert!(["not_begun", "in_progress", "passed", "changed_since", "missing"].contains(&state), "{state}");
        assert!(root().join("exercises").join(exercise["path"].as_str().unwrap()).exists());
    }
}

#[test]
fn a_list_is_narrowed_by_words_and_by_state() {
    let names = |arguments: &[&str]| -> Vec<String> {
        let listed = json(&mut syslings(&[&["list", "--json"], arguments].concat()), 0);
        let name = |exercise: &serde_json::Value| exercise["name"].as_str().unwrap().to_owned();
        listed["exercises"].as_array().unwrap().iter().map(name).collect()
    };
    let (all, fifos) = (names(&[]), names(&["Fifo"]));
    assert!(!fifos.is_empty() && fifos.len() < all.len());
    assert!(names(&["--state", "passed", "no exercise is called like this"]).is_empty());
    assert_eq!(names(&["--state", "passed"]).len() + names(&["--state", "open"]).len(), all.len());
}

#[test]
fn completions_and_the_manual_page_know_every_command() {
    let (shell, page) = (prints(&mut syslings(&["completions", "bash"]), 0), prints(&mut syslings(&["man"]), 0));
    for command in ["watch", "grade", "completions"] {
        assert!(shell.contains(command), "{command}");
        assert!(page.contains(&format!(".SH \"{}\"", command.to_uppercase())), "{command}");
    }
}

#[test]
fn hints_go_from_the_first_to_the_third() {
    let first = prints(&mut syslings(&["hint", "pipe_hello"]), 0);
    assert_eq!(first, prints(&mut syslings(&["hint", "pipes::hello", "1"]), 0));
    let third = prints(&mut syslings(&["hint", "pipe_hello", "3"]), 0);
    assert!(first.contains("hint pipe_hello 2") && third.contains("demo pipe_hello"));
}

#[test]
fn a_solution_passes() {
    let text = prints(&mut syslings(&["run", "pipe_hello", "--solution"]), 0);
    assert!(text.starts_with("pipe_hello passed"), "{text}");
}

#[test]
fn a_wrong_submission_is_explained_on_one_screen() {
    let file = fixture("wrong", "pipe_hello", "parent_keeps_write_end.rs");
    let text = prints(&mut syslings(&["run", "pipe_hello", "--file", &file]), 1);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("pipe_hello failed: "), "{text}");
    assert!(lines.len() <= 24 && text.contains("^^^"), "{text}");
    assert!(text.contains("hint pipe_hello") && text.contains("--replay "), "{text}");
    let replay = text.split("--replay ").nth(1).unwrap().split_whitespace().next().unwrap();
    let again = prints(&mut syslings(&["run", "pipe_hello", "--file", &file, "--replay", replay]), 1);
    assert!(again.starts_with("pipe_hello failed: "), "{again}");
    let whole = prints(&mut syslings(&["run", "pipe_hello", "--file", &file, "--verbose"]), 1);
    assert!(whole.lines().count() > lines.len());
}

/// What fails only under a schedule, or under an error of the kernel's, fails so again when it is replayed.
#[test]
fn a_failure_is_replayed_and_is_the_same() {
    let failures = [
        ("pipe_hello", "parent_keeps_write_end.rs"),
        ("copy_mmap", "short_write.rs"),
        ("copy_mmap", "write_interrupted.rs"),
        ("copy_mmap", "usage_on_stdout.rs"),
    ];
    for (exercise, name) in failures {
        let file = fixture("wrong", exercise, name);
        let text = prints(&mut syslings(&["run", exercise, "--file", &file]), 1);
        let replay = text.split("--replay ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let replay = replay.unwrap_or_else(|| panic!("{name} is not told how to replay it:\n{text}"));
        let again = prints(&mut syslings(&["run", exercise, "--file", &file, "--replay", replay]), 1);
        assert_eq!(text.lines().next(), again.lines().next(), "{name}: {text}\n{again}");
    }
}

#[test]
fn a_program_that_does_not_compile_gets_the_compilers_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.rs");
    std::fs::write(&file, "fn main() { let x: i32 = \"text\"; }").unwrap();
    let text = prints(&mut syslings(&["run", "pipe_hello", "--file", file.to_str().unwrap()]), 1);
    assert!(text.starts_with("pipe_hello does not compile"), "{text}");
    assert!(text.contains("error[E0308]: mismatched types"), "{text}");
}

#[test]
fn with_arguments_a_program_is_just_run() {
    let mut command = syslings(&["run", "pipe_hello", "--solution", "--", "two  words"]);
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"two  words\n");
    assert_eq!(output.status.code(), Some(0));
    let words = complains(&mut syslings(&["run", "pipe_hello", "--solution", "--"]), 0);
    assert!(words.contains("usage:") && words.contains("exit status 2"), "{words}");
}

#[test]
fn files_that_are_named_are_copied_into_the_box() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("words.txt");
    std::fs::write(&source, "some words").unwrap();
    let mut command = syslings(&["run", "copy_read_write", "--solution", "--"]);
    let words = complains(command.arg(&source).arg("copy.txt"), 0);
    assert!(words.contains("exit status 0") && words.contains("copy.txt (10 bytes) written"), "{words}");
    assert!(!words.contains("words.txt ("), "{words}");
    let namesake = dir.path().join("there/words.txt");
    std::fs::create_dir(dir.path().join("there")).unwrap();
    std::fs::write(&namesake, "others").unwrap();
    let mut command = syslings(&["run", "copy_read_write", "--solution", "--"]);
    assert!(complains(command.arg(&source).arg(&namesake), 2).contains("there/words.txt: another file of this name"));
    let huge = dir.path().join("huge");
    std::fs::File::create(&huge).unwrap().set_len(65 << 20).unwrap();
    let mut command = syslings(&["run", "map_read", "--solution", "--"]);
    assert!(complains(command.arg(&huge), 2).contains("more than 64 MiB"));
}

#[test]
fn a_demo_is_a_story_and_two_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let (svg, html) = (dir.path().join("demo.svg"), dir.path().join("demo.html"));
    let mut command = syslings(&["demo", "pipe_eof"]);
    let text = prints(command.arg("--svg").arg(&svg).arg("--html").arg(&html), 0);
    assert!(text.contains("pipe_eof") && text.contains("child"), "{text}");
    assert!(std::fs::read_to_string(svg).unwrap().contains("<svg"));
    assert!(std::fs::read_to_string(html).unwrap().to_lowercase().starts_with("<!doctype html>"));
}

#[test]
fn a_demo_shows_which_pages_fork_did_not_copy() {
    let text = prints(&mut syslings(&["demo", "cow_pages"]), 0);
    // The child wrote to the first 16 of the 64 pages that its parent had.
    let (forked, ended) = ("▣".repeat(64), format!("{}{}", "■".repeat(16), "▣".repeat(48)));
    assert!(text.contains(&forked) && text.contains(&ended), "{text}");
}

#[test]
fn a_demo_that_this_machine_cannot_show_is_said_to_be_skipped() {
    for exercise in ["mmio_console", "user_pager"] {
        let mut grading = syslings(&["grade", "--tree", "solutions", exercise, "--format", "json"]);
        let report: serde_json::Value = serde_json::from_slice(&grading.output().unwrap().stdout).unwrap();
        let checks = report["verdicts"][0]["checks"].as_array().unwrap();
        let skipped = checks.iter().filter(|check| check["id"] != "usage").all(|check| check["outcome"] == "skipped");
        let text = prints(&mut syslings(&["demo", exercise]), 0);
        assert_eq!(text.contains("1. Skipped: "), skipped, "{text}");
    }
}

#[test]
fn trace_shows_what_a_command_did_where_it_was_called() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trace.json");
    let mut command = syslings(&["trace", "--json"]);
    let text = prints(command.arg(&file).args(["--", "cat", "Cargo.toml"]), 0);
    assert!(text.contains("cat Cargo.toml") && text.contains("[workspace]"), "{text}");
    let seen: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(seen["events"].is_array());
}

#[test]
fn why_tells_a_hang_from_an_end() {
    let text = prints(&mut syslings(&["why", "--", "true"]), 0);
    assert!(text.contains("does not hang") && text.contains("status 0"), "{text}");
    let text = prints(&mut syslings(&["why", "--after", "0.5", "--", "sleep", "60"]), 0);
    assert!(text.contains("sleep"), "{text}");
}

#[test]
fn why_explains_a_process_that_runs() {
    let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let text = prints(&mut syslings(&["why", &other.id().to_string()]), 0);
    other.kill().unwrap();
    other.wait().unwrap();
    let called = text.matches(&format!("cat ({})", other.id())).count();
    assert!(called == 2 && text.contains("read"), "the summary and the process's own line name it alike: {text}");
}

#[test]
fn doctor_tries_everything_and_says_what_is_missing() {
    let found = json(&mut syslings(&["doctor", "--json"]), 0);
    assert_eq!(found["schema"], 1);
    assert!(found["rung"].is_string() && found["machine"]["cores"].is_number());
    let offers = found["offers"].as_array().unwrap();
    for id in [
        "ptrace",
        "seccomp",
        "user-namespaces",
        "landlock",
        "kvm",
        "userfaultfd",
        "frame-numbers",
        "huge-pages",
        "io-uring",
        "cachestat",
        "c-compiler",
    ] {
        let offer = offers.iter().find(|offer| offer["id"] == id).unwrap_or_else(|| panic!("no {id}"));
        assert!(offer["available"].is_boolean() && !offer["costs"].as_str().unwrap().is_empty());
    }
    assert!(prints(&mut syslings(&["doctor"]), 0).contains("rung"));
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let colored = |command: &mut Command| prints(command, 0).contains('\x1b');
    assert!(!colored(&mut syslings(&["list"])));
    assert!(colored(&mut syslings(&["--color", "always", "list"])));
    assert!(colored(syslings(&["list"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colored(syslings(&["--color", "never", "list"]).env("CLICOLOR_FORCE", "1")));
    assert!(!colored(syslings(&["list"]).env("NO_COLOR", "1")));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    for arguments in [&["list"][..], &["doctor"], &["demo", "pipe_eof"], &["hint", "pipe_hello"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output =
            syslings(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!words.contains("panicked"), "{arguments:?}: {words}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {words}");
    }
}
