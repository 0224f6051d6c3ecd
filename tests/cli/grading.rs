//! `grade` and `merge`: the contract's JSON, the other forms, classes and shards.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{complains, fixture, json, prints, root, syslings};

/// A small class: one right, one wrong, one that does not compile.
fn class() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let hand_in = |name: &str, exercise: &str, from: &Path| {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        fs::copy(from, dir.path().join(name).join(format!("{exercise}.rs"))).unwrap();
    };
    let broken = dir.path().join("broken");
    fs::write(&broken, "fn main() { this is no Rust }").unwrap();
    hand_in("ann", "pipe_hello", &root().join("solutions/05_pipes/hello.rs"));
    hand_in("ann", "map_private", &root().join("solutions/03_mmap/private.rs"));
    hand_in("bob", "pipe_hello", &root().join(fixture("wrong", "pipe_hello", "no_newline.rs")));
    hand_in("eve", "pipe_hello", &broken);
    fs::remove_file(broken).unwrap();
    dir
}

#[test]
fn json_is_as_the_contract_says() {
    let file = format!("pipe_hello={}", fixture("wrong", "pipe_hello", "no_newline.rs"));
    let report = json(&mut syslings(&["grade", "--file", &file, "--format", "json"]), 1);
    assert_eq!(report["schema"], 1);
    assert!(report["suite"].is_string() && report["machine"]["kernel"].is_string());
    let verdict = &report["verdicts"][0];
    assert_eq!(verdict["exercise"], "pipe_hello");
    assert_eq!(verdict["submission"], fixture("wrong", "pipe_hello", "no_newline.rs"));
    assert_eq!(verdict["outcome"], "failed");
    for number in ["runs", "wall_ms", "cpu_ms"] {
        assert!(verdict[number].is_u64(), "{number}");
    }
    assert!(verdict["partial"].is_boolean());
    let outcomes = ["passed", "failed", "skipped", "not_reached"];
    for check in verdict["checks"].as_array().unwrap() {
        assert!(check["id"].is_string() && check["title"].is_string() && check["message"].is_string());
        assert!(outcomes.contains(&check["outcome"].as_str().unwrap()));
        assert!(check["evidence"].is_array());
        assert_eq!(check["outcome"] == "failed", check["reason"].is_string());
        assert!(check["source"].is_null() || check["source"]["line"].is_u64());
    }
    let failed = verdict["checks"].as_array().unwrap().iter().find(|check| check["outcome"] == "failed").unwrap();
    assert_eq!(failed["reason"], "wrong_output");
    assert!(failed["plan"]["name"].is_string() && failed["plan"]["replay"].is_string());
}

