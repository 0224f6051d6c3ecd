//! `tlb_reach`: what a translation lookaside buffer remembers, in a model and on the machine.

use std::collections::VecDeque;

use observe::{Content, InputFile, Observation, On};

use super::images::{refused, refuses};
use crate::spec::Spec;
use crate::spec::common::calls::{OPENS, READS, WRITES};
use crate::spec::common::endings::{command_line, ended, status};
use crate::spec::common::plans::{bad_usage, cut, interrupted, unreadable_text, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const PAGE_BITS: u32 = 12;
/// Nanoseconds in which no processor makes an access.
const LEAST_TIME: f64 = 0.05;

/// `tlb_reach model SETS WAYS TRACE`, `tlb_reach measure PAGES`
pub(crate) fn tlb_reach() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "numbers that make no sense are refused", usage),
            Check::outside("reports", "a failing call is reported with the object that it was for", reports),
            Check::outside("output", "hits are counted right", output),
            Check::outside("sets", "a page is looked for in its own set, and only its set is ever full", output),
            Check::outside("least-recent", "the page of the set goes that was not used for the longest time", output),
            Check::outside("flush", "nothing is remembered over a flush", output),
            Check::outside("refuses", "a line of TRACE that is no address is told with its number", refuses),
            Check::outside("measured", "times are told for all powers of two, and the knees are theirs", measured),
            Check::outside("touched", "as many pages are touched as are asked for", touched),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| {
            let pages = [1, 2, 3, 5, 1, 9, 5, 1, 2, 13];
            model("two sets of two", 2, 2, &pages.map(|page| page << PAGE_BITS), "output").drawn(drawing)
        },
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let home = nonce.number(1 << 20, 1 << 30) << PAGE_BITS;
    // Loops over a little memory, and now and then something far away.
    let mut local = Vec::new();
    for round in 0..60 {
        local.extend((0..6).map(|i| home + (round / 10 * 3 + i) * 4096 + nonce.number(0, 4095)));
        local.push(nonce.bits() >> 16);
    }
    let plain = model("an ordinary trace", 4, 2, &local, "output");
    // All in one set, which has too few ways for them; and as many pages again, spread over all sets.
    let same_set: Vec<u64> = (0..60).map(|i| home + i % 5 * (8 << PAGE_BITS)).collect();
    let spread: Vec<u64> = (0..60).map(|i| home + i % 32 * 4096).collect();
    // Who was used again stays; first in, first out would let it go.
    let kept: Vec<u64> = (0..80).map(|i| home + if i % 2 == 0 { 0 } else { i << PAGE_BITS }).collect();
    let random: Vec<u64> = (0..300).map(|_| home + nonce.number(0, 40 << PAGE_BITS)).collect();
    let flushed: Vec<Option<u64>> =
        (0..90).map(|i| if i % 17 == 9 { None } else { Some(home + i % 4 * 4096) }).collect();
    let bad = |name: &str, line: usize, text: &str| {
        let plan = with_trace(&format!("refused: {name}"), 4, 2, text.into());
        refused(plan, line).because(format!("When TRACE has {name}"))
    };
    let measure = |name: &str, pages: u64, checks: &[&'static str]| {
        let mut plan = Plan::new(name).arg("measure").arg(pages.to_string()).judged_by(checks);
        plan.launch.limits.huge_pages = false;
        plan
    };
    let measured = measure("measured", 2048, &["measured", "touched"]);
    vec![
        plain.clone(),
        model("pages of one set", 8, 4, &same_set, "sets"),
        model("as many sets as pages", 32, 1, &spread, "sets"),
        model("one set of many", 1, 32, &spread, "sets"),
        model("pages that are used again", 1, 4, &kept, "least-recent"),
        model("pages at random", 4, 4, &random, "least-recent"),
        model("the highest addresses", 16, 2, &[u64::MAX, u64::MAX - 4096, u64::MAX], "output"),
        model("no access", 1, 1, &[], "output"),
        with_flushes("flushes", 2, 4, &flushed, "flush"),
        bad("a word", 3, "0x1000\nflush\nhere\n"),
        bad("a number without 0x", 2, "0x1000\n4096\n"),
        bad("an empty line", 2, "0x1000\n\n0x2000\n"),
        bad("an address of 68 bits", 1, "0x10000000000000000\n"),
        measured.clone(),
        measure("one page", 1, &["measured"]),
        Plan::new("no TRACE").arg("model").arg("2").arg("2").arg("nowhere").reports(
            OPENS,
            Some("nowhere"),
            libc::ENOENT,
        ),
        unreadable_text(&plain, "trace"),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("no such mode", &["model", "4"]),
        bad_usage("sets that are no power of two", &["model", "3", "2", "trace"]),
        bad_usage("no sets", &["model", "0", "2", "trace"]),
        bad_usage("no ways", &["model", "4", "0", "trace"]),
        bad_usage("no pages to measure", &["measure", "0"]),
        bad_usage("pages that are no power of two", &["measure", "48"]),
        bad_usage("no number of pages", &["measure"]),
        cut(&plain, &[On::AnyFile], READS, "read", 100),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::AnyFile, On::Stdout]),
    ]
}

