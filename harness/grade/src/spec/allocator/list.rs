//! `free_list`: free blocks in a circle, linked through their own payloads.

use std::collections::VecDeque;

use observe::Observation;

use super::{
    ALLOCATED, Outcome, WORD, circumstances, refuses, same_heap, script_of, set_word, under_faults, with_script, word,
    wrong_script,
};
use crate::spec::Spec;
use crate::spec::common::{output, reports, usage};
use crate::{Check, Finding, Nonce, Plan, Run};

const BLOCK: usize = 32;

/// `free_list SCRIPT IMAGE`
pub(crate) fn free_list() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but SCRIPT and IMAGE is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("output", "the circle has what was inserted, the last one first", output),
            Check::outside("one-alone", "a block that is alone is its own neighbour, and leaves nothing", output),
            Check::outside("from-anywhere", "a block comes out of the circle from wherever it is", output),
            Check::outside("links", "the links and tags in the heap are those of the circle", links),
            Check::outside("refuses", "a line of SCRIPT that makes no sense is told with its number", refuses),
            Check::seen("short-io", "it is right when reads and writes are cut short", |run| under_faults(run, links)),
            Check::seen("eintr", "it is right when calls are interrupted", |run| under_faults(run, links)),
        ],
        demo: |_| {
            let script = lines("heap 5,insert 32,insert 128,insert 64,list,remove 128,list");
            plan("three blocks in and one out", &script).judged_by(&["output"]).drawn(drawing)
        },
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let count = nonce.number(9, 14) as usize;
    let mut blocks: Vec<usize> = (0..count).map(|n| n * BLOCK).collect();
    for i in (1..count).rev() {
        blocks.swap(i, nonce.number(0, i as u64) as usize);
    }
    // Links that nobody wrote lead to 0: a block there seems to be its own neighbour.
    if let Some(zero) = blocks[..2].iter().position(|block| *block == 0) {
        blocks.swap(zero, 2);
    }
    let heap = format!("heap {count}");
    let all = [heap.clone()].into_iter().chain(blocks[2..].iter().map(|block| format!("insert {block}")));
    let look = || ["list".to_string(), "back".to_string()];
    let inserted: Vec<String> = all.clone().chain(look()).collect();
    let alone = blocks[0];
    let single = [heap.clone(), "list".into(), format!("insert {alone}")].into_iter().chain(look());
    let single: Vec<String> = single
        .chain([format!("remove {alone}"), "list".into(), "back".into()])
        .chain([format!("insert {}", blocks[1]), format!("insert {alone}")])
        .chain(look())
        .collect();
    // The first, the last, one in the middle, and in again.
    let (first, last, middle) = (blocks[count - 1], blocks[2], blocks[count / 2]);
    let mut removed: Vec<String> = all.collect();
    for step in
        [format!("remove {first}"), format!("remove {last}"), format!("remove {middle}"), format!("insert {last}")]
    {
        removed.push(step);
        removed.extend(look());
    }
    let plain = plan("inserted", &inserted).judged_by(&["output", "links"]);
    let mut plans = vec![
        plain.clone(),
        plan("one block alone", &single).judged_by(&["one-alone", "links"]),
        plan("removed", &removed).judged_by(&["from-anywhere", "links"]),
        plan("all of them out again", &emptied(&heap, &blocks)).judged_by(&["from-anywhere", "links"]),
        plan("the largest heap", &lines("heap 2000,insert 63968,insert 0,list,back")).judged_by(&["output", "links"]),
        wrong_script("no heap", &["insert 0"]),
        wrong_script("a heap that is too large", &["heap 2001"]),
        wrong_script("free already", &["heap 4", "insert 32", "insert 0", "list", "insert 32"]),
        wrong_script("not in the circle", &["heap 4", "insert 32", "list", "remove 64"]),
        wrong_script("removed twice", &["heap 4", "insert 32", "insert 64", "remove 32", "remove 32"]),
        wrong_script("the middle of a block", &["heap 4", "insert 32", "insert 48"]),
        wrong_script("the middle of a free block", &["heap 4", "insert 32", "list", "remove 48"]),
        wrong_script("behind the last block", &["heap 4", "insert 128"]),
        wrong_script("behind the last block, to be removed", &["heap 4", "insert 32", "remove 128"]),
        wrong_script("an operation that there is not", &["heap 4", "insert 32", "list", "first"]),
        wrong_script("a word for a number", &["heap 4", "insert all"]),
    ];
    plans.extend(circumstances(&plain));
    plans
}

