//! A file to standard output, moved by the kernel.
//!
//! usage: pipe_splice FILE
//!
//! sendfile moves FILE to whatever standard output is, some at a time. Where it
//! cannot (a file opened with O_APPEND), read and write do it.
//!
//! See sendfile(2), splice(2), copy_file_range(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::sendfile::sendfile;

/// The most that is asked for at once.
const PIECE: usize = 1 << 20;

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
    let file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    loop {
        // Without an offset it is the file's own that moves on, so that another way may take over.
        match sendfile(io::stdout(), &file, None, PIECE) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error @ (Errno::EINVAL | Errno::ENOSYS)) => {
                let reason = failed("pipe_splice: sendfile to standard output")(error);
                complain(&format!("{reason}: copying by read and write"));
                return copy(file, path);
            }
            Err(error) => return Err(failed(format!("sendfile {}", path.display()))(error)),
        }
    }
}

/// The slow way.
fn copy(mut file: File, path: &Path) -> Result<(), String> {
    let mut stdout = io::stdout();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return stdout.flush().map_err(failed("write stdout")),
            Ok(length) => stdout.write_all(&buffer[..length]).map_err(failed("write stdout"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(format!("read {}", path.display()))(error)),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: pipe_splice FILE");
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
