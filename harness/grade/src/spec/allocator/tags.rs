//! `block_tags`: the accessors of a block, over an array of bytes.

use observe::Observation;

use super::{
    ALLOCATED, Outcome, WORD, circumstances, refuses, same_heap, script_of, set_word, under_faults, with_script, word,
    wrong_script,
};
use crate::spec::Spec;
use crate::spec::common::{output, reports, usage};
use crate::{Check, Finding, Nonce, Plan, Run};

/// `block_tags SCRIPT IMAGE`
pub(crate) fn block_tags() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but SCRIPT and IMAGE is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("output", "blocks are shown with their neighbours", output),
            Check::outside("both-ends", "the heap is as it should be, with the same tag at both ends of a block", heap),
            Check::outside("bit-kept", "a block that gets another size stays allocated or free", bit_kept),
            Check::outside("edges", "there is nothing before the first block, and nothing behind the last", output),
            Check::outside("refuses", "a line of SCRIPT that makes no sense is told with its number", refuses),
            Check::seen("short-io", "it is right when reads and writes are cut short", |run| under_faults(run, heap)),
            Check::seen("eintr", "it is right when calls are interrupted", |run| under_faults(run, heap)),
        ],
        demo: |_| {
            let script = lines("heap 96,size 0 40,allocate 0,size 40 24,size 64 32,allocate 64,show 40");
            plan("three blocks", &script).drawn(drawing)
        },
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let sizes: Vec<u64> = (0..6).map(|_| 8 * nonce.number(2, 9)).collect();
    let total: u64 = sizes.iter().sum();
    let offsets: Vec<u64> = sizes.iter().scan(0, |end, size| Some(std::mem::replace(end, *end + size))).collect();
    let mut laid = vec![format!("heap {total}")];
    laid.extend(offsets.iter().zip(&sizes).map(|(block, size)| format!("size {block} {size}")));
    let allocated = [0, 2, 3, 5].map(|i| format!("allocate {}", offsets[i]));
    let inner = offsets[1..5].iter().map(|block| format!("show {block}"));
    let free = |i: usize| format!("free {}", offsets[i]);
    let plain: Vec<String> = laid.iter().chain(&allocated).cloned().chain([free(3)]).chain(inner).collect();
    let [a, b, c] = [0; 3].map(|_| 8 * nonce.number(5, 12));
    // Two free neighbours become one block; an allocated one is cut in two, and gets its end back.
    let cut = a + b;
    let resized = lines(&format!(
        "heap {},size 0 {a},size {a} {b},size {cut} {c},allocate 0,allocate {cut},free 0,size 0 {cut},show 0,\
         size {cut} 16,size {} {},show {cut},size {cut} {c},show {cut}",
        a + b + c,
        cut + 16,
        c - 16,
    ));
    let whole = 8 * nonce.number(2, 40);
    let one =
        [format!("heap {whole}"), format!("size 0 {whole}"), "show 0".into(), "allocate 0".into(), "show 0".into()];
    let ends = [format!("show {}", offsets[5]), "show 0".into()];
    let ends: Vec<String> = laid.iter().cloned().chain(ends).collect();
    let plain = plan("blocks side by side", &plain);
    let largest = lines("heap 65536,size 0 65520,size 65520 16,allocate 65520,show 65520,show 0");
    let mut plans = vec![
        plain.clone(),
        plan("other sizes", &resized).judged_by(&["bit-kept"]),
        plan("one block", &one).judged_by(&["edges", "both-ends"]),
        plan("the first and the last block", &ends).judged_by(&["edges"]),
        plan("the largest heap, and the smallest block at its end", &largest).judged_by(&["edges", "both-ends"]),
        wrong_script("no heap", &["size 0 32"]),
        wrong_script("a heap that is too large", &["heap 65544"]),
        wrong_script("no multiple of 8", &["heap 64", "size 0 32", "size 32 20"]),
        wrong_script("a block between words", &["heap 64", "size 4 32"]),
        wrong_script("no room for two tags", &["heap 64", "show 0"]),
        wrong_script("a block of one tag", &["heap 64", "size 0 8"]),
        wrong_script("a block that ends outside", &["heap 64", "size 0 32", "size 32 40"]),
        wrong_script("a block that begins outside", &["heap 64", "size 0 64", "show 0", "allocate 64"]),
        wrong_script("a block far outside", &["heap 64", "size 0 64", "show 0", "allocate 800"]),
        wrong_script("a sum that wraps", &["heap 64", "size 16 18446744073709551608"]),
        wrong_script("an operation that there is not", &["heap 64", "size 0 64", "show 0", "move 0 8"]),
        wrong_script("a word for a number", &["heap 64", "size 0 all"]),
        wrong_script("a number too many", &["heap 64", "size 0 64", "free 0 8"]),
    ];
    plans.extend(circumstances(&plain));
    plans
}

