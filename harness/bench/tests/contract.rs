//! A small comparison end to end, and the form of its JSON.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bench::{CacheChoice, Progress, Report, Request, WorkloadName, compare};

/// A place on a disk, so that a cold cache is possible.
fn disk() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// More time than a comparison needs to come to its own end on a machine that is
/// busy with other things.
const PLENTY: Duration = Duration::from_secs(600);

fn request() -> Request {
    Request { dir: Some(disk()), size: 4 << 20, budget: Duration::from_secs(12), quick: true, ..Request::default() }
}

#[test]
fn a_comparison_has_every_field_of_the_contract_and_leaves_nothing() {
    let dir = tempfile::tempdir_in(disk()).unwrap();
    let request = Request { dir: Some(dir.path().to_owned()), ..request() };
    let mut rows = 0;
    let report = compare(&request, &mut |progress| {
        if let Progress::Row(row) = progress {
            assert!(row.verified);
            rows += 1;
        }
    })
    .unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
    assert_eq!(rows, report.results.len());
    let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(json["schema"], 1);
    assert!(json["machine"]["kernel"].is_string());
    assert!(json["costs"]["syscall_ns"]["median"].as_f64().unwrap() > 0.0);
    let results = json["results"].as_array().unwrap();
    for state in ["warm", "cold"] {
        for workload in ["scan", "copy"] {
            let here = |r: &&serde_json::Value| r["workload"] == workload && r["cache"] == state;
            let skipped = json["skipped"].as_array().unwrap();
            assert!(
                results.iter().filter(here).count() >= 3 || skipped.iter().any(|s| here(&s)),
                "{workload} {state}: {json}"
            );
        }
    }
    for row in results {
        for field in [
            "workload",
            "strategy",
            "cache",
            "bytes",
            "block_bytes",
            "trials",
            "wall_ns",
            "bytes_per_second",
            "ratio_to_baseline",
            "user_ns",
            "system_ns",
            "minor_faults",
            "major_faults",
            "system_calls",
            "context_switches",
            "predicted_ns",
            "checksum",
            "verified",
            "notes",
        ] {
            assert!(row.get(field).is_some(), "{field} is missing in {row}");
        }
        for interval in ["wall_ns", "ratio_to_baseline"] {
            let bound = |name: &str| row[interval][name].as_f64().unwrap();
            assert!(bound("low") <= bound("median") && bound("median") <= bound("high"), "{row}");
        }
        assert_eq!(row["verified"], true);
        let samples = row["samples"].as_array().unwrap();
        assert!(samples.len() >= row["trials"].as_u64().unwrap() as usize);
        assert!(samples.iter().all(|sample| sample["wall_ns"].as_f64().unwrap() > 0.0));
    }
    assert!(results.iter().any(|row| row["again"] == true));
    assert!(!json["findings"].as_array().unwrap().is_empty());
    let back = Report::from_json(&report.to_json().unwrap()).unwrap();
    assert_eq!(back.results.len(), report.results.len());
    let text = report.text(bench::table::Style::default());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    if results.iter().any(|row| row["strategy"] == "direct_1m") {
        assert!(text.contains("direct_1m: buffer in"), "how the buffer lies is beside the figure: {text}");
    }
    let page = report.to_html();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("</html>"));
    assert!(!page.contains("<script") && !page.contains("http"), "the page is self-contained");
}

