//! `swap_images`: two processes in turn in one memory.

use std::ops::Range;

use observe::{Call, Content, Effect, Event, InputFile, Nth, Observation, On, Stdin};

use super::images::{refused, refuses};
use crate::spec::Spec;
use crate::spec::common::calls::{INPUTS, OUTPUTS, READS, WRITES, files, reads_of, writes_of};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted, unwritable_output};
use crate::spec::common::text::complaints;
use crate::spec::common::{OPENS, endings, output, reports, under_faults, usage};
use crate::spec::mmap::mapping::{PAGE, contains, wrong_call};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const BACKING: &str = "backing";

/// `swap_images BACKING`
pub(crate) fn swap_images() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but BACKING is refused", usage),
            Check::outside("reports", "a failing call is reported with the object that it was for", reports),
            Check::outside("output", "each process goes on where it was, however often it was swapped", output),
            Check::outside("left", "both images are in BACKING at the end, as their processes left them", left),
            Check::outside("refuses", "a line that is neither A nor B is told with its number", refuses),
            Check::outside("size", "a BACKING that is no two images of whole pages is refused", wrong_size),
            Check::seen("one-memory", "both processes use the same memory, which has room for one", one_memory),
            Check::seen("on-change", "a process is swapped when the other has the turn, and only then", on_change),
            Check::seen("short-io", "it is right when reads and writes are cut short", swapped_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", swapped_under_faults),
        ],
        demo: |nonce| turns("A, A, B and A", nonce, 4, "AABA").drawn(drawing),
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let pages = nonce.number(5, 12) as usize;
    let random: String = (0..nonce.number(20, 30)).map(|_| nonce.pick(&['A', 'B'])).collect();
    // The same again, the other, and back.
    let order = nonce.pick(&["AABABBA", "BAABBAB", "ABBAABA"]);
    let plain = turns("a few turns", nonce, pages, order);
    let bad = |name: &str, nonce: &mut Nonce, line: usize, text: &str| {
        let plan = refused(with_input(&format!("refused: {name}"), nonce.bytes(4 * 4096), text), line);
        plan.because(format!("When standard input has {name}"))
    };
    let sized = |name: &str, bytes: Vec<u8>| {
        let plan = with_input(&format!("BACKING {name}"), bytes, "A\n").prints("").exits(1);
        plan.at(Stage::Refusal).judged_by(&["size"])
    };
    let backing = || Some(On::File(BACKING.into()));
    let fails = |name: &str, calls: &'static [&'static str], object, call: &[&str], on, errno| {
        plain.again(name, &[]).reports(calls, object, errno).fault(failing(call, on, errno))
    };
    // Whoever prints as it goes has printed a turn or two by then.
    let once = |name: &str, plan: &Plan, calls: &'static [&'static str], call: &[&str], nth, errno| {
        let mut plan = plan.again(name, &[]).reports(calls, Some(BACKING), errno);
        plan.expect.stdout = None;
        plan.fault(fault(call, Nth::Only(nth), backing(), Effect::Fail(errno)))
    };
    let alone = turns("one process alone", nonce, 3, "BBB");
    let hard = [On::Stdin, On::File(BACKING.into()), On::Stdout];
    vec![
        plain.clone(),
        turns("turns as they come", nonce, pages, &random),
        alone.clone(),
        turns("each in turn", nonce, 1, "ABABABAB"),
        turns("nobody", nonce, 2, ""),
        bad("another letter", nonce, 2, "A\nC\nB\n"),
        bad("an empty line", nonce, 3, "A\nB\n\nA\n"),
        bad("two letters in a line", nonce, 1, "AB\n"),
        sized("is empty", Vec::new()),
        sized("has an odd page", nonce.bytes(3 * 4096)),
        sized("has half pages", nonce.bytes(4096)),
        sized("is a byte too long", nonce.bytes(2 * 4096 + 1)),
        Plan::new("no BACKING").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("BACKING cannot be read", INPUTS, Some(BACKING), READS, backing(), libc::EIO),
        once("the second read of BACKING fails", &plain, INPUTS, READS, 2, libc::EIO),
        once("the first write of BACKING fails", &plain, OUTPUTS, WRITES, 1, libc::ENOSPC),
        once("the only write of BACKING fails", &alone, OUTPUTS, WRITES, 1, libc::ENOSPC),
        fails("standard input cannot be read", INPUTS, None, READS, Some(On::Stdin), libc::EIO),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("one too many", &[BACKING, BACKING]),
        cut(&plain, &[On::Stdin], READS, "read", 1),
        cut(&plain, &[On::File(BACKING.into())], READS, "read", 1000),
        cut(&plain, &[On::File(BACKING.into())], WRITES, "write", 1000),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &hard),
    ]
}

fn with_input(name: &str, backing: Vec<u8>, input: &str) -> Plan {
    let mut plan = Plan::new(name).arg(BACKING).file(InputFile::new(BACKING, backing));
    plan.launch.stdin = Stdin::Bytes(input.into());
    plan
}

fn turns(name: &str, nonce: &mut Nonce, pages: usize, order: &str) -> Plan {
    let backing = nonce.bytes(2 * pages * PAGE as usize);
    let mut images = images(&backing);
    let input: String = order.chars().map(|process| format!("{process}\n")).collect();
    let mut text = String::new();
    for process in order.chars() {
        let image = &mut images[usize::from(process == 'B')];
        image.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        let sum: u64 = image.iter().map(|byte| u64::from(*byte)).sum();
        text += &format!("{process} {sum}\n");
    }
    text += &format!("swaps {}\n", swaps(order));
    with_input(name, backing, &input).prints(text).judged_by(&["output", "left", "one-memory", "on-change"])
}

