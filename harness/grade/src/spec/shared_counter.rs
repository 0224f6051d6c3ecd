//! `04_fork`, `shared_counter`: many processes, one number.

use std::time::Duration;

use observe::{Effect, Ending, Nth, Schedule, Snapshot, What};

use super::Spec;
use super::common::calls::{self, ROOT, printed};
use super::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use super::common::{FORKS, MAPS, order, output, reaped, reports, under_faults, usage};
use super::fork::{holds, later_snapshots, not_shared, waits_blocking};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `shared_counter P N`
pub(crate) fn shared_counter() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but P (1 to 32) and N is refused", usage),
            Check::outside("reports", "a failing mmap or fork is reported, and nothing is printed", reports),
            Check::outside("output", "P times N is printed", sum_printed),
            Check::seen("in-shared-memory", "the count is in memory that the processes share", in_shared_memory),
            Check::seen("side-by-side", "there are P children, all begun before the first has to end", side_by_side),
            Check::seen("each-adds", "every child adds its own N", each_adds),
            Check::outside("nothing-lost", "no addition is lost when the children count at once", nothing_lost),
            Check::seen("order", "it prints when every child has ended, whoever runs first", prints_last),
            Check::seen("waits-blocking", "whoever waits blocks: no spinning", waits_blocking),
            Check::seen("eintr", "it is right when a wait is interrupted", interrupted),
            Check::seen("reaped", "every child is waited for, also when not all could be made", reaped),
        ],
        demo: |nonce| count_plan("three children", 3, nonce.number(1_000, 2_000)),
    }
}

fn count_plan(name: &str, children: u64, each: u64) -> Plan {
    Plan::new(name)
        .arg(children.to_string())
        .arg(each.to_string())
        .prints(format!("{}\n", children * each))
        .snapshots()
        .judged_by(&["output", "in-shared-memory", "nothing-lost", "order", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    // Large enough to be told from anything else in memory.
    let plain = count_plan("some children", nonce.number(3, 6), nonce.number(100_000, 200_000));
    let none = count_plan("nothing to add", 2, 0).judged_by(&["output"]);
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let one = count_plan("one child", 1, 1000).judged_by(&["output"]);
    let most = count_plan("as many children as there may be", 32, 1000).judged_by(&["output"]);
    let mut plans = vec![plain.clone(), none, one, most];
    plans.extend(orders(&plain, &["nothing-lost", "order", "waits-blocking", "reaped"]));
    for plan in &mut plans {
        match plan.launch.schedule {
            Schedule::ChildFirst => plan.checks.push("each-adds"),
            Schedule::ParentFirst => plan.checks.push("side-by-side"),
            _ => {}
        }
    }
    let mut third = plain.again("the third fork fails", &["reaped"]).at(Stage::Refusal).exits(1);
    third.launch.faults.push(fault(calls::FORK_CALLS, Nth::From(3), None, Effect::Fail(libc::EAGAIN)));
    plans.extend([
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        third.because("When the third fork fails"),
        bad_usage("no numbers", &[]),
        bad_usage("one number", &["3"]),
        bad_usage("three numbers", &["3", "4", "5"]),
        crowd("a crowd", nonce),
        crowd("another crowd", nonce),
        plain
            .again("interrupted waits", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)"),
    ]);
    plans
}

/// So many additions that the children cannot but meet; untraced, for a lock that has waiters makes many calls.
fn crowd(name: &str, nonce: &mut Nonce) -> Plan {
    let mut plan = count_plan(name, 8, nonce.number(1_500_000, 2_000_000)).judged_by(&["nothing-lost"]).at(Stage::Hard);
    plan.launch.watch.trace = false;
    plan.launch.watch.snapshots = false;
    plan.launch.deadline = Duration::from_secs(60);
    plan.because("When eight children count at once")
}

fn numbers(run: &Run) -> (u64, u64) {
    let number = |n| run.plan.argument(n).parse().unwrap_or_default();
    (number(0), number(1))
}

/// Whether memory has seen this many children count: in one number, or a number for each.
fn counted(memory: &[Snapshot], children: u64, each: u64) -> bool {
    let slots = |bytes: &[u8]| {
        let wide = bytes.chunks_exact(8).filter(|b| **b == each.to_le_bytes()).count();
        let narrow = bytes.chunks_exact(4).filter(|b| u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])) == each);
        wide.max(narrow.count()) as u64
    };
    let in_all: u64 = memory.iter().map(|s| slots(&s.bytes)).sum();
    in_all >= children || memory.iter().any(|s| holds(&s.bytes, children * each))
}

