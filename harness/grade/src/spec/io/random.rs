//! `random_reads`: blocks here and there, and nothing around them.

use std::iter;

use observe::{Call, Content, InputFile, On};

use crate::spec::Spec;
use crate::spec::common::calls::{READS, Transfer, files, reads_of};
use crate::spec::common::endings::ended;
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, panicked, quoted};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::spec::copying::mapping;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const BLOCK: usize = 4096;
/// So many seeds are looked at for one that suits.
const TRIES: usize = 200;

/// `random_reads FILE SEED N [--mmap]`
pub(crate) fn random_reads() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside(
                "usage",
                "a command line of anything but FILE, two numbers and perhaps --mmap is refused",
                usage,
            ),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("output", "the blocks that the seed gives are summed", output),
            Check::outside("no-block", "a file without a whole block is an error", no_block),
            Check::seen("only-blocks", "without --mmap those blocks are read, and nothing else", only_blocks),
            Check::seen("mapped", "with --mmap the file is mapped, and its contents are never read", mapped),
            Check::seen("advised", "the kernel is told that the mapping is used at random", advised),
            Check::seen("short-io", "it is right when reads are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| both(nonce, "a few blocks", 20 * BLOCK + 100, 5)[0].clone(),
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let blocks = nonce.number(40, 80) as usize;
    let mut plans = both(nonce, "some blocks", blocks * BLOCK, 30).to_vec();
    let rest = nonce.number(1, BLOCK as u64 - 1) as usize;
    plans.extend(both(nonce, "a rest at the end", 9 * BLOCK + rest, 40));
    plans.extend(both(nonce, "one block, and many times", BLOCK + rest, 7));
    plans.extend(both(nonce, "no blocks wanted", 3 * BLOCK, 0).map(|plan| plan.judged_by(&["output"])));
    for [small, empty] in [both(nonce, "less than a block", rest, 3), both(nonce, "an empty file", 0, 3)] {
        plans.extend([small, empty].map(|plan| plan.exits(1).at(Stage::Refusal).judged_by(&["no-block"])));
    }
    let [read, mapped] = both(nonce, "", 12 * BLOCK, 3);
    let file = read.argument(0);
    let missing = Plan::new("no such file").arg("missing").arg("1").arg("2");
    let unread = read.again("read fails", &[]).reports(&["read"], Some(&file), libc::EIO);
    let unmapped = mapped.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let there = |plan: Plan| plan.file(InputFile::new("a", vec![7; 2 * BLOCK]));
    plans.extend([
        missing.reports(OPENS, Some("missing"), libc::ENOENT),
        unread.fault(failing(READS, Some(On::File(file.clone().into())), libc::EIO)),
        unmapped.fault(failing(&["mmap"], Some(On::File(file.into())), libc::ENOMEM)),
        unwritable_output(&read),
        bad_usage("no arguments", &[]),
        there(bad_usage("N is missing", &["a", "1"])),
        there(bad_usage("SEED is no number", &["a", "x", "1"])),
        there(bad_usage("N is no number", &["a", "1", "-1"])),
        there(bad_usage("another option", &["a", "1", "1", "--map"])),
        cut(&read, &[On::AnyFile], READS, "read", 100),
        interrupted(&read, &[On::AnyFile]),
    ]);
    plans
}

/// The same blocks read and mapped.
fn both(nonce: &mut Nonce, name: &str, len: usize, count: usize) -> [Plan; 2] {
    let bytes = nonce.bytes(len);
    let seed = seed(nonce, len / BLOCK, count);
    let plan = Plan::new(name).arg("blocks").arg(seed.to_string()).arg(count.to_string());
    let plan = plan.prints(format!("{:016x}\n", sum(&bytes, seed, count))).file(InputFile::new("blocks", bytes));
    let mapped = plan.again(&format!("{name}, mapped"), &["output", "mapped", "advised"]).arg("--mmap");
    [plan.judged_by(&["output", "only-blocks"]), mapped]
}

/// One that leads to the last block an odd number of times, where it can, or what is wrong with that block may cancel out.
fn seed(nonce: &mut Nonce, blocks: usize, count: usize) -> u64 {
    let odd = |seed: &u64| numbers(*seed, blocks, count).filter(|number| number + 1 == blocks).count() % 2 == 1;
    let mut seeds = iter::repeat_with(|| nonce.bits() >> nonce.number(0, 60)).take(TRIES);
    let first = seeds.next().unwrap_or_default();
    if odd(&first) { first } else { seeds.find(odd).unwrap_or(first) }
}

/// The blocks that a seed gives. Its numbers are those of the nonce itself.
fn numbers(seed: u64, blocks: usize, count: usize) -> impl Iterator<Item = usize> {
    let mut numbers = Nonce::new(seed);
    let count = if blocks == 0 { 0 } else { count };
    (0..count).map(move |_| (numbers.bits() % blocks as u64) as usize)
}

/// What is to be printed.
fn sum(bytes: &[u8], seed: u64, count: usize) -> u64 {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let words = numbers(seed, blocks.len(), count).flat_map(|number| blocks[number].as_chunks().0);
    words.fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

fn wrong(words: String) -> Failure {
    Failure::new(Reason::WrongCalls, words)
}

fn reads<'a>(run: &Run<'a>) -> Vec<Transfer<'a>> {
    let objects = files(run.seen, &run.plan.argument(0));
    objects.into_iter().flat_map(|object| reads_of(run.seen, object)).collect()
}

