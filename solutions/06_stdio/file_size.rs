//! How long a file is, asked in two ways, and what the second one does to the offset.
//!
//! usage: file_size PATH
//!
//! Prints what fstat says and what lseek to the end says, and whether the offset is
//! back where it was. A FIFO has no offset: it is not seekable.
//!
//! See fstat(2), lseek(2) (ESPIPE), ftell(3).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format_args!("open {name}")))?;
    let size = file.metadata().map_err(failed(format_args!("fstat {name}")))?.len();
    let sought = match seek_to_end(&file) {
        Ok((end, true)) => format!("seek: {end}\noffset kept: yes\n"),
        Ok((end, false)) => format!("seek: {end}\noffset kept: no\n"),
        Err(error) if error.kind() == io::ErrorKind::NotSeekable => "seek: not seekable\n".into(),
        Err(error) => return Err(failed(format_args!("lseek {name}"))(error)),
    };
    let mut stdout = io::stdout();
    let text = format!("fstat: {size}\n{sought}");
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Where the end is, and whether the offset is afterwards what it was.
fn seek_to_end(mut file: &File) -> io::Result<(u64, bool)> {
    let before = file.stream_position()?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(before))?;
    Ok((end, file.stream_position()? == before))
}

fn usage() -> ExitCode {
    complain("usage: file_size PATH");
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
