//! `grade --submissions` where not everybody means well.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{json, prints, root, syslings};

/// When a launch is ended at the latest.
const DEADLINE: Duration = Duration::from_secs(10);

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

fn verdicts(class: &TempDir, status: i32) -> Vec<Value> {
    let directory = class.path().to_str().unwrap();
    let mut command = syslings(&["grade", "--submissions", directory, "--format", "json", "--seed", "7"]);
    json(&mut command, status)["verdicts"].as_array().unwrap().clone()
}

/// What a verdict says, without what every grading measures anew.
fn said(verdict: &Value) -> Value {
    let checks =
        verdict["checks"].as_array().unwrap().iter().map(|check| serde_json::json!([check["id"], check["outcome"]]));
    serde_json::json!([
        verdict["submission"],
        verdict["outcome"],
        verdict["partial"],
        verdict["runs"],
        checks.collect::<Vec<_>>()
    ])
}

fn slowest<'a>(verdicts: impl Iterator<Item = &'a Value>) -> Duration {
    Duration::from_millis(verdicts.map(|verdict| verdict["wall_ms"].as_u64().unwrap()).max().unwrap())
}

#[test]
fn hostile_submissions_change_nobody_elses_verdict_and_delay_it_by_no_more_than_a_deadline() {
    let right = root().join("solutions/05_pipes/hello.rs");
    let hostile = ["fork_bomb", "kills_everybody", "flood_stdout", "meddles_with_its_harness", "terminal_escapes"];
    let paths = hostile.map(|name| root().join("fixtures/hostile").join(name).with_extension("rs"));
    let good = ["ann", "good", "kim", "moe", "zoe"];
    let mut answers: Vec<(&OsStr, &Path)> = good.map(|name| (OsStr::new(name), right.as_path())).into();
    let alone = verdicts(&class(&answers), 0);
    answers.extend(hostile.iter().zip(&paths).map(|(name, path)| (OsStr::new(*name), path.as_path())));
    let together = verdicts(&class(&answers), 1);
    let is_good = |verdict: &&Value| good.iter().any(|name| verdict["submission"].as_str().unwrap().starts_with(name));
    let (beside, harmed): (Vec<&Value>, Vec<&Value>) = together.iter().partition(is_good);
    assert_eq!(beside.iter().map(|v| said(v)).collect::<Vec<_>>(), alone.iter().map(said).collect::<Vec<_>>());
    assert!(alone.iter().all(|verdict| verdict["outcome"] == "passed"), "{alone:?}");
    assert_eq!(harmed.len(), hostile.len());
    assert!(harmed.iter().all(|verdict| verdict["outcome"] == "failed"), "{harmed:?}");
    let (before, after) = (slowest(alone.iter()), slowest(beside.into_iter()));
    assert!(after <= before + DEADLINE, "{after:?} beside hostile submissions, {before:?} without");
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

/// The list of processors that a process may run on, as the kernel writes it.
fn allowed(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim()
}

#[test]
fn a_worker_keeps_to_a_processor_where_all_are_in_use_and_only_there() {
    let here = fs::read_to_string("/proc/self/status").unwrap();
    let own = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let processors = (0..CpuSet::count()).filter(|n| own.is_set(*n) == Ok(true)).count();
    let program = tempfile::NamedTempFile::with_suffix(".rs").unwrap();
    let text = r#"fn main() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let list = status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap();
        print!("allowed[{}]", list.split_whitespace().last().unwrap());
    }"#;
    fs::write(program.path(), text).unwrap();
    let names: Vec<String> = (0..2 * processors).map(|n| format!("person-{n}")).collect();
    let answers: Vec<(&OsStr, &Path)> = names.iter().map(|name| (OsStr::new(name), program.path())).collect();
    let class = class(&answers);
    for jobs in [1, processors] {
        let mut command = syslings(&["grade", "--format", "json", "--jobs", &jobs.to_string(), "--submissions"]);
        let report = prints(command.arg(class.path()), 1);
        let lists: Vec<&str> = report.split("allowed[").skip(1).filter_map(|rest| rest.split(']').next()).collect();
        assert!(lists.len() >= names.len(), "{report}");
        let alone = |list: &str| list.bytes().all(|byte| byte.is_ascii_digit());
        let as_wanted = |list: &&str| if jobs == 1 { *list == allowed(&here) } else { alone(list) };
        assert!(lists.iter().all(as_wanted), "{jobs}: {lists:?}");
    }
}
