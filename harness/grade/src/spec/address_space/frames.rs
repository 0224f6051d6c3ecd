//! `frames`: virtual pages, and the frames that they really are in.

use observe::{Call, Effect, Nth, Observation, ProcessId};

use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, INPUTS, OPEN_CALLS, READS, ROOT, WAITS};
use crate::spec::common::endings::{command_line, ended, status};
use crate::spec::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{FORKS, OPENS, reaped, reports, under_faults, usage};
use crate::spec::mmap::mapping::{hard_output, wrong_call};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `frames PAGES PAGE…`
pub(crate) fn frames() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "PAGES and pages that are not among them are refused", usage),
            Check::outside("reports", "a failing fork, open, read or write is reported", reports),
            Check::outside("output", "the pages written are the child's own, and the others are shared", told),
            Check::outside("frames", "a page that was written is in another frame", other_frames),
            Check::seen("own-pagemap", "each process reads its own page map", own_pagemap),
            Check::seen("order", "it is right whoever runs first", told),
            Check::seen("short-io", "it is right when reads and writes are cut short", told_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", told_under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |_| pages("eight pages, of which the child writes two", 8, &[2, 5]).drawn(drawing),
    }
}

fn pages(name: &str, all: u64, written: &[u64]) -> Plan {
    let mut plan = Plan::new(name).arg(all.to_string());
    // A page larger than the smallest would be copied, and owned, piece by piece or whole, as the kernel likes.
    plan.launch.limits.huge_pages = false;
    let plan = written.iter().fold(plan, |plan, page| plan.arg(page.to_string()));
    plan.judged_by(&["output", "frames", "own-pagemap", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let all = nonce.number(20, 60);
    let mut some: Vec<u64> = (0..nonce.number(4, 8)).map(|_| nonce.number(0, all - 1)).collect();
    some.sort_unstable();
    some.dedup();
    let plain = pages("some pages", all, &some);
    let fails = |name: &str, names, object, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, object, errno).fault(failing(calls, None, errno))
    };
    // The parent has told its part by then.
    let mut no_fork = fails("fork fails", FORKS, None, FORK_CALLS, libc::EAGAIN);
    no_fork.expect.stdout = None;
    let every: Vec<u64> = (0..5).collect();
    let mut plans = vec![
        plain.clone(),
        pages("one page", 1, &[0]),
        pages("every page", 5, &every),
        pages("the last of many", 700, &[699]),
        fails("the page map cannot be opened", OPENS, Some("pagemap"), OPEN_CALLS, libc::EACCES),
        fails("the page map cannot be read", INPUTS, Some("pagemap"), READS, libc::EIO),
        no_fork,
        unwritable_output(&plain),
        bad_usage("no numbers", &[]),
        bad_usage("no page named", &["8"]),
        bad_usage("a page that there is not", &["8", "2", "8"]),
        bad_usage("no pages", &["0", "0"]),
        bad_usage("a word", &["8", "two"]),
        bad_usage("a negative page", &["8", "-1"]),
    ];
    plans.extend(orders(&plain, &["order", "frames", "reaped"]));
    plans.extend(hard_output(&plain));
    plans.push(
        plain
            .again("interrupted waits", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)"),
    );
    plans
}

/// PAGES, and the pages named.
fn numbers(plan: &Plan) -> (usize, Vec<usize>) {
    let number = |n| plan.argument(n).parse().unwrap_or_default();
    (number(0), (1..plan.launch.args.len()).map(number).collect())
}

/// The three lines of letters that a right program prints.
fn letters(plan: &Plan) -> [String; 3] {
    let (all, written) = numbers(plan);
    let wrote = (0..all).map(|page| if written.contains(&page) { 'o' } else { 's' }).collect();
    ["o".repeat(all), "s".repeat(all), wrote]
}

fn wrong(run: &Run, message: String) -> Finding {
    let printed = format!("printed: {}", quoted(&run.seen.stdout.bytes));
    Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).evidence(printed).found()
}

/// `output`: the letters, and a line for each page that was written.
fn told(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let text = run.seen.stdout.text();
    let (_, written) = numbers(run.plan);
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() != 3 + written.len() || !text.ends_with('\n') {
        let words = format!(
            "The program printed {} lines: three of letters are wanted, and one for each page named, {} in all.",
            lines.len(),
            3 + written.len()
        );
        return wrong(run, words);
    }
    let heads = ["parent alone", "child forked", "child wrote"];
    for ((head, wanted), line) in heads.iter().zip(letters(run.plan)).zip(&lines) {
        let Some(got) = line.strip_prefix(head).and_then(|rest| rest.strip_prefix(": ")) else {
            return wrong(run, format!("The line `{line}` should begin with `{head}: `."));
        };
        if got == wanted {
            continue;
        }
        let why = match (*head, got) {
            ("child forked", got) if got.contains('-') => {
                "fork gives the child its parent's frames if the memory is private and written; shared memory it finds by faults of its own"
            }
            (_, got) if got.contains('-') => {
                "a page is in no frame before somebody has written to it: it is `present` in bit 63"
            }
            ("parent alone", _) => "before fork all pages are the parent's own: bit 56 is set",
            ("child forked", _) => {
                "after fork, and before anybody writes, each page is shared with the parent, if the memory is private and the parent keeps it: bit 56 is clear"
            }
            (_, got) if !got.contains('o') => {
                "the pages that were written are copied, and the child's own, if the memory is private: ask after the writing"
            }
            _ => "the pages named, and only those, are the child's own: write a byte to each of them, and to no others",
        };
        return wrong(run, format!("The line `{head}` is `{got}` where it should be `{wanted}`: {why}."));
    }
    Ok(())
}

