//! `malloc_trace`: malloc, free and realloc over a mapping, looked at from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use observe::{Call, Content, InputFile, On, Process};

use super::heap::{self, Block, Broken};
use super::mixes::{self, MIXES, Step};
use super::refuses;
use crate::spec::Spec;
use crate::spec::address_space::images::refused;
use crate::spec::common::calls::{FORK_CALLS, OPENS, READS, WRITES};
use crate::spec::common::endings;
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unwritable_output};
use crate::spec::common::{FORKS, MAPS, reaped, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const TRACE: &str = "trace";
const HEAP: &str = "heap";
/// Payloads are at least so many hundredths of the heap.
const UTILISATION: u64 = 85;
/// The heap may take this many times the C library's processor time.
const SLOWER: u32 = 3;
/// Below this, processor time says nothing of an allocator.
const LEAST: Duration = Duration::from_millis(1);

/// `malloc_trace TRACE`
pub(crate) fn malloc_trace() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything else is refused", usage),
            Check::outside("reports", "a failing call is reported with what it was for", reports),
            Check::outside("output", "there is a line for each line of TRACE", output),
            Check::seen("mapped", "the heap is in a mapping that the program made", mapped),
            Check::outside("aligned", "payloads are at multiples of 16", |run| each_placed(run, aligned)),
            Check::outside("overlap", "no two payloads overlap", |run| each_placed(run, overlap)),
            Check::outside("contents", "a payload keeps what is in it, also when it gets another size", contents),
            Check::outside("tags", "the tags at both ends of each block are right after every step", tags),
            Check::outside("smallest", "no block is too small to be a free one", smallest),
            Check::outside("coalesced", "no two free blocks are neighbours", coalesced),
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
    let mut plans = vec![
        plain.clone(),
        dumped("neighbours", &neighbours(nonce), &["coalesced", "tags", "contents"]),
        dumped("remainders of any size", &remainders(nonce), &["smallest", "tags", "contents"]),
        dumped("other sizes", &resized(nonce), &["contents", "tags", "coalesced", "overlap"]),
        // So small that nothing but the heap has a reason to be mapped.
        dumped("freed twice", &twice(nonce), &["double-free", "tags", "mapped"]),
        limited(nonce),
    ];
    plans.extend(MIXES.iter().map(|(name, mix)| {
        let checks = &["utilisation", "aligned", "overlap"];
        plan(&format!("mix: {name}"), &mixes::alone(nonce, *mix, 250), checks).coarse()
    }));
    let race = race("a race", 100, &mixes::all(nonce, 150));
    let wrong = |name: &str, text: &str| {
        let plan = Plan::new(format!("refused: {name}")).arg(TRACE).file(InputFile::new(TRACE, text));
        refused(plan.prints(""), text.lines().count())
    };
    let fails = |name: &str, names, calls: &[&str], object, errno| {
        plain.again(name, &[]).reports(names, object, errno).fault(failing(calls, None, errno))
    };
    let mut short_race = race.again("a race without a child", &[]).reports(FORKS, None, libc::EAGAIN);
    short_race.launch.faults.push(failing(FORK_CALLS, None, libc::EAGAIN));
    plans.extend([
        race,
        Plan::new("no TRACE").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("mmap fails", MAPS, &["mmap"], None, libc::ENOMEM),
        short_race,
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
    plan.launch.args.splice(0..0, ["--bytes".into(), "4096".into()]);
    plan
}

/// What the program says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    At(u64),
    Freed,
    NotAllocated,
    OutOfMemory,
}

impl Answer {
    fn of(line: &str) -> Option<Answer> {
        match line {
            "freed" => Some(Answer::Freed),
            "not allocated" => Some(Answer::NotAllocated),
            "out of memory" => Some(Answer::OutOfMemory),
            _ => line.parse().ok().map(Answer::At),
        }
    }

    /// What is wanted in its place, if it is wrong.
    fn lacks(self, step: Step, live: &Live, limit: u64) -> Option<&'static str> {
        let known = |id: &u64| live.contains_key(id);
        let asked = match step {
            Step::Free { id } if known(&id) => return (self != Answer::Freed).then_some("`freed`"),
            Step::Free { id } | Step::Resize { id, .. } if !known(&id) => {
                return (self != Answer::NotAllocated).then_some("`not allocated`");
            }
            Step::Free { .. } => return None,
            Step::Allocate { bytes, .. } | Step::Resize { bytes, .. } => bytes,
        };
        let others = live.iter().filter(|(id, _)| !matches!(step, Step::Resize { id: own, .. } if own == **id));
        let total = others.map(|(_, payload)| payload.contents.len() as u64).sum::<u64>().saturating_add(asked);
        match self {
            // How much of a nearly full heap can still be used is the allocator's own affair.
            Answer::OutOfMemory if total <= limit / 3 * 2 => Some("an offset"),
            Answer::At(_) if total > limit => Some("`out of memory`"),
            Answer::At(_) | Answer::OutOfMemory => None,
            Answer::Freed | Answer::NotAllocated => Some("an offset"),
        }
    }
}

