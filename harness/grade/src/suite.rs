//! Where the suite is on this machine, and how an exercise is found by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::catalogue;
use crate::{Exercise, GradeError};

/// The suite of exercises: a directory and what is in it.
#[derive(Clone, Debug)]
pub struct Suite {
    root: Arc<Path>,
    exercises: Vec<Exercise>,
}

impl Suite {
    /// The suite that `start` lies in; else the one that `SYSLINGS_ROOT` names; else the one that this
    /// program was built from.
    ///
    /// # Errors
    /// [`GradeError::NoSuite`] if none of them is there.
    pub fn find(start: &Path) -> Result<Suite, GradeError> {
        let start = std::path::absolute(start).unwrap_or_else(|_| start.to_path_buf());
        let above = start.ancestors().find(|dir| is_suite(dir)).map(Path::to_path_buf);
        let named = || std::env::var_os("SYSLINGS_ROOT").map(PathBuf::from).filter(|dir| is_suite(dir));
        let built = || Some(PathBuf::from(BUILT_FROM)).filter(|dir| is_suite(dir));
        let found = above.or_else(named).or_else(built).ok_or(GradeError::NoSuite(start))?;
        let found = found.canonicalize().map_err(|e| GradeError::suite("open", &found, e))?;
        let root: Arc<Path> = found.into();
        Ok(Suite { exercises: catalogue::exercises(&root), root })
    }

    /// The directory of the suite.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the grader keeps what it compiles: `grade` in cargo's target directory.
    pub fn build_dir(&self) -> PathBuf {
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
            _ => self.root.join("target"),
        };
        target.join("grade")
    }

    /// All exercises in teaching order.
    pub fn exercises(&self) -> &[Exercise] {
        &self.exercises
    }

    /// The exercise of this name: `pipe_hello`, `pipes::hello`, `pipes/hello`, or the path of its file.
    ///
    /// # Errors
    /// [`GradeError::UnknownExercise`], with the nearest name.
    pub fn exercise(&self, name: &str) -> Result<&Exercise, GradeError> {
        self.exercises
            .iter()
            .find(|e| answers_to(e, name))
            .ok_or_else(|| GradeError::UnknownExercise { name: name.into(), nearest: self.nearest(name) })
    }

    fn nearest(&self, name: &str) -> Option<String> {
        let asked = name.to_lowercase().replace(['-', ' '], "_");
        let inside = self.exercises.iter().find(|e| asked.len() > 2 && e.name.contains(&asked));
        let by_distance = || {
            let distance = |e: &Exercise| {
                let names = [e.name.to_string(), e.path_name()];
                names.iter().map(|n| strsim::damerau_levenshtein(&asked, n)).min().unwrap_or(usize::MAX)
            };
            let nearest = self.exercises.iter().min_by_key(|e| distance(e))?;
            (distance(nearest) <= 1 + nearest.name.len() / 3).then_some(nearest)
        };
        inside.or_else(by_distance).map(|e| e.name.to_string())
    }
}

const BUILT_FROM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn is_suite(dir: &Path) -> bool {
    dir.join("Cargo.toml").is_file() && dir.join("exercises").is_dir() && dir.join("solutions").is_dir()
}

fn answers_to(exercise: &Exercise, name: &str) -> bool {
    if name == exercise.name || name == exercise.path_name() || name.replace('/', "::") == exercise.path_name() {
        return true;
    }
    let path = Path::new(name);
    path.ends_with(exercise.relative_path())
        || path.canonicalize().is_ok_and(|p| p == exercise.stub_path() || p == exercise.solution_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite() -> Suite {
        Suite::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn an_exercise_answers_to_each_of_its_names() {
        let suite = suite();
        for name in ["pipe_hello", "pipes::hello", "pipes/hello", "exercises/05_pipes/hello.rs", "05_pipes/hello.rs"] {
            assert_eq!(suite.exercise(name).unwrap().name, "pipe_hello", "{name}");
        }
        let path = suite.exercise("map_shared").unwrap().stub_path();
        assert_eq!(suite.exercise(path.to_str().unwrap()).unwrap().name, "map_shared");
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let suite = suite();
        for (typed, meant) in
            [("pipe_helo", "pipe_hello"), ("sigpipe_handel", "sigpipe_handler"), ("map-shraed", "map_shared")]
        {
            let error = suite.exercise(typed).unwrap_err().to_string();
            assert!(error.contains(meant), "{error}");
        }
        assert!(suite.exercise("xyzzy").unwrap_err().to_string().contains("syslings list"));
    }
}
