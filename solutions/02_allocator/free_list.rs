//! A free list in the free blocks themselves: a circle, linked both ways.
//!
//! usage: free_list SCRIPT IMAGE
//!
//! A link is the offset of a block's first tag. Insertion and removal touch the
//! block and its two neighbours in the circle, however long it is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

const WORD: usize = 8;
const BLOCK: usize = 32;
const ALLOCATED: u64 = 1;
const MOST: usize = 2000;

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
    let heap = heap.ok_or(format!("{name}, line 1: heap COUNT is wanted"))?;
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
        let ["heap", count] = words.as_slice() else { return Err("heap COUNT is wanted") };
        *heap = Some(Heap::new(number(count)?)?);
        return Ok(());
    };
    match words.as_slice() {
        ["insert", block] => heap.insert(number(block)?),
        ["remove", block] => heap.remove(number(block)?),
        ["list"] => {
            report.push_str(&heap.listed(Heap::next));
            Ok(())
        }
        ["back"] => {
            report.push_str(&heap.listed(Heap::previous));
            Ok(())
        }
        _ => Err("there is no such operation"),
    }
}

fn number(word: &str) -> Result<usize, &'static str> {
    word.parse().map_err(|_| "a number is wanted")
}

struct Heap {
    bytes: Vec<u8>,
    first: Option<usize>,
}

impl Heap {
    fn new(count: usize) -> Result<Heap, &'static str> {
        if count > MOST {
            return Err("the heap is too large");
        }
        let mut heap = Heap { bytes: vec![0; count * BLOCK], first: None };
        for block in (0..heap.bytes.len()).step_by(BLOCK) {
            heap.set_tags(block, ALLOCATED);
        }
        Ok(heap)
    }

    fn word(&self, at: usize) -> u64 {
        self.bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn set_word(&mut self, at: usize, word: u64) {
        self.bytes[at..at + WORD].copy_from_slice(&word.to_le_bytes());
    }

    fn set_tags(&mut self, block: usize, allocated: u64) {
        self.set_word(block, BLOCK as u64 | allocated);
        self.set_word(block + BLOCK - WORD, BLOCK as u64 | allocated);
    }

    fn next(&self, block: usize) -> usize {
        self.word(block + WORD) as usize
    }

    fn previous(&self, block: usize) -> usize {
        self.word(block + 2 * WORD) as usize
    }

    /// One follows another.
    fn link(&mut self, block: usize, next: usize) {
        self.set_word(block + WORD, next as u64);
        self.set_word(next + 2 * WORD, block as u64);
    }

    /// Refuses what is no block, or not in the state that is wanted.
    fn expect(&self, block: usize, allocated: u64) -> Result<(), &'static str> {
        if block >= self.bytes.len() || !block.is_multiple_of(BLOCK) {
            return Err("there is no such block");
        }
        match (self.word(block) & ALLOCATED, allocated) {
            (0, ALLOCATED) => Err("the block is free already"),
            (ALLOCATED, 0) => Err("the block is not free"),
            _ => Ok(()),
        }
    }

    /// The block comes between the last one and the one that was first until now.
    fn insert(&mut self, block: usize) -> Result<(), &'static str> {
        self.expect(block, ALLOCATED)?;
        self.set_tags(block, 0);
        let (last, first) = self.first.map_or((block, block), |first| (self.previous(first), first));
        self.link(block, first);
        self.link(last, block);
        self.first = Some(block);
        Ok(())
    }

    fn remove(&mut self, block: usize) -> Result<(), &'static str> {
        self.expect(block, 0)?;
        let (previous, next) = (self.previous(block), self.next(block));
        self.link(previous, next);
        if self.first == Some(block) {
            self.first = (next != block).then_some(next);
        }
        self.set_tags(block, ALLOCATED);
        Ok(())
    }

    /// Once round the circle, as a line.
    fn listed(&self, follow: fn(&Heap, usize) -> usize) -> String {
        let Some(first) = self.first else { return "empty\n".into() };
        let after = |block: &usize| Some(follow(self, *block)).filter(|block| *block != first);
        let blocks: Vec<String> = std::iter::successors(Some(first), after).map(|block| block.to_string()).collect();
        blocks.join(" ") + "\n"
    }
}

fn usage() -> ExitCode {
    complain("usage: free_list SCRIPT IMAGE");
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
