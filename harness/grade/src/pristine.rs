//! The stubs as they were handed out: what tells an exercise nobody has begun from one in work, and what `reset`
//! brings back. Copies of them lie in `harness/grade/pristine`; a stub is as handed out while it has the same bytes.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Exercise, GradeError, Suite};

/// Whether a learner has begun an exercise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The stub is as it was handed out.
    NotBegun,
    /// It has been edited.
    Begun,
    /// There is no file.
    Missing,
}

impl Suite {
    /// Whether the learner has begun this exercise.
    pub fn state(&self, exercise: &Exercise) -> State {
        match std::fs::read(exercise.stub_path()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::Missing,
            Err(_) => State::Begun,
            Ok(bytes) if std::fs::read(self.pristine_path(exercise)).is_ok_and(|p| p == bytes) => State::NotBegun,
            Ok(_) => State::Begun,
        }
    }

    /// Where the copy of the stub as handed out is kept.
    pub fn pristine_path(&self, exercise: &Exercise) -> PathBuf {
        self.root().join("harness/grade/pristine").join(exercise.relative_path())
    }

    /// Brings the stub back as it was handed out. What was there is kept beside it; its new path is returned, or
    /// nothing if there was nothing to keep.
    ///
    /// # Errors
    /// [`GradeError::Suite`] if a file cannot be read or written.
    pub fn reset(&self, exercise: &Exercise) -> Result<Option<PathBuf>, GradeError> {
        let pristine = self.pristine_path(exercise);
        let bytes = std::fs::read(&pristine).map_err(|e| GradeError::suite("read", &pristine, e))?;
        let stub = exercise.stub_path();
        let kept = match self.state(exercise) {
            State::NotBegun => return Ok(None),
            State::Missing => None,
            State::Begun => {
                let kept = free_name(&stub);
                std::fs::rename(&stub, &kept).map_err(|e| GradeError::suite("keep", &stub, e))?;
                Some(kept)
            }
        };
        write_whole(&stub, &bytes)?;
        Ok(kept)
    }
}

/// Makes the stubs as they are now the ones that are handed out, and returns each exercise's name with the SHA-256
/// of its stub. For those who make exercises, never for those who do them.
///
/// # Errors
/// [`GradeError::Suite`] if a file cannot be read or written.
pub fn digest_stubs(suite: &Suite) -> Result<Vec<(String, String)>, GradeError> {
    suite
        .exercises()
        .iter()
        .map(|exercise| {
            let stub = exercise.stub_path();
            let bytes = std::fs::read(&stub).map_err(|e| GradeError::suite("read", &stub, e))?;
            write_whole(&suite.pristine_path(exercise), &bytes)?;
            let digest = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            Ok((exercise.name.to_string(), digest))
        })
        .collect()
}

/// `hello.rs.kept`, `hello.rs.kept-2`, …: no ending that a compiler or cargo takes for a program's.
fn free_name(stub: &Path) -> PathBuf {
    let name = |n: u32| {
        let mut name = stub.file_name().unwrap_or_default().to_os_string();
        name.push(if n == 1 { ".kept".to_string() } else { format!(".kept-{n}") });
        stub.with_file_name(name)
    };
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(1))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), GradeError> {
    let broken = |e: std::io::Error| GradeError::suite("write", path, e);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(broken)?;
    }
    let mut draft = path.as_os_str().to_os_string();
    draft.push(format!(".tmp{}", std::process::id()));
    std::fs::write(&draft, bytes).and_then(|()| std::fs::rename(&draft, path)).map_err(broken)
}