fn with_trace(name: &str, sets: u64, ways: u64, text: String) -> Plan {
    let plan = Plan::new(name).arg("model").arg(sets.to_string()).arg(ways.to_string()).arg("trace");
    plan.file(InputFile::new("trace", text))
}

fn model(name: &str, sets: u64, ways: u64, addresses: &[u64], check: &'static str) -> Plan {
    let lines: Vec<Option<u64>> = addresses.iter().copied().map(Some).collect();
    with_flushes(name, sets, ways, &lines, check)
}

/// With a flush where there is no address.
fn with_flushes(name: &str, sets: u64, ways: u64, lines: &[Option<u64>], check: &'static str) -> Plan {
    let line = |line: &Option<u64>| line.map_or("flush\n".into(), |address| format!("{address:#x}\n"));
    let text: String = lines.iter().map(line).collect();
    let mut tlb = Tlb::new(sets, ways);
    let accesses = lines.iter().flatten().count();
    let mut hit = |line: &Option<u64>| match line {
        Some(address) => tlb.look_up(address >> PAGE_BITS).0,
        None => {
            tlb.sets.iter_mut().for_each(VecDeque::clear);
            false
        }
    };
    let hits = lines.iter().filter(|line| hit(line)).count();
    let reach = (sets * ways) << PAGE_BITS;
    let told = format!("reach {reach} bytes\naccesses {accesses}\nhits {hits}\nmisses {}\n", accesses - hits);
    with_trace(name, sets, ways, text).prints(told).judged_by(&[check])
}

/// The sets, in each the page used last in front.
struct Tlb {
    sets: Vec<VecDeque<u64>>,
    ways: usize,
}

impl Tlb {
    fn new(sets: u64, ways: u64) -> Tlb {
        Tlb { sets: vec![VecDeque::new(); sets as usize], ways: ways as usize }
    }

    /// Whether the page was remembered, and which was forgotten for it.
    fn look_up(&mut self, page: u64) -> (bool, Option<u64>) {
        let number = (page % self.sets.len() as u64) as usize;
        let set = &mut self.sets[number];
        let place = set.iter().position(|entry| *entry == page);
        place.and_then(|place| set.remove(place));
        set.push_front(page);
        let gone = if set.len() > self.ways { set.pop_back() } else { None };
        (place.is_some(), gone)
    }
}

