//! Counts lines, words and bytes of a file, as wc does, in blocks or in a mapping.
//!
//! usage: word_count FILE [--mmap]
//!
//! A line is a newline; a word is as many bytes as there are up to the next white space.
//!
//! See read(2), mmap(2), wc(1), isspace(3).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::Mmap;

const BLOCK_BYTES: usize = 128 * 1024;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let counted = match arguments.as_slice() {
        [path] => count_read(Path::new(path)),
        [path, flag] if flag == "--mmap" => count_mapped(Path::new(path)),
        _ => {
            complain("usage: word_count FILE [--mmap]");
            return ExitCode::from(2);
        }
    };
    match counted.and_then(|counts| print(&counts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// What was counted so far, and whether the next byte goes on with a word.
#[derive(Default)]
struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
    in_word: bool,
}

impl Counts {
    fn add(&mut self, block: &[u8]) {
        self.bytes += block.len() as u64;
        for byte in block {
            let white = matches!(byte, b' ' | b'\t'..=b'\r');
            self.lines += u64::from(*byte == b'\n');
            self.words += u64::from(!white && !self.in_word);
            self.in_word = !white;
        }
    }
}

fn count_read(path: &Path) -> Result<Counts, String> {
    let mut file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut counts = Counts::default();
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(counts),
            Ok(length) => counts.add(&block[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(format!("read {}", path.display()))(error)),
        }
    }
}

fn count_mapped(path: &Path) -> Result<Counts, String> {
    let file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    let length = file.metadata().map_err(failed(format!("fstat {}", path.display())))?.len();
    let mut counts = Counts::default();
    if length == 0 {
        return Ok(counts); // a mapping has at least one byte
    }
    // SAFETY: the bytes are only looked at one by one, so it does no harm if another program changes them meanwhile;
    // if one cuts the file short, a load ends this program by SIGBUS.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {}", path.display())))?;
    counts.add(&mapping);
    Ok(counts)
}

fn print(counts: &Counts) -> Result<(), String> {
    let line = format!("{} {} {}\n", counts.lines, counts.words, counts.bytes);
    io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()).map_err(failed("write standard output"))
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed(call: impl fmt::Display) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let error = error.to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
