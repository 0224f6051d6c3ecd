//! Verdicts kept as they are made, in a file beside the report to be, so that a grading that was broken off goes on from
//! there. Each is a line of JSON, written by one call: a kill at any moment spoils at most the last.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grade::{Item, Outcome, Verdict};
use observe::Rung;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One line.
#[derive(Serialize, Deserialize)]
struct Entry<V> {
    /// Of what the verdict depends on.
    key: String,
    verdict: V,
}

/// The journal of one report.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// The journal of the report that will be `output`, and the verdicts that are in it already if it is to be resumed.
    pub fn begin(output: &Path, resume: bool) -> Result<(Journal, HashMap<String, Verdict>)> {
        let mut name = output.as_os_str().to_owned();
        name.push(".journal");
        let path = PathBuf::from(name);
        let known = if resume { read(&path)? } else { HashMap::new() };
        let cannot = || format!("cannot write {}", path.display());
        let mut file = File::options().create(true).append(true).open(&path).with_context(cannot)?;
        if resume {
            // What a kill left of a line must not swallow the next.
            file.write_all(b"\n").with_context(cannot)?;
        } else {
            file.set_len(0).with_context(cannot)?;
        }
        Ok((Journal { file, path }, known))
    }

    /// Keeps a verdict. One that says nothing of the program is not worth keeping.
    pub fn add(&mut self, key: &str, verdict: &Verdict) -> Result<()> {
        if verdict.outcome == Outcome::HarnessFault {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&Entry { key: key.to_owned(), verdict })?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// The report is written: it is needed no more.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

fn read(path: &Path) -> Result<HashMap<String, Verdict>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let entry = |line: &[u8]| serde_json::from_slice::<Entry<Verdict>>(line).ok();
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(entry).map(|entry| (entry.key, entry.verdict)).collect())
}

/// What a verdict depends on: the suite's version, the seed, the rung asked for, the exercise, and the program under its
/// name.
pub fn key(item: &Item, seed: Option<u64>, rung: Option<Rung>) -> String {
    let mut digest = Sha256::new();
    // What is no source has one verdict, whatever it holds; and it may hold terabytes.
    let source = item.submission.source(&item.exercise).unwrap_or_default();
    let label = item.submission.label();
    let seed = seed.map(|seed| seed.to_string()).unwrap_or_default();
    let rung = rung.map(|rung| rung.to_string()).unwrap_or_default();
    for part in [env!("CARGO_PKG_VERSION"), &seed, &rung, item.exercise.name, &label] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    digest.update(source);
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: &str) -> Verdict {
        let json = serde_json::json!({
            "exercise": "pipe_hello", "submission": "ann/pipe_hello.rs", "outcome": outcome, "checks": [],
            "runs": 3, "wall_ms": 5, "cpu_ms": 4, "partial": false,
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_was_kept_is_there_again_even_after_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("report.json");
        let (mut journal, known) = Journal::begin(&output, true).unwrap();
        assert!(known.is_empty());
        journal.add("a", &verdict("passed")).unwrap();
        journal.add("b", &verdict("harness_fault")).unwrap();
        journal.file.write_all(b"{\"key\": \"c\", \"verd").unwrap();
        let (mut journal, known) = Journal::begin(&output, true).unwrap();
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a"]);
        journal.add("d", &verdict("failed")).unwrap();
        let (journal, known) = Journal::begin(&output, true).unwrap();
        assert_eq!(known.len(), 2);
        journal.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_verdict_of_one_rung_is_none_of_another() {
        let suite = grade::Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let exercise = suite.exercise("pipe_hello").unwrap().clone();
        let item = Item { exercise, submission: grade::Submission::Tree(grade::Tree::Solutions) };
        let keys = [None, Some(Rung::F), Some(Rung::K), Some(Rung::L)].map(|rung| key(&item, None, rung));
        assert_eq!(std::collections::BTreeSet::from(keys).len(), 4);
        assert_eq!(key(&item, None, Some(Rung::K)), key(&item, None, Some(Rung::K)));
    }

    #[test]
    fn a_grading_that_is_not_resumed_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("report.json");
        Journal::begin(&output, false).unwrap().0.add("a", &verdict("passed")).unwrap();
        Journal::begin(&output, false).unwrap();
        assert!(Journal::begin(&output, true).unwrap().1.is_empty());
    }
}
