//! A change in a private mapping stays private: the file keeps its byte.
//!
//! usage: map_private FILE BYTE
//!
//! Maps FILE privately, stores BYTE over its first byte in memory, and prints
//! that byte beside the one that FILE itself still holds:
//! `mapped: BYTE file: OLD`. FILE is only ever opened for reading.
//!
//! See mmap(2), open(2), pread(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapOptions;
use nix::errno::Errno;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, byte] = arguments.as_slice() else {
        return usage();
    };
    let &[byte] = byte.as_bytes() else {
        return usage();
    };
    match run(Path::new(path), byte) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, byte: u8) -> Result<(), String> {
    let name = path.display();
    // A private mapping is copied, never written back: reading FILE is all
    // that it asks for.
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    let status = file.metadata().map_err(failed(format!("fstat {name}")))?;
    if status.is_dir() {
        return Err(failed(format!("mmap {name}"))(Errno::EISDIR));
    }
    if status.len() == 0 {
        return Err(format!("mmap {name}: the file is empty"));
    }

    // SAFETY: the one byte is inside the file unless somebody truncates it
    // meanwhile, in which case the kernel ends this process by SIGBUS; nothing
    // else can write to this copy once the store below has made it.
    let mut mapping = unsafe { MmapOptions::new().len(1).map_copy(&file) }.map_err(failed(format!("mmap {name}")))?;
    mapping[0] = byte;

    let mut old = [0];
    file.read_exact_at(&mut old, 0).map_err(failed(format!("pread {name}")))?;

    let line = [b"mapped: ", &mapping[..], b" file: ", &old, b"\n"].concat();
    let mut stdout = io::stdout();
    stdout.write_all(&line).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_private FILE BYTE");
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
