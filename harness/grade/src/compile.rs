//! From source to executable: each program by itself, straight through rustc, never twice the same.
//!
//! cargo builds the libraries once; after that an edited program costs one rustc (75 ms where cargo takes 140) and
//! an unchanged one nothing. A program that does not compile is its own verdict and nobody else's.

mod confine;
mod externs;
mod lifeline;
mod store;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use confine::Reach;
use externs::Externs;
pub use store::Kept;
use store::Store;

use crate::{Exercise, GradeError, Submission, Suite, Tree};

/// An executable and where it came from.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// To be run. It is there as long as this is.
    pub program: Kept,
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
    ) -> Result<Kept, GradeError> {
        let externs = match submission {
            Submission::Tree(tree) => self.externs(*tree)?,
            Submission::File { .. } => self.externs(Tree::Solutions)?,
        };
        let name = recorded_name(shown);
        let level = if exercise.is_optimised() { "opt-level=3" } else { "opt-level=0" };
        let parts = [exercise.name, source, &name.to_string_lossy(), &externs.fingerprint, level];
        self.store.get_or_make(exercise.name, &parts, |dir, output| {
            let mut rustc = externs.rustc(exercise.name);
            rustc.args(["-C", level]);
            let mut path = shown.to_path_buf();
            if let Submission::Tree(_) = submission {
                rustc.current_dir(&self.root);
                path = self.root.join(path);
            }
            rustc.args(["--remap-path-scope", "macro,debuginfo", "--remap-path-prefix"]).arg(renamed(shown, &name));
            let dependencies = dir.join("dependencies");
            let mut emit = OsString::from("--emit=link,dep-info=");
            emit.push(&dependencies);
            rustc.arg(shown).arg("-o").arg(output).arg(emit);
            let read = externs.files().into_iter().chain([path]).collect();
            confine::run(rustc, "rustc", &self.reach(read, vec![externs.search()], dir))?;
            must_be_one_file(&dependencies)
        })
    }

    fn compile_c(&self, exercise: &Exercise, path: &Path, source: &str) -> Result<Kept, GradeError> {
        let name = recorded_name(path);
        let level = if exercise.is_optimised() { "-O3" } else { "-O0" };
        let parts = [exercise.name, source, &name.to_string_lossy(), "cc -g -pthread", level];
        self.store.get_or_make(exercise.name, &parts, |dir, output| {
            let mut rename = OsString::from("-ffile-prefix-map=");
            rename.push(renamed(path, &name));
            let mut cc = Command::new("cc");
            cc.args(["-g", level, "-pthread", "-o"]).arg(output).arg(rename).arg(path);
            match confine::run(cc, "cc", &self.reach(vec![path.into()], Vec::new(), dir)) {
                Err(GradeError::Toolchain(reason)) => {
                    Err(GradeError::NoCompiler(format!("a C program needs a C compiler: {reason}")))
                }
                result => result,
            }
        })
    }

    fn reach<'a>(&'a self, read: Vec<PathBuf>, list: Vec<PathBuf>, write: &'a Path) -> Reach<'a> {
        Reach { suite: &self.root, read, list, write }
    }
}

/// What an executable calls its source: the file's name alone, so that one executable serves all who handed in the same,
/// and names none of them. A path that the compilers' `OLD=NEW` cannot hold is left as it is.
fn recorded_name(path: &Path) -> OsString {
    let plain = |path: &Path| !path.as_os_str().as_encoded_bytes().contains(&b'=');
    let name = path.file_name().filter(|_| plain(path));
    name.unwrap_or(path.as_os_str()).into()
}

fn renamed(path: &Path, name: &OsString) -> OsString {
    let mut text = path.as_os_str().to_owned();
    text.push("=");
    text.push(name);
    text
}

/// Where files cannot be kept from a compiler, it still says which it took in.
fn must_be_one_file(dependencies: &Path) -> Result<(), GradeError> {
    let list = std::fs::read_to_string(dependencies).map_err(|e| GradeError::suite("read", dependencies, e))?;
    // One line `FILE:` for each source, after the rules for the outputs.
    match list.lines().filter(|line| line.ends_with(':')).nth(1) {
        None => Ok(()),
        Some(other) => {
            let other = other.trim_end_matches(':');
            Err(GradeError::Compile(format!("error: an answer is one file, and this one takes in {other}\n")))
        }
    }
}
