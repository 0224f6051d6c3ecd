//! malloc, free and realloc over a mapping, replaying a trace.
//!
//! usage: malloc_trace [--bytes BYTES] [--heap FILE] TRACE
//!        malloc_trace --race ROUNDS TRACE
//!
//! Boundary tags tell a block's neighbours, so that free blocks are joined at once.
//! The free ones are in circles by size: one for each size below 1 KiB, above that
//! one for each power of two, and a bit for each circle that is not empty. So a block
//! that fits is found without a search, and nearly the smallest one that does.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::{MmapMut, MmapOptions};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

const WORD: usize = 8;
const ALLOCATED: u64 = 1;
/// Two tags and two links.
const SMALLEST: usize = 4 * WORD;
const ALIGNMENT: usize = 16;
/// Where the first tag is: payloads are then at multiples of the alignment.
const START: usize = WORD;
const CIRCLES: usize = 128;
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

/// Blocks side by side, from `START` to `end`; each is named by the offset of its first tag.
struct Heap {
    memory: MmapMut,
    end: usize,
    /// The first block of each circle; 0 is none.
    first: [usize; CIRCLES],
    /// A bit for each circle that has a block.
    occupied: u128,
}

impl Heap {
    fn new(bytes: usize) -> Result<Heap, String> {
        let bytes = bytes.max(START);
        let memory = MmapOptions::new().len(bytes).map_anon().map_err(failed("mmap heap"))?;
        Ok(Heap { memory, end: START, first: [0; CIRCLES], occupied: 0 })
    }

    fn word(&self, at: usize) -> u64 {
        self.memory[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn set_word(&mut self, at: usize, word: u64) {
        self.memory[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }

    fn size(&self, block: usize) -> usize {
        (self.word(block) & !ALLOCATED) as usize
    }

    fn set_tags(&mut self, block: usize, size: usize, allocated: u64) {
        self.set_word(block, size as u64 | allocated);
        self.set_word(block + size - WORD, size as u64 | allocated);
    }

    /// The block behind this place, if there is one and it is free.
    fn free_at(&self, block: usize) -> Option<usize> {
        (block < self.end && self.word(block) & ALLOCATED == 0).then_some(block)
    }

    /// The block that ends here, if there is one and it is free.
    fn free_before(&self, end: usize) -> Option<usize> {
        let tag = if end == START { ALLOCATED } else { self.word(end - WORD) };
        (tag & ALLOCATED == 0).then(|| end - tag as usize)
    }

    fn next(&self, block: usize) -> usize {
        self.word(block + WORD) as usize
    }

    fn previous(&self, block: usize) -> usize {
        self.word(block + 2 * WORD) as usize
    }

    fn link(&mut self, block: usize, next: usize) {
        self.set_word(block + WORD, next as u64);
        self.set_word(next + 2 * WORD, block as u64);
    }

    fn insert(&mut self, block: usize) {
        let circle = circle(self.size(block));
        let (last, first) = match self.first[circle] {
            0 => (block, block),
            first => (self.previous(first), first),
        };
        self.link(block, first);
        self.link(last, block);
        self.first[circle] = block;
        self.occupied |= 1 << circle;
    }

    fn remove(&mut self, block: usize) {
        let circle = circle(self.size(block));
        let (previous, next) = (self.previous(block), self.next(block));
        self.link(previous, next);
        if next == block {
            self.first[circle] = 0;
            self.occupied &= !(1 << circle);
        } else if self.first[circle] == block {
            self.first[circle] = next;
        }
    }

    /// The best block of the circle that this size belongs to, or any of the next larger ones.
    fn fitting(&self, size: usize) -> Option<usize> {
        let own = circle(size);
        let first = self.first[own];
        let after = |block: &usize| Some(self.next(*block)).filter(|next| *next != first);
        let blocks = std::iter::successors(Some(first).filter(|first| *first != 0), after);
        let best = blocks.filter(|block| self.size(*block) >= size).min_by_key(|block| self.size(*block));
        let larger = self.occupied >> own >> 1 << own << 1;
        best.or_else(|| (larger != 0).then(|| self.first[larger.trailing_zeros() as usize]))
    }

    /// A new block at the heap's end; one that is free there becomes a part of it.
    fn grow(&mut self, size: usize) -> Option<usize> {
        let last = self.free_before(self.end);
        let block = last.unwrap_or(self.end);
        let end = block.checked_add(size).filter(|end| *end <= self.memory.len())?;
        last.into_iter().for_each(|last| self.remove(last));
        self.end = end;
        self.set_tags(block, size, ALLOCATED);
        Some(block)
    }

    /// Cuts off what an allocated block does not need, if that is enough for a block.
    fn trim(&mut self, block: usize, size: usize) {
        let rest = self.size(block) - size;
        if rest >= SMALLEST {
            self.set_tags(block, size, ALLOCATED);
            self.set_tags(block + size, rest, ALLOCATED);
            self.release(block + size);
        }
    }

    /// Makes a block free, together with its free neighbours.
    fn release(&mut self, block: usize) {
        let (mut start, mut end) = (block, block + self.size(block));
        if let Some(next) = self.free_at(end) {
            self.remove(next);
            end += self.size(next);
        }
        if let Some(previous) = self.free_before(block) {
            self.remove(previous);
            start = previous;
        }
        self.set_tags(start, end - start, 0);
        self.insert(start);
    }
}

impl Allocator for Heap {
    fn malloc(&mut self, bytes: usize) -> Option<usize> {
        let size = block_size(bytes)?;
        let block = match self.fitting(size) {
            Some(block) => {
                self.remove(block);
                self.set_tags(block, self.size(block), ALLOCATED);
                self.trim(block, size);
                block
            }
            None => self.grow(size)?,
        };
        Some(block + WORD)
    }

    /// In place if there is room behind the block, or nothing at all but the heap's end.
    fn realloc(&mut self, payload: usize, bytes: usize) -> Option<usize> {
        let size = block_size(bytes)?;
        let block = payload - WORD;
        let old = self.size(block);
        let next = self.free_at(block + old);
        let mut end = block + old + next.map_or(0, |next| self.size(next));
        let wanted = block.checked_add(size)?;
        if end == self.end && wanted <= self.memory.len() {
            end = end.max(wanted);
        }
        if wanted <= end {
            next.into_iter().for_each(|next| self.remove(next));
            self.end = self.end.max(end);
            self.set_tags(block, end - block, ALLOCATED);
            self.trim(block, size);
            return Some(payload);
        }
        let new = self.malloc(bytes)?;
        self.memory.copy_within(payload..payload + old - 2 * WORD, new);
        self.release(block);
        Some(new)
    }

    fn free(&mut self, payload: usize) {
        self.release(payload - WORD);
    }
}

/// With two tags, and room for two links when it is free.
fn block_size(bytes: usize) -> Option<usize> {
    let size = bytes.checked_add(2 * WORD)?.checked_next_multiple_of(ALIGNMENT)?;
    Some(size.max(SMALLEST))
}

fn circle(size: usize) -> usize {
    if size < 1024 { size / ALIGNMENT } else { size.ilog2() as usize + 54 }
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
