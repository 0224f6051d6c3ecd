//! `map_offset`: a piece of a file, by the pages that it lies in.

use observe::{Content, InputFile, On};

use super::mapping::{PAGE, hard_output, mapped, mappings, wrong_call};
use crate::spec::Spec;
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Finding, Nonce, Objection, Plan, Run};

/// `map_offset FILE OFFSET LEN`
pub(crate) fn map_offset() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and two numbers is refused", usage),
            Check::outside("reports", "a failing open or mmap is reported, and nothing is printed", reports),
            Check::outside("output", "the piece is printed, wherever it begins", output),
            Check::outside("clamped", "a piece that goes beyond the file ends with it", clamped),
            Check::outside("at-end", "at the end of the file there is nothing, and that is no error", at_end),
            Check::seen("mapped", "FILE is mapped, and its contents are never read", mapped),
            Check::seen("window", "only the pages of the piece are mapped", window),
            Check::outside("far", "offsets beyond 4 GiB are right", far),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| piece(nonce, "a piece", 10_000, 5000, 60),
    }
}

/// So many bytes from there on, of a file of so many pages' worth of text.
fn piece(nonce: &mut Nonce, name: &str, size: usize, offset: u64, len: u64) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let content = nonce.text(size);
    let begin = (offset as usize).min(size);
    let end = (offset.saturating_add(len)).min(size as u64) as usize;
    let text = content[begin..end.max(begin)].to_vec();
    let plan = Plan::new(name).arg(file.clone()).arg(offset.to_string()).arg(len.to_string());
    plan.file(InputFile::new(file, content)).prints(text).judged_by(&["output", "mapped", "window"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let pages = 40 * PAGE as usize + 123;
    let (offset, len) = (nonce.number(20 * PAGE + 1, 21 * PAGE - 400), nonce.number(50, 300));
    let inside = piece(nonce, "inside a page", pages, offset, len);
    let offset = 7 * PAGE - nonce.number(20, 200);
    let across = piece(nonce, "across two seams", pages, offset, PAGE + 500);
    let aligned = piece(nonce, "one page exactly", pages, 3 * PAGE, PAGE);
    let first = piece(nonce, "from the beginning", pages, 0, 77);
    let from = nonce.number(100, 200);
    let mut beyond = vec![piece(nonce, "beyond the end", 3 * PAGE as usize + 300, 3 * PAGE + from, 1000)];
    beyond.push(piece(nonce, "LEN is the largest number", 700, from, u64::MAX));
    let mut at_end = vec![
        piece(nonce, "at the end", 500, 500, 10),
        piece(nonce, "at the end of a page", 2 * PAGE as usize, 2 * PAGE, 10),
        piece(nonce, "far behind the end", 500, 1 << 40, 10),
        piece(nonce, "no bytes", 500, 20, 0),
    ];
    at_end.push(piece(nonce, "an empty file", 0, 0, 10));
    let beyond = beyond.into_iter().map(|plan| plan.judged_by(&["clamped"]));
    let at_end = at_end.into_iter().map(|plan| plan.judged_by(&["at-end"]));
    let file = inside.argument(0);
    let unmapped = inside.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM).fault(failing(
        &["mmap"],
        Some(On::File(file.clone().into())),
        libc::ENOMEM,
    ));
    let missing = Plan::new("no such file").arg("missing.bin").arg("0").arg("1");
    let missing = missing.reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let hard = hard_output(&inside);
    let mut plans = vec![inside, across, aligned, first];
    plans.extend(beyond.chain(at_end));
    plans.push(large(nonce));
    plans.extend([missing, unmapped]);
    let there = |plan: Plan| plan.file(InputFile::new("a.bin", "abc\n"));
    plans.extend([
        bad_usage("no arguments", &[]),
        there(bad_usage("LEN is missing", &["a.bin", "0"])),
        there(bad_usage("OFFSET is no number", &["a.bin", "one", "1"])),
        there(bad_usage("OFFSET is below 0", &["a.bin", "-1", "1"])),
    ]);
    plans.extend(hard);
    plans
}

/// A file of more than 4 GiB, nearly all of it a hole.
fn large(nonce: &mut Nonce) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let at = (4 << 30) + nonce.number(1 << 20, 2 << 20);
    let words = nonce.sentence(100);
    let content = Content::Sparse { len: (4 << 30) + (4 << 20), pieces: vec![(at, words.clone().into_bytes())] };
    let plan = Plan::new("beyond 4 GiB").arg(file.clone()).arg(at.to_string()).arg(words.len().to_string());
    let file = InputFile { path: file.into(), content, mode: 0o644 };
    plan.file(file).prints(words).judged_by(&["far"])
}

/// An `output` whose failure ends with this advice.
fn advised(run: &Run, advice: &str) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            failure.message.push(' ');
            failure.message.push_str(advice);
        })
    })
}

fn clamped(run: &Run) -> Finding {
    advised(
        run,
        "The piece ends where the file ends: what a mapping shows behind that are zeros of the last page, or nothing at all. Cut LEN to what the file has, and beware of a sum that does not fit into 64 bits.",
    )
}

fn at_end(run: &Run) -> Finding {
    advised(
        run,
        "There are no bytes to print, and nothing can be mapped of that length: print nothing, and exit with 0.",
    )
}

fn far(run: &Run) -> Finding {
    advised(run, "This file has more than 4 GiB: keep offsets in 64 bits.")
}

/// `window`: each mapping of FILE lies within the pages of the piece.
fn window(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let number = |n| run.plan.argument(n).parse::<u64>().unwrap_or(0);
    let (offset, len) = (number(1), number(2));
    let (first, last) = (offset - offset % PAGE, (offset + len).next_multiple_of(PAGE));
    let made = mappings(run, &path);
    if made.is_empty() {
        return Err(Objection::open(format!("{path} was not mapped")));
    }
    let outside = made.into_iter().find(|m| m.offset < first || m.offset + m.len > last);
    match outside {
        Some(m) => wrong_call(
            format!(
                "{path} is mapped from {} to {}, where the {len} bytes at {offset} lie in the pages from {first} to {last}: map these only.",
                m.offset,
                m.offset + m.len
            ),
            Some(m.event),
        ),
        None => Ok(()),
    }
}
