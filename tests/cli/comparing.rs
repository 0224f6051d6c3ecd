//! `tour`, `bench` and `claims`: short measurements, and the forms of their reports.

use std::fs;
use std::path::Path;

use serde_json::Value;
use serial_test::serial;

use crate::accessible::must_be_accessible;
use crate::program::{json, prints, syslings};

/// Exercises for which a machine may not give an ordinary user anything to work with: KVM, userfaultfd, io_uring.
const MAY_BE_REFUSED: [&str; 3] = ["mmio_console", "user_pager", "uring_copy"];

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
#[serial]
fn a_tour_checks_every_demo_and_writes_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, vec![7u8; 8 << 20]).unwrap();
    let mut command = syslings(&["tour", "--quick", "--file"]);
    let text = prints(command.arg(&file).arg("--output").arg(dir.path()), 0);
    let listed = json(&mut syslings(&["list", "--json"]), 0);
    for exercise in listed["exercises"].as_array().unwrap() {
        let name = exercise["name"].as_str().unwrap();
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
        let fair = line.contains(" passed ") || MAY_BE_REFUSED.contains(&name) && line.contains(" skipped ");
        assert!(fair, "{name}: {text}");
    }
    assert!(text.contains("mmap") && text.contains("tour.html"), "{text}");
    let report = read(&dir.path().join("tour.json"));
    assert_eq!(report["verdicts"].as_array().unwrap().len(), listed["exercises"].as_array().unwrap().len());
    assert!(report["comparison"]["results"].is_array());
    let page = fs::read_to_string(dir.path().join("tour.html")).unwrap();
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    must_be_accessible(dir.path(), &["tour.html"]);
    assert_eq!(fs::metadata(&file).unwrap().len(), 8 << 20, "the file is only read");
}

#[test]
#[serial]
fn a_comparison_has_the_contracts_fields_and_can_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (report, page) = (dir.path().join("a.json"), dir.path().join("a.html"));
    let arguments =
        ["bench", "scan", "--size", "8M", "--budget", "10", "--cache", "warm", "--strategies", "mmap", "--quick"];
    let mut command = syslings(&arguments);
    let text = prints(command.arg("--dir").arg(dir.path()).arg("--json").arg(&report).arg("--html").arg(&page), 0);
    assert!(text.contains("mmap"), "{text}");
    let value = read(&report);
    assert_eq!(value["schema"], 1);
    assert!(value["machine"].is_object() && value["costs"].is_object());
    for row in value["results"].as_array().unwrap() {
        for field in ["workload", "strategy", "cache", "checksum"] {
            assert!(row[field].is_string(), "{field}: {row}");
        }
        for field in ["bytes", "trials", "bytes_per_second", "minor_faults", "major_faults", "system_calls"] {
            assert!(row[field].is_number(), "{field}: {row}");
        }
        for field in ["wall_ns", "ratio_to_baseline"] {
            let estimate = &row[field];
            assert!(
                estimate["low"].as_f64() <= estimate["median"].as_f64()
                    && estimate["median"].as_f64() <= estimate["high"].as_f64()
            );
        }
        assert_eq!(row["verified"], true, "{row}");
    }
    assert!(fs::read_to_string(page).unwrap().contains("<html"));
    must_be_accessible(dir.path(), &["a.html"]);
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.html", "a.json"], "what was generated is gone");
    let text = prints(syslings(&["bench", "--compare"]).arg(&report).arg(&report), 0);
    assert!(text.contains("B/A") && text.contains("mmap"), "{text}");
}

#[test]
#[serial]
fn no_room_for_the_file_is_found_out_before_it_is_written() {
    let words = crate::program::complains(&mut syslings(&["bench", "scan", "--size", "900T"]), 3);
    assert!(words.contains("free"), "{words}");
}
