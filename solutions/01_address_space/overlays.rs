//! A program of 200 KiB in 100 KiB of memory: its routines take one another's place.
//!
//! usage: overlays PROGRAM
//!
//! Routine A stays where it is; B, C, D and E share the place behind it. Standard
//! input says which is called. To call one is to add up its bytes.
//!
//! See mmap(2), MAP_FIXED.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::ptr::NonNull;
use std::{env, fmt, slice};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous};

const KIB: usize = 1024;
const PROGRAM: usize = 200 * KIB;
const MEMORY: NonZeroUsize = NonZeroUsize::new(100 * KIB).unwrap();

/// A part of PROGRAM, and where in memory it belongs.
struct Routine {
    name: &'static str,
    offset: usize,
    length: NonZeroUsize,
    place: usize,
}

const ROUTINES: [Routine; 5] = [
    routine("A", 0, 40, 0),
    routine("B", 40, 60, 40),
    routine("C", 100, 40, 40),
    routine("D", 140, 40, 40),
    routine("E", 180, 20, 40),
];

/// With all numbers in KiB.
const fn routine(name: &'static str, offset: usize, length: usize, place: usize) -> Routine {
    let length = NonZeroUsize::new(length * KIB).unwrap();
    Routine { name, offset: offset * KIB, length, place: place * KIB }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [program] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(program)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let mut memory = Memory::reserve(path)?;
    let mut text = String::new();
    let mut loads = 0;
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line.map_err(failed("read stdin"))?;
        let routine = ROUTINES.iter().find(|routine| routine.name == line);
        let routine = routine.ok_or_else(|| format!("line {}: `{line}` is no routine", number + 1))?;
        let missing = !memory.holds(routine);
        if missing {
            memory.load(routine)?;
            loads += 1;
        }
        let sum: u64 = memory.bytes(routine).iter().map(|byte| u64::from(*byte)).sum();
        text += &format!("{} {sum}{}\n", routine.name, if missing { " loaded" } else { "" });
    }
    text += &format!("loads {loads}\n");
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The memory that there is, and what lies in it.
struct Memory<'a> {
    path: &'a Path,
    program: File,
    start: NonNull<u8>,
    resident: Vec<&'static Routine>,
}

impl<'a> Memory<'a> {
    fn reserve(path: &'a Path) -> Result<Memory<'a>, String> {
        let name = path.display();
        let program = File::open(path).map_err(failed(format_args!("open {name}")))?;
        let size = program.metadata().map_err(failed(format_args!("fstat {name}")))?.len();
        if size != PROGRAM as u64 {
            return Err(format!("{name}: {size} bytes are no program of {PROGRAM}"));
        }
        // Nothing can be in the way later: the addresses are taken, though nobody may use them yet.
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(None, MEMORY, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) };
        let start = start.map_err(failed("mmap memory"))?.cast();
        Ok(Memory { path, program, start, resident: Vec::new() })
    }

    fn holds(&self, routine: &Routine) -> bool {
        self.resident.iter().any(|resident| resident.name == routine.name)
    }

    /// Puts a routine over whatever is in its place. What it leaves of a longer one is nobody's any more.
    fn load(&mut self, routine: &'static Routine) -> Result<(), String> {
        let address = self.start.addr().checked_add(routine.place);
        let (prot, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED);
        let offset = routine.offset as i64;
        // SAFETY: every place is inside of what was reserved, and `bytes` lends what is there only until this call.
        unsafe { mmap(address, routine.length, prot, flags, &self.program, offset) }
            .map_err(failed(format_args!("mmap {}", self.path.display())))?;
        self.resident.retain(|resident| resident.place != routine.place);
        self.resident.push(routine);
        Ok(())
    }

    /// The bytes of a routine that was loaded.
    fn bytes(&self, routine: &Routine) -> &[u8] {
        // SAFETY: mapped for reading by `load`. If somebody changes PROGRAM we may see either value; if somebody
        // truncates it the kernel ends this process by SIGBUS.
        unsafe { slice::from_raw_parts(self.start.add(routine.place).as_ptr(), routine.length.get()) }
    }
}

fn usage() -> ExitCode {
    complain("usage: overlays PROGRAM");
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
