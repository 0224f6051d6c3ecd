//! `04_fork`, `cow_pages`: which pages a child's copy of memory is charged for.

use observe::{Call, Effect, Nth, On, Process, ProcessId};

use super::Spec;
use super::common::calls::{self, birth_of};
use super::common::endings::{command_line, ended, status};
use super::common::plans::{bad_usage, cut, failing, fault, orders, unwritable_output};
use super::common::text::quoted;
use super::common::{FORKS, MAPS, child_prints, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Bytes of a page, and KiB.
const PAGE: u64 = 4096;
const PAGE_KIB: u64 = PAGE / 1024;
/// Faults and pages that are forgiven beyond those asked for: of the stack, of the heap, of code.
const SPARE: u64 = 32;

/// `cow_pages N K`
pub(crate) fn cow_pages() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but N and a K that is no larger is refused", usage),
            Check::outside("reports", "a failing mmap, fork or write is reported, and nothing is printed", reports),
            Check::outside("output", "K pages cost K faults and are the child's own, and few others", counted),
            Check::seen("private-memory", "N pages of private memory are mapped before fork", private_memory),
            Check::outside("written", "the parent writes all pages, and the child only its own", written),
            Check::seen("from-smaps", "the child asks the kernel what is its own", from_smaps),
            Check::seen("child-prints", "the child prints", child_prints),
            Check::seen("order", "it is right whoever runs first", counted),
            Check::seen("short-io", "it is right when writes are cut short", counted_under_faults),
            Check::seen("eintr", "it is right when a wait is interrupted", counted_under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |_| pages_plan("a quarter of the pages", 64, 16),
    }
}

