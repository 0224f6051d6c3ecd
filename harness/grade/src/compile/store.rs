//! Executables kept by what they were made from: written whole or not at all, bounded in number.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::GradeError;

/// Executables beyond this number are removed, oldest first, but for those in use.
const KEPT: usize = 1000;
/// One is made in a directory that begins so; after this time its maker is gone.
const DRAFT: &str = ".draft-";
/// Removes the drafts of a maker that is no more. It is nobody's child, whom its maker might kill.
const CARETAKER: &str = r#"exec 3<&0
(read _ <&3; for n in 1 2 3 4 5 6 7 8 9; do rm -rf "$0"* && exit; sleep 0.1; done) &"#;
const STALE: Duration = Duration::from_secs(3600);

static UNIQUE: AtomicU64 = AtomicU64::new(0);

/// A directory of executables.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    /// How the paths of its own drafts begin.
    drafts: PathBuf,
    /// The end of this is the caretaker's beginning.
    caretaker: OnceLock<Option<ChildStdin>>,
}

/// An executable that is not removed while this is there: it holds a shared lock.
#[derive(Clone, Debug)]
pub struct Kept {
    path: PathBuf,
    lock: Arc<File>,
}

impl Deref for Kept {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Kept {
    /// The executable, if it is there and stays.
    fn take(path: &Path) -> io::Result<Kept> {
        let file = File::open(path)?;
        file.lock_shared()?;
        // It may have been removed before the lock was had.
        if file.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Kept { path: path.into(), lock: Arc::new(file) })
    }
}

impl Store {
    pub fn new(dir: PathBuf) -> Store {
        let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let drafts = dir.join(format!("{DRAFT}{}-{number}-", std::process::id()));
        Store { dir, drafts, caretaker: OnceLock::new() }
    }

    /// The executable made from `parts`. If it is not there yet, `make` is given an empty directory, and the path in it to
    /// write to.
    pub fn get_or_make(
        &self,
        name: &str,
        parts: &[&str],
        make: impl FnOnce(&Path, &Path) -> Result<(), GradeError>,
    ) -> Result<Kept, GradeError> {
        let home = self.dir.join(format!("{name}-{}", digest(parts)));
        if let Ok(kept) = Kept::take(&home) {
            // Only the order of removal depends on it; the file may be another user's.
            let _ = kept.lock.set_modified(SystemTime::now());
            return Ok(kept);
        }
        fs::create_dir_all(&self.dir).map_err(|e| self.broken("create", e))?;
        // What nobody takes care of is removed in an hour.
        self.caretaker.get_or_init(|| self.caretaker().ok().flatten());
        let mut draft = self.drafts.clone().into_os_string();
        draft.push(UNIQUE.fetch_add(1, Ordering::Relaxed).to_string());
        let draft = PathBuf::from(draft);
        fs::create_dir(&draft).map_err(|e| self.broken("write to", e))?;
        let program = draft.join(name);
        let made = make(&draft, &program).and_then(|()| {
            fs::rename(&program, &home).and_then(|()| Kept::take(&home)).map_err(|e| self.broken("write to", e))
        });
        fs::remove_dir_all(&draft).map_err(|e| self.broken("clean up", e))?;
        self.prune();
        made
    }

    /// Sees to it that no draft outlives this process, even if it is killed.
    fn caretaker(&self) -> io::Result<Option<ChildStdin>> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(CARETAKER).arg(&self.drafts).current_dir("/").process_group(0);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let line = shell.stdin.take();
        shell.wait()?;
        Ok(line)
    }

    fn broken(&self, action: &'static str, error: io::Error) -> GradeError {
        GradeError::suite(action, &self.dir, error)
    }

    /// Removes the oldest executables beyond the bound, and what killed compilations have left. Another process may be
    /// doing the same: what is gone is gone.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let is_draft =
            |path: &PathBuf| path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(DRAFT.as_bytes()));
        let aged = entries.filter_map(|e| e.ok().and_then(|e| Some((e.metadata().ok()?.modified().ok()?, e.path()))));
        let (drafts, mut programs): (Vec<_>, Vec<_>) = aged.partition(|(_, path)| is_draft(path));
        for (_, path) in drafts.iter().filter(|(age, _)| age.elapsed().is_ok_and(|age| age > STALE)) {
            let _ = fs::remove_dir_all(path);
        }
        programs.sort();
        for (_, path) in programs.iter().take(programs.len().saturating_sub(KEPT)) {
            if File::open(path).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(path);
            }
        }
    }
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
            let path = store.get_or_make("x", &parts, |_, out| {
                made += 1;
                std::fs::write(out, parts.concat()).map_err(|e| GradeError::suite("write", out, e))
            });
            assert_eq!(std::fs::read_to_string(&*path.unwrap()).unwrap(), "abc");
        }
        assert_eq!(made, 2);
        assert_eq!(std::fs::read_dir(dir.path().join("programs")).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_compilation_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_path_buf());
        let made = store.get_or_make("x", &["a"], |_, out| {
            std::fs::write(out, "half").unwrap();
            Err(GradeError::Compile("no".into()))
        });
        assert!(made.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