fn lines(script: &str) -> Vec<String> {
    script.split(',').map(str::to_string).collect()
}

fn plan(name: &str, script: &[String]) -> Plan {
    with_script(name, script, &outcome(script)).judged_by(&["output", "both-ends"])
}

/// What a right program makes of a script that makes sense.
fn outcome(script: &[String]) -> Outcome {
    let mut heap = Vec::new();
    let mut printed = String::new();
    for line in script {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words.get(n).and_then(|word| word.parse::<usize>().ok()).unwrap_or_default();
        let block = number(1);
        match words[0] {
            "heap" => heap = vec![0; number(1)],
            "size" => {
                let bit = word(&heap, block) & ALLOCATED;
                tag(&mut heap, block, number(2) as u64 | bit);
            }
            "allocate" => {
                let size = word(&heap, block);
                tag(&mut heap, block, size | ALLOCATED);
            }
            "free" => {
                let size = word(&heap, block);
                tag(&mut heap, block, size & !ALLOCATED);
            }
            _ => printed.push_str(&shown(&heap, block)),
        }
    }
    Outcome { printed, heap }
}

fn tag(heap: &mut [u8], block: usize, tag: u64) {
    set_word(heap, block, tag);
    set_word(heap, block + size(tag) - WORD, tag);
}

fn size(tag: u64) -> usize {
    (tag & !ALLOCATED) as usize
}

fn shown(heap: &[u8], block: usize) -> String {
    let state = |tag: u64| if tag & ALLOCATED != 0 { "allocated" } else { "free" };
    let own = word(heap, block);
    let next = block + size(own);
    let previous = match block {
        0 => "none".to_string(),
        block => {
            let tag = word(heap, block - WORD);
            format!("{} {}", block - size(tag), state(tag))
        }
    };
    let next = if next < heap.len() { format!("{next} {}", state(word(heap, next))) } else { "none".to_string() };
    format!("{block}: {} {}, previous {previous}, next {next}\n", size(own), state(own))
}

/// `both-ends`: every byte of the heap.
fn heap(run: &Run) -> Finding {
    same_heap(run, &outcome(&script_of(run.plan)).heap, |_| true)
}

/// `bit-kept`: the same of a script in which blocks get other sizes.
fn bit_kept(run: &Run) -> Finding {
    output(run)?;
    heap(run)
}

/// The heap at the end, a line for each tag.
fn drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let heap = outcome(&script_of(plan)).heap;
    let mut drawn = vec!["offset  word".to_string()];
    let mut block = 0;
    while block < heap.len() {
        let tag = word(&heap, block);
        let state = if tag & ALLOCATED != 0 { "allocated" } else { "free" };
        let end = block + size(tag);
        drawn.push(format!("{block:>6}  ┌ {:>3} | {}   {state}, {} bytes", size(tag), tag & ALLOCATED, size(tag)));
        drawn.push(format!("        │ {} bytes of payload", size(tag) - 2 * WORD));
        drawn.push(format!(
            "{:>6}  └ {:>3} | {}   the same tag: what comes next looks here",
            end - WORD,
            size(tag),
            tag & ALLOCATED
        ));
        block = end;
    }
    drawn
}
