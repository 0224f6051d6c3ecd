//! Gradescope's `results.json`: a test for each exercise.

use anyhow::Result;
use grade::{CheckOutcome, Outcome, Verdict};
use serde_json::{Value, json};

use crate::report::summary::{first_words, submitter};

/// Points of one exercise.
const POINTS: u32 = 1;

/// The verdicts in Gradescope's published form.
pub fn results(verdicts: &[Verdict]) -> Result<String> {
    let score: u32 = verdicts.iter().map(points).sum();
    let milliseconds: u64 = verdicts.iter().map(|verdict| verdict.wall_ms).sum();
    let results = json!({
        "score": score,
        "execution_time": milliseconds.div_ceil(1000),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": verdicts.iter().map(test).collect::<Vec<Value>>(),
    });
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

fn points(verdict: &Verdict) -> u32 {
    if verdict.outcome == Outcome::Passed { POINTS } else { 0 }
}

fn test(verdict: &Verdict) -> Value {
    let status = if verdict.outcome == Outcome::Passed { "passed" } else { "failed" };
    json!({
        "name": format!("{} ({})", verdict.exercise, submitter(verdict)),
        "score": points(verdict),
        "max_score": POINTS,
        "status": status,
        "output": output(verdict),
        "visibility": "visible",
    })
}

fn output(verdict: &Verdict) -> String {
    let mut lines = vec![first_words(verdict)];
    for check in verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed) {
        lines.push(format!("{}: {}", check.id, check.message));
        lines.extend(check.evidence.iter().map(|line| format!("    {line}")));
        if let Some(place) = &check.source {
            lines.push(format!("    at {}:{}", place.file.display(), place.line));
        }
    }
    lines.extend(verdict.message.clone());
    lines.join("\n")
}
