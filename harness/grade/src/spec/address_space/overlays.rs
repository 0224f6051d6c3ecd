//! `overlays`: routines that take one another's place in memory.

use observe::{Call, Effect, Event, InputFile, Nth, Observation, On, Stdin};

use super::images::{refused, refuses};
use crate::spec::Spec;
use crate::spec::common::calls::{INPUTS, READS, files, reads_of};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted, unwritable_output};
use crate::spec::common::text::complaints;
use crate::spec::common::{MAPS, OPENS, endings, output, reports, under_faults, usage};
use crate::spec::mmap::mapping::{hard_output, is_mapped, wrong_call};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const KIB: u64 = 1024;
const MEMORY: u64 = 100 * KIB;
const PROGRAM: &str = "program";

/// A routine: its name, where it begins in PROGRAM, and where it ends.
type Routine = (char, u64, u64);

const ROUTINES: [Routine; 5] = [
    ('A', 0, 40 * KIB),
    ('B', 40 * KIB, 100 * KIB),
    ('C', 100 * KIB, 140 * KIB),
    ('D', 140 * KIB, 180 * KIB),
    ('E', 180 * KIB, 200 * KIB),
];

/// `overlays PROGRAM`
pub(crate) fn overlays() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PROGRAM is refused", usage),
            Check::outside("reports", "a failing call is reported with the object that it was for", reports),
            Check::outside("output", "each call gives the sum of its routine, and what was loaded is told", output),
            Check::outside("refuses", "a line that is no routine is told with its number", refuses),
            Check::outside("size", "a PROGRAM that is not of 200 KiB is refused", wrong_size),
            Check::seen("mapped", "routines come into memory as mappings of PROGRAM", mapped),
            Check::seen(
                "when-called",
                "a routine is mapped when it is called and not there, and only then",
                when_called,
            ),
            Check::seen("in-100-kib", "all of it happens in 100 KiB", in_memory),
            Check::seen("one-place", "B, C, D and E take one another's place", one_place),
            Check::seen("reserved", "the addresses were the program's own before", reserved),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| calling("A, B, C, D, E and C once more", nonce, "ABCADEC").drawn(drawing),
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    // B gives way to C, C to D or E; then as it comes.
    let branch = nonce.pick(&["ABCDCEBA", "ABCECDBA"]);
    let random: String = (0..nonce.number(20, 30)).map(|_| nonce.pick(&['A', 'B', 'C', 'D', 'E'])).collect();
    let plain = calling("as the routines give way", nonce, branch);
    let bad = |name: &str, nonce: &mut Nonce, line: usize, text: &str| {
        let plan = refused(with_input(&format!("refused: {name}"), nonce, text.as_bytes()), line);
        plan.because(format!("When standard input has {name}"))
    };
    let sized = |name: &str, len: u64, nonce: &mut Nonce| {
        let plan = Plan::new(format!("PROGRAM {name}")).arg(PROGRAM).exits(1).at(Stage::Refusal).prints("").exits(1);
        plan.file(InputFile::new(PROGRAM, nonce.bytes(len as usize))).judged_by(&["size"])
    };
    let mut no_newline = calling("the last line does not end", nonce, "BAE");
    no_newline.launch.stdin = Stdin::Bytes(b"B\nA\nE".to_vec());
    let fails = |name: &str, calls: &'static [&'static str], call: &[&str], on, errno| {
        plain.again(name, &[]).reports(calls, None, errno).fault(failing(call, on, errno))
    };
    // The first mapping is the reservation.
    let unplaced = plain.again("the second mmap fails", &[]).reports(MAPS, None, libc::ENOMEM);
    let unplaced = unplaced.fault(fault(&["mmap"], Nth::Only(2), None, Effect::Fail(libc::ENOMEM)));
    let mut plans = vec![
        plain.clone(),
        calling("any order", nonce, &random),
        calling("the overlays alone", nonce, "EDB"),
        calling("the same again and again", nonce, "CCCC"),
        calling("nothing", nonce, "").judged_by(&["output"]),
        no_newline,
        bad("another letter", nonce, 3, "A\nB\nF\nC\n"),
        bad("an empty line", nonce, 2, "A\n\nB\n"),
        bad("two letters in a line", nonce, 4, "A\nC\nA\nAB\n"),
        sized("is too short", 200 * KIB - 1, nonce),
        sized("is too long", 204 * KIB, nonce),
        sized("is empty", 0, nonce),
        Plan::new("no PROGRAM").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("mmap fails", MAPS, &["mmap"], None, libc::ENOMEM),
        unplaced,
        fails("standard input cannot be read", INPUTS, READS, Some(On::Stdin), libc::EIO),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("one too many", &[PROGRAM, PROGRAM]),
        cut(&plain, &[On::Stdin], READS, "read", 1),
    ];
    plans.extend(hard_output(&plain));
    plans.push(interrupted(&plain, &[On::Stdin]));
    plans
}

