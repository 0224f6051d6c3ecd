//! `map_records`: records of a file, changed in place.

use observe::{Content, Exit, InputFile, On};

use super::mapping::{contains, hard_output, wrong_call};
use super::shared::shared_mapping;
use crate::spec::Spec;
use crate::spec::common::calls::{files, reads_of, writes_of};
use crate::spec::common::endings::ended;
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::text::{complaints, panicked, quoted};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Plan, Reason, Run};

/// `map_records FILE ID DELTA`
pub(crate) fn map_records() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and two numbers is refused", usage),
            Check::outside("reports", "a failing open or mmap is reported, and nothing is printed", reports),
            Check::outside("output", "the records with this ID are counted", output),
            Check::outside("balances", "their balances are changed, and nothing else", balances),
            Check::seen("shared-mapping", "FILE is mapped, writable and shared", shared_mapping),
            Check::seen("no-transfers", "FILE is neither read nor written by a call", no_transfers),
            Check::outside("odd-size", "a FILE with a part of a record is refused and left alone", odd_size),
            Check::outside("overflow", "where a balance overflows nothing is changed", overflow),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| {
            let records = random(nonce, 6, 17);
            with_records(nonce, "some records", records, 17, -250)
        },
    }
}

#[derive(Clone)]
struct Record {
    id: u64,
    balance: i64,
    name: Vec<u8>,
}

/// Records, about every third of which has this id.
fn random(nonce: &mut Nonce, count: usize, id: u64) -> Vec<Record> {
    let mut record = |n: usize| Record {
        id: if n % 3 == 1 { id } else { nonce.bits() | 1 << 40 },
        balance: nonce.number(0, 2_000_000) as i64 - 1_000_000,
        name: nonce.sentence(16).into_bytes(),
    };
    (0..count).map(&mut record).collect()
}

fn bytes(records: &[Record]) -> Vec<u8> {
    let one = |r: &Record| [&r.id.to_le_bytes()[..], &r.balance.to_le_bytes(), &r.name].concat();
    records.iter().flat_map(one).collect()
}

fn with_records(nonce: &mut Nonce, name: &str, records: Vec<Record>, id: u64, delta: i64) -> Plan {
    let updated = records.iter().filter(|r| r.id == id).count();
    let plan = with_bytes(nonce, name, bytes(&records), id, delta).prints(format!("updated {updated}\n"));
    let plan = plan.judged_by(&["output", "balances", "no-transfers"]);
    if updated > 0 { plan.judged_by(&["output", "balances", "no-transfers", "shared-mapping"]) } else { plan }
}

fn with_bytes(nonce: &mut Nonce, name: &str, content: Vec<u8>, id: u64, delta: i64) -> Plan {
    let file = format!("{}.dat", nonce.word(6));
    let plan = Plan::new(name).arg(file.clone()).arg(id.to_string()).arg(delta.to_string());
    plan.file(InputFile::new(file, content))
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let id = nonce.number(1, 1 << 30);
    let delta = nonce.number(1, 1000) as i64;
    let (few, many, none) = (random(nonce, 5, id), random(nonce, 700, u64::MAX - id), random(nonce, 20, id));
    let few = with_records(nonce, "some records", few, id, delta);
    let many = with_records(nonce, "many records, DELTA below 0", many, u64::MAX - id, -delta);
    let none = with_records(nonce, "no such ID", none, id + 1, delta);
    let empty = with_records(nonce, "an empty file", Vec::new(), id, delta);
    let mut odd = bytes(&random(nonce, 7, id));
    odd.extend(nonce.bytes(16));
    let odd = with_bytes(nonce, "half a record at the end", odd, id, delta).judged_by(&["odd-size"]);
    let mut full = random(nonce, 300, id);
    full[151].balance = i64::MAX - delta + 1;
    let full = with_bytes(nonce, "a balance that overflows", bytes(&full), id, delta).judged_by(&["overflow"]);
    let mut least = random(nonce, 9, id);
    least[4].balance = i64::MIN;
    let least = with_bytes(nonce, "a balance that overflows downwards", bytes(&least), id, -delta);
    let least = least.judged_by(&["overflow"]);
    let file = few.argument(0);
    let unmapped = few.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(On::File(file.into())), libc::ENOMEM));
    let missing = Plan::new("no such file").arg("missing.dat").arg("1").arg("1");
    let missing = missing.reports(OPENS, Some("missing.dat"), libc::ENOENT);
    let hard = hard_output(&few);
    let mut plans = vec![few, many, none, empty, odd, full, least, missing, unmapped];
    let there = |plan: Plan| plan.file(InputFile::new("a.dat", vec![1; 64]));
    plans.extend([
        bad_usage("no arguments", &[]),
        there(bad_usage("DELTA is missing", &["a.dat", "1"])),
        there(bad_usage("ID is no number", &["a.dat", "x", "1"])),
        there(bad_usage("DELTA is no number", &["a.dat", "1", "1.5"])),
    ]);
    plans.extend(hard);
    plans
}

