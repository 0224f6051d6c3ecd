//! `map_sync`: what is said to be durable, and when.

use std::time::Duration;

use observe::{Action, Call, Deed, Event, Exit, InputFile, Trigger, What};

use super::mapping::{PAGE, contains, hard_output, mappings, wrong_call};
use super::shared::{no_write_call, shared_mapping};
use crate::spec::Spec;
use crate::spec::common::calls::{SIZE_CALLS, SIZES, WRITES, files, is_stdout};
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const RECORD: u64 = 8;
/// The kernel's names of calls that bring a file to the device.
const SYNCS: &[&str] = &["msync", "fsync", "fdatasync"];

/// `map_sync FILE N`
pub(crate) fn map_sync() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and a number from 1 on is refused", usage),
            Check::outside(
                "reports",
                "a failing open, mmap or msync is reported, and nothing is called durable",
                reports,
            ),
            Check::outside("output", "a line is printed for each record", output),
            Check::outside("contents", "FILE holds the records", contents),
            Check::seen("shared-mapping", "FILE is mapped, writable and shared", shared_mapping),
            Check::seen("no-write-call", "no write reaches FILE but the store to memory", no_write_call),
            Check::seen("durable-first", "each record is on the device before it is said to be", durable_first),
            Check::seen("lines-in-time", "each line is out before the next record", lines_in_time),
            Check::seen("stored-first", "each record is stored before it is said to be durable", stored_first),
            Check::seen("stored-then-synced", "each record is stored before it is synced", stored_then_synced),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| records(nonce, "some records", 4),
    }
}

fn records(nonce: &mut Nonce, name: &str, count: u64) -> Plan {
    let lines: String = (1..=count).map(|record| format!("durable {record}\n")).collect();
    let plan = Plan::new(name).arg(format!("{}.dat", nonce.word(6))).arg(count.to_string()).prints(lines);
    plan.judged_by(&["output", "contents", "shared-mapping", "no-write-call", "durable-first", "lines-in-time"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let count = nonce.number(5, 9);
    let few = records(nonce, "some records", count);
    let pages = PAGE / RECORD + nonce.number(1, 9);
    let mut pages = records(nonce, "more than a page of records", pages);
    // More than a thousand calls, each of them looked at: on a busy machine that takes its time.
    pages.launch.deadline = Duration::from_secs(60);
    let longer = records(nonce, "a longer file is there", count);
    let there = InputFile::new(longer.argument(0), nonce.text(9000));
    let longer = longer.file(there);
    // Killed on the way to standard output: what is said to be durable next has to be in the file.
    let told = nonce.number(3, count);
    let killed = |name: &str, check: &'static str, calls: &[&str], words: String| {
        let calls = calls.iter().map(|c| c.to_string()).collect();
        let when = Trigger::Before { calls, nth: told as u32 };
        few.again(name, &[check]).action(Action { when, what: Deed::Signal(libc::SIGKILL) }).because(words)
    };
    let untold = format!("When the program is killed just before it writes `durable {told}`");
    let untold = killed("killed before a line", "stored-first", WRITES, untold);
    let unsynced = format!("When the program is killed just before its sync number {told}");
    let unsynced = killed("killed before a sync", "stored-then-synced", SYNCS, unsynced);
    let file = few.argument(0);
    let unmapped = few.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(observe::On::File(file.clone().into())), libc::ENOMEM));
    let sizeless = few.again("ftruncate fails", &[]).reports(SIZES, Some(&file), libc::ENOSPC);
    let sizeless = sizeless.fault(failing(SIZE_CALLS, Some(observe::On::File(file.clone().into())), libc::ENOSPC));
    let sick = few.again("the device fails", &[]).reports(&["sync", "flush"], Some(&file), libc::EIO);
    let sick = sick.fault(failing(SYNCS, None, libc::EIO));
    let nowhere = Plan::new("no such directory").arg("missing/f.dat").arg("1");
    let nowhere = nowhere.reports(OPENS, Some("missing/f.dat"), libc::ENOENT);
    let hard = hard_output(&few);
    let mut plans = vec![few, pages, longer, untold, unsynced, nowhere, sizeless, unmapped, sick];
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("N is missing", &["f.dat"]),
        bad_usage("N is no number", &["f.dat", "x"]),
    ]);
    plans.extend(hard);
    plans
}

/// The first records.
fn first(count: u64) -> Vec<u8> {
    (1..=count).flat_map(u64::to_le_bytes).collect()
}

/// `contents`: FILE has the N records.
fn contents(run: &Run) -> Finding {
    let count = run.plan.argument(1).parse().unwrap_or(0);
    contains(
        run,
        &run.plan.argument(0),
        &first(count),
        "it is to hold the numbers from 1 on, eight bytes each, and no more",
    )
}

