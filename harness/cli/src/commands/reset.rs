//! `reset`: the stub as it was handed out; what was there is kept beside it.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grade::{Exercise, State, Suite};

use crate::args::{Cli, ResetArgs};
use crate::context;
use crate::exit::Exit;
use crate::files;

/// Puts one stub back.
pub fn reset(cli: &Cli, args: &ResetArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let exercise = suite.exercise(&args.exercise).map_err(context::stop_grading)?;
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", put_back(&suite, exercise)?)?;
    Ok(Exit::Done)
}

/// Puts one stub back and says what was done. At every moment there is a whole file of the stub's name.
pub fn put_back(suite: &Suite, exercise: &Exercise) -> Result<String> {
    let stub = exercise.stub_path();
    let shown = files::relative(&stub);
    let pristine = suite.pristine_path(exercise);
    let bytes = fs::read(&pristine).with_context(|| format!("cannot read {}", pristine.display()))?;
    let kept = match suite.state(exercise) {
        State::NotBegun => return Ok(format!("{} is as it was handed out; nothing to do.", shown.display())),
        State::Missing => None,
        State::Begun => Some(keep(&stub)?),
    };
    files::write_whole(&stub, &bytes)?;
    Ok(match kept {
        Some(kept) => format!(
            "{} is as it was handed out. Yours is kept as {}.",
            shown.display(),
            files::relative(&kept).display()
        ),
        None => format!("{} is back as it was handed out.", shown.display()),
    })
}

/// Gives the file a second name that nobody has: `hello.rs.orig`, `hello.rs.orig.2`, …
fn keep(stub: &Path) -> Result<PathBuf> {
    let mut number = 1u32;
    loop {
        let mut name = stub.as_os_str().to_owned();
        name.push(if number == 1 { ".orig".to_owned() } else { format!(".orig.{number}") });
        let kept = PathBuf::from(name);
        match fs::hard_link(stub, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot keep {} as {}", stub.display(), kept.display()));
            }
        }
    }
}
