//! A file of ten numbers, written by stores to memory.
//!
//! usage: map_write FILE
//!
//! Makes FILE exactly 40 bytes long, stores ten numbers of four bytes each
//! through a shared mapping, and prints the bytes of the file, 16 a line.
//!
//! See mmap(2), ftruncate(2), munmap(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;

const NUMBERS: [i32; 10] = [0x1234_5678, 0xdead_c0de_u32.cast_signed(), 0, 0, 0, 0, 0, 0, 0, 0];

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
    let mut options = File::options();
    // A shared mapping that is written needs a file open for reading, too.
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(path).map_err(failed(format!("open {name}")))?;
    // A mapping does not make a file longer: that comes first.
    file.set_len(size_of_val(&NUMBERS) as u64).map_err(failed(format!("ftruncate {name}")))?;

    // SAFETY: the file has these 40 bytes; if somebody truncates it meanwhile
    // the kernel ends this process by SIGBUS.
    let mut mapping = unsafe { MmapMut::map_mut(&file) }.map_err(failed(format!("mmap {name}")))?;
    for (place, number) in mapping.chunks_exact_mut(size_of::<i32>()).zip(NUMBERS) {
        place.copy_from_slice(&number.to_ne_bytes());
    }
    print(hexdump(&mapping).as_bytes())
}

/// 16 bytes a line, after the offset of the first.
fn hexdump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, line) in bytes.chunks(16).enumerate() {
        text += &format!("{:04x}:", row * 16);
        for byte in line {
            text += &format!(" {byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_write FILE");
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