fn pages_plan(name: &str, all: u64, written: u64) -> Plan {
    let mut plan = Plan::new(name).arg(all.to_string()).arg(written.to_string());
    // A page larger than the smallest would be one fault for many.
    plan.launch.limits.huge_pages = false;
    plan.judged_by(&["output", "private-memory", "from-smaps", "child-prints", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    // So many that nothing else a process does costs as many faults.
    let (all, own) = (nonce.number(4000, 5000), nonce.number(1500, 2000));
    let mut plain = pages_plan("many pages", all, own);
    plain.checks.push("written");
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let few = nonce.number(300, 400);
    let mut plans = vec![
        plain.clone(),
        pages_plan("every page", few, few).judged_by(&["output"]),
        pages_plan("no page", few, 0).judged_by(&["output"]),
        pages_plan("one page", 1, 1).judged_by(&["output"]),
    ];
    plans.extend(orders(&plain, &["order", "written", "reaped"]));
    plans.extend([
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("no numbers", &[]),
        bad_usage("one number", &["3"]),
        bad_usage("three numbers", &["3", "2", "1"]),
        bad_usage("no number", &["3", "two"]),
        bad_usage("K is larger than N", &["3", "4"]),
        cut(&plain, &[On::Stdout], calls::WRITES, "write", 3),
        plain
            .again("interrupted waits", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)"),
    ]);
    plans
}

/// N and K.
fn numbers(run: &Run) -> (u64, u64) {
    let number = |n| run.plan.argument(n).parse().unwrap_or_default();
    (number(0), number(1))
}

/// `output`: F is K or a little more, and P is that many pages.
fn counted(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| {
        let printed = format!("printed: {}", quoted(&run.seen.stdout.bytes));
        Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).evidence(printed).found()
    };
    let Some((faults, private)) = said(&run.seen.stdout.text()) else {
        return wrong("The program is to print two lines, `faults F` and `private P KiB`, once.".into());
    };
    let (all, own) = numbers(run);
    if faults < own {
        return wrong(format!(
            "The child counted {faults} minor faults for {own} pages, and each page that it shares with its parent costs one when it is first written: take ru_minflt in the child, before and after it writes."
        ));
    }
    if faults > own + SPARE {
        return wrong(format!(
            "The child counted {faults} minor faults for {own} of {all} pages: it writes others too, or counts what it did before. Count around the writing alone, of one byte in each of the K pages."
        ));
    }
    let (least, most) = (own * PAGE_KIB, (own + SPARE) * PAGE_KIB);
    match private {
        _ if !private.is_multiple_of(PAGE_KIB) => wrong(format!(
            "The child says that {private} KiB are its own, which is no number of pages: add up nothing but Private_Clean and Private_Dirty."
        )),
        _ if (least..=most).contains(&private) => Ok(()),
        0 => wrong(format!(
            "The child says that nothing of the mapping is its own, though it has written {own} pages: in a shared mapping nothing is anybody's own, and before the writing nothing is yet. Map MAP_PRIVATE, and read smaps after the writing."
        )),
        _ if private < least => wrong(format!(
            "The child says that {private} KiB are its own. {own} pages are {least} KiB: add up Private_Clean and Private_Dirty of this mapping, and read smaps after the writing."
        )),
        _ => wrong(format!(
            "The child says that {private} KiB are its own. {own} pages are {least} KiB: take Private_Clean and Private_Dirty of this mapping alone, and let the parent keep its pages until the child has printed."
        )),
    }
}

/// The two numbers of `faults F` and `private P KiB`, on two lines or on one.
fn said(text: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &["faults", faults, "private", private, "KiB"] = words.as_slice() else { return None };
    Some((faults.parse().ok()?, private.parse().ok()?))
}

fn counted_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    counted(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

fn private_memory(run: &Run) -> Finding {
    let wrong = |words: &str| Failure::new(Reason::WrongCalls, words);
    let Some((fork, _)) = birth_of(run.seen, ProcessId(1)) else {
        return wrong("The program made no child: fork, and let the child write.").found();
    };
    let (all, _) = numbers(run);
    let mut made = run.seen.successes().filter_map(|(index, event, call, _)| match call {
        Call::Mmap { len, flags, prot, .. } if *len >= all * PAGE && prot & libc::PROT_WRITE != 0 => {
            Some((index, event, flags & libc::MAP_TYPE == libc::MAP_PRIVATE))
        }
        _ => None,
    });
    match made.next() {
        Some((index, _, true)) if index < fork => Ok(()),
        Some((index, event, _)) if index > fork => {
            wrong("The memory is mapped after fork: it is one process's alone from the beginning, and nothing is ever copied. Map it before.").at(event.source.as_ref()).found()
        }
        Some((_, event, _)) => {
            wrong("The memory is mapped MAP_SHARED: parent and child write the same pages, and nothing is ever copied. Map it MAP_PRIVATE.").at(event.source.as_ref()).found()
        }
        None => wrong("No memory of N pages is mapped: map it, MAP_PRIVATE, before fork.").found(),
    }
}

/// `written`, by the kernel's own count over the whole life of each process.
fn written(run: &Run) -> Finding {
    let (all, own) = numbers(run);
    let [parent, child, ..] = run.seen.processes.as_slice() else {
        return Err(Objection::open("the program made no child"));
    };
    let faults = |process: &Process| process.minor_faults;
    if faults(parent) == 0 || faults(child) == 0 {
        return Err(Objection::open("the kernel's count of faults could not be read"));
    }
    let words = if faults(parent) < all {
        format!(
            "The kernel counted {} minor faults of the parent, which was to write {all} pages before fork: a page that nobody has written yet is not copied but made, for whoever touches it first.",
            faults(parent)
        )
    } else if faults(child) < own {
        format!(
            "The kernel counted {} minor faults of the child, which was to write {own} pages: it does not write them.",
            faults(child)
        )
    } else if faults(child) >= all {
        format!(
            "The kernel counted {} minor faults of the child, which was to write only {own} of {all} pages.",
            faults(child)
        )
    } else {
        return Ok(());
    };
    Failure::new(Reason::WrongState, words).evidence(command_line(run)).found()
}

fn from_smaps(run: &Run) -> Finding {
    let opened =
        |call: &Call| matches!(call, Call::Open { path, .. } if path.ends_with("smaps") && path.starts_with("/proc"));
    if run.seen.successes().any(|(_, _, call, _)| opened(call)) {
        return Ok(());
    }
    if run.seen.stdout.bytes.is_empty() {
        return Err(Objection::open("nothing was printed"));
    }
    let words =
        "Nobody opens /proc/self/smaps: how much of the mapping is the child's own is not to be reckoned but asked.";
    Failure::new(Reason::WrongCalls, words).found()
}
