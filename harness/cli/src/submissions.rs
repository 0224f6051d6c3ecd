//! A class: who handed in what, and which part of it is graded here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use grade::{Exercise, Submission, Suite};
use sha2::{Digest, Sha256};

use crate::exit::Stop;
use crate::files;
use crate::quantities::Shard;
use crate::terminal::visible;

/// One program of one person.
#[derive(Debug)]
pub struct HandedIn {
    /// For which exercise.
    pub exercise: Exercise,
    /// The program.
    pub submission: Submission,
}

/// A class directory, read.
#[derive(Debug, Default)]
pub struct Class {
    /// In the order of names, then of exercises.
    pub programs: Vec<HandedIn>,
    /// What lies there and is no submission: a sentence each.
    pub stray: Vec<String>,
}

/// Reads `DIR/NAME/EXERCISE.rs` (or `.c`) for each NAME.
pub fn read(suite: &Suite, directory: &Path) -> Result<Class> {
    let mut class = Class::default();
    for person in entries(directory)? {
        if !is_directory(&person) {
            class.stray.push(format!("{}: is not in a submitter's directory", shown(&person)));
            continue;
        }
        let name = shown_name(&person);
        let mut seen: Vec<&'static str> = Vec::new();
        for file in entries(&person)? {
            match one(suite, &name, &file) {
                Ok(program) if seen.contains(&program.exercise.name) => {
                    class.stray.push(format!("{}: is a second answer to {}", shown(&file), program.exercise.name));
                }
                Ok(program) => {
                    seen.push(program.exercise.name);
                    class.programs.push(program);
                }
                Err(why) => class.stray.push(format!("{}: {why}", shown(&file))),
            }
        }
    }
    let place = |exercise: &Exercise| suite.exercises().iter().position(|other| other.name == exercise.name);
    class.programs.sort_by_key(|program| (person_of(&program.submission), place(&program.exercise)));
    Ok(class)
}

fn one(suite: &Suite, person: &str, path: &Path) -> Result<HandedIn, String> {
    // A link could lead to somebody else's answer, or to the solution.
    if path.is_symlink() || !path.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if !path.extension().is_some_and(|kind| kind == "rs" || kind == "c") {
        return Err("is neither Rust (.rs) nor C (.c)".to_owned());
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let exercise = suite.exercise(&stem).map_err(|error| error.to_string())?;
    if exercise.name != stem {
        return Err(format!("is not called {}", exercise.name));
    }
    let label = format!("{person}/{}", file_name(path));
    Ok(HandedIn { exercise: exercise.clone(), submission: Submission::File { path: path.to_path_buf(), label } })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let reading = |error: std::io::Error| Stop::input(format!("{}: {}", directory.display(), files::reason(&error)));
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(reading)? {
        let path = entry.map_err(reading)?.path();
        if !file_name(&path).starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_directory(path: &Path) -> bool {
    path.is_dir() && !path.is_symlink()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn shown(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes()).replace('\n', "\\n")
}

/// As a report can show it on one line, whatever it is made of: a name must not look like a row of its own.
fn shown_name(path: &Path) -> String {
    shown(Path::new(path.file_name().unwrap_or_default()))
}

fn person_of(submission: &Submission) -> String {
    submission.label().split('/').next().unwrap_or_default().to_owned()
}

/// Whether a submission belongs to this part: by its label and exercise alone, so that every machine agrees.
pub fn in_shard(shard: Shard, label: &str, exercise: &str) -> bool {
    let digest = Sha256::digest(format!("{label}\0{exercise}"));
    let number = digest.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    number % shard.of == shard.part - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_disjoint_and_cover_everything() {
        for of in [1, 2, 3, 7] {
            for n in 0..200 {
                let label = format!("student{n}/pipe_hello.rs");
                let takers = (1..=of).filter(|&part| in_shard(Shard { part, of }, &label, "pipe_hello")).count();
                assert_eq!(takers, 1);
            }
        }
    }

    #[test]
    fn no_shard_of_many_submissions_is_empty() {
        for part in 1..=4 {
            let shard = Shard { part, of: 4 };
            let count =
                (0..200).filter(|n| in_shard(shard, &format!("student{n}/pipe_hello.rs"), "pipe_hello")).count();
            assert!(count > 25, "{count}");
        }
    }
}
