//! The checks of `malloc_trace`: of payloads by their offsets, of the heaps written out, of time.

use std::time::Duration;

use observe::{Call, Process};

use super::HEAP;
use super::heap::{self, Block, Broken};
use super::mixes::Step;
use super::replay::{Answer, Moment, Payload, limit, steps_of, walk};
use crate::spec::common::endings;
use crate::{Failure, Finding, Objection, Reason, Run};

/// Payloads are at least so many hundredths of the heap.
const UTILISATION: u64 = 85;
/// The heap may take this many times the C library's processor time.
const SLOWER: u32 = 3;
/// Below this, processor time says nothing of an allocator.
const LEAST: Duration = Duration::from_millis(1);

/// `output`: every line is of the kind that it should be.
pub fn output(run: &Run) -> Finding {
    walk(run, |_| Ok(()))
}

/// A run whose output is judged by itself says nothing more where that is wrong.
fn told(run: &Run) -> Finding {
    let judged = run.plan.checks.contains(&"output");
    output(run).map_err(|wrong| if judged { Objection::open("the output makes no sense") } else { wrong })
}

/// A judgement of every payload that was just placed.
pub fn each_placed(run: &Run, judge: fn(&Run, &Moment, u64, &Payload) -> Finding) -> Finding {
    told(run)?;
    walk(run, |moment| match (moment.step, moment.answer) {
        (Step::Allocate { id, .. } | Step::Resize { id, .. }, Answer::At(_)) => {
            judge(run, moment, id, &moment.live[&id])
        }
        _ => Ok(()),
    })
}

pub fn aligned(run: &Run, moment: &Moment, id: u64, payload: &Payload) -> Finding {
    if payload.at.is_multiple_of(16) {
        return Ok(());
    }
    moment.fails(run, &format!("the payload of {id} is at {}, which is no multiple of 16.", payload.at)).found()
}

pub fn overlap(run: &Run, moment: &Moment, id: u64, payload: &Payload) -> Finding {
    let end = |payload: &Payload| payload.at.saturating_add(payload.contents.len() as u64);
    let outside = end(payload) > limit(run.plan);
    if outside {
        return moment.fails(run, &format!("the payload of {id}, at {}, is not in the heap.", payload.at)).found();
    }
    let meets = |other: &Payload| payload.at < end(other) && other.at < end(payload);
    match moment.live.iter().find(|(other, place)| **other != id && meets(place)) {
        None => Ok(()),
        Some((other, place)) => {
            let words = format!(
                "the payload of {id} is at {}, and that of {other} is at {} with {} bytes: they overlap.",
                payload.at,
                place.at,
                place.contents.len()
            );
            moment.fails(run, &words).found()
        }
    }
}

/// A judgement of every heap that was written out.
fn each_heap(run: &Run, mut judge: impl FnMut(&Moment, &[u8]) -> Finding) -> Finding {
    told(run)?;
    let mut heaps = heaps(run)?.into_iter();
    walk(run, |moment| heaps.next().map_or(Ok(()), |heap| judge(moment, heap)))
}

/// The heaps that were written out, one a step.
fn heaps<'a>(run: &Run<'a>) -> Result<Vec<&'a [u8]>, Objection> {
    let wanted = steps_of(run.plan).len();
    let wrong = |words: String| Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).into();
    let Some(file) = run.seen.file(HEAP) else {
        return Err(wrong("There is no file HEAP, to which --heap asks to write.".into()));
    };
    if file.len > file.bytes.len() as u64 {
        return Err(wrong(format!("HEAP has {} bytes: the heap grows where it need not.", file.len)));
    }
    match heap::dumps(&file.bytes) {
        Some(heaps) if heaps.len() == wanted => Ok(heaps),
        Some(heaps) => Err(wrong(format!("HEAP has {} heaps, but TRACE has {wanted} lines.", heaps.len()))),
        None => Err(wrong("HEAP does not consist of heaps with their lengths before them, in 8 bytes each.".into())),
    }
}

/// `contents`: what was written into each payload is in it.
pub fn contents(run: &Run) -> Finding {
    each_heap(run, |moment, heap| {
        for (id, payload) in moment.live {
            let at = payload.at as usize;
            let Some(found) = heap.get(at..at.saturating_add(payload.contents.len())) else {
                let words =
                    format!("the payload of {id}, at {at}, is not in the heap, which has {} bytes.", heap.len());
                return moment.fails(run, &words).found();
            };
            let differs = found.iter().zip(&payload.contents).position(|(is, should)| is != should);
            if let Some(place) = differs {
                let (is, should) = (found[place], payload.contents[place]);
                let words = format!(
                    "byte {place} of the payload of {id} is {is} where it should be {should}: it is not what was written there."
                );
                return moment.fails(run, &words).found();
            }
        }
        Ok(())
    })
}

/// The blocks of a heap, for checks that have nothing to say where there are none.
fn blocks_or_open(heap: &[u8]) -> Result<Vec<Block>, Objection> {
    heap::blocks(heap).map_err(|_| Objection::open("the tags are not right"))
}

