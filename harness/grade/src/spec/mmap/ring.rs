//! `map_ring`: one page at two addresses, side by side.

use std::collections::BTreeMap;

use observe::{Call, Effect, Event, Nth, ObjectId, Snapshot, What};

use super::mapping::{PAGE, hard_output, is_mapped, wrong_call};
use crate::spec::Spec;
use crate::spec::common::calls::{SIZE_CALLS, SIZES};
use crate::spec::common::plans::{bad_usage, failing, fault, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `map_ring TEXT`
pub(crate) fn map_ring() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but 1 to 4096 bytes of TEXT is refused", usage),
            Check::outside("reports", "a failing memfd_create, mmap or write is reported", reports),
            Check::outside("output", "TEXT is printed", output),
            Check::seen("adjacent", "one page is mapped twice, side by side", adjacent),
            Check::seen("reserved", "the room for both was the program's own before", reserved),
            Check::seen("across-seam", "TEXT is stored across the seam", across_seam),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| with_text(nonce, "some words", 24),
    }
}

fn with_text(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let text = nonce.sentence(len);
    let plan = Plan::new(name).arg(text.clone()).prints(format!("{text}\n")).snapshots();
    plan.judged_by(&["output", "adjacent", "reserved", "across-seam"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(21, 90) as usize;
    let words = with_text(nonce, "some words", len);
    let page = with_text(nonce, "a page of text", PAGE as usize);
    let letter = with_text(nonce, "one letter", 1).judged_by(&["output"]);
    let fileless = words.again("memfd_create fails", &[]).reports(&["memfd", "shm_open"], None, libc::EMFILE);
    let fileless = fileless.fault(failing(&["memfd_create"], None, libc::EMFILE));
    let sizeless = words.again("ftruncate fails", &[]).reports(SIZES, None, libc::ENOSPC);
    let sizeless = sizeless.fault(failing(SIZE_CALLS, None, libc::ENOSPC));
    let unplaced = [(2, "the second mmap fails"), (3, "the third mmap fails")].map(|(n, name)| {
        let plan = words.again(name, &[]).reports(MAPS, None, libc::ENOMEM);
        plan.fault(fault(&["mmap"], Nth::Only(n), None, Effect::Fail(libc::ENOMEM)))
    });
    let unmapped = words.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], None, libc::ENOMEM));
    let full = unwritable_output(&words);
    let hard = hard_output(&words);
    let mut plans = vec![words, page, letter, fileless, sizeless, unmapped, full];
    plans.extend(unplaced);
    plans.push(bad_usage("no arguments", &[]));
    plans.push(bad_usage("one too many", &["a", "b"]));
    plans.extend(hard);
    plans
}

/// One page of shared memory: of what, which of its pages, and who mapped it so.
#[derive(Clone, Copy)]
struct Page {
    object: ObjectId,
    offset: u64,
    index: usize,
}

/// Two neighbours that are the same page; the later one of the two mappings, and where it is.
struct Seam {
    index: usize,
    start: u64,
}

/// The pages of shared mappings, by address, as they are when the first seam appears; and the seam.
fn seam(run: &Run) -> Option<Seam> {
    let mut pages: BTreeMap<u64, Page> = BTreeMap::new();
    for (index, _, call, value) in run.seen.successes() {
        let at = value as u64;
        match call {
            Call::Mmap { len, flags, object, offset, .. } => {
                pages.retain(|start, _| !(at..at.saturating_add(*len)).contains(start));
                let object = object.filter(|_| flags & libc::MAP_TYPE != libc::MAP_PRIVATE);
                let Some(object) = object.filter(|_| *len <= 1024 * PAGE) else { continue };
                for page in (0..*len).step_by(PAGE as usize) {
                    pages.insert(at + page, Page { object, offset: offset + page, index });
                }
            }
            Call::Munmap { address, len, .. } => {
                pages.retain(|start, _| !(*address..address.saturating_add(*len)).contains(start));
            }
            // An old length of 0 leaves the old mapping and makes another of the same pages.
            Call::Mremap { address, old_len, new_len, .. } => {
                let Some(first) = pages.get(address).copied() else { continue };
                pages.retain(|start, _| !(*address..address.saturating_add(*old_len)).contains(start));
                for page in (0..*new_len).step_by(PAGE as usize) {
                    pages.insert(at + page, Page { offset: first.offset + page, index, ..first });
                }
            }
            _ => continue,
        }
        let neighbours = pages.iter().zip(pages.iter().skip(1));
        let same = |((a, x), (b, y)): &((&u64, &Page), (&u64, &Page))| {
            **b == **a + PAGE && x.object == y.object && x.offset == y.offset
        };
        if let Some(((a, x), (b, _))) = neighbours.into_iter().find(same) {
            let start = if x.index == index { *a } else { *b };
            return Some(Seam { index, start });
        }
    }
    None
}

