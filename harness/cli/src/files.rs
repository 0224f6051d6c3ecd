//! Files that a person names: looked at before anything is done with them, and written whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::exit::Stop;

/// An error unless `path` is a regular file with something in it that may be read.
pub fn check_readable(path: &Path) -> Result<()> {
    let shown = path.display();
    let about = fs::metadata(path).map_err(|error| Stop::input(format!("{shown}: {}", reason(&error))))?;
    if about.is_dir() {
        return Err(Stop::input(format!("{shown}: is a directory, a file is wanted")));
    }
    if !about.is_file() {
        return Err(Stop::input(format!("{shown}: is not a regular file")));
    }
    if about.len() == 0 {
        return Err(Stop::input(format!("{shown}: is empty (0 bytes)")));
    }
    File::open(path).map_err(|error| Stop::input(format!("{shown}: {}", reason(&error))))?;
    Ok(())
}

/// An error unless a file of this name could be written; found out before the work whose result it takes.
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Err(Stop::input(format!("{}: is a directory, a file's name is wanted", path.display())));
    }
    let directory = parent(path);
    tempfile::tempfile_in(&directory).map(drop).map_err(|error| {
        Stop::input(format!("cannot write {}: {}: {}", path.display(), directory.display(), reason(&error)))
    })
}

/// Writes a file so that a reader finds either the old one or the whole new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole_by(path, |file| Ok(file.write_all(bytes)?))
}

/// The same, of what is written piece by piece.
pub fn write_whole_by(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let all = |file: &File| -> Result<()> {
        let mut file = BufWriter::new(file);
        write(&mut file)?;
        file.flush()?;
        Ok(())
    };
    // Standard output and the like are written to, not replaced.
    if path.exists() && !path.is_file() {
        let file = File::options().write(true).open(path).with_context(cannot)?;
        return all(&file).with_context(cannot);
    }
    let file = tempfile::Builder::new()
        .prefix(".syslings-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(parent(path))
        .with_context(cannot)?;
    all(file.as_file()).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}

/// A path as a person standing in the current directory would write it.
pub fn relative(path: &Path) -> PathBuf {
    std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf))
        .filter(|short| !short.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_path_buf())
}

/// The kernel's reason in words, without its number.
pub fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_file_is_named_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        fs::write(&empty, "").unwrap();
        let says = |path: &Path| check_readable(path).unwrap_err().to_string();
        assert!(says(&empty).ends_with("is empty (0 bytes)"));
        assert!(says(dir.path()).contains("is a directory"));
        assert!(says(&dir.path().join("none")).contains("no such file"));
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_found_out_first() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_writable(&dir.path().join("none/report.json")).is_err());
        assert!(check_writable(dir.path()).is_err());
    }
}
