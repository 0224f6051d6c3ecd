//! What a person gives a program that is just run: arguments, and copies of the files that they name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::Result;
use observe::{Content, FileKind, FileLeft, InputFile, Observation};

use crate::exit::Stop;
use crate::files;
use crate::terminal;

/// Bytes of a file that is copied into the box.
const LARGEST: u64 = 64 << 20;

/// Arguments as the program gets them, and its files.
#[derive(Debug, Default)]
pub struct Input {
    /// The arguments.
    pub words: Vec<OsString>,
    /// The files they name.
    pub files: Vec<InputFile>,
}

impl Input {
    /// A program sees nothing of the machine outside its box: each regular file that a word names is copied into it, under
    /// its last name, and the word becomes that name. All other words stay as they are.
    ///
    /// # Errors
    /// A file cannot be read or is too large, or two files have one name.
    pub fn of(words: &[OsString]) -> Result<Input> {
        let mut input = Input::default();
        let mut copied: Vec<(&OsStr, PathBuf)> = Vec::new();
        for word in words {
            let path = Path::new(word);
            let Some(name) = path.file_name().filter(|_| path.is_file()) else {
                input.words.push(word.clone());
                continue;
            };
            let real = path.canonicalize().map_err(|error| failed(path, &error))?;
            match copied.iter().find(|(other, _)| *other == name) {
                Some((_, other)) if *other != real => {
                    let words = "another file of this name is copied into the box, too: give one of them another name";
                    return Err(Stop::input(format!("{}: {words}", path.display())));
                }
                Some(_) => {}
                None => {
                    input.files.push(InputFile::new(name, read(path)?));
                    copied.push((name, real));
                }
            }
            input.words.push(name.to_owned());
        }
        Ok(input)
    }

    /// What the program has made of the files: those that are new or have another length or other bytes.
    pub fn written(&self, seen: &Observation) -> Vec<String> {
        let as_given = |left: &&FileLeft| {
            self.files.iter().any(|given| match &given.content {
                Content::Bytes(bytes) => {
                    given.path == left.path && bytes.len() as u64 == left.len && bytes.starts_with(&left.bytes)
                }
                _ => false,
            })
        };
        let regular = seen.files.iter().filter(|left| left.kind == FileKind::File);
        let name = |left: &FileLeft| terminal::visible(left.path.as_os_str().as_encoded_bytes()).replace('\n', "\\n");
        regular.filter(|left| !as_given(left)).map(|left| format!("{} ({} bytes)", name(left), left.len)).collect()
    }
}

/// A file that is to be copied into the box.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    if path.metadata().map_err(|error| failed(path, &error))?.len() > LARGEST {
        let words = format!("more than {} MiB, and so not copied into the box", LARGEST >> 20);
        return Err(Stop::input(format!("{}: {words}", path.display())));
    }
    std::fs::read(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> anyhow::Error {
    Stop::input(format!("{}: {}", path.display(), files::reason(error)))
}
