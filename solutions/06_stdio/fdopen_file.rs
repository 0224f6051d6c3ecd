//! A buffered stream over a descriptor that you opened yourself.
//!
//! usage: fdopen_file PATH NAME SCORE
//!
//! Makes PATH, or empties it, and writes `Name:NAME Score:SCORE` into it through
//! a stream. A file that is new has mode 0600. The pieces are collected in the
//! buffer and leave in one write; the stream owns the descriptor and closes it.
//!
//! See open(2), fdopen(3), fclose(3), close(2), umask(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::unistd::close;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, name, score] = arguments.as_slice() else {
        return usage();
    };
    let Some(score) = score.to_str().and_then(|score| score.parse().ok()) else {
        return usage();
    };
    match run(Path::new(path), name.as_bytes(), score) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, name: &[u8], score: i64) -> Result<(), String> {
    let shown = path.display();
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed(format!("open {shown}")))?;

    let mut stream = BufWriter::new(file);
    stream.write_all(b"Name:").map_err(failed(format!("write {shown}")))?;
    stream.write_all(name).map_err(failed(format!("write {shown}")))?;
    writeln!(stream, " Score:{score}").map_err(failed(format!("write {shown}")))?;
    // Dropping the stream would flush it too, but tell nobody that it failed.
    let file = stream.into_inner().map_err(|error| failed(format!("write {shown}"))(error.into_error()))?;

    close(file).map_err(failed(format!("close {shown}")))
}

fn usage() -> ExitCode {
    complain("usage: fdopen_file PATH NAME SCORE   (SCORE an integer)");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
