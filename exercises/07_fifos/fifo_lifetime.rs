//! fifo_lifetime PATH   (foretell what will happen)
//!
//! This program makes the FIFO PATH, writes five bytes into it that nobody reads,
//! and looks at its size. Then it closes the last descriptor, looks whether the name
//! is still there, and opens PATH once more to read. At the end PATH is removed.
//!
//! Before you run it, write into the three constants below what will happen. It
//! prints a line for each, if all three come as foretold:
//!
//!     $ fifo_lifetime /tmp/f
//!     size on disk: …
//!     name: …
//!     unread bytes: …
//!
//! Where one does not, it says what was foretold and what it is, and ends with
//! status 1: read on until you know why, and not only what. The program itself is
//! whole; leave the experiment as it is, or make it in another way.
//!
//! Why: a FIFO is a name in the file system and a pipe in the kernel's memory. The
//! two do not live equally long.
//!
//! Read: fifo(7); pipe(7); mkfifo(3); stat(2), st_size.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// The size that stat gives of PATH while five bytes are in it.
const SIZE: Option<&str> = None;
/// When the last descriptor is closed: "stays" or "gone".
const NAME: Option<&str> = None;
/// For who opens PATH after that: "kept" or "lost".
const UNREAD: Option<&str> = None;

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
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed(format!("mkfifo {name}")))?;
    // From here on the name is ours, and goes whatever happens.
    let told = try_out(path).and_then(|happened| compare(&happened));
    let removed = fs::remove_file(path).map_err(failed(format!("unlink {name}")));
    told.and(removed)
}

/// What happens to the size, the name and the unread bytes.
fn try_out(path: &Path) -> Result<[String; 3], String> {
    let name = path.display();
    // For reading and writing, so that it need not wait for another side.
    let mut both = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    both.write_all(b"hello").map_err(failed(format!("write {name}")))?;
    let size = fs::metadata(path).map_err(failed(format!("stat {name}")))?.len();
    drop(both); // the last descriptor

    let there = fs::symlink_metadata(path).is_ok();
    let mut reader =
        File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed(format!("open {name}")))?;
    let mut unread = Vec::new();
    reader.read_to_end(&mut unread).map_err(failed(format!("read {name}")))?;

    let named = if there { "stays" } else { "gone" };
    let bytes = if unread.is_empty() { "lost" } else { "kept" };
    Ok([size.to_string(), named.into(), bytes.into()])
}

/// Prints what has come as foretold; the first thing that has not is an error.
fn compare(happened: &[String; 3]) -> Result<(), String> {
    let questions = ["size on disk", "name", "unread bytes"];
    let mut lines = String::new();
    for ((question, foretold), happened) in questions.iter().zip([SIZE, NAME, UNREAD]).zip(happened) {
        match foretold {
            Some(foretold) if foretold == happened => lines.push_str(&format!("{question}: {happened}\n")),
            Some(foretold) => return Err(format!("{question}: foretold {foretold}, and it is {happened}")),
            None => return Err(format!("{question}: not foretold yet")),
        }
    }
    let mut stdout = io::stdout();
    stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: fifo_lifetime PATH");
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