/// All blocks in, and out in another order until none is left.
fn emptied(heap: &str, blocks: &[usize]) -> Vec<String> {
    let mut order = blocks.to_vec();
    order.sort_unstable();
    let inserted = blocks.iter().map(|block| format!("insert {block}"));
    let out = order.iter().flat_map(|block| [format!("remove {block}"), "list".into()]);
    std::iter::once(heap.to_string()).chain(inserted).chain(out).chain([format!("insert {}", blocks[0])]).collect()
}

fn lines(script: &str) -> Vec<String> {
    script.split(',').map(str::to_string).collect()
}

fn plan(name: &str, script: &[String]) -> Plan {
    with_script(name, script, &outcome(script).0)
}

/// What a right program makes of a script that makes sense, and the circle from its first block on.
fn outcome(script: &[String]) -> (Outcome, VecDeque<usize>) {
    let mut circle: VecDeque<usize> = VecDeque::new();
    let (mut printed, mut count) = (String::new(), 0);
    for line in script {
        let (operation, number) = line.split_once(' ').unwrap_or((line, ""));
        let number: usize = number.parse().unwrap_or_default();
        match operation {
            "heap" => count = number,
            "insert" => circle.push_front(number),
            "remove" => circle.retain(|block| *block != number),
            "back" => printed.push_str(&told(circle.iter().take(1).chain(circle.iter().skip(1).rev()))),
            _ => printed.push_str(&told(circle.iter())),
        }
    }
    let mut heap = vec![0; count * BLOCK];
    for block in (0..heap.len()).step_by(BLOCK) {
        let tag = BLOCK as u64 | if circle.contains(&block) { 0 } else { ALLOCATED };
        set_word(&mut heap, block, tag);
        set_word(&mut heap, block + BLOCK - WORD, tag);
    }
    for (i, block) in circle.iter().enumerate() {
        let next = circle[(i + 1) % circle.len()];
        set_word(&mut heap, block + WORD, next as u64);
        set_word(&mut heap, next + 2 * WORD, *block as u64);
    }
    (Outcome { printed, heap }, circle)
}

fn told<'a>(blocks: impl Iterator<Item = &'a usize>) -> String {
    let blocks: Vec<String> = blocks.map(usize::to_string).collect();
    if blocks.is_empty() { "empty\n".into() } else { blocks.join(" ") + "\n" }
}

/// `links`: every byte of the heap but the payloads of allocated blocks.
fn links(run: &Run) -> Finding {
    let heap = outcome(&script_of(run.plan)).0.heap;
    let of_tag = |at: usize| matches!(at % BLOCK, 0) || at % BLOCK == BLOCK - WORD;
    same_heap(run, &heap, |at| of_tag(at) || word(&heap, at - at % BLOCK) & ALLOCATED == 0)
}

/// The circle after each line of the script.
fn drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let script = script_of(plan);
    let mut drawn = vec![format!("{:<12}  first → next → … → first", "line")];
    for (n, line) in script.iter().enumerate().filter(|(_, line)| line.contains(' ')) {
        let (_, circle) = outcome(&script[..=n]);
        let names: Vec<String> = circle.iter().chain(circle.front()).map(usize::to_string).collect();
        let circle = if names.is_empty() { "empty".into() } else { names.join(" ⇄ ") };
        drawn.push(format!("{line:<12}  {circle}"));
    }
    drawn
}
