//! What a person gives a program that is just run: arguments, and copies of the files that they name.

use std::ffi::OsString;
use std::path::Path;

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
    pub fn of(words: &[OsString]) -> Result<Input> {
        let mut input = Input::default();
        for word in words {
            let path = Path::new(word);
            let Some(name) = path.file_name().filter(|_| path.is_file()) else {
                input.words.push(word.clone());
                continue;
            };
            if !input.files.iter().any(|file| file.path == Path::new(name)) {
                input.files.push(InputFile::new(name, read(path)?));
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
    let shown = path.display();
    let failed = |error: &std::io::Error| Stop::input(format!("{shown}: {}", files::reason(error)));
    if path.metadata().map_err(|error| failed(&error))?.len() > LARGEST {
        return Err(Stop::input(format!("{shown}: more than {} MiB, and so not copied into the box", LARGEST >> 20)));
    }
    std::fs::read(path).map_err(|error| failed(&error))
}
