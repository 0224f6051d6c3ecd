//! `04_fork`, `quit_flag`: a loop that ends when another process says so.

use std::ops::Range;
use std::time::Duration;

use observe::{Call, Effect, Ending, Exit, Nth, ProcessId, Schedule, What};

use super::Spec;
use super::common::calls::{self, ROOT, birth_of};
use super::common::endings::{ended, status};
use super::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use super::common::text::quoted;
use super::common::{FORKS, MAPS, reaped, reports, under_faults, usage};
use super::fork::{holds, later_snapshots, not_shared};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Processor time that the parent may use while it waits.
const WAITING: Duration = Duration::from_millis(20);
/// How far a loop without system calls may have come while its parent was held, on any machine.
const COUNTED: Range<u64> = 100..1 << 60;
/// More calls than a child makes that only counts, reports and ends.
const MANY_CALLS: usize = 40;

/// `quit_flag MS`
pub(crate) fn quit_flag() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one MS is refused", usage),
            Check::outside("reports", "a failing mmap, fork or write is reported, and nothing is printed", reports),
            Check::outside("output", "the loop ends, and a count is printed", counted),
            Check::seen("shared-flag", "writable shared memory is mapped before fork", shared_flag),
            Check::seen("quits-by-itself", "the child ends by itself, and nobody kills it", quits_by_itself),
            Check::seen("in-time", "the flag is raised after MS milliseconds, and not before", in_time),
            Check::seen("counts-alone", "the child's loop makes no system call", counts_alone),
            Check::seen("reported", "the count is in the shared memory", reported),
            Check::seen("order", "the count is printed when the child has stored it, whoever runs first", counted),
            Check::seen("waits-blocking", "the parent blocks while it waits: no spinning", waits_blocking),
            Check::seen("eintr", "it is right when a wait is interrupted", counted_under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| flag_plan(nonce.number(20, 40)),
    }
}

