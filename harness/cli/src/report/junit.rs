//! JUnit XML: a suite for each submitter (or tree), a case for each exercise.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use grade::{Outcome, Verdict};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::journal::Verdicts;
use crate::report::summary::{self, first_words, submitter};

/// Writes the verdicts as XML, of which only one submitter's are in memory.
pub fn write(verdicts: Verdicts, out: &mut dyn Write) -> Result<()> {
    let mut frame = Report::new("syslings");
    let mut suites: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, verdict) in verdicts.iter().enumerate() {
        let verdict = verdict?;
        let mut counted = TestSuite::new("");
        counted.add_test_case(case(&verdict, ""));
        frame.tests += counted.tests;
        frame.failures += counted.failures;
        frame.errors += counted.errors;
        suites.entry(submitter(&verdict)).or_default().push(index);
    }
    let frame = without_total_of_skipped(&frame.to_string()?);
    let end = frame.rfind("</testsuites>").unwrap_or(frame.len());
    out.write_all(&frame.as_bytes()[..end])?;
    for (name, indices) in suites {
        let mut suite = TestSuite::new(name.clone());
        for index in indices {
            suite.add_test_case(case(&verdicts.get(index)?, &name));
        }
        out.write_all(element(suite)?.as_bytes())?;
    }
    Ok(out.write_all(&frame.as_bytes()[end..])?)
}

/// A suite as it stands in a report.
fn element(suite: TestSuite) -> Result<String> {
    let mut report = Report::new("");
    report.add_test_suite(suite);
    let whole = report.to_string()?;
    let begin = whole.find("<testsuite ").unwrap_or(0);
    let end = whole.rfind("</testsuites>").unwrap_or(whole.len());
    Ok(format!("    {}", &whole[begin..end]))
}

/// The schema that CI systems validate against (junit-10.xsd of Jenkins' xUnit plugin) counts what was skipped in each
/// suite, and has no such attribute for all of them together.
fn without_total_of_skipped(xml: &str) -> String {
    let root = xml.find("<testsuites").unwrap_or(0);
    let end = xml[root..].find('>').map_or(root, |end| root + end);
    let attribute = xml[root..end].find(" skipped=\"").and_then(|at| {
        let value = root + at + " skipped=\"".len();
        Some(root + at..value + xml[value..end].find('"')? + 1)
    });
    attribute.map_or_else(|| xml.to_owned(), |range| format!("{}{}", &xml[..range.start], &xml[range.end..]))
}

fn case(verdict: &Verdict, suite: &str) -> TestCase {
    let mut status = match verdict.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed | Outcome::CompileError => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::HarnessFault => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::NotBegun | Outcome::Skipped => TestCaseStatus::skipped(),
    };
    if verdict.outcome != Outcome::Passed {
        status.set_message(first_words(verdict));
    }
    if let Some(check) = summary::lead(verdict) {
        status.set_type(check.id.clone());
        status.set_description(check.evidence.join("\n"));
    } else if let Some(message) = &verdict.message {
        status.set_description(message.clone());
    }
    let mut case = TestCase::new(verdict.exercise.clone(), status);
    case.set_classname(suite);
    case.set_time(Duration::from_millis(verdict.wall_ms));
    let checks: Vec<String> =
        verdict.checks.iter().map(|c| format!("{}: {}: {}", c.id, summary::check_words(c.outcome), c.title)).collect();
    case.set_system_out(checks.join("\n"));
    case
}