/// `no-block`: refused in a line, without a panic.
fn no_block(run: &Run) -> Finding {
    ended(run)?;
    let refused = |words: String| Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found();
    if panicked(run.seen) {
        return refused(
            "The program panicked: a file without a whole block is an error to be reported in one line.".into(),
        );
    }
    if !run.seen.stdout.bytes.is_empty() {
        let printed = quoted(&run.seen.stdout.bytes);
        return refused(format!(
            "The file has no whole block, and the program printed {printed}, which passes for a result."
        ));
    }
    match run.seen.exit() {
        Some(observe::Exit::Code(1)) if !run.seen.stderr.bytes.is_empty() => Ok(()),
        Some(observe::Exit::Code(1)) => refused("The program says nothing of why it failed.".into()),
        _ => refused("The file has no whole block: that is to be reported, with exit status 1.".into()),
    }
}

/// How often the block is another one than before.
fn runs(run: &Run) -> u64 {
    let [seed, count] = [1, 2].map(|n| run.plan.argument(n).parse().unwrap_or(0));
    let len = run.plan.launch.files.first().map_or(0, |file| match &file.content {
        Content::Bytes(bytes) => bytes.len(),
        _ => 0,
    });
    let mut numbers: Vec<usize> = numbers(seed, len / BLOCK, count as usize).collect();
    numbers.dedup();
    numbers.len() as u64
}

/// `only-blocks`: no more was read than the blocks.
fn only_blocks(run: &Run) -> Finding {
    let (file, reads) = (run.plan.argument(0), reads(run));
    let wanted = run.plan.argument(2).parse().unwrap_or(0) * BLOCK as u64;
    // What comes twice in a row may still be there.
    let fewest = runs(run) * BLOCK as u64;
    if let Some(event) = mapping(run, &files(run.seen, &file)) {
        return wrong(format!("{file} is mapped: without --mmap it is to be read.")).at(event.source.as_ref()).found();
    }
    let bytes: u64 = reads.iter().map(|read| read.bytes).sum();
    if (fewest..=wanted).contains(&bytes) && bytes.is_multiple_of(BLOCK as u64) {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let largest = reads.iter().max_by_key(|read| read.bytes);
    let words = match largest {
        Some(read) if read.bytes > BLOCK as u64 => format!(
            "{bytes} bytes of {file} were read for {wanted} that were wanted, {} of them at once: read the blocks and nothing around them.",
            read.bytes
        ),
        _ => format!(
            "{bytes} bytes of {file} were read instead of {wanted}: each block is to be read when its turn comes."
        ),
    };
    wrong(words).at(largest.and_then(|read| read.event.source.as_ref())).found()
}

/// `mapped`: the file is mapped, and nothing of it is read.
fn mapped(run: &Run) -> Finding {
    let file = run.plan.argument(0);
    if let Some(read) = reads(run).into_iter().find(|read| read.bytes > 0) {
        let words = format!("{file} is read ({} bytes at once): with --mmap it is to be mapped.", read.bytes);
        return wrong(words).at(read.event.source.as_ref()).found();
    }
    match mapping(run, &files(run.seen, &file)) {
        Some(_) => Ok(()),
        None if run.seen.exit().is_some() => wrong(format!("{file} is never mapped.")).found(),
        None => Err(Objection::open("the program came to no end")),
    }
}

/// `advised`: MADV_RANDOM for a mapping of the file, and nothing that fetches it all.
fn advised(run: &Run) -> Finding {
    let objects = files(run.seen, &run.plan.argument(0));
    let mut spans = Vec::new();
    let mut told = 0;
    for (_, event, call, value) in run.seen.successes() {
        match call {
            Call::Mmap { object: Some(object), len, flags, .. } if objects.contains(object) => {
                if flags & libc::MAP_POPULATE != 0 {
                    let words = "MAP_POPULATE fetches the whole file, before the first block is asked for.";
                    return wrong(words.into()).at(event.source.as_ref()).found();
                }
                spans.push(value as u64..value as u64 + len);
            }
            Call::Madvise { address, advice, len } if spans.iter().any(|span| span.contains(address)) => {
                if matches!(*advice, libc::MADV_WILLNEED | libc::MADV_POPULATE_READ | libc::MADV_SEQUENTIAL) {
                    let words =
                        "That advice makes the kernel fetch what nobody asked for: MADV_RANDOM says that you jump.";
                    return wrong(words.into()).at(event.source.as_ref()).found();
                }
                told += if *advice == libc::MADV_RANDOM { *len } else { 0 };
            }
            _ => {}
        }
    }
    if spans.is_empty() {
        return Err(Objection::open("nothing is mapped"));
    }
    // The rest behind the last whole block is not used.
    let mapped: u64 = spans.iter().map(|span| (span.end - span.start) / BLOCK as u64 * BLOCK as u64).sum();
    if told > 0 && told >= mapped {
        return Ok(());
    }
    if told > 0 {
        let words = format!(
            "The kernel is told of {told} bytes that they are used at random, and {mapped} are mapped: tell it of the whole mapping."
        );
        return wrong(words).found();
    }
    let words = "Nobody tells the kernel that the mapping is used at random: for each page that is not there it fetches many around it. madvise(MADV_RANDOM).";
    wrong(words.into()).found()
}
