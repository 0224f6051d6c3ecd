//! An allocator from its parts: tags at both ends of a block, the list of free blocks, and malloc over a mapping.

mod heap;
mod judge;
mod list;
mod mixes;
mod replay;
mod tags;
mod trace;

use observe::{Content, Exit, InputFile, On};

pub(crate) use list::free_list;
pub(crate) use tags::block_tags;
pub(crate) use trace::malloc_trace;

use super::address_space::images::{self, IMAGE, over_another, refused};
use super::common::calls::{OPENS, READS, SAVES, WRITES};
use super::common::endings;
use super::common::plans::{bad_usage, cut, failing, interrupted, unreadable_text, unwritable_output};
use crate::{Failure, Finding, Objection, Plan, Reason, Run};

const WORD: usize = 8;
const ALLOCATED: u64 = 1;
const SCRIPT: &str = "script";
const HEAP: &str = "heap";

/// What a script comes to: what is printed, and the heap's bytes.
struct Outcome {
    printed: String,
    heap: Vec<u8>,
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

fn set_word(bytes: &mut [u8], at: usize, word: u64) {
    bytes[at..at + WORD].copy_from_slice(&word.to_le_bytes());
}

/// A plan for this script, with what a right program prints.
fn with_script(name: &str, script: &[String], outcome: &Outcome) -> Plan {
    let text = script.join("\n") + "\n";
    let plan = Plan::new(name).arg(SCRIPT).arg(IMAGE).file(InputFile::new(SCRIPT, text));
    plan.prints(outcome.printed.as_str())
}

/// A plan for a script that is wrong in its last line.
fn wrong_script(name: &str, lines: &[&str]) -> Plan {
    let plan = Plan::new(format!("refused: {name}")).arg(SCRIPT).arg(IMAGE);
    refused(plan.file(InputFile::new(SCRIPT, lines.join("\n") + "\n")).prints(""), lines.len())
}

/// What is tried of every program that runs a script.
fn circumstances(plain: &Plan) -> Vec<Plan> {
    let mut no_directory = plain.again("IMAGE in no directory", &[]);
    no_directory.launch.args[1] = "nowhere/image".into();
    let mut full = plain.again("IMAGE cannot be written", &[]).reports(SAVES, Some(IMAGE), libc::ENOSPC);
    // Whoever prints before has printed by then.
    full.expect.stdout = None;
    vec![
        over_another(plain),
        Plan::new("no SCRIPT").arg("nowhere").arg(IMAGE).reports(OPENS, Some("nowhere"), libc::ENOENT),
        no_directory.reports(OPENS, Some("nowhere/image"), libc::ENOENT),
        unreadable_text(plain, SCRIPT),
        full.fault(failing(WRITES, Some(On::File(IMAGE.into())), libc::ENOSPC)),
        unwritable_output(plain),
        bad_usage("no arguments", &[]),
        bad_usage("no IMAGE", &[SCRIPT]),
        bad_usage("one too many", &[SCRIPT, IMAGE, IMAGE]),
        cut(plain, &[On::AnyFile], READS, "read", 1),
        cut(plain, &[On::AnyFile, On::Stdout], WRITES, "write", 3),
        interrupted(plain, &[On::AnyFile, On::Stdout]),
    ]
}

/// The lines of the plan's script.
fn script_of(plan: &Plan) -> Vec<String> {
    match plan.launch.files.first().map(|file| &file.content) {
        Some(Content::Bytes(text)) => String::from_utf8_lossy(text).lines().map(str::to_string).collect(),
        _ => Vec::new(),
    }
}

/// `refuses`: what is wrong is told with its line, and nothing passes for a result.
fn refuses(run: &Run) -> Finding {
    images::refuses(run)?;
    endings::text(run)
}

/// The result, in which the heap counts too, is right although calls are cut short or interrupted.
fn under_faults(run: &Run, heap: fn(&Run) -> Finding) -> Finding {
    let right = endings::output(run).and_then(|()| heap(run));
    right.map_err(|wrong| wrong.amended(|failure| endings::blame_fault(run, failure)))
}

/// The heap in IMAGE is what the script makes of it, but for bytes that do not matter.
fn same_heap(run: &Run, wanted: &[u8], matters: impl Fn(usize) -> bool) -> Finding {
    endings::ended(run)?;
    let got = match (run.seen.file(IMAGE), run.seen.exit()) {
        (Some(file), _) => file.bytes.as_slice(),
        (None, Some(Exit::Code(0))) => {
            let words = format!("The program exited with 0, but there is no file {IMAGE}.");
            return Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).found();
        }
        (None, _) => return Err(Objection::open("there is no heap to look at")),
    };
    let wrong = |words: String| {
        let script = script_of(run.plan).into_iter().map(|line| format!("script: {line}"));
        Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).evidences(script).found()
    };
    if got.len() != wanted.len() {
        return wrong(format!("IMAGE has {} bytes, but the heap has {}.", got.len(), wanted.len()));
    }
    let differs = |at: &usize| matters(*at) && word(wanted, *at) != word(got, *at);
    match (0..wanted.len()).step_by(WORD).find(differs) {
        None => Ok(()),
        Some(at) => {
            let (is, should) = (word(got, at), word(wanted, at));
            wrong(format!(
                "The word at {at} of the heap, {}, is {is:#x} where it should be {should:#x}.",
                role(wanted, at)
            ))
        }
    }
}

/// What a word of a heap whose blocks lie side by side is.
fn role(heap: &[u8], at: usize) -> String {
    let mut block = 0;
    while block < heap.len() {
        let size = (word(heap, block) & !ALLOCATED) as usize;
        if size < 2 * WORD || block + size > heap.len() {
            break;
        }
        if at < block + size {
            return match at - block {
                0 => format!("the first tag of the block at {block}"),
                place if place == size - WORD => format!("the last tag of the block at {block}"),
                WORD => format!("the first word of the payload of the block at {block}"),
                place if place == 2 * WORD => format!("the second word of the payload of the block at {block}"),
                _ => format!("in the payload of the block at {block}"),
            };
        }
        block += size;
    }
    "in no block".into()
}