#[test]
fn a_run_interrupted_before_it_measured_says_so() {
    let interrupted = Arc::new(AtomicBool::new(true));
    let error = compare(&Request { interrupted, ..request() }, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
}

#[test]
fn an_interrupt_keeps_what_was_measured_and_marks_it() {
    let mut request = request();
    request.cache = CacheChoice::Warm;
    request.workloads = vec![WorkloadName::Scan, WorkloadName::Copy];
    let flag = Arc::clone(&request.interrupted);
    let report = compare(&request, &mut |progress| {
        if let Progress::Standing(_) = progress {
            flag.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    })
    .unwrap();
    assert!(report.interrupted && report.partial && !report.results.is_empty());
    let lines = report.unmeasured();
    assert!(lines.iter().all(|line| line.starts_with("copy, warm: interrupted before")), "{lines:?}");
    assert!(!lines.is_empty());
}

#[test]
fn names_that_do_not_exist_are_answered_with_the_nearest() {
    let request = Request { strategies: Some(vec!["mmpa".to_owned()]), ..request() };
    let message = compare(&request, &mut |_| {}).unwrap_err().to_string();
    assert!(message.contains("mmpa") && message.contains("mmap"), "{message}");
    let message = "scna".parse::<WorkloadName>().unwrap_err().to_string();
    assert!(message.contains("scan"), "{message}");
}

#[test]
fn a_file_that_changes_while_it_is_measured_ends_the_run() {
    let dir = tempfile::tempdir_in(disk()).unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, vec![3u8; 1 << 20]).unwrap();
    let request = Request {
        file: Some(path.clone()),
        cache: CacheChoice::Warm,
        workloads: vec![WorkloadName::Scan],
        budget: PLENTY,
        ..request()
    };
    let error = compare(&request, &mut |progress| {
        if let Progress::Standing(_) = progress {
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
        }
    })
    .unwrap_err();
    assert!(error.to_string().contains("changed while it was measured"), "{error}");
}

#[test]
fn a_program_can_be_entered_and_its_wrong_bytes_are_found_out() {
    let mine = |name: &str, argv: &[&str]| bench::ExternalStrategy {
        name: name.to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
    };
    let request = Request {
        workloads: vec![WorkloadName::Copy],
        cache: CacheChoice::Warm,
        strategies: Some(vec![]),
        extra: vec![
            mine("good", &["cp", "{src}", "{dst}"]),
            mine("bad", &["cp", "/dev/null", "{dst}"]),
            mine("none", &["/nonexistent", "{src}", "{dst}"]),
        ],
        ..request()
    };
    let report = compare(&request, &mut |_| {}).unwrap();
    assert!(report.results.iter().any(|row| row.strategy == "good" && row.verified));
    let why = |name: &str| {
        let skipped = report.skipped.iter().find(|s| s.strategy.as_deref() == Some(name));
        skipped.map_or(String::new(), |s| s.why.clone())
    };
    assert!(why("bad").contains("wrong bytes"), "{}", why("bad"));
    assert!(why("none").contains("start the program"), "{}", why("none"));
}

#[test]
fn each_shape_is_proved_and_a_file_of_the_callers_is_shaped_by_reading_only() {
    let dir = tempfile::tempdir_in(disk()).unwrap();
    let path = dir.path().join("data");
    std::fs::write(&path, vec![3u8; 4 << 20]).unwrap();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let shapes = |file: Option<PathBuf>| {
        let request = Request { file, workloads: vec![WorkloadName::Shape], ..request() };
        let report = compare(&request, &mut |_| {}).unwrap();
        let measured: BTreeSet<String> = report.groups().iter().map(|group| group.shape.unwrap().to_owned()).collect();
        assert!(!measured.is_empty());
        assert!(report.groups().iter().all(|group| report.layout(group).unwrap().faults_per_mib > 0.0));
        // A machine that is busy may have no time for all of them.
        let skipped = report.skipped.iter().filter_map(|skipped| skipped.shape.clone());
        measured.into_iter().chain(skipped).collect::<BTreeSet<_>>()
    };
    let reading = BTreeSet::from(["read ahead", "read by single pages"].map(str::to_owned));
    let written = ["4 KiB", "64 KiB", "1 MiB", "4 MiB"].map(|piece| format!("written {piece} at a time"));
    assert_eq!(shapes(Some(path.clone())), reading);
    assert_eq!(shapes(None), reading.into_iter().chain(written).collect());
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), modified);
}

#[test]
fn fio_is_asked_for_the_same_reads_and_its_absence_is_a_note() {
    let dir = tempfile::tempdir_in(disk()).unwrap();
    // Says what fio says, and has read as fast as anything at all. Another
    // process makes the program, or a child that is forked meanwhile by another
    // test would hold it open for writing, and it could not be run.
    let fio = dir.path().join("fio");
    let words = r#"#!/bin/sh
        echo "$@" >> "$0.asked"
        echo '{"jobs": [{"error": 0, "read": {"io_bytes": 1000000000, "runtime": 100}}]}'
    "#;
    let text = dir.path().join("fio.txt");
    std::fs::write(&text, words).unwrap();
    assert!(std::process::Command::new("install").args(["-m", "755"]).args([&text, &fio]).status().unwrap().success());
    let check = |program: &std::path::Path| {
        let request = Request {
            cache: CacheChoice::Warm,
            workloads: vec![WorkloadName::Scan],
            strategies: Some(vec![]),
            budget: Duration::from_secs(4),
            check_with_fio: Some(program.to_owned()),
            ..request()
        };
        compare(&request, &mut |_| {}).unwrap()
    };
    let report = check(&fio);
    let engines: Vec<&str> = report.checks.iter().map(|check| check.engine.as_str()).collect();
    assert!(engines.starts_with(&["psync", "psync", "psync", "psync", "mmap"]), "{engines:?} {:?}", report.notes);
    assert!(report.checks.iter().all(|check| check.fio.median == 1e10 && check.ours.median > 0.0));
    assert!(report.to_html().contains("checked with fio"));
    let asked = std::fs::read_to_string(dir.path().join("fio.asked")).unwrap();
    assert!(asked.contains("--ioengine=psync --bs=65536") && asked.contains("--invalidate=0"), "{asked}");
    let report = check(&dir.path().join("none"));
    assert!(report.checks.is_empty() && report.notes.iter().any(|note| note.contains("not installed")));
}

