//! `malloc_trace`: malloc, free and realloc over a mapping, looked at from outside.

use std::time::Duration;

use observe::{InputFile, On};

use super::judge::{
    aligned, coalesced, contents, each_placed, mapped, output, overlap, smallest, tags, throughput, unchanged,
    under_faults, utilisation,
};
use super::mixes::{self, MIXES, Step};
use super::{HEAP, heap, refuses};
use crate::spec::Spec;
use crate::spec::address_space::images::refused;
use crate::spec::common::calls::{FORK_CALLS, OPENS, READS, SAVES, WRITES};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unreadable_text, unwritable_output};
use crate::spec::common::{FORKS, MAPS, reaped, reports, usage};
use crate::{Check, Nonce, Plan, Stage};

const TRACE: &str = "trace";

/// `malloc_trace TRACE`
pub(crate) fn malloc_trace() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything else is refused", usage),
            Check::outside("reports", "a failing call is reported with what it was for", reports),
            Check::outside("smallest", "no block is too small to be a free one", smallest),
            Check::outside("tags", "the tags at both ends of each block are right after every step", tags),
            Check::outside("coalesced", "no two free blocks are neighbours", coalesced),
            Check::outside("output", "there is a line for each line of TRACE", output),
            Check::seen("mapped", "the heap is in a mapping that the program made", mapped),
            Check::outside("aligned", "payloads are at multiples of 16", |run| each_placed(run, aligned)),
            Check::outside("overlap", "no two payloads overlap", |run| each_placed(run, overlap)),
            Check::outside("contents", "a payload keeps what is in it, also when it gets another size", contents),
            Check::outside("double-free", "what is freed already is told and not freed again", unchanged),
            Check::outside("out-of-memory", "where there is no room that is told, and nothing changes", unchanged),
            Check::outside("utilisation", "payloads are at least 85 % of the heap at its largest", utilisation),
            Check::seen("throughput", "it takes at most three times the C library's processor time", throughput),
            Check::outside("refuses", "a line of TRACE that makes no sense is told with its number", refuses),
            Check::seen("reaped", "the children of a race are waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| {
            let text = "a 1 100\na 2 40\na 3 200\na 4 60\nf 2\na 5 20\nf 1\nf 3\nr 4 160\nf 5\nf 4\n";
            dumped("a heap, step by step", &mixes::steps(text), &["output"]).drawn(heap::drawing)
        },
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let small = |nonce: &mut Nonce| -> Vec<Step> {
        let steps = [6, 8, 5, 4, 10, 12];
        MIXES.iter().zip(steps).flat_map(|((_, mix), scale)| mixes::alone(nonce, *mix, scale)).collect()
    };
    let every = &["output", "aligned", "overlap", "contents", "tags", "smallest", "coalesced"];
    let plain = dumped("a little of everything", &small(nonce), every);
    // First what is short: where it ends, the tags say what went wrong; later they may lead anywhere, and nowhere.
    let mut plans = vec![
        dumped("the last block is freed", &last_block(nonce), &["tags", "coalesced"])
            .because("When the block at the heap's end is freed, behind which there is no tag"),
        dumped("a remainder of 16 bytes", &remainder(nonce), &["smallest", "tags"])
            .because("When 16 bytes are left of a free block"),
        dumped("a free block as it is", &fitting(nonce), &["tags", "contents"])
            .because("When a free block is given out as a whole"),
        dumped("neighbours", &neighbours(nonce), &["coalesced", "tags", "contents"])
            .because("When blocks are freed beside free ones"),
        plain.clone(),
        dumped("remainders of any size", &remainders(nonce), &["smallest", "tags", "contents"])
            .because("When little or nothing is left of a free block"),
        dumped("other sizes", &resized(nonce), &["contents", "tags", "coalesced", "overlap"])
            .because("When blocks get other sizes"),
        // So small that nothing but the heap has a reason to be mapped.
        dumped("freed twice", &twice(nonce), &["double-free", "tags", "mapped"])
            .because("When something is freed twice"),
        limited(nonce),
        default_size(),
    ];
    plans.extend(MIXES.iter().map(|(name, mix)| {
        let checks = &["output", "utilisation", "aligned", "overlap"];
        plan(&format!("mix: {name}"), &mixes::alone(nonce, *mix, 250), checks).coarse()
    }));
    let few_rounds = race("a short race", 1, &mixes::all(nonce, 10));
    let race = race("a race", 100, &mixes::all(nonce, 150));
    let wrong = |name: &str, text: &str| {
        let plan = Plan::new(format!("refused: {name}")).arg(TRACE).file(InputFile::new(TRACE, text));
        refused(plan.prints(""), text.lines().count())
    };
    let fails = |name: &str, names, calls: &[&str], object, errno| {
        plain.again(name, &[]).reports(names, object, errno).fault(failing(calls, None, errno))
    };
    let mut full = plain.again("FILE cannot be written", &[]).reports(SAVES, Some(HEAP), libc::ENOSPC);
    // Whoever prints before has printed by then.
    full.expect.stdout = None;
    let over_older = dumped("over an older heap", &twice(nonce), &["tags"]);
    let mut short_race = race.again("a race without a child", &[]).reports(FORKS, None, libc::EAGAIN);
    short_race.launch.faults.push(failing(FORK_CALLS, None, libc::EAGAIN));
    plans.extend([
        race,
        Plan::new("no TRACE").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("mmap fails", MAPS, &["mmap"], None, libc::ENOMEM),
        short_race,
        over_older.file(InputFile::new(HEAP, vec![0x5a; 1 << 20])).because("When there is an older and longer FILE"),
        unreadable_text(&plain, TRACE),
        full.fault(failing(WRITES, Some(On::File(HEAP.into())), libc::ENOSPC)),
        unwritable_output(&plain),
        wrong("a letter that there is not", "a 1 10\nx 1\n"),
        wrong("no size", "a 1 10\nf 1\na 2\n"),
        wrong("a size of 0", "a 1 10\nr 1 0\n"),
        wrong("a word for an ID", "a one 10\n"),
        wrong("an empty line", "a 1 10\n\n"),
        bad_usage("no arguments", &[]),
        bad_usage("two traces", &[TRACE, TRACE]),
        bad_usage("no number of bytes", &["--bytes", "some", TRACE]),
        bad_usage("no rounds", &["--race", "0", TRACE]),
        bad_usage("nothing behind --heap", &["--heap", HEAP]),
        cut(&plain, &[On::AnyFile], READS, "read", 7),
        cut(&plain, &[On::AnyFile, On::Stdout], WRITES, "write", 1000),
        interrupted(&plain, &[On::AnyFile, On::Stdout]),
        interrupted(&few_rounds, &[]),
    ]);
    plans
}

