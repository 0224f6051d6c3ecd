//! Lines at the end of a file, through a mapping that grows with it.
//!
//! usage: map_grow FILE
//!
//! Appends standard input to FILE by stores to a shared mapping. Where it is full
//! the file is made longer, and then the mapping; in the end the file is cut to
//! what it holds.
//!
//! See ftruncate(2), mremap(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::{MmapMut, RemapOptions};

/// Room that is made at first; each time it is full it is doubled.
const ROOM: usize = 64 << 10;

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
    let file = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    let size = file.metadata().map_err(failed(format!("fstat {name}")))?.len();
    let mut used = usize::try_from(size).map_err(|_| format!("mmap {name}: too long"))?;

    let appended = append(&file, &mut used, path);
    // Whatever happened: no byte of the room that was not needed stays.
    file.set_len(used as u64).map_err(failed(format!("ftruncate {name}")))?;
    appended
}

/// Reads standard input to its end into a mapping of the file, of which `used` bytes are in use.
fn append(file: &File, used: &mut usize, path: &Path) -> Result<(), String> {
    let name = path.display();
    let mut room = *used + ROOM;
    // First the file, then the mapping: what lies behind the end of the file cannot be touched.
    file.set_len(room as u64).map_err(failed(format!("ftruncate {name}")))?;
    // SAFETY: the file has these bytes; if somebody truncates it meanwhile the
    // kernel ends this process by SIGBUS.
    let mut mapping = unsafe { MmapMut::map_mut(file) }.map_err(failed(format!("mmap {name}")))?;
    let mut stdin = io::stdin().lock();
    loop {
        if *used == room {
            room *= 2;
            file.set_len(room as u64).map_err(failed(format!("ftruncate {name}")))?;
            // SAFETY: as above. The mapping may move, and nothing points into it.
            unsafe { mapping.remap(room, RemapOptions::new().may_move(true)) }
                .map_err(failed(format!("mremap {name}")))?;
        }
        match stdin.read(&mut mapping[*used..]) {
            Ok(0) => return Ok(()),
            Ok(count) => *used += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read stdin")(error)),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: map_grow FILE");
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