fn flag_plan(milliseconds: u64) -> Plan {
    Plan::new("a while").arg(milliseconds.to_string()).snapshots().judged_by(&[
        "output",
        "shared-flag",
        "quits-by-itself",
        "in-time",
        "reported",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = flag_plan(nonce.number(80, 160));
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![plain.clone(), flag_plan(0).judged_by(&["output"])];
    // So long that even on a busy machine a parent that spins has its share of the processor.
    let slow = flag_plan(nonce.number(600, 700));
    let order = |plan: &Plan, schedule: Schedule, checks: &[&'static str]| {
        let checks = [checks, &["order", "quits-by-itself", "reaped"]].concat();
        // Not with sleeps that take no time: the child would have none to count in.
        orders(plan, &checks).into_iter().find(|p| p.launch.schedule == schedule)
    };
    plans.extend(order(&plain, Schedule::ChildFirst, &["counts-alone", "reported"]));
    plans.extend(order(&slow, Schedule::ParentFirst, &["waits-blocking"]));
    plans.extend([
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("no time", &[]),
        bad_usage("two times", &["1", "2"]),
        bad_usage("no number", &["soon"]),
        plain
            .again("interrupted waits", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)"),
    ]);
    plans
}

fn said(run: &Run) -> Option<u64> {
    run.seen.stdout.text().strip_suffix('\n')?.strip_prefix("counted ")?.parse().ok()
}

/// `output` and `order`: a number; where the child has surely run, one that is not 0.
fn counted(run: &Run) -> Finding {
    if run.seen.exit().is_none() {
        return Err(endless(run));
    }
    ended(run)?;
    status(run)?;
    let wrong = |words: String| Failure::new(Reason::WrongOutput, words);
    match said(run) {
        None => {
            wrong(format!("The program printed {} instead of one line `counted N`.", quoted(&run.seen.stdout.bytes)))
                .found()
        }
        Some(0) if run.plan.launch.schedule == Schedule::ChildFirst => {
            let printed = calls::printed(run);
            let words = "The program prints `counted 0` though the child has counted for a while: load the count when the child has ended, and not as soon as the flag is raised.";
            Failure { reason: Reason::Race, ..wrong(words.into()) }
                .at(printed.first().and_then(|t| t.event.source.as_ref()))
                .found()
        }
        Some(count) if run.plan.launch.schedule == Schedule::ChildFirst && !COUNTED.contains(&count) => {
            let words = format!(
                "The program prints `counted {count}` though the child has run for a while: it is to add 1 each time round."
            );
            wrong(words).found()
        }
        Some(_) => Ok(()),
    }
}

/// Why there was no end: most often the child does not see the flag.
fn endless(run: &Run) -> Objection {
    let objection = match ended(run) {
        Err(objection) => objection,
        Ok(()) => return Objection::open("the program came to its end"),
    };
    let spins = run.seen.processes.iter().skip(1).any(|child| child.ended.is_none() || child.killed);
    if run.seen.ending != Ending::Deadline || !spins {
        return objection;
    }
    objection.amended(|failure| {
        failure.message.push_str(" The child counts for ever. Either its flag is not the parent's (the memory is private, or was mapped after fork), or it is loaded only once: of an ordinary variable that the loop does not change, the optimiser takes the load out of the loop. Make it an atomic.");
    })
}

fn counted_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    counted(run)
}

fn child_born(run: &Run) -> Result<usize, Objection> {
    let no_child = || Failure::new(Reason::WrongCalls, "The program made no child: it is a child that is to count.");
    Ok(birth_of(run.seen, ProcessId(1)).ok_or_else(no_child)?.0)
}

fn shared_flag(run: &Run) -> Finding {
    let fork = child_born(run)?;
    match &run.seen.events[fork].what {
        What::Forked { snapshots, .. } if !snapshots.is_empty() => Ok(()),
        _ => Err(not_shared(run, fork).into()),
    }
}

fn quits_by_itself(run: &Run) -> Finding {
    child_born(run)?;
    let killed = run
        .seen
        .successes()
        .find(|(_, event, call, _)| event.process == ROOT && matches!(call, Call::Kill { signal, .. } if *signal != 0));
    if let Some((_, event, ..)) = killed {
        let words = "The parent sends the child a signal: it is to raise the flag, and the child to see that and end by itself.";
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    match run.seen.process(ProcessId(1)).exit {
        Some(Exit::Code(_)) => Ok(()),
        Some(Exit::Signal(signal)) => {
            let name = super::common::text::signal_name(signal);
            Failure::new(Reason::WrongState, format!("The child was killed by {name} instead of ending by itself."))
                .found()
        }
        None => Err(Objection::open("the child did not end")),
    }
}

/// `in-time`: the child cannot have ended before the flag was raised, nor that before its time.
fn in_time(run: &Run) -> Finding {
    let fork = &run.seen.events[child_born(run)?];
    let child = run.seen.process(ProcessId(1));
    let (Some(ended), Some(Exit::Code(_))) = (child.ended, child.exit) else {
        return Err(Objection::open("the child did not end by itself"));
    };
    let wanted = Duration::from_millis(run.plan.argument(0).parse().unwrap_or_default());
    // From when the parent went on: on a busy machine the child is seen later. And the parent sleeps on while the clock
    // stands still for a call of the child's.
    let meanwhile = run.seen.left_out.iter().filter(|(at, _)| (fork.at..ended).contains(at));
    let lived = ended.saturating_sub(fork.at) + meanwhile.map(|(_, took)| *took).sum::<Duration>();
    if lived >= wanted {
        return Ok(());
    }
    let words = format!(
        "The child ended after {} ms, and its flag was to be raised only after {}: the parent is to sleep for the whole time first.",
        lived.as_millis(),
        wanted.as_millis()
    );
    Failure::new(Reason::WrongState, words).found()
}

/// `counts-alone`, seen where the child runs for a while before the parent does.
fn counts_alone(run: &Run) -> Finding {
    child_born(run)?;
    let own: Vec<_> = run.seen.calls().filter(|(_, event, ..)| event.process == ProcessId(1)).collect();
    let Some((_, event, ..)) = own.get(MANY_CALLS) else { return Ok(()) };
    let name = match &event.what {
        What::Called { sysno, .. } => sysno.name(),
        _ => "call",
    };
    let words = format!(
        "The child makes a system call ({name}) each time round: the flag is in memory, and a load of it is all that is needed."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `reported`: what is printed has been in the shared memory.
fn reported(run: &Run) -> Finding {
    let fork = child_born(run)?;
    let Some(count) = said(run) else { return Err(Objection::open("no count was printed")) };
    if later_snapshots(run.seen, fork).any(|s| holds(&s.bytes, count)) {
        return Ok(());
    }
    let words = format!(
        "{count} never was in the shared memory: the child is to leave its count there, and the parent to load it."
    );
    Failure::new(Reason::WrongState, words).found()
}

/// `waits-blocking`, seen where the child is held until the parent can do no more.
fn waits_blocking(run: &Run) -> Finding {
    child_born(run)?;
    let alone = run.seen.process(ROOT).cpu_while_alone;
    if alone <= WAITING {
        return Ok(());
    }
    let words = format!(
        "The parent spins instead of waiting: it used the processor for {} ms while the child was held. Let it sleep until the time has come.",
        alone.as_millis()
    );
    let line = run.seen.calls().filter(|(_, e, ..)| e.process == ROOT).filter_map(|(_, e, ..)| e.source.clone()).last();
    Failure::new(Reason::WrongState, words).at(line.as_ref()).found()
}