const SEEN: &[&str] = &["output", "mapped", "when-called", "in-100-kib", "one-place", "reserved"];

fn with_input(name: &str, nonce: &mut Nonce, input: &[u8]) -> Plan {
    let program = nonce.bytes(200 * KIB as usize);
    let mut plan = Plan::new(name).arg(PROGRAM).file(InputFile::new(PROGRAM, program));
    plan.launch.stdin = Stdin::Bytes(input.to_vec());
    plan
}

/// These routines called, one after another.
fn calling(name: &str, nonce: &mut Nonce, calls: &str) -> Plan {
    let input: String = calls.chars().map(|call| format!("{call}\n")).collect();
    let plan = with_input(name, nonce, input.as_bytes());
    let Some(observe::Content::Bytes(program)) = plan.launch.files.first().map(|file| &file.content) else {
        unreachable!("PROGRAM is the only file");
    };
    let mut text = String::new();
    let loads = loads_of(calls);
    for (call, loaded) in calls.chars().zip(&loads) {
        let (_, start, end) = ROUTINES[call as usize - 'A' as usize];
        let sum: u64 = program[start as usize..end as usize].iter().map(|byte| u64::from(*byte)).sum();
        text += &format!("{call} {sum}{}\n", if *loaded { " loaded" } else { "" });
    }
    text += &format!("loads {}\n", loads.iter().filter(|loaded| **loaded).count());
    plan.prints(text).judged_by(SEEN)
}

/// Which of these calls find their routine not there.
fn loads_of(calls: &str) -> Vec<bool> {
    let mut there = (None, None);
    let place = |call: char, there: &mut (Option<char>, Option<char>)| {
        let place = if call == 'A' { &mut there.0 } else { &mut there.1 };
        place.replace(call) != Some(call)
    };
    calls.chars().map(|call| place(call, &mut there)).collect()
}

/// `size`: what is no such program is told by its name.
fn wrong_size(run: &Run) -> Finding {
    output(run)?;
    let stderr = run.seen.stderr.text();
    if stderr.lines().filter(|line| line.contains(PROGRAM)).count() == 1 {
        return Ok(());
    }
    let words = format!("Standard error does not say in one line that {PROGRAM} is wrong.");
    let failure = Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run));
    failure.evidences(complaints(run.seen)).found()
}

/// A mapping of PROGRAM.
struct Load<'a> {
    index: usize,
    event: &'a Event,
    /// Where it is in memory, and where that comes from in PROGRAM.
    start: u64,
    len: u64,
    offset: u64,
    flags: i32,
}

impl Load<'_> {
    /// The routines of which it has something.
    fn routines(&self) -> String {
        let has = |(_, start, end): &&Routine| *start < self.offset + self.len && self.offset < *end;
        ROUTINES.iter().filter(has).map(|(name, ..)| *name).collect()
    }
}

/// The mappings of PROGRAM, in order.
fn loads(seen: &Observation) -> Vec<Load<'_>> {
    let objects = files(seen, PROGRAM);
    let made = seen.successes().filter_map(|(index, event, call, address)| match call {
        Call::Mmap { object: Some(object), len, offset, flags, .. } if objects.contains(object) => {
            Some(Load { index, event, start: address as u64, len: *len, offset: *offset, flags: *flags })
        }
        _ => None,
    });
    made.collect()
}

/// The mappings, of a program that came to map what it was asked for.
fn made<'a>(run: &Run<'a>) -> Result<Vec<Load<'a>>, Objection> {
    match loads(run.seen) {
        none if none.is_empty() => Err(Objection::open("nothing of PROGRAM is mapped")),
        loads => Ok(loads),
    }
}

/// `mapped`: nothing of PROGRAM is read.
fn mapped(run: &Run) -> Finding {
    let objects = files(run.seen, PROGRAM);
    if let Some(read) = objects.iter().flat_map(|object| reads_of(run.seen, *object)).find(|read| read.bytes > 0) {
        let words = format!(
            "{} bytes of {PROGRAM} are read: map the routine, and the kernel brings in what is used of it.",
            read.bytes
        );
        return wrong_call(words, Some(read.event));
    }
    if loads(run.seen).is_empty() && run.seen.exit().is_some() {
        return wrong_call(format!("{PROGRAM} is never mapped: map the routine that is called, with mmap."), None);
    }
    Ok(())
}

