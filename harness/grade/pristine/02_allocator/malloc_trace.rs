//! malloc_trace [--bytes BYTES] [--heap FILE] TRACE
//! malloc_trace --race ROUNDS TRACE
//!
//! Replay TRACE on a heap of your own in an anonymous mapping of BYTES (64 MiB if not
//! given), and print a line for each of its lines:
//!
//!     a ID SIZE   allocate SIZE bytes (at least 1) for ID   the payload's offset
//!     r ID SIZE   give ID another size; its bytes are kept  the payload's offset
//!     f ID        free what ID has                          freed
//!
//! A line of another form is an error: one line on standard error that has its number,
//! exit 1, no output. Where there is no room a and r say `out of memory`, and where ID
//! has nothing r and f say `not allocated`: nothing changes then, and the replay goes
//! on. The bytes that a line adds to a payload are set to the line's number, modulo
//! 256.
//!
//! Blocks lie side by side from offset 8 of the mapping to the heap's end, which moves up
//! when nothing else fits. Tags are as in block_tags, sizes multiples of 16 and at least
//! 32; so payloads are at multiples of 16. Free neighbours are joined at once. With
//! --heap FILE gets, after each line, the heap's end (8 bytes, little-endian) and the
//! mapping's bytes up to there. In the classic mixes (short-lived, growing, binary,
//! coalescing, random, realloc) payloads are at least 85 % of the heap at its largest.
//!
//! A race: children by turns, five that replay TRACE ROUNDS times on your heap and five
//! on the C library's. The first may take three times the processor time of the others.
//!
//! This replays, writes and races already. Heap is yours: malloc, realloc and free.
//!
//! Why: every program leans on these three functions; they need not be magic.
//!
//! Read: the lesson beside this file, "Give and take back"; mmap(2), malloc(3).

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::MmapMut;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Where the first tag is: payloads are then at multiples of the alignment.
const START: usize = 8;
const PAIRS: usize = 5;

struct Options {
    bytes: usize,
    heap: Option<PathBuf>,
    race: Option<u32>,
    trace: PathBuf,
}

/// A line of the trace; IDs are counted from 0 here.
#[derive(Clone, Copy)]
enum Step {
    Allocate { id: usize, bytes: usize },
    Resize { id: usize, bytes: usize },
    Free { id: usize },
}

/// A payload is named by its offset or address.
trait Allocator {
    fn malloc(&mut self, bytes: usize) -> Option<usize>;
    fn realloc(&mut self, payload: usize, bytes: usize) -> Option<usize>;
    fn free(&mut self, payload: usize);
}

