//! Notices saves: woken by the file system where it tells of changes, and by looking where it does not.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// What tells one version of a file from another without reading it.
type Stamp = (u64, i64, i64, u64);

/// Files that are watched for saves.
pub struct Saves {
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// Kept alive: dropping it ends the watching.
    _watcher: Option<RecommendedWatcher>,
}

impl Saves {
    /// Watches these files, which lie below `directory`; `wake` is sent something when one may have changed.
    ///
    /// Events only wake. What counts is the look that follows, so a file system that sends none (network file
    /// systems, some virtual machines), sends them twice, or renames files about, makes no difference but in time.
    pub fn of<T: Send + 'static>(
        directory: &Path,
        files: impl Iterator<Item = PathBuf>,
        wake: Sender<T>,
        word: fn() -> T,
    ) -> Saves {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Nobody to wake means that the watching is over.
                let _ = wake.send(word());
            }
        })
        .ok();
        let watched =
            watcher.as_mut().is_some_and(|watcher| watcher.watch(directory, RecursiveMode::Recursive).is_ok());
        Saves {
            stamps: files.map(|path| (path.clone(), stamp(&path))).collect(),
            _watcher: watcher.filter(|_| watched),
        }
    }

    /// The files saved since the last look. A file that is gone for a moment, while an editor replaces it, is not one.
    pub fn look(&mut self) -> Vec<PathBuf> {
        let mut saved = Vec::new();
        for (path, known) in &mut self.stamps {
            let now = stamp(path);
            if now.is_some() && now != *known {
                *known = now;
                saved.push(path.clone());
            }
        }
        saved
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = fs::metadata(path).ok()?;
    Some((about.ino(), about.mtime(), about.mtime_nsec(), about.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_save_by_writing_and_one_by_renaming_are_both_seen_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hello.rs");
        fs::write(&file, "one").unwrap();
        let (wake, woken) = mpsc::channel();
        let mut saves = Saves::of(dir.path(), [file.clone()].into_iter(), wake, || ());
        assert!(saves.look().is_empty());
        fs::write(&file, "longer").unwrap();
        assert_eq!(saves.look(), std::slice::from_ref(&file));
        assert!(saves.look().is_empty());
        let draft = dir.path().join(".draft");
        fs::write(&draft, "longer").unwrap();
        fs::remove_file(&file).unwrap();
        assert!(saves.look().is_empty());
        fs::rename(&draft, &file).unwrap();
        assert_eq!(saves.look(), [file]);
        assert!(woken.recv_timeout(Duration::from_secs(5)).is_ok());
    }
}