/// `when-called`: the routines mapped are those that were called and not there, in that order.
fn when_called(run: &Run) -> Finding {
    let made = made(run)?;
    let Stdin::Bytes(input) = &run.plan.launch.stdin else { return Ok(()) };
    let calls: String = input.iter().filter(|byte| **byte != b'\n').map(|byte| char::from(*byte)).collect();
    let wanted = calls.chars().zip(loads_of(&calls)).filter(|(_, loaded)| *loaded).map(|(call, _)| call);
    let mut wanted: Vec<char> = wanted.collect();
    wanted.reverse();
    let mut before: Option<&Load> = None;
    for load in &made {
        let routines = load.routines();
        let goes_on = |first: &Load| first.routines() == routines && first.offset + first.len == load.offset;
        if before.is_some_and(goes_on) {
            before = Some(load);
            continue;
        }
        before = Some(load);
        let next = wanted.pop();
        if next.is_some_and(|next| routines == next.to_string()) {
            continue;
        }
        let words = match (routines.chars().count(), next) {
            (0 | 1, Some(next)) => {
                format!("Routine {routines} is mapped where it was {next} that was called and not there.")
            }
            (0 | 1, None) => format!("Routine {routines} is mapped although it is there, or nobody has called it."),
            _ => format!("Routines {routines} are mapped at once: map only the one that is called."),
        };
        return wrong_call(words, Some(load.event));
    }
    match (wanted.pop(), run.seen.exit()) {
        (Some(missing), Some(_)) => {
            let words = format!("Routine {missing} is called and not there, and is not mapped.");
            wrong_call(words, made.last().map(|load| load.event))
        }
        _ => Ok(()),
    }
}

/// `in-100-kib`: from the lowest address to the highest.
fn in_memory(run: &Run) -> Finding {
    let made = made(run)?;
    let lowest = made.iter().map(|load| load.start).min().unwrap_or_default();
    let too_far = made.iter().find(|load| load.start + load.len > lowest + MEMORY);
    let Some(load) = too_far else { return Ok(()) };
    let words = format!(
        "Routine {} reaches to {} KiB from where the lowest mapping of {PROGRAM} begins, and there are only 100: B, C, D and E share one place.",
        load.routines(),
        (load.start + load.len - lowest).div_ceil(KIB)
    );
    wrong_call(words, Some(load.event))
}

/// `one-place`: all routines but A begin at one address, A begins elsewhere, and each is put there by MAP_FIXED.
fn one_place(run: &Run) -> Finding {
    let made = made(run)?;
    let begins = |load: &&Load| ROUTINES.iter().any(|(_, start, _)| *start == load.offset);
    let mut place: Option<&Load> = None;
    let resident = made.iter().find(|load| load.offset == 0);
    for load in made.iter().filter(|load| load.offset != 0).filter(begins) {
        if resident.is_some_and(|a| load.start < a.start + a.len && a.start < load.start + load.len) {
            let words = format!("Routine {} is put over A, which is to stay.", load.routines());
            return wrong_call(words, Some(load.event));
        }
        let first = *place.get_or_insert(load);
        if first.start != load.start {
            let words =
                format!("Routine {} is elsewhere than {}: they share one place.", load.routines(), first.routines());
            return wrong_call(words, Some(load.event));
        }
        let ordered = load.flags & (libc::MAP_FIXED | libc::MAP_FIXED_NOREPLACE) != 0;
        if load.index != first.index && !ordered {
            let words = format!(
                "Routine {} is where it should be by luck alone: without MAP_FIXED an address is a hint. MAP_FIXED also replaces what is there, in one step.",
                load.routines()
            );
            return wrong_call(words, Some(load.event));
        }
    }
    Ok(())
}

/// `reserved`: MAP_FIXED replaces nothing that is not the program's own.
fn reserved(run: &Run) -> Finding {
    for load in made(run)? {
        let replaces = load.flags & libc::MAP_FIXED != 0 && load.flags & libc::MAP_FIXED_NOREPLACE == 0;
        let own = |address| is_mapped(run, address, load.index);
        if replaces && !(own(load.start) && own(load.start + load.len - 1)) {
            let words = "MAP_FIXED puts a routine where the program has mapped nothing before: something else may be there, and would be gone. Reserve the 100 KiB first, by a mapping without an address.";
            return wrong_call(words.into(), Some(load.event));
        }
    }
    Ok(())
}

/// The 100 KiB after each mapping, a letter for each page.
fn drawing(_: &Plan, seen: &Observation) -> Vec<String> {
    const PAGE: u64 = 4 * KIB;
    let loads = loads(seen);
    let Some(base) = loads.iter().map(|load| load.start).min() else { return Vec::new() };
    let mut memory = vec!['.'; (MEMORY / PAGE) as usize];
    let mut lines = vec![
        "mapped   0         40 KiB         100 KiB".to_string(),
        format!("         |{}|", memory.iter().collect::<String>()),
    ];
    for load in &loads {
        let name = load.routines();
        let pages = (load.start - base) / PAGE..(load.start - base + load.len) / PAGE;
        let before = memory.get(pages.start as usize).copied().unwrap_or('.');
        for page in pages {
            if let (Some(place), Some(letter)) = (memory.get_mut(page as usize), name.chars().next()) {
                *place = letter;
            }
        }
        let gone = if before == '.' { String::new() } else { format!("   {before} gives way") };
        lines.push(format!("{name:<8} |{}|{gone}", memory.iter().collect::<String>()));
    }
    lines
}
