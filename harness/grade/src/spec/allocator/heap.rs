//! A heap as `malloc_trace` writes it out: blocks side by side, with a tag at both ends of each.

use std::collections::BTreeMap;

use observe::{Content, Observation};

use super::{ALLOCATED, HEAP, WORD, mixes, word};
use crate::Plan;

/// Where the first tag is.
const START: usize = 8;
/// Two tags and two links.
const SMALLEST: u64 = 32;

/// One block, named by the offset of its first tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    pub at: u64,
    pub size: u64,
    pub allocated: bool,
}

impl Block {
    /// Two tags that are never freed, before the first block: they save an allocator from asking whether there is one.
    pub fn is_prologue(&self) -> bool {
        self.at == START as u64 && self.size == 16 && self.allocated
    }
}

/// Why a heap is none, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    Tags(String),
    Small(String),
}

/// Heaps one after another, each with its length before it.
pub fn dumps(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut heaps = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (heap, rest) = rest.split_at_checked(length)?;
        heaps.push(heap);
        bytes = rest;
    }
    Some(heaps)
}

/// The blocks of a heap, from its first to its end; behind the last one there may be a tag of no block (size 0).
pub fn blocks(heap: &[u8]) -> Result<Vec<Block>, Broken> {
    let mut blocks = Vec::new();
    let mut at = START;
    while at < heap.len() && !(heap.len() - at == WORD && word(heap, at) == ALLOCATED) {
        let tag = word(heap, at);
        let block = Block { at: at as u64, size: tag & !ALLOCATED, allocated: tag & ALLOCATED != 0 };
        let room = (heap.len() - at) as u64;
        if block.size == 0 || !block.size.is_multiple_of(16) || block.size > room {
            return Err(Broken::Tags(format!("the tag at {at} is {tag:#x}: no block of the heap has such a size.")));
        }
        if block.size < SMALLEST && !block.is_prologue() {
            let words = format!(
                "the block at {at} has {} bytes: two tags and, when it is free, two links need {SMALLEST}.",
                block.size
            );
            return Err(Broken::Small(words));
        }
        let end = at + block.size as usize - WORD;
        if word(heap, end) != tag {
            let (size, last) = (block.size, word(heap, end));
            let words =
                format!("the block at {at} has the tag {tag:#x} (size {size}), but the one at its end is {last:#x}.");
            return Err(Broken::Tags(words));
        }
        blocks.push(block);
        at += block.size as usize;
    }
    Ok(blocks)
}

/// The heap after each step: a letter for 16 bytes, brackets around a block, its ID in it or dots if it is free.
pub fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let Some(file) = plan.launch.files.first().zip(seen.file(HEAP)) else { return Vec::new() };
    let Content::Bytes(text) = &file.0.content else { return Vec::new() };
    let steps = mixes::steps(&String::from_utf8_lossy(text));
    let printed = seen.stdout.text();
    let mut owners = BTreeMap::new();
    let mut drawn = vec![
        "a ID SIZE allocates so many bytes, r ID SIZE makes them more or fewer, f ID frees them.".to_string(),
        "Each sign is 16 bytes of the heap; [ and ] are a block's ends, with a tag each; dots are free.".into(),
        String::new(),
        "step      the heap after it".into(),
    ];
    for ((step, line), heap) in steps.iter().zip(printed.lines()).zip(dumps(&file.1.bytes).unwrap_or_default()) {
        let place = line.parse::<u64>();
        match step {
            mixes::Step::Allocate { id, .. } | mixes::Step::Resize { id, .. } => {
                owners.retain(|_, owner| owner != id);
                owners.extend(place.map(|place| (place, *id)));
            }
            mixes::Step::Free { id } => owners.retain(|_, owner| owner != id),
        }
        let shown = |block: &Block| {
            let width = (block.size / 16) as usize - 2;
            match owners.get(&(block.at + WORD as u64)) {
                Some(id) => format!("[{:^width$}]", id.to_string()),
                None => format!("[{}]", "·".repeat(width)),
            }
        };
        let picture: String = blocks(heap).unwrap_or_default().iter().map(shown).collect();
        drawn.push(format!("{:<8}  {picture}", step.to_string()));
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(words: &[u64]) -> Vec<u8> {
        std::iter::once(&0).chain(words).flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn blocks_fill_a_heap_and_have_the_same_tag_twice() {
        let right = heap(&[33, 0, 0, 33, 32, 0, 0, 32]);
        let found = blocks(&right).unwrap();
        assert_eq!(
            found.iter().map(|b| (b.at, b.size, b.allocated)).collect::<Vec<_>>(),
            [(8, 32, true), (40, 32, false)]
        );
        let framed = heap(&[17, 17, 33, 0, 0, 33, 1]);
        assert_eq!(blocks(&framed).unwrap().len(), 2);
        assert!(matches!(blocks(&heap(&[33, 0, 0, 32])), Err(Broken::Tags(_))));
        assert!(matches!(blocks(&heap(&[33, 0, 0, 33, 16, 16])), Err(Broken::Small(_))));
        assert!(matches!(blocks(&heap(&[33, 0, 0])), Err(Broken::Tags(_))));
    }
}
