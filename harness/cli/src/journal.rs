//! Verdicts kept on disk as they are made: a class of any size takes no more memory than one program. Beside the report
//! to be they outlive a grading that was broken off, which goes on from there. Each is a line of JSON, written by one
//! call: a kill at any moment spoils at most the last.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use grade::{Item, Outcome, Verdict};
use observe::Rung;
use serde::ser::{Error, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// One line.
#[derive(Serialize, Deserialize)]
struct Entry<V> {
    /// Of what the verdict depends on.
    key: String,
    verdict: V,
}

/// Where a verdict is.
#[derive(Debug)]
enum Place {
    /// A line of the file.
    Line { at: u64, len: usize },
    /// What no file takes.
    Memory(Box<Verdict>),
}

/// Verdicts by their keys.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    /// Of a file that has a name.
    path: Option<PathBuf>,
    places: HashMap<String, Place>,
}

impl Journal {
    /// The journal of the report that will be `output`; the verdicts that are in it already are known if it is to be
    /// resumed.
    pub fn beside(output: &Path, resume: bool) -> Result<Journal> {
        let mut name = output.as_os_str().to_owned();
        name.push(".journal");
        let path = PathBuf::from(name);
        let cannot = || format!("cannot write {}", path.display());
        let mut file = File::options().create(true).read(true).append(true).open(&path).with_context(cannot)?;
        let mut places = HashMap::new();
        if resume {
            places = read(&file).with_context(|| format!("cannot read {}", path.display()))?;
            // What a kill left of a line must not swallow the next.
            file.write_all(b"\n").with_context(cannot)?;
        } else {
            file.set_len(0).with_context(cannot)?;
        }
        Ok(Journal { file: Some(file), path: Some(path), places })
    }

    /// A journal that nobody finds again.
    pub fn nameless() -> Journal {
        Journal { file: tempfile::tempfile().ok(), path: None, places: HashMap::new() }
    }

    /// Whether there is a verdict.
    pub fn knows(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Keeps a verdict, in memory if all else fails.
    pub fn add(&mut self, key: &str, verdict: &Verdict) -> Result<()> {
        let mut line = serde_json::to_vec(&Entry { key: key.to_owned(), verdict })?;
        line.push(b'\n');
        let written = self.file.as_mut().map(|file| append(file, &line)).transpose();
        let at = written.as_ref().ok().copied().flatten();
        let place =
            at.map_or_else(|| Place::Memory(Box::new(verdict.clone())), |at| Place::Line { at, len: line.len() });
        self.places.insert(key.to_owned(), place);
        let path = self.path.as_deref().unwrap_or(Path::new("a temporary file"));
        written.map(drop).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The verdict of this key.
    pub fn verdict(&self, key: &str) -> Result<Verdict> {
        match (self.places.get(key), &self.file) {
            (Some(Place::Memory(verdict)), _) => Ok(Verdict::clone(verdict)),
            (Some(Place::Line { at, len }), Some(file)) => {
                let mut line = vec![0; *len];
                file.read_exact_at(&mut line, *at).context("cannot read what was graded")?;
                Ok(serde_json::from_slice::<Entry<Verdict>>(&line)?.verdict)
            }
            _ => Err(anyhow!("a verdict is lost")),
        }
    }

    /// The report is written: it is needed no more.
    pub fn remove(self) -> Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
    }
}

/// Writes a line at the end, all of it or nothing, and says where it begins.
fn append(file: &mut File, line: &[u8]) -> io::Result<u64> {
    let end = file.metadata()?.len();
    file.write_all_at(line, end).inspect_err(|_| {
        // The next one must not be joined to half of this; where this fails too, resuming passes over both.
        let _ = file.set_len(end);
    })?;
    Ok(end)
}

/// Where the verdicts of an earlier grading are. One that says nothing of the program was not worth keeping.
fn read(file: &File) -> io::Result<HashMap<String, Place>> {
    let mut places = HashMap::new();
    let mut lines = BufReader::new(file);
    let mut at = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let len = lines.read_until(b'\n', &mut line)?;
        if len == 0 {
            return Ok(places);
        }
        if let Ok(entry) = serde_json::from_slice::<Entry<Verdict>>(&line)
            && entry.verdict.outcome != Outcome::HarnessFault
        {
            places.insert(entry.key, Place::Line { at, len });
        }
        at += len as u64;
    }
}

/// The verdicts of these keys, in this order, of which only one at a time is in memory.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts<'a> {
    journal: &'a Journal,
    keys: &'a [String],
}

impl<'a> Verdicts<'a> {
    /// Each key must be one that the journal knows.
    pub fn new(journal: &'a Journal, keys: &'a [String]) -> Verdicts<'a> {
        Verdicts { journal, keys }
    }

    /// One after another.
    pub fn iter(self) -> impl Iterator<Item = Result<Verdict>> + use<'a> {
        self.keys.iter().map(move |key| self.journal.verdict(key))
    }

    /// The one at this place.
    pub fn get(self, index: usize) -> Result<Verdict> {
        self.keys.get(index).context("no such verdict").and_then(|key| self.journal.verdict(key))
    }

    /// Serializes what `value` makes of each.
    pub fn serialize_as<S: Serializer, V: Serialize>(
        self,
        serializer: S,
        value: impl Fn(Verdict) -> V,
    ) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.keys.len()))?;
        for verdict in self.iter() {
            list.serialize_element(&value(verdict.map_err(S::Error::custom)?))?;
        }
        list.end()
    }
}

impl Serialize for Verdicts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_as(serializer, |verdict| verdict)
    }
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
        let mut journal = Journal::beside(&output, true).unwrap();
        assert!(!journal.knows("a"));
        journal.add("a", &verdict("passed")).unwrap();
        journal.add("b", &verdict("harness_fault")).unwrap();
        assert_eq!(journal.verdict("b").unwrap().outcome, Outcome::HarnessFault);
        journal.file.as_mut().unwrap().write_all(b"{\"key\": \"c\", \"verd").unwrap();
        let mut journal = Journal::beside(&output, true).unwrap();
        assert_eq!(journal.places.keys().collect::<Vec<_>>(), ["a"]);
        journal.add("d", &verdict("failed")).unwrap();
        let journal = Journal::beside(&output, true).unwrap();
        assert_eq!(journal.verdict("a").unwrap().outcome, Outcome::Passed);
        assert_eq!(journal.verdict("d").unwrap().outcome, Outcome::Failed);
        assert_eq!(journal.places.len(), 2);
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
        Journal::beside(&output, false).unwrap().add("a", &verdict("passed")).unwrap();
        Journal::beside(&output, false).unwrap();
        assert!(!Journal::beside(&output, true).unwrap().knows("a"));
    }

    #[test]
    fn what_no_file_takes_is_kept_all_the_same() {
        let full = File::options().read(true).write(true).open("/dev/full").unwrap();
        let mut journal = Journal { file: Some(full), ..Journal::nameless() };
        assert!(journal.add("a", &verdict("passed")).is_err());
        assert_eq!(journal.verdict("a").unwrap().outcome, Outcome::Passed);
        let mut journal = Journal { file: None, ..Journal::nameless() };
        journal.add("a", &verdict("failed")).unwrap();
        assert_eq!(journal.verdict("a").unwrap().outcome, Outcome::Failed);
    }
}
