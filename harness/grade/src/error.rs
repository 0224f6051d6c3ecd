//! What can go wrong before or beside a verdict.

use std::path::PathBuf;

/// Everything that is no property of a submission's behaviour.
#[derive(Debug, thiserror::Error)]
pub enum GradeError {
    /// No directory with `Cargo.toml`, `exercises` and `solutions` was found.
    #[error(
        "no suite of exercises at {0} or above it: run this inside the repository, or set SYSLINGS_ROOT to its path"
    )]
    NoSuite(PathBuf),
    /// No exercise of this name.
    #[error("no exercise is called `{name}`{}", suggestion(nearest))]
    UnknownExercise {
        /// As given.
        name: String,
        /// The name most like it, if one is.
        nearest: Option<String>,
    },
    /// A submission's file is of no use.
    #[error("{path}: {reason}")]
    File {
        /// As given.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A file of the suite's own is missing or broken.
    #[error("cannot {action} {path}: {reason}")]
    Suite {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
    /// The submission does not compile; the compiler's own message.
    #[error("{0}")]
    Compile(String),
    /// The compiler for this kind of file is not there.
    #[error("{0}")]
    NoCompiler(String),
    /// cargo or rustc could not be run, or the libraries of the exercises do not build.
    #[error("{0}")]
    Toolchain(String),
    /// A replay id that is none.
    #[error("`{id}` is no replay id of {exercise}: {reason}")]
    Replay {
        /// As given.
        id: String,
        /// Whose.
        exercise: String,
        /// Why not.
        reason: String,
    },
    /// The observer failed.
    #[error(transparent)]
    Observe(observe::ObserveError),
    /// The caller asked for the grading to be given up.
    #[error("interrupted")]
    Interrupted,
}

impl From<observe::ObserveError> for GradeError {
    /// An executable that nothing can start is what its source made of it.
    fn from(error: observe::ObserveError) -> GradeError {
        match error {
            observe::ObserveError::Interpreter { .. } => {
                GradeError::Compile(format!("error: it compiles, but nothing can run it: {error}\n"))
            }
            other => GradeError::Observe(other),
        }
    }
}

impl GradeError {
    pub(crate) fn file(path: impl Into<PathBuf>, reason: impl Into<String>) -> GradeError {
        GradeError::File { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn suite(action: &'static str, path: impl Into<PathBuf>, reason: impl ToString) -> GradeError {
        GradeError::Suite { action, path: path.into(), reason: reason.to_string() }
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{name}`?"),
        None => "; `syslings list` shows them all".into(),
    }
}
