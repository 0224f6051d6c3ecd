//! Boundary tags: the size of a block at both of its ends, with the bit that says whether it is allocated.
//!
//! usage: block_tags SCRIPT IMAGE
//!
//! Only the accessors know how a tag is made. Nothing is printed or written before
//! the whole script has been run, so that nothing is left of one that is wrong.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const WORD: usize = 8;
const ALLOCATED: u64 = 1;
const LARGEST: usize = 65536;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [script, image] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(script), Path::new(image)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(script: &Path, image: &Path) -> Result<(), String> {
    let name = script.display();
    let mut text = String::new();
    let mut file = File::open(script).map_err(failed(format_args!("open {name}")))?;
    file.read_to_string(&mut text).map_err(failed(format_args!("read {name}")))?;
    let mut heap = None;
    let mut report = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        step(&mut heap, line, &mut report).map_err(|why| format!("{name}, line {number}: {why}"))?;
    }
    let heap = heap.ok_or(format!("{name}, line 1: heap BYTES is wanted"))?;
    let name = image.display();
    let mut file = File::create(image).map_err(failed(format_args!("open {name}")))?;
    file.write_all(&heap.bytes).map_err(failed(format_args!("write {name}")))?;
    let mut stdout = io::stdout();
    stdout.write_all(report.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// One line of the script.
fn step(heap: &mut Option<Heap>, line: &str, report: &mut String) -> Result<(), &'static str> {
    let words: Vec<&str> = line.split(' ').collect();
    let Some(heap) = heap else {
        let ["heap", bytes] = words.as_slice() else { return Err("heap BYTES is wanted") };
        *heap = Some(Heap::new(number(bytes)?)?);
        return Ok(());
    };
    match words.as_slice() {
        ["size", block, size] => heap.set_size(number(block)?, number(size)?),
        ["allocate", block] => heap.set_allocated(number(block)?, true),
        ["free", block] => heap.set_allocated(number(block)?, false),
        ["show", block] => {
            report.push_str(&heap.shown(number(block)?)?);
            Ok(())
        }
        _ => Err("there is no such operation"),
    }
}

/// A size or an offset: a multiple of 8.
fn number(word: &str) -> Result<usize, &'static str> {
    let number: usize = word.parse().map_err(|_| "a number is wanted")?;
    if number.is_multiple_of(WORD) { Ok(number) } else { Err("a number is no multiple of 8") }
}

/// The blocks; each is named by the offset of its first tag.
struct Heap {
    bytes: Vec<u8>,
}

impl Heap {
    fn new(bytes: usize) -> Result<Heap, &'static str> {
        if bytes > LARGEST { Err("the heap is too large") } else { Ok(Heap { bytes: vec![0; bytes] }) }
    }

    fn word(&self, at: usize) -> u64 {
        self.bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn set_word(&mut self, at: usize, word: u64) {
        self.bytes[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }

    fn size(&self, block: usize) -> usize {
        (self.word(block) & !ALLOCATED) as usize
    }

    fn is_allocated(&self, block: usize) -> bool {
        self.word(block) & ALLOCATED != 0
    }

    /// Where the last tag of a block of this size is.
    fn end_tag(block: usize, size: usize) -> usize {
        block + size - WORD
    }

    fn next(&self, block: usize) -> Option<usize> {
        Some(block + self.size(block)).filter(|next| *next < self.bytes.len())
    }

    /// The tag just before a block is the last one of the block before it.
    fn previous(&self, block: usize) -> Option<usize> {
        let tag = block.checked_sub(WORD)?;
        Some(block - self.size(tag))
    }

    /// Refuses what cannot be a block of this heap.
    fn fits(&self, block: usize, size: usize) -> Result<(), &'static str> {
        let end = block.checked_add(size).filter(|end| *end <= self.bytes.len());
        if size >= 2 * WORD && size.is_multiple_of(WORD) && end.is_some() {
            Ok(())
        } else {
            Err("there is no such block")
        }
    }

    fn exists(&self, block: usize) -> Result<(), &'static str> {
        self.fits(block, 2 * WORD)?;
        self.fits(block, self.size(block))
    }

    fn set_tags(&mut self, block: usize, size: usize, allocated: u64) {
        let tag = size as u64 | allocated;
        self.set_word(block, tag);
        self.set_word(Heap::end_tag(block, size), tag);
    }

    fn set_size(&mut self, block: usize, size: usize) -> Result<(), &'static str> {
        self.fits(block, size)?;
        self.set_tags(block, size, self.word(block) & ALLOCATED);
        Ok(())
    }

    fn set_allocated(&mut self, block: usize, allocated: bool) -> Result<(), &'static str> {
        self.exists(block)?;
        self.set_tags(block, self.size(block), u64::from(allocated));
        Ok(())
    }

    /// A block and its neighbours, as a line.
    fn shown(&self, block: usize) -> Result<String, &'static str> {
        self.exists(block)?;
        let state = |block| if self.is_allocated(block) { "allocated" } else { "free" };
        let neighbour = |block: Option<usize>| match block {
            Some(block) => format!("{block} {}", state(block)),
            None => "none".into(),
        };
        let (previous, next) = (neighbour(self.previous(block)), neighbour(self.next(block)));
        Ok(format!("{block}: {} {}, previous {previous}, next {next}\n", self.size(block), state(block)))
    }
}

fn usage() -> ExitCode {
    complain("usage: block_tags SCRIPT IMAGE");
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
