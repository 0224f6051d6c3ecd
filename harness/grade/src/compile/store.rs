//! Executables kept by what they were made from: written whole or not at all, bounded in number.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::GradeError;

/// Executables beyond this number are removed, oldest first.
const KEPT: usize = 400;
/// Younger ones are left alone: another grading may be about to run them.
const YOUNG: Duration = Duration::from_secs(3600);

static UNIQUE: AtomicU64 = AtomicU64::new(0);

/// A directory of executables.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    pub fn new(dir: PathBuf) -> Store {
        Store { dir }
    }

    /// The executable made from `parts`; `make` writes it to the path that it is given if it is not there yet.
    pub fn get_or_make(
        &self,
        name: &str,
        parts: &[&str],
        make: impl FnOnce(&Path) -> Result<(), GradeError>,
    ) -> Result<PathBuf, GradeError> {
        let home = self.dir.join(format!("{name}-{}", digest(parts)));
        if home.is_file() {
            let now = std::fs::File::open(&home).and_then(|f| f.set_modified(SystemTime::now()));
            // Only the order of removal depends on it; the file may be another user's.
            drop(now);
            return Ok(home);
        }
        std::fs::create_dir_all(&self.dir).map_err(|e| self.broken("create", e))?;
        let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let draft = self.dir.join(format!(".{name}-{}-{number}", std::process::id()));
        let made = make(&draft).and_then(|()| self.settle(&draft, home));
        for leftover in [dependencies_of(&draft), draft] {
            if leftover.exists() {
                std::fs::remove_file(&leftover).map_err(|e| self.broken("clean up", e))?;
            }
        }
        self.prune();
        made
    }

    /// Moves a finished executable to its place: under its digest if that says everything, else (the source has
    /// other files of its own) under a name that is never found again.
    fn settle(&self, draft: &Path, home: PathBuf) -> Result<PathBuf, GradeError> {
        let home = if has_other_sources(draft) {
            let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
            home.with_extension(format!("{}-{number}", std::process::id()))
        } else {
            home
        };
        std::fs::rename(draft, &home).map_err(|e| self.broken("write to", e))?;
        Ok(home)
    }

    fn broken(&self, action: &'static str, error: std::io::Error) -> GradeError {
        GradeError::suite(action, &self.dir, error)
    }

    /// Removes the oldest executables beyond the bound. Another process may be doing the same: what is gone is gone.
    fn prune(&self) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let mut aged: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|e| e.ok().and_then(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))))
            .collect();
        if aged.len() <= KEPT {
            return;
        }
        aged.sort();
        let surplus = aged.len() - KEPT;
        let old = aged.iter().take(surplus).filter(|(age, _)| age.elapsed().is_ok_and(|age| age > YOUNG));
        for (_, path) in old {
            drop(std::fs::remove_file(path));
        }
    }
}

/// Where rustc lists the files that an executable was made from.
pub(super) fn dependencies_of(output: &Path) -> PathBuf {
    output.with_extension("d")
}

fn has_other_sources(output: &Path) -> bool {
    let Ok(list) = std::fs::read_to_string(dependencies_of(output)) else { return false };
    // One line `FILE:` for each source, after the rules for the outputs.
    list.lines().filter(|line| line.ends_with(':')).count() > 1
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_the_same_parts_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("programs"));
        let mut made = 0;
        for parts in [["a", "bc"], ["a", "bc"], ["ab", "c"]] {
            let path = store.get_or_make("x", &parts, |out| {
                made += 1;
                std::fs::write(out, parts.concat()).map_err(|e| GradeError::suite("write", out, e))
            });
            assert_eq!(std::fs::read_to_string(path.unwrap()).unwrap(), "abc");
        }
        assert_eq!(made, 2);
        assert_eq!(std::fs::read_dir(dir.path().join("programs")).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_compilation_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_path_buf());
        let made = store.get_or_make("x", &["a"], |out| {
            std::fs::write(out, "half").unwrap();
            Err(GradeError::Compile("no".into()))
        });
        assert!(made.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
