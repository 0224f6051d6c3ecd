//! First asks whether somebody reads, then waits for it.
//!
//! usage: fifo_nonblock PATH
//!
//! A non-blocking open for writing fails with ENXIO where there is no reader;
//! a blocking one waits for him.
//!
//! See fifo(7), open(2) (O_NONBLOCK, ENXIO).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
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
    // std opens again after EINTR.
    let mut writer = match File::options().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            say("no reader\n")?;
            File::options().write(true).open(path)
        }
        opened => opened,
    }
    .map_err(failed(format!("open {name}")))?;
    writer.write_all(b"hello\n").map_err(failed(format!("write {name}")))
}

fn say(line: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: fifo_nonblock PATH");
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
