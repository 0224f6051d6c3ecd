//! `grade --submissions` where not everybody means well.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{json, prints, root, syslings};

/// One answer to `pipe_hello` for each name.
fn class(answers: &[(&OsStr, &Path)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, from) in answers {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::copy(from, dir.path().join(name).join("pipe_hello.rs")).unwrap();
    }
    dir
}

fn grade(class: &TempDir, format: &str, status: i32) -> String {
    prints(&mut syslings(&["grade", "--submissions", class.path().to_str().unwrap(), "--format", format]), status)
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    report["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["submission"].as_str().unwrap(), v["outcome"].as_str().unwrap()))
        .collect()
}

#[test]
fn hostile_submissions_change_nobody_elses_verdict() {
    let right = root().join("solutions/05_pipes/hello.rs");
    let hostile = ["fork_bomb", "kills_everybody", "flood_stdout", "meddles_with_its_harness", "terminal_escapes"];
    let paths = hostile.map(|name| root().join("fixtures/hostile").join(name).with_extension("rs"));
    let mut answers: Vec<(&OsStr, &Path)> =
        hostile.iter().zip(&paths).map(|(name, path)| (OsStr::new(*name), path.as_path())).collect();
    let good = ["ann", "good", "kim", "moe", "zoe"];
    answers.extend(good.map(|name| (OsStr::new(name), right.as_path())));
    let class = class(&answers);
    let report =
        json(&mut syslings(&["grade", "--submissions", class.path().to_str().unwrap(), "--format", "json"]), 1);
    assert_eq!(outcomes(&report).len(), answers.len());
    for (submission, outcome) in outcomes(&report) {
        let is_good = good.iter().any(|name| submission.starts_with(name));
        assert_eq!(outcome, if is_good { "passed" } else { "failed" }, "{submission}");
    }
}

#[test]
fn names_and_output_of_submitters_forge_no_report() {
    let cheat = root().join("fixtures/submissions/cheats/pipe_hello/says_it_passed.rs");
    let names: [&[u8]; 4] =
        [b"eve\nann  pipe_hello  passed", b"\x1b[2J", b"]]><testcase name=\"x\">&<b>", b"latin-\xe9"];
    let class = class(&names.map(|name| (OsStr::from_bytes(name), cheat.as_path())));
    let text = grade(&class, "text", 1);
    assert!(!text.lines().any(|line| line.starts_with("ann")), "{text}");
    assert!(text.contains("4 failed."), "{text}");
    let junit = grade(&class, "junit", 1);
    let document = roxmltree::Document::parse(&junit).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), names.len());
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("failure")).count(), names.len());
    for format in ["text", "json", "junit", "gradescope"] {
        let report = grade(&class, format, 1);
        // JSON can hold a control character in disguise, for its reader to print.
        assert!(!report.contains('\x1b') && !report.contains("\\u001b"), "{format}: {report}");
    }
}

#[test]
fn what_is_no_file_of_the_submitters_own_is_not_graded() {
    let right = root().join("solutions/05_pipes/hello.rs");
    let class = class(&[(OsStr::new("ann"), right.as_path())]);
    let at = |name: &str| class.path().join(name);
    for name in ["bob", "kim", "moe"] {
        fs::create_dir(at(name)).unwrap();
    }
    std::os::unix::fs::symlink(&right, at("bob/pipe_hello.rs")).unwrap();
    std::os::unix::fs::symlink(at("ann"), at("eve")).unwrap();
    nix::unistd::mkfifo(&at("kim/pipe_hello.rs"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::File::create(at("moe/pipe_hello.rs")).unwrap().set_len(1 << 40).unwrap();
    let report =
        json(&mut syslings(&["grade", "--submissions", class.path().to_str().unwrap(), "--format", "json"]), 1);
    assert_eq!(outcomes(&report), [("ann/pipe_hello.rs", "passed"), ("moe/pipe_hello.rs", "compile_error")]);
}