/// Without namespaces no program gets a ring: io_uring's requests pass no filter.
#[test]
fn what_the_box_does_not_offer_is_skipped_with_the_cause() {
    let solution = ["grade", "uring_copy", "--tree", "solutions", "--rung", "K", "--format", "json"];
    let report = json(&mut syslings(&solution), 0);
    let verdict = &report["verdicts"][0];
    assert_eq!(verdict["partial"], true);
    for check in verdict["checks"].as_array().unwrap() {
        if check["id"] == "usage" {
            assert_eq!(check["outcome"], "passed");
        } else {
            assert_eq!(check["outcome"], "skipped", "{check}");
            assert!(check["message"].as_str().unwrap().contains("io_uring"), "{check}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_inputs_again() {
    let file = format!("pipe_hello={}", fixture("wrong", "pipe_hello", "no_newline.rs"));
    let message = |seed: &str| {
        let report = json(&mut syslings(&["grade", "--file", &file, "--format", "json", "--seed", seed]), 1);
        report["verdicts"][0]["checks"].as_array().unwrap().iter().find(|c| c["outcome"] == "failed").unwrap()["message"].clone()
    };
    assert_eq!(message("7"), message("7"));
    assert_ne!(message("7"), message("8"));
}

#[test]
fn named_solutions_pass_and_the_report_goes_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    let mut command =
        syslings(&["grade", "map_private", "pipe_hello", "--tree", "solutions", "--format", "json", "--output"]);
    assert_eq!(prints(command.arg(&path), 0), "");
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let names: Vec<&str> =
        report["verdicts"].as_array().unwrap().iter().map(|v| v["exercise"].as_str().unwrap()).collect();
    assert_eq!(names, ["map_private", "pipe_hello"]);
    assert_eq!(report["verdicts"][0]["submission"], "solutions");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the report");
}

#[test]
fn a_class_is_graded_by_submitter_and_by_exercise() {
    let class = class();
    let text = prints(&mut syslings(&["grade", "--submissions", class.path().to_str().unwrap()]), 1);
    assert!(text.contains("by submitter") && text.contains("by exercise"), "{text}");
    assert!(text.contains("2 passed, 1 failed, 1 does not compile"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ann") && line.contains("2 of 2")), "{text}");
}

#[test]
fn a_file_that_is_no_program_is_its_authors_fault() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ann")).unwrap();
    fs::write(dir.path().join("ann/pipe_hello.rs"), "").unwrap();
    fs::write(dir.path().join("ann/pipe_eof.rs"), b"fn main() {} // \xe9").unwrap();
    let directory = dir.path().to_str().unwrap();
    let report = json(&mut syslings(&["grade", "--submissions", directory, "--format", "json"]), 1);
    for verdict in report["verdicts"].as_array().unwrap() {
        assert_eq!(verdict["outcome"], "compile_error", "{verdict}");
    }
}

#[test]
fn a_program_that_nothing_can_start_is_its_authors_fault_in_every_box() {
    let file = format!("pipe_hello={}", fixture("cheats", "pipe_hello", "names_its_own_loader.rs"));
    for rung in ["F", "K", "L"] {
        let report = json(&mut syslings(&["grade", "--file", &file, "--rung", rung, "--format", "json"]), 1);
        let verdict = &report["verdicts"][0];
        assert_eq!(verdict["outcome"], "compile_error", "{rung}: {verdict}");
        let message = verdict["message"].as_str().unwrap();
        assert!(message.contains("interpreter (section .interp) is `/nowhere/ld-linux.so`: No such file"), "{message}");
    }
}

#[test]
fn shards_are_joined_to_the_whole() {
    let class = class();
    let dir = tempfile::tempdir().unwrap();
    let directory = class.path().to_str().unwrap();
    let grade = |shard: &str, name: &str| {
        let path = dir.path().join(name);
        let mut command =
            syslings(&["grade", "--submissions", directory, "--format", "json", "--shard", shard, "--output"]);
        let status = command.arg(&path).output().unwrap().status.code().unwrap();
        assert!(status <= 1, "{status}");
        path
    };
    let (a, b) = (grade("1/2", "a.json"), grade("2/2", "b.json"));
    let read = |path: &Path| -> BTreeSet<String> {
        let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        report["verdicts"].as_array().unwrap().iter().map(|v| format!("{} {}", v["submission"], v["outcome"])).collect()
    };
    assert!(read(&a).is_disjoint(&read(&b)));
    let mut merge = syslings(&["merge"]);
    let joined = json(merge.arg(&b).arg(&a).arg(&a), 1);
    let verdicts = joined["verdicts"].as_array().unwrap();
    let submissions: Vec<&str> = verdicts.iter().map(|v| v["submission"].as_str().unwrap()).collect();
    assert_eq!(submissions, ["ann/map_private.rs", "ann/pipe_hello.rs", "bob/pipe_hello.rs", "eve/pipe_hello.rs"]);
}

#[test]
fn reports_that_disagree_are_not_joined() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a.json"), dir.path().join("b.json"));
    let mut report = json(&mut syslings(&["grade", "map_private", "--tree", "solutions", "--format", "json"]), 0);
    fs::write(&a, report.to_string()).unwrap();
    report["verdicts"][0]["outcome"] = "failed".into();
    fs::write(&b, report.to_string()).unwrap();
    let words = complains(syslings(&["merge"]).arg(&a).arg(&b), 2);
    assert!(words.contains("b.json") && words.contains("map_private"), "{words}");
    report["schema"] = 2.into();
    fs::write(&b, report.to_string()).unwrap();
    assert!(complains(syslings(&["merge"]).arg(&b), 2).contains("schema 2"));
}

/// What junit-10.xsd, the schema of Jenkins' xUnit plugin, lets each element have: attributes, of which those with a mark
/// must be there, and elements within.
const JUNIT: [(&str, &str, &str); 7] = [
    ("testsuites", "name time tests failures errors", "testsuite"),
    (
        "testsuite",
        "name! tests! failures! errors! group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    ("testcase", "name! time classname group", "skipped error failure system-out system-err"),
    ("failure", "type message", ""),
    ("error", "type message", ""),
    ("skipped", "type message", ""),
    ("system-out", "", ""),
];

fn must_be_junit(node: roxmltree::Node) {
    let name = node.tag_name().name();
    let (_, attributes, within) = JUNIT.iter().find(|(element, ..)| *element == name).expect(name);
    for attribute in node.attributes() {
        let allowed = attributes.split(' ').any(|one| one.trim_end_matches('!') == attribute.name());
        assert!(allowed, "{name} has {}", attribute.name());
    }
    for required in attributes.split(' ').filter_map(|one| one.strip_suffix('!')) {
        assert!(node.has_attribute(required), "{name} lacks {required}");
    }
    for child in node.children().filter(roxmltree::Node::is_element) {
        assert!(within.split(' ').any(|one| one == child.tag_name().name()), "{name} holds {child:?}");
        must_be_junit(child);
    }
}

#[test]
fn junit_is_as_its_schema_says_with_a_case_for_each_exercise() {
    let class = class();
    let directory = class.path().to_str().unwrap();
    let text = prints(&mut syslings(&["grade", "--submissions", directory, "--format", "junit"]), 1);
    let document = roxmltree::Document::parse(&text).unwrap();
    let root = document.root_element();
    assert_eq!(
        (root.tag_name().name(), root.attribute("tests"), root.attribute("failures")),
        ("testsuites", Some("4"), Some("2"))
    );
    must_be_junit(root);
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    assert_eq!((count("testsuite"), count("testcase"), count("failure")), (3, 4, 2));
}

#[test]
fn a_killed_grading_is_resumed_and_repeats_nothing() {
    let class = class();
    let output = class.path().join("report.json");
    let journal = class.path().join("report.json.journal");
    let directory = class.path().to_str().unwrap();
    let arguments =
        ["grade", "--submissions", directory, "--jobs", "1", "--format", "json", "--output", output.to_str().unwrap()];
    let mut child = syslings(&arguments).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(&journal).is_ok_and(|text| !text.contains('\n')) || !journal.exists() {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none());
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept: Value = serde_json::from_str(fs::read_to_string(&journal).unwrap().lines().next().unwrap()).unwrap();
    prints(syslings(&arguments).arg("--resume").stderr(Stdio::null()), 1);
    let report: Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
    let verdicts = report["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 4);
    assert!(verdicts.contains(&kept["verdict"]), "{kept}");
    assert!(!journal.exists());
    assert!(complains(&mut syslings(&["grade", "--resume"]), 2).contains("--output"));
}

#[test]
fn gradescope_results_have_the_published_form() {
    let class = class();
    let directory = class.path().to_str().unwrap();
    let results = json(&mut syslings(&["grade", "--submissions", directory, "--format", "gradescope"]), 1);
    let tests = results["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 4);
    assert_eq!(
        results["score"].as_f64().unwrap(),
        tests.iter().map(|test| test["score"].as_f64().unwrap()).sum::<f64>()
    );
    for test in tests {
        assert!(test["name"].is_string() && test["output"].is_string() && test["max_score"].is_number());
        assert!(["passed", "failed"].contains(&test["status"].as_str().unwrap()));
        assert_eq!(test["visibility"], "visible");
    }
}

#[test]
fn what_is_graded_twice_has_the_same_verdict() {
    let said = prints(&mut syslings(&["dev", "steady", "pipe_hello", "--fixtures", "--load", "--runs", "2"]), 0);
    assert!(said.contains("had the same verdict in 2 gradings."), "{said}");
    assert!(!said.starts_with("1 of 1 "), "the submissions on file are graded too: {said}");
}