/// A payload: where it is, and what must be in it.
struct Payload {
    at: u64,
    contents: Vec<u8>,
}

type Live = BTreeMap<u64, Payload>;

/// The heap after a step.
struct Moment<'a> {
    number: usize,
    step: Step,
    answer: Answer,
    live: &'a Live,
}

impl Moment<'_> {
    /// A failure that is seen after this step.
    fn fails(&self, run: &Run, words: &str) -> Failure {
        let words = format!("After line {} (`{}`) {words}", self.number, self.step);
        Failure::new(Reason::WrongState, words).evidence(endings::command_line(run))
    }
}

fn steps_of(plan: &Plan) -> Vec<Step> {
    match plan.launch.files.first().map(|file| &file.content) {
        Some(Content::Bytes(text)) => mixes::steps(&String::from_utf8_lossy(text)),
        _ => Vec::new(),
    }
}

/// Bytes that the heap may have.
fn limit(plan: &Plan) -> u64 {
    if plan.argument(0) == "--bytes" { plan.argument(1).parse().unwrap_or_default() } else { 64 << 20 }
}

/// Goes through the steps with what the program said of each, as far as that makes sense.
fn walk(run: &Run, mut judge: impl FnMut(&Moment) -> Finding) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let steps = steps_of(run.plan);
    let printed = run.seen.stdout.text();
    let wrong = |words: String| Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run)).found();
    let mut live = Live::new();
    let mut lines = printed.lines();
    for (number, step) in (1..).zip(steps.iter().copied()) {
        let Some(line) = lines.next() else {
            return wrong(format!(
                "The output ends before line {number} of TRACE (`{step}`): a line is wanted for each."
            ));
        };
        let lacks = match Answer::of(line) {
            Some(answer) => answer.lacks(step, &live, limit(run.plan)),
            None => Some("an offset, `freed`, `not allocated` or `out of memory`"),
        };
        let (Some(answer), None) = (Answer::of(line), lacks) else {
            let wanted = lacks.unwrap_or_default();
            return wrong(format!(
                "To line {number} of TRACE (`{step}`) the program says `{line}`, where {wanted} is wanted."
            ));
        };
        take(&mut live, number, step, answer);
        judge(&Moment { number, step, answer, live: &live })?;
    }
    match lines.next() {
        Some(line) => wrong(format!("After a line for each of TRACE the program also says `{line}`.")),
        None => Ok(()),
    }
}

fn take(live: &mut Live, number: usize, step: Step, answer: Answer) {
    match (step, answer) {
        (Step::Allocate { id, bytes }, Answer::At(at)) => {
            live.insert(id, Payload { at, contents: vec![number as u8; bytes as usize] });
        }
        (Step::Resize { id, bytes }, Answer::At(at)) => {
            if let Some(payload) = live.get_mut(&id) {
                payload.at = at;
                payload.contents.resize(bytes as usize, number as u8);
            }
        }
        (Step::Free { id }, Answer::Freed) => drop(live.remove(&id)),
        _ => {}
    }
}

