//! `dirty_track`: a write barrier of mprotect and SIGSEGV.

use std::collections::{BTreeMap, BTreeSet};

use observe::{Event, Observation, On, Stdin, What};

use crate::spec::Spec;
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, unwritable_output};
use crate::spec::common::{MAPS, output, reports, under_faults, usage};
use crate::spec::signals::safe_handler;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const PAGE: u64 = 4096;
const SEGV_ACCERR: i32 = 2;

/// `dirty_track N`
pub(crate) fn dirty_track() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but N is refused", usage),
            Check::outside("reports", "a failing mmap or write is reported, and nothing is printed", reports),
            Check::outside("output", "the pages written are printed, and no others", output),
            Check::seen("barrier", "each page written is refused first, and so found out", barrier),
            Check::seen("one-fault", "a page that is known to be dirty costs no more faults", one_fault),
            Check::seen("handler-safe", "the handler does nothing that is unsafe in a handler", handler_safe),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| stores("a few stores", 8, &[5000, 12, 20_500, 4096, 20_600]).drawn(drawing),
    }
}

fn stores(name: &str, pages: u64, offsets: &[u64]) -> Plan {
    let dirty: BTreeSet<u64> = offsets.iter().map(|offset| offset / PAGE).collect();
    let list: String = dirty.iter().map(|page| format!(" {page}")).collect();
    let list = if dirty.is_empty() { " none".into() } else { list };
    let text: String = offsets.iter().map(|offset| format!("{offset}\n")).collect();
    let mut plan = Plan::new(name).arg(pages.to_string());
    plan.launch.stdin = Stdin::Bytes(text.into_bytes());
    plan.prints(format!("dirty:{list}\n")).judged_by(&["output", "barrier", "one-fault", "handler-safe"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let pages = nonce.number(40, 60);
    let mut offsets: Vec<u64> = (0..12).map(|_| nonce.number(0, pages * PAGE - 1)).collect();
    let again: Vec<u64> = offsets.iter().map(|offset| offset / PAGE * PAGE + nonce.number(0, PAGE - 1)).collect();
    offsets.extend(again);
    let plain = stores("stores here and there", pages, &offsets);
    let ends = stores("the first byte and the last", pages, &[0, pages * PAGE - 1]);
    let border = nonce.number(3, pages - 3) * PAGE;
    let mut plans = vec![
        plain.clone(),
        ends,
        stores("on both sides of a border", pages, &[border - 1, border]),
        stores("no store", 3, &[]),
        stores("one page", 1, &[77]),
        plain.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM).fault(failing(&["mmap"], None, libc::ENOMEM)),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("N is no number", &["many"]),
        bad_usage("no pages", &["0"]),
        bad_usage("one too many", &["3", "4"]),
    ];
    plans.extend(cuts(&plain, &[On::Stdin, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Stdin, On::Stdout]));
    plans
}

/// The pages that are to be written, in the order of their first stores.
fn stored(plan: &Plan) -> Vec<u64> {
    let Stdin::Bytes(text) = &plan.launch.stdin else { return Vec::new() };
    let text = String::from_utf8_lossy(text);
    let pages = text.lines().filter_map(|line| Some(line.parse::<u64>().ok()? / PAGE));
    let mut seen = BTreeSet::new();
    pages.filter(|page| seen.insert(*page)).collect()
}

/// The pages at which a store was refused, by address, in order.
fn refused(seen: &Observation) -> Vec<(&Event, u64)> {
    let faults = seen.events.iter().filter_map(|event| match event.what {
        What::Signalled { signal: libc::SIGSEGV, code: SEGV_ACCERR, address: Some(address), .. } => {
            Some((event, address / PAGE))
        }
        _ => None,
    });
    faults.collect()
}

/// `barrier`: the pages refused are those stored to, wherever the memory lies.
fn barrier(run: &Run) -> Finding {
    let stored: BTreeSet<u64> = stored(run.plan).into_iter().collect();
    let refused: BTreeSet<u64> = refused(run.seen).iter().map(|(_, page)| *page).collect();
    let from_first = |pages: &BTreeSet<u64>| -> BTreeSet<u64> {
        pages.iter().map(|page| page - pages.first().copied().unwrap_or_default()).collect()
    };
    if from_first(&stored) == from_first(&refused) {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let words = match refused.len() {
        0 => "No store was refused: the pages printed are computed from the offsets, not found out. Map the memory so that it may only be read, and let the faults tell.".into(),
        some => format!(
            "Stores were refused at {some} pages, and {} were stored to: allow each page by itself, when it is first written, and no page beforehand.",
            stored.len()
        ),
    };
    Failure::new(Reason::WrongCalls, words).found()
}

/// `one-fault`: no page is refused twice.
fn one_fault(run: &Run) -> Finding {
    let mut times: BTreeMap<u64, u32> = BTreeMap::new();
    for (event, page) in refused(run.seen) {
        let count = times.entry(page).or_default();
        *count += 1;
        if *count > 1 {
            let words = "A page that was found dirty before is refused once more: once it is noted, let stores through, or each of them costs a fault.";
            return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
        }
    }
    Ok(())
}

fn handler_safe(run: &Run) -> Finding {
    safe_handler(run, libc::SIGSEGV)
}

/// The pages after each store: which are known to be dirty, and which store had to be refused for it.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let Stdin::Bytes(text) = &plan.launch.stdin else { return Vec::new() };
    let pages: u64 = plan.argument(0).parse().unwrap_or_default();
    let mut dirty = BTreeSet::new();
    let mut lines = vec!["store at   pages (. read only, W dirty and writable)".to_string()];
    for offset in String::from_utf8_lossy(text).lines().filter_map(|line| line.parse::<u64>().ok()) {
        let first = dirty.insert(offset / PAGE);
        let row: String = (0..pages).map(|page| if dirty.contains(&page) { " W" } else { " ." }).collect();
        let what = if first { "refused, noted, allowed, made again" } else { "" };
        lines.push(format!("{offset:>8}  {row}   {what}").trim_end().to_string());
    }
    lines.push(format!("{} stores were refused", refused(seen).len()));
    lines
}