fn content(run: &Run) -> Vec<u8> {
    match &run.plan.launch.files[0].content {
        Content::Bytes(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

/// `balances`: FILE has the records that it is to have.
fn balances(run: &Run) -> Finding {
    let (id, delta) = (run.plan.argument(1).parse::<u64>(), run.plan.argument(2).parse::<i64>());
    let mut expected = content(run);
    let before = expected.clone();
    for record in expected.chunks_exact_mut(32) {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        if Ok(number(&record[..8])) == id {
            let sum = number(&record[8..16]).cast_signed().wrapping_add(delta.clone().unwrap_or(0));
            record[8..16].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let path = run.plan.argument(0);
    let untouched = expected != before && run.seen.file(&path).is_some_and(|left| left.bytes == before);
    let why = if untouched {
        "no balance is changed; what is stored in a MAP_PRIVATE mapping or in a copy stays there"
    } else {
        "the balance, bytes 8 to 15, of each record with this ID is to be changed, and nothing else"
    };
    contains(run, &path, &expected, why)
}

/// `no-transfers`: FILE is neither read nor written by a call.
fn no_transfers(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    for object in files(run.seen, &path) {
        if let Some(read) = reads_of(run.seen, object).find(|t| t.bytes > 0) {
            return wrong_call(format!("{path} is read by a call: its records are in the mapping."), Some(read.event));
        }
        if let Some(write) = writes_of(run.seen, object).next() {
            let words = format!("{path} is written by a call: a store to the mapping is the write.");
            return wrong_call(words, Some(write.event));
        }
    }
    Ok(())
}

/// Refused with one line on standard error that has this word, nothing printed, and FILE as it was.
fn refused(run: &Run, word: &str, what: &str) -> Finding {
    if panicked(run.seen) {
        let words = format!("The program panicked. {what}");
        return Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found();
    }
    ended(run)?;
    contains(run, &run.plan.argument(0), &content(run), "nothing was to be changed")
        .map_err(|objection| objection.amended(|failure| failure.message = format!("{} {what}", failure.message)))?;
    let wrong =
        |reason, words: String| Failure::new(reason, format!("{words} {what}")).evidences(complaints(run.seen)).found();
    if !run.seen.stdout.bytes.is_empty() {
        let words = format!("The program printed {} all the same.", quoted(&run.seen.stdout.bytes));
        return wrong(Reason::WrongOutput, words);
    }
    let stderr = run.seen.stderr.text();
    let is_word = |line: &str| line.split(|c: char| c.is_whitespace() || ":,;'\"`#()".contains(c)).any(|w| w == word);
    match stderr.lines().collect::<Vec<_>>().as_slice() {
        [line] if is_word(line) => {}
        [line] => return wrong(Reason::WrongOutput, format!("The message `{line}` does not name {word}.")),
        lines => return wrong(Reason::WrongOutput, format!("Standard error has {} lines.", lines.len())),
    }
    match run.seen.exit() {
        Some(Exit::Code(1)) => Ok(()),
        _ => wrong(Reason::WrongStatus, "The exit status is not 1.".into()),
    }
}

/// `odd-size`: a file with a part of a record is refused.
fn odd_size(run: &Run) -> Finding {
    let what = "A file whose size is no multiple of 32 is refused in one line that names it, with exit status 1.";
    refused(run, &run.plan.argument(0), what)
}

/// `overflow`: the record is named, and nothing is changed.
fn overflow(run: &Run) -> Finding {
    let (id, delta) = (run.plan.argument(1).parse::<u64>(), run.plan.argument(2).parse::<i64>());
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    let culprit = content(run).chunks_exact(32).position(|record| {
        let balance = number(&record[8..16]).cast_signed();
        Ok(number(&record[..8])) == id && delta.as_ref().is_ok_and(|delta| balance.checked_add(*delta).is_none())
    });
    let record = culprit.unwrap_or_default().to_string();
    let what = format!(
        "The balance of record {record}, counted from 0, does not take DELTA: one line is to say `record {record}: …`, with exit status 1, before any record is changed."
    );
    refused(run, &record, &what)
}