/// `adjacent`: two pages side by side are the same page of one object.
fn adjacent(run: &Run) -> Finding {
    if seam(run).is_some() {
        return Ok(());
    }
    let shared = run.seen.successes().filter(|(_, _, call, _)| {
        matches!(call, Call::Mmap { flags, object: Some(_), .. } if flags & libc::MAP_TYPE != libc::MAP_PRIVATE)
    });
    let events: Vec<&Event> = shared.map(|(_, event, ..)| event).collect();
    match events.as_slice() {
        _ if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        [] => wrong_call("No object is mapped shared: map one page of a memory file twice.".into(), None),
        [one] => wrong_call(
            "There is one mapping: what comes round its end has to be put together again. Map the page twice, side by side.".into(),
            Some(one),
        ),
        [.., last] => wrong_call(
            "The mappings do not lie side by side, or are not of the same page: the second has to begin where the first ends.".into(),
            Some(last),
        ),
    }
}

/// `reserved`: the later mapping was put where it is, in place of what was the program's own.
fn reserved(run: &Run) -> Finding {
    let seam = seam(run).ok_or_else(|| Objection::open("no page was mapped twice, side by side"))?;
    let event = &run.seen.events[seam.index];
    let What::Called { call, .. } = &event.what else { return Ok(()) };
    let (careful, fixed) = match call {
        Call::Mmap { flags, .. } => (flags & libc::MAP_FIXED_NOREPLACE != 0, flags & libc::MAP_FIXED != 0),
        Call::Mremap { flags, .. } => (false, flags & libc::MREMAP_FIXED != 0),
        _ => return Ok(()),
    };
    if careful || (fixed && is_mapped(run, seam.start, seam.index)) {
        return Ok(());
    }
    let words = if fixed {
        "MAP_FIXED is told an address that the program has not made its own: whatever lies there, another thread's mapping perhaps, is gone. Reserve both pages first, in one mapping, and replace them."
    } else {
        "The mappings lie side by side by luck: nothing but a hint, or not even that, says where the second goes. Reserve both pages first, in one mapping, and replace them with MAP_FIXED."
    };
    wrong_call(words.into(), Some(event))
}

/// `across-seam`: the page, seen twice, has TEXT over its end.
fn across_seam(run: &Run) -> Finding {
    let text = run.plan.argument(0);
    let page = PAGE as usize;
    let held: Vec<&Snapshot> = run.seen.events.iter().flat_map(|event| snapshots(&event.what)).collect();
    let pages: Vec<&[u8]> = held.iter().filter_map(|s| s.bytes.get(..page)).collect();
    if pages.is_empty() {
        return Err(Objection::open("no shared page was left to look at"));
    }
    let holds = |bytes: &[u8], at: usize| text.bytes().enumerate().all(|(n, byte)| bytes[(at + n) % page] == byte);
    if pages.iter().any(|bytes| (page - text.len() + 1..page).any(|at| holds(bytes, at))) {
        return Ok(());
    }
    let inside = pages.iter().find_map(|bytes| (0..=page - text.len()).find(|at| holds(bytes, *at)));
    let words = match inside {
        Some(at) => format!(
            "TEXT lies within the page, from byte {at} on, and does not come to the seam: begin so near to the end of the first mapping that it goes on in the second."
        ),
        None => format!("The shared page does not hold {} when the program is done with it.", quoted(text.as_bytes())),
    };
    Failure::new(Reason::WrongState, words).found()
}

fn snapshots(what: &What) -> &[Snapshot] {
    match what {
        What::Exited { snapshots, .. } | What::Called { call: Call::Munmap { snapshots, .. }, .. } => snapshots,
        _ => &[],
    }
}