fn main() -> ExitCode {
    let Some(options) = options(env::args_os().skip(1)) else {
        complain("usage: malloc_trace [--bytes BYTES] [--heap FILE] TRACE | malloc_trace --race ROUNDS TRACE");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn options(mut arguments: impl Iterator<Item = OsString>) -> Option<Options> {
    let mut options = Options { bytes: 64 << 20, heap: None, race: None, trace: PathBuf::new() };
    loop {
        let argument = arguments.next()?;
        match argument.to_str() {
            Some("--bytes") => options.bytes = positive(&arguments.next()?)?,
            Some("--heap") => options.heap = Some(arguments.next()?.into()),
            Some("--race") => options.race = Some(positive(&arguments.next()?)?),
            _ => {
                options.trace = argument.into();
                return arguments.next().is_none().then_some(options);
            }
        }
    }
}

fn positive<N: std::str::FromStr + Default + PartialEq>(word: &OsString) -> Option<N> {
    word.to_str()?.parse().ok().filter(|number| *number != N::default())
}

fn run(options: &Options) -> Result<(), String> {
    let (steps, ids) = read(&options.trace)?;
    if let Some(rounds) = options.race {
        return race(&steps, ids, rounds, options.bytes);
    }
    let mut heap = Heap::new(options.bytes)?;
    let mut dump = options.heap.as_ref().map(|_| Vec::new());
    let report = replay(&mut heap, &steps, ids, dump.as_mut());
    if let (Some(path), Some(dump)) = (&options.heap, dump) {
        let name = path.display();
        let mut file = File::create(path).map_err(failed(format_args!("open {name}")))?;
        file.write_all(&dump).map_err(failed(format_args!("write {name}")))?;
    }
    let mut stdout = io::stdout();
    stdout.write_all(report.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The steps, and how many IDs there are.
fn read(trace: &Path) -> Result<(Vec<Step>, usize), String> {
    let name = trace.display();
    let mut text = String::new();
    let mut file = File::open(trace).map_err(failed(format_args!("open {name}")))?;
    file.read_to_string(&mut text).map_err(failed(format_args!("read {name}")))?;
    let mut ids = HashMap::new();
    let mut step = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut id = |word: &str| {
            let count = ids.len();
            Some(*ids.entry(word.parse::<u64>().ok()?).or_insert(count))
        };
        let bytes = |word: &str| word.parse().ok().filter(|bytes| *bytes > 0);
        Some(match words.as_slice() {
            ["a", name, size] => Step::Allocate { id: id(name)?, bytes: bytes(size)? },
            ["r", name, size] => Step::Resize { id: id(name)?, bytes: bytes(size)? },
            ["f", name] => Step::Free { id: id(name)? },
            _ => return None,
        })
    };
    let lines = (1..).zip(text.lines());
    let steps = lines.map(|(n, line)| step(line).ok_or_else(|| format!("{name}, line {n}: {line:?} is no step")));
    let steps = steps.collect::<Result<_, _>>()?;
    Ok((steps, ids.len()))
}

/// Takes the steps and tells what came of each.
fn replay(heap: &mut Heap, steps: &[Step], ids: usize, mut dump: Option<&mut Vec<u8>>) -> String {
    let mut blocks: Vec<Option<(usize, usize)>> = vec![None; ids];
    let mut report = String::new();
    for (number, step) in (1_usize..).zip(steps) {
        let told = match *step {
            Step::Allocate { id, bytes } => match heap.malloc(bytes) {
                Some(payload) => {
                    blocks[id] = Some((payload, bytes));
                    heap.memory[payload..payload + bytes].fill(number as u8);
                    payload.to_string()
                }
                None => "out of memory".into(),
            },
            Step::Resize { id, bytes } => match blocks[id] {
                Some((payload, old)) => match heap.realloc(payload, bytes) {
                    Some(payload) => {
                        blocks[id] = Some((payload, bytes));
                        heap.memory[payload + old.min(bytes)..payload + bytes].fill(number as u8);
                        payload.to_string()
                    }
                    None => "out of memory".into(),
                },
                None => "not allocated".into(),
            },
            Step::Free { id } => match blocks[id].take() {
                Some((payload, _)) => {
                    heap.free(payload);
                    "freed".into()
                }
                None => "not allocated".into(),
            },
        };
        report.push_str(&told);
        report.push('\n');
        if let Some(dump) = &mut dump {
            dump.extend_from_slice(&(heap.end as u64).to_le_bytes());
            dump.extend_from_slice(&heap.memory[..heap.end]);
        }
    }
    report
}

/// Children by turns, one that replays on a heap of this program and one on that of the C library.
fn race(steps: &[Step], ids: usize, rounds: u32, bytes: usize) -> Result<(), String> {
    for _ in 0..PAIRS {
        in_child(|| Heap::new(bytes).map(|mut heap| rush(&mut heap, steps, ids, rounds)))?;
        in_child(|| {
            rush(&mut System, steps, ids, rounds);
            Ok(())
        })?;
    }
    Ok(())
}

fn rush(allocator: &mut impl Allocator, steps: &[Step], ids: usize, rounds: u32) {
    let mut blocks: Vec<Option<usize>> = vec![None; ids];
    for _ in 0..rounds {
        for step in steps {
            match *step {
                Step::Allocate { id, bytes } => blocks[id] = allocator.malloc(bytes),
                Step::Resize { id, bytes } => {
                    if let Some(payload) = blocks[id] {
                        blocks[id] = allocator.realloc(payload, bytes).or(blocks[id]);
                    }
                }
                Step::Free { id } => blocks[id].take().into_iter().for_each(|payload| allocator.free(payload)),
            }
        }
        blocks.iter_mut().filter_map(Option::take).for_each(|payload| allocator.free(payload));
    }
}

fn in_child(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    // SAFETY: the program has one thread.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let status = match work() {
                Ok(()) => 0,
                Err(message) => {
                    complain(&message);
                    1
                }
            };
            std::process::exit(status)
        }
        ForkResult::Parent { child } => loop {
            match waitpid(child, None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
                Ok(status) => return Err(format!("a child did not end well: {status:?}")),
                Err(error) => return Err(failed("waitpid")(error)),
            }
        },
    }
}

/// The C library's allocator.
struct System;

impl Allocator for System {
    fn malloc(&mut self, bytes: usize) -> Option<usize> {
        // SAFETY: any size may be asked for.
        Some(unsafe { libc::malloc(bytes) }.expose_provenance()).filter(|payload| *payload != 0)
    }

    fn realloc(&mut self, payload: usize, bytes: usize) -> Option<usize> {
        // SAFETY: the payload came from malloc or realloc, and was not given back.
        let payload = unsafe { libc::realloc(std::ptr::with_exposed_provenance_mut(payload), bytes) };
        Some(payload.expose_provenance()).filter(|payload| *payload != 0)
    }

    fn free(&mut self, payload: usize) {
        // SAFETY: the payload came from malloc or realloc, and was not given back.
        unsafe { libc::free(std::ptr::with_exposed_provenance_mut(payload)) }
    }
}

/// Blocks side by side, from `START` to `end`.
struct Heap {
    memory: MmapMut,
    end: usize,
    // TODO: where the free blocks are.
}

impl Heap {
    fn new(bytes: usize) -> Result<Heap, String> {
        // TODO: let memory = MmapOptions::new().len(bytes).map_anon(), and the heap ends at START.
        let _ = (bytes, START);
        Err("not written yet".into())
    }

    // TODO: the accessors of block_tags and the circle of free_list, over `memory`.
}

impl Allocator for Heap {
    fn malloc(&mut self, bytes: usize) -> Option<usize> {
        // TODO: how large must the block be? Find a free one, cut off what is too much; or grow the heap.
        let _ = bytes;
        None
    }

    fn realloc(&mut self, payload: usize, bytes: usize) -> Option<usize> {
        // TODO: in place if you can; else another block, the payload copied, and the old one freed.
        let _ = (payload, bytes);
        None
    }

    fn free(&mut self, payload: usize) {
        // TODO: join the block with its free neighbours.
        let _ = payload;
    }
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