fn told_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    told(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// The frames of a line `page N: F became G`.
fn frames_of(line: &str, page: usize) -> Option<(&str, &str)> {
    let frame = |word: &&str| {
        let digits = word.strip_prefix("0x").filter(|digits| u64::from_str_radix(digits, 16).is_ok_and(|n| n > 0));
        *word == "hidden" || digits.is_some()
    };
    let (before, after) = line.strip_prefix(&format!("page {page}: "))?.split_once(" became ")?;
    (frame(&before) && frame(&after)).then_some((before, after))
}

/// `frames`: they differ, or are hidden from the program both times.
fn other_frames(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let text = run.seen.stdout.text();
    let (_, written) = numbers(run.plan);
    for (page, line) in written.iter().zip(text.lines().skip(3)) {
        let Some((before, after)) = frames_of(line, *page) else {
            let words = format!(
                "The line `{line}` should be like `page {page}: 0x1f3a2 became 0x20b71`, or `hidden` where the kernel tells 0 for a frame."
            );
            return wrong(run, words);
        };
        if (before == "hidden") != (after == "hidden") || (before == after && before != "hidden") {
            let words = format!(
                "The line `{line}` says that the page is where it was: it was written, and so copied to another frame. Ask once before the writing and once after it."
            );
            return wrong(run, words);
        }
    }
    Ok(())
}

/// `own-pagemap`: who reads a page map has opened it himself, as his own, and the child does so before and after.
fn own_pagemap(run: &Run) -> Finding {
    let seen = run.seen;
    let opened: Vec<_> = seen
        .successes()
        .filter_map(|(_, event, call, _)| match call {
            Call::Open { path, object: Some(object), .. } if path.ends_with("pagemap") => Some((event, path, *object)),
            _ => None,
        })
        .collect();
    let mut by_child = 0;
    for (_, event, call, value) in seen.successes() {
        let Call::Read { object: Some(object), .. } = call else { continue };
        let mut openers = opened.iter().filter(|(.., opened)| opened == object).peekable();
        if openers.peek().is_none() || value == 0 {
            continue;
        }
        if !openers.any(|(opening, path, _)| opening.process == event.process && is_own(seen, event.process, path)) {
            let words = format!(
                "{} reads a page map that is not its own: /proc/self/pagemap is that of the process that has opened it, also when a child reads it. Open it in the process that asks.",
                seen.name_of(event.process)
            );
            return wrong_call(capitalised(&words), Some(event));
        }
        by_child += usize::from(event.process != ROOT);
    }
    match by_child {
        2.. => Ok(()),
        _ if seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        1 => wrong_call(
            "The child reads its page map once: it is to be asked before the writing, and after it.".into(),
            None,
        ),
        _ => wrong_call("The child never reads /proc/self/pagemap: what it says of its pages is made up.".into(), None),
    }
}

/// Whether a path names the page map of the process that uses it.
fn is_own(seen: &Observation, process: ProcessId, path: &std::path::Path) -> bool {
    let whose = path.parent().and_then(|parent| parent.file_name()).unwrap_or_default();
    whose == "self" || whose == "thread-self" || *whose == *seen.process(process).pid.to_string()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default() + letters.as_str()
}

/// The pages of both processes and the frames behind them, as the child found them.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let text = seen.stdout.text();
    let row = |head: &str| {
        let letters = text.lines().find_map(|line| line.strip_prefix(head)?.strip_prefix(": "))?;
        // A frame has the name of its page; a copy is a capital.
        let names = ('a'..='z').cycle().zip(letters.chars());
        let frame = |(name, letter): (char, char)| {
            let name = if letter == 'o' && head == "child wrote" { name.to_ascii_uppercase() } else { name };
            format!("{name} ")
        };
        Some(names.map(frame).collect::<String>())
    };
    let (all, written) = numbers(plan);
    let (Some(alone), Some(forked), Some(wrote)) = (row("parent alone"), row("child forked"), row("child wrote"))
    else {
        return Vec::new();
    };
    let pages: String = (0..all).map(|page| format!("{} ", page % 10)).collect();
    let named: Vec<String> = written.iter().map(usize::to_string).collect();
    vec![
        format!("page             {pages}"),
        format!("parent's frames  {alone}"),
        format!("child's frames   {forked} after fork: the same, for only the tables are copied"),
        format!("child's frames   {wrote} after it wrote {}: those are copies", named.join(" and ")),
        format!("parent's frames  {alone} as before"),
    ]
}