fn in_shared_memory(run: &Run) -> Finding {
    let Some((fork, _)) = calls::birth_of(run.seen, observe::ProcessId(1)) else {
        return Failure::new(Reason::WrongCalls, "The program made no child: P children are to count.").found();
    };
    let (children, each) = numbers(run);
    let memories = || run.seen.events.iter().skip(fork + 1).filter_map(snapshots_of);
    if memories().any(|memory| counted(memory, children, each)) {
        return Ok(());
    }
    met(run)?;
    if later_snapshots(run.seen, fork).next().is_none() {
        return Err(not_shared(run, fork).into());
    }
    let words = format!(
        "{} never was in the shared memory: what is printed must have come another way. Let every child add to a counter there.",
        children * each
    );
    Failure::new(Reason::WrongState, words).found()
}

fn snapshots_of(event: &observe::Event) -> Option<&[Snapshot]> {
    match &event.what {
        What::Exited { snapshots, .. } | What::Forked { snapshots, .. } => Some(snapshots),
        What::Called { call: observe::Call::Munmap { snapshots, .. }, .. } => Some(snapshots),
        _ => None,
    }
}

/// `side-by-side`, seen where the parent is not held: it has made all children before it waits for one.
fn side_by_side(run: &Run) -> Finding {
    let (wanted, _) = numbers(run);
    let births: Vec<usize> = run
        .seen
        .events
        .iter()
        .enumerate()
        .filter(|(_, e)| matches!(e.what, What::Forked { .. }))
        .map(|(i, _)| i)
        .collect();
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words).found();
    if (births.len() as u64) < wanted {
        return wrong(format!("The program made {} of {wanted} children.", births.len()));
    }
    let first_end = run.seen.events.iter().position(|e| e.process != ROOT && matches!(e.what, What::Exited { .. }));
    if first_end.is_some_and(|end| births.last().is_some_and(|last| end < *last)) {
        return wrong("A child had already ended when the next one was made: they count one after another. Make all children first, and wait for them then.".into());
    }
    Ok(())
}

/// `each-adds`, seen where each child runs to its end before the next is made: the count grows by N with each.
fn each_adds(run: &Run) -> Finding {
    let (_, each) = numbers(run);
    let (mut born, mut ended) = (0, 0);
    let mut left: &[Snapshot] = &[];
    for event in &run.seen.events {
        if matches!(event.what, What::Forked { .. }) {
            born += 1;
        }
        if event.process == ROOT {
            continue;
        }
        left = snapshots_of(event).filter(|snapshots| !snapshots.is_empty()).unwrap_or(left);
        if matches!(event.what, What::Exited { .. }) {
            ended += 1;
            // From here on they count at once: what one of them has added cannot be told.
            if born > ended {
                return Ok(());
            }
            if !counted(left, ended, each) {
                let words = format!(
                    "When {ended} of the children had run to the end, the shared memory did not hold {ended} times {each}: each child is to add its own {each}, no more and no less."
                );
                return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
            }
        }
    }
    if ended == 0 { Err(Objection::open("no child ended")) } else { Ok(()) }
}

/// What the children's meeting brought about, whatever was asked: it depends on chance, and is for `nothing-lost`.
fn met(run: &Run) -> Finding {
    let (children, each) = numbers(run);
    let got: Option<u64> = run.seen.stdout.text().trim().parse().ok();
    if got.is_some_and(|got| 0 < got && got < children * each) || !matches!(run.seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("additions were lost, or the children wait for each other"));
    }
    Ok(())
}

fn sum_printed(run: &Run) -> Finding {
    met(run)?;
    output(run)
}

fn interrupted(run: &Run) -> Finding {
    met(run)?;
    under_faults(run)
}

fn nothing_lost(run: &Run) -> Finding {
    let (children, each) = numbers(run);
    let got: Option<u64> = run.seen.stdout.text().trim().parse().ok();
    match got {
        Some(got) if 0 < got && got < children * each => {
            let words = format!(
                "{} of {} additions were lost: two children load the same number, both add 1, both store the same sum. Make the addition one step (an atomic fetch_add), or lock around it, with a lock that is made for several processes.",
                children * each - got,
                children * each
            );
            Failure::new(Reason::Race, words).found()
        }
        _ => output(run).map_err(|objection| {
            objection.amended(|failure| {
                if failure.reason == Reason::Hung {
                    failure.message.push_str(" If it is a lock that they wait for: one in shared memory must be made for several processes (PTHREAD_PROCESS_SHARED, a futex without the private flag), or whoever waits for it is never woken.");
                }
            })
        }),
    }
}

/// `order`: right under the schedule, and what the parent prints it prints after the last child has ended.
fn prints_last(run: &Run) -> Finding {
    let first = printed(run).into_iter().find(|t| t.event.process == ROOT && t.bytes > 0);
    if let Some(print) = first {
        let later = run
            .seen
            .events
            .iter()
            .skip(print.index)
            .find(|e| e.process != ROOT && matches!(e.what, What::Exited { .. }));
        if let Some(later) = later {
            let words = format!(
                "The parent prints while {} still counts: wait for every child, and load the number then.",
                run.seen.name_of(later.process)
            );
            return Failure::new(Reason::Race, words).at(print.event.source.as_ref()).found();
        }
    }
    met(run)?;
    order(run)
}
