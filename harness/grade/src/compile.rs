//! From source to executable: each program by itself, straight through rustc, never twice the same.
//!
//! cargo builds the libraries once; after that an edited program costs one rustc (75 ms where cargo takes 140) and
//! an unchanged one nothing. A program that does not compile is its own verdict and nobody else's.

mod externs;
mod store;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use externs::Externs;
use store::Store;

use crate::{Exercise, GradeError, Submission, Suite, Tree};

/// An executable and where it came from.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// To be run.
    pub program: PathBuf,
    /// The source as the verdict names it: relative to the suite's root, or as given.
    pub source: PathBuf,
}

/// Compiles submissions. Usable from many threads and many processes at once.
#[derive(Debug)]
pub struct Compiler {
    root: PathBuf,
    build_dir: PathBuf,
    store: Store,
    externs: Mutex<HashMap<&'static str, Arc<Externs>>>,
}

impl Compiler {
    /// A compiler that keeps what it makes in the suite's build directory.
    pub fn new(suite: &Suite) -> Compiler {
        let build_dir = suite.build_dir();
        Compiler {
            root: suite.root().into(),
            store: Store::new(build_dir.join("programs")),
            build_dir,
            externs: Mutex::default(),
        }
    }

    /// Makes an executable of a submission, or finds the one made before.
    ///
    /// # Errors
    /// [`GradeError::File`] for a file that is none, [`GradeError::Compile`] with the compiler's message,
    /// [`GradeError::NoCompiler`] for a C program where there is no `cc`, [`GradeError::Toolchain`] if cargo or rustc
    /// cannot do its part.
    pub fn compile(&self, exercise: &Exercise, submission: &Submission) -> Result<Compiled, GradeError> {
        let source = submission.source(exercise)?;
        let path = submission.path(exercise);
        let shown = match submission {
            Submission::Tree(_) => path.strip_prefix(&self.root).unwrap_or(&path).to_path_buf(),
            Submission::File { .. } => path.clone(),
        };
        let program = if path.extension().is_some_and(|e| e == "c") {
            self.compile_c(exercise, &path, &source)?
        } else {
            self.compile_rust(exercise, submission, &shown, &source)?
        };
        Ok(Compiled { program, source: shown })
    }

    /// Builds the libraries that programs of both trees use, so that later compilations need only rustc.
    ///
    /// # Errors
    /// [`GradeError::Toolchain`].
    pub fn prepare(&self) -> Result<(), GradeError> {
        self.externs(Tree::Solutions)?;
        self.externs(Tree::Exercises)?;
        Ok(())
    }

    fn externs(&self, tree: Tree) -> Result<Arc<Externs>, GradeError> {
        let mut known = self.externs.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(externs) = known.get(tree.folder()) {
            return Ok(externs.clone());
        }
        let externs = Arc::new(Externs::learn(&self.root, &self.build_dir, tree.folder())?);
        known.insert(tree.folder(), externs.clone());
        Ok(externs)
    }

    fn compile_rust(
        &self,
        exercise: &Exercise,
        submission: &Submission,
        shown: &Path,
        source: &str,
    ) -> Result<PathBuf, GradeError> {
        let externs = match submission {
            Submission::Tree(tree) => self.externs(*tree)?,
            Submission::File { .. } => self.externs(Tree::Solutions)?,
        };
        let parts = [exercise.name, source, &shown.to_string_lossy(), &externs.fingerprint];
        self.store.get_or_make(exercise.name, &parts, |output| {
            let mut rustc = externs.rustc(exercise.name);
            if let Submission::Tree(_) = submission {
                rustc.current_dir(&self.root);
            }
            rustc.arg(shown).arg("-o").arg(output);
            let mut emit = std::ffi::OsString::from("--emit=link,dep-info=");
            emit.push(store::dependencies_of(output));
            rustc.arg(emit);
            run(rustc, "rustc")
        })
    }

    fn compile_c(&self, exercise: &Exercise, path: &Path, source: &str) -> Result<PathBuf, GradeError> {
        let parts = [exercise.name, source, &path.to_string_lossy(), "cc -g -O0 -pthread"];
        self.store.get_or_make(exercise.name, &parts, |output| {
            let mut cc = Command::new("cc");
            cc.args(["-g", "-O0", "-pthread", "-o"]).arg(output).arg(path);
            match run(cc, "cc") {
                Err(GradeError::Toolchain(reason)) => {
                    Err(GradeError::NoCompiler(format!("a C program needs a C compiler: {reason}")))
                }
                result => result,
            }
        })
    }
}

/// Runs a compiler: its message verbatim if it refuses the program.
fn run(mut command: Command, name: &str) -> Result<(), GradeError> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| GradeError::Toolchain(format!("{name} cannot be run: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(_) => Err(GradeError::Compile(message)),
        None => Err(GradeError::Toolchain(format!("{name} was ended by a signal ({})\n{message}", output.status))),
    }
}
