//! What is offered as an answer: a file of one of the trees, or a loose file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Exercise, GradeError};

/// A tree of programs inside the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tree {
    /// The learner's room.
    Exercises,
    /// The finished programs.
    Solutions,
}

impl Tree {
    /// Its folder, its package and its label in a verdict: all one name.
    pub fn folder(self) -> &'static str {
        match self {
            Tree::Exercises => "exercises",
            Tree::Solutions => "solutions",
        }
    }
}

/// A program offered as an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The exercise's file in this tree.
    Tree(Tree),
    /// Any file.
    File {
        /// Where it is.
        path: PathBuf,
        /// What the verdict calls it: the path as given, or `NAME/EXERCISE.rs`.
        label: String,
    },
}

impl Submission {
    /// A loose file, labelled by its path as given.
    pub fn file(path: impl Into<PathBuf>) -> Submission {
        let path = path.into();
        let label = path.display().to_string();
        Submission::File { path, label }
    }

    /// What the verdict calls it.
    pub fn label(&self) -> String {
        match self {
            Submission::Tree(tree) => tree.folder().into(),
            Submission::File { label, .. } => label.clone(),
        }
    }

    /// Where its source is.
    pub fn path(&self, exercise: &Exercise) -> PathBuf {
        match self {
            Submission::Tree(tree) => exercise.path_in(*tree),
            Submission::File { path, .. } => path.clone(),
        }
    }

    /// Reads its source and says plainly what is wrong with a file that is none.
    ///
    /// # Errors
    /// [`GradeError::File`] for a missing, empty, unreadable, non-UTF-8 file, a directory, or a file of another language.
    pub fn source(&self, exercise: &Exercise) -> Result<String, GradeError> {
        read_source(&self.path(exercise))
    }
}

/// Bytes of a source, at most; a solution has a few thousand.
const MOST: u64 = 1 << 20;

fn read_source(path: &Path) -> Result<String, GradeError> {
    let wrong = |reason: &str| GradeError::file(path, reason);
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => wrong("there is no such file: check the name and the directory you are in"),
        std::io::ErrorKind::PermissionDenied => wrong("it may not be read: give yourself permission with chmod +r"),
        _ => GradeError::file(path, format!("it cannot be read: {e}")),
    })?;
    if metadata.is_dir() {
        return Err(wrong("it is a directory: name the .rs file in it"));
    }
    if !metadata.is_file() {
        return Err(wrong("it is no regular file: name a .rs file"));
    }
    if metadata.len() > MOST {
        return Err(GradeError::file(
            path,
            format!("it is larger than the {} KiB that a program may have", MOST >> 10),
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::PermissionDenied => wrong("it may not be read: give yourself permission with chmod +r"),
        _ => GradeError::file(path, format!("it cannot be read: {e}")),
    })?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("rs" | "c") => {}
        _ => return Err(wrong("its name ends neither in .rs nor in .c: only Rust and C programs can be graded")),
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong("it is empty: save your program in it first"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        GradeError::file(path, format!("it is not UTF-8 text (byte {at} is wrong): save it as UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_of_a_person_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("huge.rs");
        std::fs::File::create(&path).unwrap().set_len(4 << 30).unwrap();
        assert!(reason(&path).contains("1024 KiB"));
    }

    fn reason(path: &Path) -> String {
        read_source(path).expect_err("must be refused").to_string()
    }

    #[test]
    fn files_that_are_no_programs_are_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("empty.rs"), " \n").unwrap();
        std::fs::write(at("latin.rs"), b"fn main() {} // \xe9").unwrap();
        std::fs::write(at("text.txt"), "hello").unwrap();
        assert!(reason(&at("none.rs")).contains("no such file"));
        assert!(reason(&at("empty.rs")).contains("empty"));
        assert!(reason(&at("latin.rs")).contains("byte 16"));
        assert!(reason(&at("text.txt")).contains(".rs"));
        assert!(reason(dir.path()).contains("directory"));
    }
}