/// `tags`: the heap is made of blocks with two tags, and those allocated are the payloads that there are.
pub fn tags(run: &Run) -> Finding {
    each_heap(run, |moment, heap| {
        let blocks = match heap::blocks(heap) {
            Ok(blocks) => blocks,
            Err(Broken::Small(_)) => return Err(Objection::open("there is a block that is too small")),
            Err(Broken::Tags(words)) => return moment.fails(run, &words).found(),
        };
        for (id, payload) in moment.live {
            let bytes = payload.contents.len() as u64;
            let own = blocks.iter().find(|block| block.at + 8 == payload.at);
            let words = match own {
                None => format!("there is no block for the payload of {id} at {}.", payload.at),
                Some(block) if !block.allocated => format!("the block of {id} at {} is marked as free.", block.at),
                Some(block) if block.size < bytes + 16 => {
                    format!(
                        "the block of {id} at {} has {} bytes, too few for a payload of {bytes}.",
                        block.at, block.size
                    )
                }
                Some(_) => continue,
            };
            return moment.fails(run, &words).found();
        }
        let owned = |block: &&Block| moment.live.values().any(|payload| block.at + 8 == payload.at);
        match blocks.iter().filter(|block| block.allocated && !block.is_prologue()).find(|block| !owned(block)) {
            None => Ok(()),
            Some(block) => moment
                .fails(run, &format!("the block at {} is marked as allocated, but nobody has it.", block.at))
                .found(),
        }
    })
}

/// `smallest`: every block has room for the links that it needs when it is free.
pub fn smallest(run: &Run) -> Finding {
    each_heap(run, |moment, heap| match heap::blocks(heap) {
        Err(Broken::Small(words)) => moment.fails(run, &words).found(),
        Err(Broken::Tags(_)) => Err(Objection::open("the tags are not right")),
        Ok(_) => Ok(()),
    })
}

/// `coalesced`: free neighbours are one block.
pub fn coalesced(run: &Run) -> Finding {
    each_heap(run, |moment, heap| {
        let blocks = blocks_or_open(heap)?;
        match blocks.windows(2).find(|pair| !pair[0].allocated && !pair[1].allocated) {
            None => Ok(()),
            Some(pair) => {
                let (first, second) = (pair[0].at, pair[1].at);
                let words = format!(
                    "the blocks at {first} and {second} are neighbours and both free: join them when one of them is freed."
                );
                moment.fails(run, &words).found()
            }
        }
    })
}

/// `double-free` and `out-of-memory`: what cannot be done is said, and the blocks stay as they were.
pub fn unchanged(run: &Run) -> Finding {
    let mut before = Vec::new();
    each_heap(run, |moment, heap| {
        let blocks = blocks_or_open(heap)?;
        let refused = matches!(moment.answer, Answer::NotAllocated | Answer::OutOfMemory);
        if refused && blocks != before {
            return moment.fails(run, "the heap is not as it was, although nothing was to be done.").found();
        }
        before = blocks;
        Ok(())
    })
}

/// `utilisation`: the most that was allocated at once, against how far the heap went.
pub fn utilisation(run: &Run) -> Finding {
    told(run)?;
    let (mut most, mut heap) = (0, 1);
    walk(run, |moment| {
        most = most.max(moment.live.values().map(|payload| payload.contents.len() as u64).sum());
        let end = moment.live.values().map(|payload| payload.at.saturating_add(payload.contents.len() as u64)).max();
        heap = heap.max(end.unwrap_or_default());
        Ok(())
    })?;
    let percent = most * 100 / heap;
    if percent >= UTILISATION {
        return Ok(());
    }
    let mix = run.plan.name.trim_start_matches("mix: ");
    let words = format!(
        "In the mix `{mix}` at most {most} bytes are allocated at once, and the heap has {heap} bytes: {percent} % of it are payload, and {UTILISATION} are wanted.",
    );
    Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).found()
}

/// `throughput`: processor time of the children that replay on the program's own heap, against that of the others.
/// The best of each counts: what a busy machine adds is not the allocator's.
pub fn throughput(run: &Run) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let children = &run.seen.processes[1..];
    let best = |first: usize| children.iter().skip(first).step_by(2).map(|process: &Process| process.cpu).min();
    let (10, Some(own), Some(system)) = (children.len(), best(0), best(1)) else {
        let words = format!(
            "The race has {} children: it needs ten, by turns one that replays on the heap and one that replays on malloc(3).",
            children.len()
        );
        return Failure::new(Reason::WrongCalls, words).evidence(endings::command_line(run)).found();
    };
    if system < LEAST || own < LEAST {
        let words = "A child of the race ended with hardly any work done: each replays TRACE as often as ROUNDS says.";
        return Failure::new(Reason::WrongCalls, words).evidence(endings::command_line(run)).found();
    }
    if own <= SLOWER * system {
        return Ok(());
    }
    let times = own.as_secs_f64() / system.as_secs_f64();
    let words = format!(
        "The heap takes {times:.1} times the processor time of the C library's for the same trace, and {SLOWER} times is allowed: does it search, or copy, where it need not?",
    );
    let evidence = format!("best of each: {own:.1?} on the heap, {system:.1?} on malloc(3)");
    Failure::new(Reason::WrongState, words).evidence(endings::command_line(run)).evidence(evidence).found()
}

/// `mapped`: memory was mapped for the heap, all of it.
pub fn mapped(run: &Run) -> Finding {
    let needed = heaps(run).ok().and_then(|heaps| heaps.iter().map(|heap| heap.len() as u64).max()).unwrap_or(1);
    let maps = run.seen.successes().any(|(_, _, call, _)| matches!(call, Call::Mmap { len, .. } if *len >= needed));
    if maps {
        return Ok(());
    }
    let words = "The program mapped no memory that the heap could be in: ask mmap for it, and not another allocator.";
    Failure::new(Reason::WrongCalls, words).evidence(endings::command_line(run)).found()
}

/// The result is right although calls are cut short or interrupted.
pub fn under_faults(run: &Run) -> Finding {
    let is_race = run.plan.argument(0) == "--race";
    let judged = if is_race { endings::ended(run).and_then(|()| endings::status(run)) } else { contents(run) };
    judged.map_err(|wrong| wrong.amended(|failure| endings::blame_fault(run, failure)))
}