/// `measured`: a line for each power of two, and the knees that follow from those lines.
fn measured(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| {
        let printed = format!("printed: {}", quoted(&run.seen.stdout.bytes));
        Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).evidence(printed).found()
    };
    let most: u64 = run.plan.argument(1).parse().unwrap_or(1);
    let text = run.seen.stdout.text();
    let mut lines = text.lines();
    let mut times: Vec<(u64, f64)> = Vec::new();
    for pages in std::iter::successors(Some(1), |pages| Some(pages * 2)).take_while(|pages| *pages <= most) {
        let line = lines.next().unwrap_or_default();
        let time = line.strip_prefix(&format!("pages {pages}: ")).and_then(|rest| rest.strip_suffix(" ns"));
        match time.and_then(|time| time.parse::<f64>().ok()).filter(|time| *time >= 0.0 && time.is_finite()) {
            Some(time) => times.push((pages, time)),
            None => {
                return wrong(format!(
                    "The line `{line}` should be `pages {pages}: N ns`, with the time of an access."
                ));
            }
        }
    }
    let (last, None) = (lines.next().unwrap_or_default(), lines.next()) else {
        return wrong("Behind the line of knees there are more lines.".into());
    };
    let Some(knees) = last.strip_prefix("knees: ") else {
        return wrong(format!("The last line is `{last}` where it should begin with `knees: `."));
    };
    // One may have been interrupted between the two looks.
    if times.len() > 2 && times.iter().filter(|(_, time)| *time >= LEAST_TIME).count() < 2 {
        return wrong(
            "No access takes any time, however many pages there are: the accesses are to lie between two looks at the clock, so many of them that it sees them, and the compiler must not leave them out (std::hint::black_box)."
                .into(),
        );
    }
    let told: Option<Vec<u64>> =
        if knees == "none" { Some(Vec::new()) } else { knees.split(' ').map(|knee| knee.parse().ok()).collect() };
    let Some(told) = told else { return wrong(format!("`{knees}` is neither `none` nor numbers of pages.")) };
    for pair in times.windows(2) {
        let ((_, before), (pages, time)) = (pair[0], pair[1]);
        // No time at all says nothing but that the clock is coarse.
        let factor = if before > 0.0 { time / before } else { 1.5 };
        // What is printed is rounded; nobody is to be wrong by that.
        if factor > 1.52 && !told.contains(&pages) {
            return wrong(format!(
                "{pages} pages take {factor:.2} times as long as half of them: that is a knee, and is not told."
            ));
        }
        if factor < 1.48 && told.contains(&pages) {
            return wrong(format!("{pages} pages take {factor:.2} times as long as half of them: that is no knee."));
        }
    }
    match told.iter().find(|knee| !times.iter().skip(1).any(|(pages, _)| pages == *knee)) {
        Some(stranger) => wrong(format!("{stranger} is called a knee, and is none of the numbers measured.")),
        None => Ok(()),
    }
}

/// `touched`, by the kernel's own count over the whole run.
fn touched(run: &Run) -> Finding {
    ended(run)?;
    let most: u64 = run.plan.argument(1).parse().unwrap_or(1);
    let faults: u64 = run.seen.processes.iter().map(|process| process.minor_faults).sum();
    if faults == 0 {
        return Err(Objection::open("the kernel's count of faults could not be read"));
    }
    if faults >= most {
        return Ok(());
    }
    let words = format!(
        "The kernel counted {faults} minor faults in the whole run, and {most} pages were to be touched, each of which costs one: write to every page, so that each has a frame of its own."
    );
    Failure::new(Reason::WrongState, words).evidence(command_line(run)).found()
}

/// The sets after each access.
fn drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let Some(Content::Bytes(text)) = plan.launch.files.first().map(|file| &file.content) else { return Vec::new() };
    let number = |n| plan.argument(n).parse().unwrap_or(1);
    let mut tlb = Tlb::new(number(1), number(2));
    let mut lines = vec!["page   sets (the page used last in front)".to_string()];
    for line in String::from_utf8_lossy(text).lines() {
        let Ok(address) = u64::from_str_radix(line.trim_start_matches("0x"), 16) else { continue };
        let page = address >> PAGE_BITS;
        let event = match tlb.look_up(page) {
            (true, _) => "hit".to_string(),
            (false, None) => "miss".into(),
            (false, Some(gone)) => format!("miss, {gone} is forgotten"),
        };
        let set = |set: &VecDeque<u64>| {
            let pages: String = set.iter().map(|page| format!("{page:>3}")).collect();
            format!("[{pages:<width$} ]", width = 3 * tlb.ways)
        };
        let sets: Vec<String> = tlb.sets.iter().map(set).collect();
        lines.push(format!("{page:>4}   {}  {event}", sets.join(" ")));
    }
    lines
}
