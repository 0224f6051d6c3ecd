//! What the learner has achieved: kept in the suite, written whole after each verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grade::{Outcome, Verdict};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;

/// The form's number.
const SCHEMA: u32 = 1;

/// The record of one learner.
#[derive(Debug, Default)]
pub struct Progress {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// What is known of one exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// Digest of the source that passed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passed: Option<String>,
    /// Digest and outcome of the source graded last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    graded: Option<(String, Outcome)>,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    schema: u32,
    exercises: BTreeMap<String, Entry>,
}

/// Where the learner stands with an exercise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The stub is as it was handed out.
    NotBegun,
    /// Edited, and not passed yet.
    InProgress,
    /// This very text has passed.
    Passed,
    /// An earlier text has passed; this one has not been graded, or failed.
    ChangedSince,
}

impl Standing {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Standing::NotBegun => "not begun",
            Standing::InProgress => "in progress",
            Standing::Passed => "passed",
            Standing::ChangedSince => "changed since it passed",
        }
    }
}

impl Progress {
    /// The record kept in the suite at `root`. One that cannot be understood is laid aside, not lost.
    pub fn load(root: &Path) -> Progress {
        let path = root.join(".syslings/progress.json");
        let Ok(text) = fs::read_to_string(&path) else { return Progress { path, ..Progress::default() } };
        match serde_json::from_str::<Stored>(&text) {
            Ok(stored) if stored.schema == SCHEMA => Progress { path, entries: stored.exercises },
            _ => {
                let aside = path.with_extension("json.unreadable");
                anstream::eprintln!("{} cannot be understood; laid aside as {}", path.display(), aside.display());
                if let Err(error) = fs::rename(&path, &aside) {
                    anstream::eprintln!("{}: {}", aside.display(), files::reason(&error));
                }
                Progress { path, ..Progress::default() }
            }
        }
    }

    /// Records a verdict on this source, and writes the record.
    pub fn record(&mut self, verdict: &Verdict, source: &[u8]) -> Result<()> {
        if matches!(verdict.outcome, Outcome::NotBegun | Outcome::HarnessFault | Outcome::Skipped) {
            return Ok(());
        }
        let digest = digest(source);
        let entry = self.entries.entry(verdict.exercise.clone()).or_default();
        if verdict.outcome == Outcome::Passed {
            entry.passed = Some(digest.clone());
        }
        entry.graded = Some((digest, verdict.outcome));
        self.save()
    }

    /// Where the learner stands with an exercise whose source is now this one.
    pub fn standing(&self, exercise: &str, pristine: bool, source: &[u8]) -> Standing {
        let passed = self.entries.get(exercise).and_then(|entry| entry.passed.as_deref());
        match passed {
            _ if pristine => Standing::NotBegun,
            None => Standing::InProgress,
            Some(passed) if passed == digest(source) => Standing::Passed,
            Some(_) => Standing::ChangedSince,
        }
    }

    fn save(&self) -> Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let stored = Stored { schema: SCHEMA, exercises: self.entries.clone() };
        let mut text = serde_json::to_vec_pretty(&stored)?;
        text.push(b'\n');
        files::write_whole(&self.path, &text)
    }
}

fn digest(source: &[u8]) -> String {
    Sha256::digest(source).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: Outcome) -> Verdict {
        Verdict {
            exercise: "pipe_hello".into(),
            submission: "exercises".into(),
            outcome,
            checks: Vec::new(),
            runs: 0,
            wall_ms: 0,
            cpu_ms: 0,
            partial: false,
            message: None,
            rung: None,
        }
    }

    #[test]
    fn what_passed_is_remembered_until_the_source_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::load(dir.path());
        assert_eq!(progress.standing("pipe_hello", true, b"stub"), Standing::NotBegun);
        progress.record(&verdict(Outcome::Failed), b"try").unwrap();
        assert_eq!(progress.standing("pipe_hello", false, b"try"), Standing::InProgress);
        progress.record(&verdict(Outcome::Passed), b"good").unwrap();
        let again = Progress::load(dir.path());
        assert_eq!(again.standing("pipe_hello", false, b"good"), Standing::Passed);
        assert_eq!(again.standing("pipe_hello", false, b"better"), Standing::ChangedSince);
    }

    #[test]
    fn a_fault_of_the_harness_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::load(dir.path());
        progress.record(&verdict(Outcome::Passed), b"good").unwrap();
        progress.record(&verdict(Outcome::HarnessFault), b"good").unwrap();
        assert_eq!(progress.standing("pipe_hello", false, b"good"), Standing::Passed);
    }

    #[test]
    fn a_broken_record_is_laid_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".syslings")).unwrap();
        fs::write(dir.path().join(".syslings/progress.json"), "{").unwrap();
        let progress = Progress::load(dir.path());
        assert_eq!(progress.standing("pipe_hello", false, b"x"), Standing::InProgress);
        assert!(dir.path().join(".syslings/progress.json.unreadable").exists());
    }
}