fn images(backing: &[u8]) -> [Vec<u8>; 2] {
    let (a, b) = backing.split_at(backing.len() / 2);
    [a.to_vec(), b.to_vec()]
}

/// How often a process has the turn that is not in memory.
fn swaps(order: &str) -> usize {
    let mut resident = None;
    order.chars().filter(|process| resident.replace(*process) != Some(*process)).count()
}

/// Whose turns a plan asks for.
fn order(plan: &Plan) -> String {
    let Stdin::Bytes(input) = &plan.launch.stdin else { return String::new() };
    input.iter().filter(|byte| **byte != b'\n').map(|byte| char::from(*byte)).collect()
}

fn backing(plan: &Plan) -> &[u8] {
    match plan.launch.files.first().map(|file| &file.content) {
        Some(Content::Bytes(bytes)) => bytes,
        _ => &[],
    }
}

/// `left`: each image has had its turns.
fn left(run: &Run) -> Finding {
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let mut images = images(backing(run.plan));
    for process in order(run.plan).chars() {
        images[usize::from(process == 'B')].iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
    }
    contains(run, BACKING, &images.concat(), "the first half is what A has made of its memory, the second what B has")
}

fn swapped_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    left(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// `size`: what is no pair of images is told by its name.
fn wrong_size(run: &Run) -> Finding {
    output(run)?;
    let stderr = run.seen.stderr.text();
    if stderr.lines().filter(|line| line.contains(BACKING)).count() == 1 {
        return Ok(());
    }
    let words = format!("Standard error does not say in one line that {BACKING} is wrong.");
    let failure = Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run));
    failure.evidences(complaints(run.seen)).found()
}

/// Where in memory something of BACKING came to lie, in order.
fn landings(seen: &Observation) -> Vec<(&Event, Range<u64>)> {
    let objects = files(seen, BACKING);
    let came = seen.successes().filter_map(|(_, event, call, value)| match call {
        Call::Read { object: Some(object), address, .. } if objects.contains(object) && value > 0 => {
            Some((event, *address..address + value as u64))
        }
        Call::Mmap { object: Some(object), len, .. } if objects.contains(object) => {
            Some((event, value as u64..value as u64 + len))
        }
        _ => None,
    });
    came.collect()
}

/// `one-memory`: all that comes from BACKING comes into as many bytes as one image has.
fn one_memory(run: &Run) -> Finding {
    let landings = landings(run.seen);
    let image = backing(run.plan).len() as u64 / 2;
    let Some(lowest) = landings.iter().map(|(_, range)| range.start).min() else {
        return match run.seen.exit() {
            Some(_) if order(run.plan).is_empty() => Ok(()),
            Some(_) => wrong_call(format!("Nothing of {BACKING} is read or mapped."), None),
            None => Err(Objection::open("the program came to no end")),
        };
    };
    let Some((event, range)) = landings.iter().find(|(_, range)| range.end > lowest + image) else { return Ok(()) };
    let words = format!(
        "What is read of {BACKING} lies in {} bytes of memory and more, and an image has {image}: there is room for one process. Read each into the same bytes, once the other is written back.",
        range.end - lowest
    );
    wrong_call(words, Some(event))
}

/// `on-change`: as many bytes are moved as the changes ask for, and no more.
fn on_change(run: &Run) -> Finding {
    let objects = files(run.seen, BACKING);
    let image = backing(run.plan).len() as u64 / 2;
    let swaps = swaps(&order(run.plan)) as u64;
    let read: Vec<_> = objects.iter().flat_map(|object| reads_of(run.seen, *object)).collect();
    let written: Vec<_> = objects.iter().flat_map(|object| writes_of(run.seen, *object)).collect();
    for (transfers, word) in [(read, "read from"), (written, "written to")] {
        let bytes: u64 = transfers.iter().map(|transfer| transfer.bytes).sum();
        if bytes > swaps * image {
            let words = format!(
                "{bytes} bytes are {word} {BACKING}, and {swaps} times a process has the turn that is not in memory: {} would do. Who is in memory already is not moved.",
                swaps * image
            );
            return wrong_call(words, transfers.last().map(|transfer| transfer.event));
        }
    }
    Ok(())
}

/// Who is in memory in each turn, and how many turns each image has in it, there and in BACKING.
fn drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let mut lines =
        vec!["turn   memory                BACKING".to_string(), "       [     ]               [ A 0 | B 0 ]".into()];
    let mut had = [0, 0];
    let mut stored = [0, 0];
    let mut resident: Option<char> = None;
    let index = |process: char| usize::from(process == 'B');
    for process in order(plan).chars() {
        let swap = match resident.replace(process) {
            Some(same) if same == process => String::new(),
            other => {
                let out = other.map(|other| {
                    stored[index(other)] = had[index(other)];
                    format!("{other}──▶ ")
                });
                format!("{}◀──{process}", out.unwrap_or_default())
            }
        };
        had[index(process)] += 1;
        let memory = format!("[ {process} {} ]", had[index(process)]);
        lines.push(format!("{process:<6} {memory}  {swap:<11}  [ A {} | B {} ]", stored[0], stored[1]));
    }
    if let Some(last) = resident {
        stored[index(last)] = had[index(last)];
        lines.push(format!(
            "{:<6} [     ]  {:<11}  [ A {} | B {} ]",
            "end",
            format!("{last}──▶"),
            stored[0],
            stored[1]
        ));
    }
    lines.push("The number is how many turns of the process an image has seen.".into());
    lines
}