fn plan(name: &str, steps: &[Step], checks: &[&'static str]) -> Plan {
    Plan::new(name).arg(TRACE).file(InputFile::new(TRACE, mixes::text(steps))).judged_by(checks)
}

/// With the heap written out after each step.
fn dumped(name: &str, steps: &[Step], checks: &[&'static str]) -> Plan {
    Plan::new(name).arg("--heap").arg(HEAP).arg(TRACE).file(InputFile::new(TRACE, mixes::text(steps))).judged_by(checks)
}

fn race(name: &str, rounds: u32, steps: &[Step]) -> Plan {
    let plan = Plan::new(name).arg("--race").arg(rounds.to_string()).arg(TRACE);
    let mut plan = plan.file(InputFile::new(TRACE, mixes::text(steps))).judged_by(&["throughput", "reaped"]).coarse();
    plan.launch.deadline = Duration::from_secs(60);
    plan.at(Stage::Hard)
}

/// Every way in which a freed block can have free neighbours.
fn neighbours(nonce: &mut Nonce) -> Vec<Step> {
    let mut steps: Vec<Step> = (1..=10).map(|id| Step::Allocate { id, bytes: nonce.number(20, 200) }).collect();
    // None, none, both; none, before, both; the last one; behind; the first one.
    for id in [2, 4, 3, 6, 7, 5, 10, 9, 1] {
        steps.push(Step::Free { id });
    }
    steps.push(Step::Allocate { id: 11, bytes: 300 });
    steps.extend([8, 11].map(|id| Step::Free { id }));
    steps
}

/// Behind the last block is no tag, and before the first neither.
fn last_block(nonce: &mut Nonce) -> Vec<Step> {
    let (one, two) = (nonce.number(20, 200), nonce.number(20, 200));
    vec![Step::Allocate { id: 1, bytes: one }, Step::Allocate { id: 2, bytes: two }, Step::Free { id: 2 }]
}

/// A hole that is given out as large as it is.
fn fitting(nonce: &mut Nonce) -> Vec<Step> {
    let hole = nonce.number(100, 200);
    vec![
        Step::Allocate { id: 1, bytes: hole },
        Step::Allocate { id: 2, bytes: 50 },
        Step::Free { id: 1 },
        Step::Allocate { id: 3, bytes: hole },
    ]
}

/// A hole that is given out but for 16 bytes, which are too few for a block.
fn remainder(nonce: &mut Nonce) -> Vec<Step> {
    let hole = 16 * nonce.number(8, 20);
    vec![
        Step::Allocate { id: 1, bytes: hole },
        Step::Allocate { id: 2, bytes: 50 },
        Step::Free { id: 1 },
        Step::Allocate { id: 3, bytes: hole - 16 },
    ]
}

/// A hole that is given out a little smaller each time, so that a little is left.
fn remainders(nonce: &mut Nonce) -> Vec<Step> {
    let hole = 16 * nonce.number(12, 20) - 8;
    let mut steps = vec![Step::Allocate { id: 1, bytes: hole }, Step::Allocate { id: 2, bytes: 50 }];
    steps.push(Step::Free { id: 1 });
    for less in 0..12 {
        let id = 3 + less;
        steps.extend([Step::Allocate { id, bytes: hole - 8 * less }, Step::Free { id }]);
    }
    for less in 1..12 {
        let id = 20 + less;
        steps.extend([Step::Allocate { id, bytes: hole }, Step::Resize { id, bytes: hole - 8 * less }]);
        steps.push(Step::Free { id });
    }
    steps.push(Step::Free { id: 2 });
    steps
}

/// Smaller, larger into a free neighbour, larger where there is none, and at the heap's end.
fn resized(nonce: &mut Nonce) -> Vec<Step> {
    let mut steps: Vec<Step> = (1..=6).map(|id| Step::Allocate { id, bytes: 150 + nonce.number(0, 40) }).collect();
    steps.push(Step::Free { id: 3 });
    for (id, bytes) in
        [(2, 260), (2, 90), (1, 330), (5, 200), (4, 170), (6, 700), (6, 20), (1, 331), (4, 900), (2, 400)]
    {
        steps.push(Step::Resize { id, bytes: bytes + nonce.number(0, 7) });
    }
    steps.extend([5, 1, 6, 2, 4].map(|id| Step::Free { id }));
    steps
}

fn twice(nonce: &mut Nonce) -> Vec<Step> {
    let mut steps: Vec<Step> = (1..=4).map(|id| Step::Allocate { id, bytes: nonce.number(40, 90) }).collect();
    steps.extend([2, 2, 7].map(|id| Step::Free { id }));
    steps.push(Step::Resize { id: 2, bytes: nonce.number(40, 90) });
    steps.push(Step::Allocate { id: 5, bytes: 30 });
    steps.extend([3, 3, 1, 2, 4, 5, 5].map(|id| Step::Free { id }));
    steps
}

/// What has no room in the bytes that a heap has when nobody says how many.
fn default_size() -> Plan {
    let sizes = [20 << 20, 20 << 20, 20 << 20, 9 << 19];
    let steps: Vec<Step> = (1..).zip(sizes).map(|(id, bytes)| Step::Allocate { id, bytes }).collect();
    plan("no --bytes", &steps, &["output"]).coarse().because("When the heap has 64 MiB, as nobody says otherwise")
}

/// A heap of 4096 bytes, in which not everything has room.
fn limited(nonce: &mut Nonce) -> Plan {
    let mut bytes = || nonce.number(900, 1000);
    let steps = [
        Step::Allocate { id: 1, bytes: bytes() },
        Step::Allocate { id: 2, bytes: bytes() },
        Step::Allocate { id: 3, bytes: u64::MAX },
        Step::Allocate { id: 4, bytes: u64::MAX - 31 },
        Step::Allocate { id: 5, bytes: 5000 },
        Step::Resize { id: 1, bytes: 3900 },
        Step::Resize { id: 2, bytes: u64::MAX - 15 },
        Step::Allocate { id: 6, bytes: 500 },
        Step::Free { id: 5 },
        Step::Free { id: 2 },
        Step::Resize { id: 1, bytes: 1400 },
        Step::Free { id: 1 },
        Step::Allocate { id: 7, bytes: 1700 },
        Step::Free { id: 6 },
        Step::Free { id: 7 },
    ];
    let mut plan = dumped("not enough room", &steps, &["out-of-memory"]);
    plan = plan.because("When the heap has 4096 bytes");
    plan.launch.args.splice(0..0, ["--bytes".into(), "4096".into()]);
    plan
}
