//! Gradescope's `results.json`: a test for each exercise.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Result;
use grade::{CheckOutcome, Outcome, Verdict};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::journal::Verdicts;
use crate::report::summary::{self, first_words, submitter};

/// Points of one exercise.
const POINTS: u32 = 1;

#[derive(Serialize)]
struct Results<'a> {
    score: u32,
    execution_time: u64,
    visibility: &'static str,
    stdout_visibility: &'static str,
    tests: Tests<'a>,
}

struct Tests<'a> {
    verdicts: Verdicts<'a>,
    /// Whether they are of several submitters, who are then named.
    several: bool,
}

impl Serialize for Tests<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.verdicts.serialize_as(serializer, |verdict| test(&verdict, self.several))
    }
}

/// Writes the verdicts in Gradescope's published form.
pub fn write(verdicts: Verdicts, out: &mut dyn Write) -> Result<()> {
    let (mut score, mut milliseconds) = (0, 0);
    let mut submitters = BTreeSet::new();
    for verdict in verdicts.iter() {
        let verdict = verdict?;
        score += points(&verdict);
        milliseconds += verdict.wall_ms;
        submitters.insert(submitter(&verdict));
    }
    let results = Results {
        score,
        execution_time: milliseconds.div_ceil(1000),
        visibility: "visible",
        stdout_visibility: "hidden",
        tests: Tests { verdicts, several: submitters.len() > 1 },
    };
    serde_json::to_writer_pretty(&mut *out, &results)?;
    Ok(out.write_all(b"\n")?)
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
