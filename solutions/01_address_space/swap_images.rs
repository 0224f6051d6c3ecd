//! Two processes that take turns in one memory, and wait in a file meanwhile.
//!
//! usage: swap_images BACKING
//!
//! The first half of BACKING is the image of process A, the second that of B. Standard
//! input says whose turn it is. In its turn a process adds 1 to each of its bytes.
//!
//! See pread(2), pwrite(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const PAGE: u64 = 4096;

#[derive(Clone, Copy, PartialEq)]
enum Process {
    A,
    B,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [backing] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(backing)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let mut memory = Memory::new(path)?;
    let mut text = String::new();
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line.map_err(failed("read stdin"))?;
        let process = match line.as_str() {
            "A" => Process::A,
            "B" => Process::B,
            _ => return Err(format!("line {}: `{line}` is neither A nor B", number + 1)),
        };
        memory.bring_in(process)?;
        text += &format!("{line} {}\n", memory.turn());
    }
    memory.swap_out()?;
    text += &format!("swaps {}\n", memory.swaps);
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Room for one process, and the file in which both have room.
struct Memory<'a> {
    path: &'a Path,
    backing: File,
    bytes: Vec<u8>,
    resident: Option<Process>,
    swaps: usize,
}

impl<'a> Memory<'a> {
    fn new(path: &'a Path) -> Result<Memory<'a>, String> {
        let name = path.display();
        let backing = File::options().read(true).write(true).open(path);
        let backing = backing.map_err(failed(format_args!("open {name}")))?;
        let size = backing.metadata().map_err(failed(format_args!("fstat {name}")))?.len();
        if size == 0 || size % (2 * PAGE) != 0 {
            return Err(format!("{name}: {size} bytes are no two images of whole pages"));
        }
        let bytes = vec![0; usize::try_from(size / 2).map_err(|_| format!("{name}: too large for memory"))?];
        Ok(Memory { path, backing, bytes, resident: None, swaps: 0 })
    }

    /// Makes this process the one in memory.
    fn bring_in(&mut self, process: Process) -> Result<(), String> {
        if self.resident == Some(process) {
            return Ok(());
        }
        self.swap_out()?;
        let offset = self.offset(process);
        let read = self.backing.read_exact_at(&mut self.bytes, offset);
        read.map_err(failed(format_args!("read {}", self.path.display())))?;
        self.resident = Some(process);
        self.swaps += 1;
        Ok(())
    }

    /// Writes whoever is in memory back to its half.
    fn swap_out(&mut self) -> Result<(), String> {
        let Some(process) = self.resident.take() else { return Ok(()) };
        let written = self.backing.write_all_at(&self.bytes, self.offset(process));
        written.map_err(failed(format_args!("write {}", self.path.display())))
    }

    fn offset(&self, process: Process) -> u64 {
        match process {
            Process::A => 0,
            Process::B => self.bytes.len() as u64,
        }
    }

    /// A turn of the process in memory; the sum of its bytes.
    fn turn(&mut self) -> u64 {
        self.bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        self.bytes.iter().map(|byte| u64::from(*byte)).sum()
    }
}

fn usage() -> ExitCode {
    complain("usage: swap_images BACKING");
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
