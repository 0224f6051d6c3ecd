//! Gradescope's `results.json`: a test for each exercise.

use anyhow::Result;
use grade::{CheckOutcome, Outcome, Verdict};
use serde_json::{Value, json};

use crate::report::summary::{self, first_words, submitter};

/// Points of one exercise.
const POINTS: u32 = 1;

/// The verdicts in Gradescope's published form.
pub fn results(verdicts: &[Verdict]) -> Result<String> {
    let score: u32 = verdicts.iter().map(points).sum();
    let milliseconds: u64 = verdicts.iter().map(|verdict| verdict.wall_ms).sum();
    let several = verdicts.iter().any(|verdict| submitter(verdict) != submitter(&verdicts[0]));
    let results = json!({
        "score": score,
        "execution_time": milliseconds.div_ceil(1000),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": verdicts.iter().map(|verdict| test(verdict, several)).collect::<Vec<Value>>(),
    });
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

fn points(verdict: &Verdict) -> u32 {
    if verdict.outcome == Outcome::Passed { POINTS } else { 0 }
}

fn test(verdict: &Verdict, several: bool) -> Value {
    let name = match several {
        true => format!("{} ({})", verdict.exercise, submitter(verdict)),
        false => verdict.exercise.clone(),
    };
    let mut test = json!({
        "name": name,
        "score": points(verdict),
        "max_score": POINTS,
        "output": output(verdict),
        "output_format": "text",
        "visibility": "visible",
    });
    // What could not be judged here is neither, and its words say so.
    let status = match verdict.outcome {
        Outcome::Passed => Some("passed"),
        Outcome::Failed | Outcome::CompileError | Outcome::NotBegun => Some("failed"),
        Outcome::Skipped | Outcome::HarnessFault => None,
    };
    if let (Some(status), Some(fields)) = (status, test.as_object_mut()) {
        fields.insert("status".to_owned(), status.into());
    }
    test
}

fn output(verdict: &Verdict) -> String {
    if let Some(message) = &verdict.message {
        return message.clone();
    }
    let Some(lead) = summary::lead(verdict) else { return first_words(verdict) };
    let mut lines = vec![lead.message.clone()];
    lines.extend(lead.source.as_ref().map(|place| format!("    at {}:{}", place.file.display(), place.line)));
    lines.extend(lead.evidence.iter().map(|line| format!("    {line}")));
    let others = verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed && check.id != lead.id);
    lines.extend(others.map(|check| format!("also {}: {}", check.id, check.message)));
    lines.join("\n")
}