/// `output`: every line is of the kind that it should be.
fn output(run: &Run) -> Finding {
    walk(run, |_| Ok(()))
}

/// A run whose output is judged by itself says nothing more where that is wrong.
fn told(run: &Run) -> Finding {
    let judged = run.plan.checks.contains(&"output");
    output(run).map_err(|wrong| if judged { Objection::open("the output makes no sense") } else { wrong })
}

/// A judgement of every payload that was just placed.
fn each_placed(run: &Run, judge: fn(&Run, &Moment, u64, &Payload) -> Finding) -> Finding {
    told(run)?;
    walk(run, |moment| match (moment.step, moment.answer) {
        (Step::Allocate { id, .. } | Step::Resize { id, .. }, Answer::At(_)) => {
            judge(run, moment, id, &moment.live[&id])
        }
        _ => Ok(()),
    })
}

fn aligned(run: &Run, moment: &Moment, id: u64, payload: &Payload) -> Finding {
    if payload.at.is_multiple_of(16) {
        return Ok(());
    }
    moment.fails(run, &format!("the payload of {id} is at {}, which is no multiple of 16.", payload.at)).found()
}

fn overlap(run: &Run, moment: &Moment, id: u64, payload: &Payload) -> Finding {
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
    match heap::dumps(&file.bytes) {
        Some(heaps) if heaps.len() == wanted => Ok(heaps),
        Some(heaps) => Err(wrong(format!("HEAP has {} heaps, but TRACE has {wanted} lines.", heaps.len()))),
        None => Err(wrong("HEAP does not consist of heaps with their lengths before them, in 8 bytes each.".into())),
    }
}

/// `contents`: what was written into each payload is in it.
fn contents(run: &Run) -> Finding {
    each_heap(run, |moment, heap| {
        for (id, payload) in moment.live {
            let at = payload.at as usize;
            let Some(found) = heap.get(at..at + payload.contents.len()) else {
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
fn tags(run: &Run) -> Finding {
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
fn smallest(run: &Run) -> Finding {
    each_heap(run, |moment, heap| match heap::blocks(heap) {
        Err(Broken::Small(words)) => moment.fails(run, &words).found(),
        Err(Broken::Tags(_)) => Err(Objection::open("the tags are not right")),
        Ok(_) => Ok(()),
    })
}

/// `coalesced`: free neighbours are one block.
fn coalesced(run: &Run) -> Finding {
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
fn unchanged(run: &Run) -> Finding {
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
fn utilisation(run: &Run) -> Finding {
    told(run)?;
    let (mut most, mut heap) = (0, 1);
    walk(run, |moment| {
        most = most.max(moment.live.values().map(|payload| payload.contents.len() as u64).sum());
        let end = moment.live.values().map(|payload| payload.at + payload.contents.len() as u64).max();
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
fn throughput(run: &Run) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let children = &run.seen.processes[1..];
    let best = |first: usize| children.iter().skip(first).step_by(2).map(|process: &Process| process.cpu).min();
    let (Some(own), Some(system)) = (best(0), best(1)) else {
        let words = "A race needs children, by turns one that replays on the heap and one that replays on malloc(3).";
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
fn mapped(run: &Run) -> Finding {
    let needed = heaps(run).ok().and_then(|heaps| heaps.iter().map(|heap| heap.len() as u64).max()).unwrap_or(1);
    let maps = run.seen.successes().any(|(_, _, call, _)| matches!(call, Call::Mmap { len, .. } if *len >= needed));
    if maps {
        return Ok(());
    }
    let words = "The program mapped no memory that the heap could be in: ask mmap for it, and not another allocator.";
    Failure::new(Reason::WrongCalls, words).evidence(endings::command_line(run)).found()
}

/// The result is right although calls are cut short or interrupted.
fn under_faults(run: &Run) -> Finding {
    contents(run).map_err(|wrong| wrong.amended(|failure| endings::blame_fault(run, failure)))
}