/// A call that tells whether records are on the device, or that they are.
enum Step<'a> {
    /// The bytes from there to there of FILE are on the device.
    Synced(u64, u64),
    /// The kernel was asked to write them some time.
    Asked(&'a Event),
    /// As many whole lines are out now.
    Told(u64, &'a Event),
}

fn steps<'a>(run: &Run<'a>) -> Vec<Step<'a>> {
    let path = run.plan.argument(0);
    let objects = files(run.seen, &path);
    let made = mappings(run, &path);
    let mut lines = 0;
    let step = |(_, event, call, value): (usize, &'a Event, &'a Call, i64)| match call {
        Call::Msync { address, len, flags } => {
            let mapping = made.iter().find(|m| (m.start..m.start + m.len).contains(address))?;
            let begin = mapping.offset + (address - mapping.start);
            let wait = flags & libc::MS_SYNC != 0;
            Some(if wait { Step::Synced(begin, begin.saturating_add(*len)) } else { Step::Asked(event) })
        }
        Call::Sync { object, .. } if object.is_none_or(|o| objects.contains(&o)) => Some(Step::Synced(0, u64::MAX)),
        Call::Write { object: Some(object), data, .. } if is_stdout(run, run.seen.object(*object)) => {
            lines += data.iter().take(value as usize).filter(|byte| **byte == b'\n').count() as u64;
            Some(Step::Told(lines, event))
        }
        _ => None,
    };
    run.seen.successes().filter_map(step).collect()
}

/// `durable-first`: when a line says that a record is durable, a sync of it has returned since the line before.
fn durable_first(run: &Run) -> Finding {
    let mut told = 0;
    let mut synced: Vec<(u64, u64)> = Vec::new();
    let mut asked = None;
    for step in steps(run) {
        match step {
            Step::Synced(from, to) => synced.push((from, to)),
            Step::Asked(event) => asked = Some(event),
            Step::Told(lines, event) if lines > told => {
                let place = told * RECORD;
                if synced.iter().any(|(from, to)| (*from..*to).contains(&place)) {
                    told = lines;
                    synced.clear();
                    continue;
                }
                let record = told + 1;
                let words = match (asked, synced.first()) {
                    (Some(_), _) => format!(
                        "`durable {record}` is printed after an msync with MS_ASYNC, which only asks: nothing is on the device when it returns. MS_SYNC waits."
                    ),
                    (None, Some((from, to))) => format!(
                        "`durable {record}` is printed when only the bytes from {from} to {to} of FILE are synced, and record {record} is at {place}."
                    ),
                    (None, None) => format!(
                        "`durable {record}` is printed, and no msync(MS_SYNC) or fsync has returned for it: the record is in the page cache, and lost with the power."
                    ),
                };
                return wrong_call(words, Some(asked.unwrap_or(event)));
            }
            Step::Told(..) => {}
        }
    }
    if told == 0 { Err(Objection::open("nothing was said to be durable")) } else { Ok(()) }
}

/// `lines-in-time`: no write brings two lines at once.
fn lines_in_time(run: &Run) -> Finding {
    let mut told = 0;
    for step in steps(run) {
        let Step::Told(lines, event) = step else { continue };
        if lines > told + 1 {
            let words = format!(
                "{} lines come in one write: `durable {}` was kept in a buffer while later records were written. Flush after each line; somebody waits for it.",
                lines - told,
                told + 1
            );
            return wrong_call(words, Some(event));
        }
        told = lines;
    }
    if told == 0 { Err(Objection::open("nothing was said to be durable")) } else { Ok(()) }
}

/// `stored-first`: killed before a line, the program has left the record that the line is about in FILE.
fn stored_first(run: &Run) -> Finding {
    let Some(record) = untold(run) else { return Err(Objection::open("the program made fewer writes")) };
    let calls = |call: &Call| matches!(call, Call::Write { .. });
    let words = format!(
        "{} does not hold record {record} yet: what is said to be durable is not even stored.",
        run.plan.argument(0)
    );
    holds(run, record, calls, words)
}

/// `stored-then-synced`: killed before the sync of a record, the program has left it in FILE.
fn stored_then_synced(run: &Run) -> Finding {
    // Whoever syncs once for each line has only this sync for the record. Others may do so for what they like.
    let Some(record) = untold(run) else { return Ok(()) };
    let (mut syncs, mut before_last) = (0, 0);
    for step in steps(run) {
        match step {
            Step::Synced(..) => syncs += 1,
            Step::Asked(_) => {}
            Step::Told(..) => before_last = std::mem::take(&mut syncs),
        }
    }
    if record < 3 || before_last != 1 || syncs > 0 {
        return Ok(());
    }
    let calls = |call: &Call| matches!(call, Call::Msync { .. } | Call::Sync { .. });
    let words = format!(
        "{} does not hold record {record} yet when the sync for it is called, which brings to the device what is stored by then: store first.",
        run.plan.argument(0)
    );
    holds(run, record, calls, words)
}

/// The first record that a program has not yet called durable when it was killed.
fn untold(run: &Run) -> Option<u64> {
    let killed = run.seen.exit() == Some(Exit::Signal(libc::SIGKILL));
    killed.then(|| run.seen.stdout.bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1)
}

/// FILE has the records up to this one; if not, the last of these calls came too early.
fn holds(run: &Run, record: u64, calls: impl Fn(&Call) -> bool, words: String) -> Finding {
    let held = run.seen.file(&run.plan.argument(0)).map(|left| left.bytes.as_slice()).unwrap_or_default();
    if held.starts_with(&first(record)) {
        return Ok(());
    }
    let early = |event: &&Event| matches!(&event.what, What::Called { call, .. } if calls(call));
    let early = run.seen.events.iter().rev().find(early);
    Failure::new(Reason::WrongState, words).at(early.and_then(|event| event.source.as_ref())).found()
}