#[test]
fn a_strategy_that_means_nothing_in_a_state_is_listed_with_the_reason() {
    let request = Request {
        workloads: vec![WorkloadName::Random],
        cache: CacheChoice::Warm,
        strategies: Some(vec!["direct_4k".to_owned()]),
        budget: Duration::from_secs(4),
        ..request()
    };
    let report = compare(&request, &mut |_| {}).unwrap();
    assert!(report.results.iter().all(|row| row.strategy != "direct_4k"));
    let why = &report.skipped.iter().find(|s| s.strategy.as_deref() == Some("direct_4k")).unwrap().why;
    assert_eq!(why, "it means something only in a cold cache");
}

#[test]
fn shapes_for_which_the_time_did_not_suffice_are_listed() {
    let request = Request { workloads: vec![WorkloadName::Shape], budget: Duration::ZERO, ..request() };
    let report = compare(&request, &mut |_| {}).unwrap();
    assert_eq!(report.groups().len(), 1);
    assert!(report.partial);
    let lines = report.unmeasured();
    assert!(lines.iter().any(|line| line.contains("written 4 MiB at a time: no trial could be kept")), "{lines:?}");
    assert!(report.text(bench::table::Style::default()).contains("written 4 MiB at a time"));
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Where the kernel's description of a call (`struct seccomp_data`) has its
/// number, and the low half of its third argument.
const NUMBER: u32 = 0;
const THIRD: u32 = if cfg!(target_endian = "little") { 32 } else { 36 };

/// Has the calling thread, and what it starts, be refused a system call with
/// `errno`; only where its third argument has the bits `set`, if there are any.
fn forbid(call: libc::c_long, set: i32, errno: i32) {
    let mut program = vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        libc::sock_filter { jt: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    if set != 0 {
        program.extend([
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, THIRD),
            libc::sock_filter { jt: 1, ..statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, set as u32) },
            statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ]);
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the filter and its program live through the calls, which copy them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

#[test]
fn without_io_uring_the_rest_is_measured_and_the_reason_given() {
    let uring = std::thread::spawn(|| {
        forbid(libc::SYS_io_uring_setup, 0, libc::EPERM);
        let request = Request {
            cache: CacheChoice::Warm,
            workloads: vec![WorkloadName::Scan],
            strategies: Some(vec!["uring_256k".to_owned(), "mmap".to_owned()]),
            ..request()
        };
        compare(&request, &mut |_| {}).unwrap()
    });
    let report = uring.join().unwrap();
    assert!(report.results.iter().any(|row| row.strategy == "mmap"));
    let why = &report.skipped.iter().find(|s| s.strategy.as_deref() == Some("uring_256k")).unwrap().why;
    assert!(why.contains("io_uring is forbidden here"), "{why}");
    assert!(report.machine.services.iter().any(|(name, answer)| name == "io_uring" && answer.starts_with("no")));
}

#[test]
fn without_o_direct_the_rest_is_measured_and_the_reason_given() {
    let direct = ["direct_1m", "uring_direct_1m"];
    for (workload, mapped) in [(WorkloadName::Scan, "mmap"), (WorkloadName::Write, "mmap_msync")] {
        let names: Vec<String> = bench::strategies(workload)
            .into_iter()
            .map(|strategy| strategy.name)
            .filter(|name| direct.contains(&name.as_str()) || name == mapped)
            .collect();
        let without = std::thread::spawn(move || {
            forbid(libc::SYS_openat, libc::O_DIRECT, libc::EINVAL);
            let request = Request {
                cache: CacheChoice::Cold,
                workloads: vec![workload],
                strategies: Some(names),
                budget: Duration::from_secs(4),
                ..request()
            };
            compare(&request, &mut |_| {})
        });
        let report = match without.join().unwrap() {
            Ok(report) => report,
            Err(error) if error.to_string().contains("cach") => {
                eprintln!("not tried: {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert!(report.costs.device_4k_ns.is_none() && report.costs.syscall_ns.is_some());
        assert!(report.results.iter().any(|row| row.strategy == mapped), "{:?}", report.skipped);
        assert!(report.results.iter().all(|row| !direct.contains(&row.strategy.as_str())));
        assert!(!report.skipped.is_empty());
        for skipped in &report.skipped {
            let name = skipped.strategy.as_deref().unwrap();
            assert!(direct.contains(&name) && skipped.why == "this file system has no O_DIRECT", "{skipped:?}");
        }
    }
}

#[test]
fn a_file_that_the_budget_does_not_suffice_to_read_is_refused_while_there_is_time_left() {
    let dir = tempfile::tempdir_in(disk()).unwrap();
    let path = dir.path().join("hole");
    std::fs::File::create(&path).unwrap().set_len(1 << 42).unwrap();
    let budget = Duration::from_secs(60);
    let began = std::time::Instant::now();
    let error = compare(&Request { file: Some(path), budget, ..request() }, &mut |_| {}).unwrap_err().to_string();
    assert!(began.elapsed() < budget, "{:?}", began.elapsed());
    assert!(error.contains("to read all its 4 TiB once takes about"), "{error}");
    assert!(error.ends_with("are left of the budget"), "{error}");
}

#[test]
fn processes_that_map_one_file_have_one_copy_of_it() {
    let request = Request { workloads: vec![WorkloadName::Share], ..request() };
    let report = compare(&request, &mut |_| {}).unwrap();
    let shapes: Vec<_> = report.groups().iter().map(|group| group.shape.unwrap().to_owned()).collect();
    assert_eq!(shapes[0], "2 processes");
    for group in report.groups() {
        let processes: u64 = group.shape.unwrap().split(' ').next().unwrap().parse().unwrap();
        let mapped = group.rows.iter().find(|row| row.strategy == "mmap").unwrap();
        let read = group.rows.iter().find(|row| row.baseline).unwrap();
        assert_eq!(mapped.resident_bytes, Some(processes * mapped.bytes));
        assert!(mapped.proportional_bytes.unwrap() <= mapped.bytes * 11 / 10, "{mapped:?}");
        assert_eq!(read.resident_bytes, Some(processes * read.block_bytes.unwrap()));
        assert_eq!(read.resident_bytes, read.proportional_bytes);
    }
    assert!(report.findings.iter().any(|finding| finding.sentence.contains("one copy for all")));
}

#[test]
fn small_files_are_read_where_the_others_lie_and_in_memory() {
    let request = Request { workloads: vec![WorkloadName::Small], quick: false, ..request() };
    let report = compare(&request, &mut |_| {}).unwrap();
    let groups = report.groups();
    let shapes = groups.iter().filter_map(|group| group.shape);
    // A machine that is busy may have no time for all of them.
    let skipped = report.skipped.iter().filter_map(|skipped| skipped.shape.as_deref());
    let shapes: BTreeSet<&str> = shapes.chain(skipped).collect();
    for shape in ["500 files of 4 KiB", "32 files of 1 MiB", "2 files of 16 MiB"] {
        assert!(shapes.contains(shape), "{shapes:?}");
    }
    assert!(shapes.iter().any(|shape| shape.ends_with("on tmpfs")), "{shapes:?}");
}

#[test]
fn messages_go_there_and_back_and_one_way() {
    // With two ways beside the baseline none is left out, however slow the machine.
    for (shape, ways) in [("there and back", ["futex", "fifo"]), ("one way", ["pipe_batched", "ring_futex"])] {
        let strategies = Some(ways.map(str::to_owned).to_vec());
        let request = Request { workloads: vec![WorkloadName::Ipc], strategies, ..request() };
        let report = compare(&request, &mut |_| {}).unwrap();
        for way in ways {
            let mut rows = report.results.iter().filter(|row| row.shape.as_deref() == Some(shape));
            assert!(rows.any(|row| row.strategy == way && row.verified), "{shape} {way}: {:?}", report.skipped);
        }
    }
}
