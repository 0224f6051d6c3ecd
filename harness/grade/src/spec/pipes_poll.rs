//! `05_pipes`, `pipe_poll`: many pipes, and whoever speaks first is heard first.

use std::time::Duration;

use observe::{Call, Effect, Ending, Fault, Nth, On, ProcessId, Schedule, Who};

use super::Spec;
use super::common::calls::{self, ROOT, joined, pipes, reads_of, writes_of};
use super::common::channels::ends_closed;
use super::common::endings::{blame_fault, ended, status};
use super::common::plans::{bad_usage, before_write, cut, failing, fault, first_pauses, unwritable_output};
use super::common::text::{complaints, quoted};
use super::common::{FORKS, PIPES, reaped, reports, usage};
use super::fork;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// The kernel's names of calls that wait for a descriptor to become ready.
const POLLS: &[&str] = &["poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// Told so often in a row of nothing but ends that were told before, a process spins.
const NOTHING_NEW: usize = 20;

/// The slow child, of whom the others must know nothing.
const SLOW: ProcessId = ProcessId(1);

/// `pipe_poll N`
pub(crate) fn pipe_poll() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one N from 1 to 64 is refused", usage),
            Check::outside("reports", "a pipe, fork or write that fails is reported", reports),
            Check::outside("output", "the line of every child is printed, whole and once", lines_printed),
            Check::seen("own-pipes", "every child sends its line over a pipe of its own", own_pipes),
            Check::seen(
                "as-they-come",
                "a line is printed when it has come, whoever else has not spoken yet",
                slow_last,
            ),
            Check::seen("waits-blocking", "the parent blocks while nobody speaks: no spinning", waits_blocking),
            Check::seen("ends-closed", "nobody waits for an end of file that an end left open keeps away", ends_closed),
            Check::seen("short-io", "it is right when lines come in pieces", in_pieces),
            Check::seen("eintr", "it is right when calls are interrupted", interrupted_lines),
            Check::seen("reaped", "every child is waited for, also when not all could be made", reaped),
        ],
        demo: |nonce| {
            let plan = poll_plan("three children, the first slow", nonce.number(3, 4));
            slow(plan)
        },
    }
}

fn poll_plan(name: &str, count: u64) -> Plan {
    Plan::new(name).arg(count.to_string()).judged_by(&["output", "own-pipes", "ends-closed", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = poll_plan("some children", nonce.number(4, 7));
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let held = &["as-they-come", "waits-blocking", "ends-closed", "reaped"];
    let mut third = plain.again("the third fork fails", &["reaped"]).at(Stage::Refusal).exits(1);
    third.launch.faults.push(fault(calls::FORK_CALLS, Nth::From(3), None, Effect::Fail(libc::EAGAIN)));
    let children = plain.argument(0).parse().unwrap_or_default();
    let mut half = slow(plain.again("half a line", held))
        .scheduled(first_pauses(children), "When the first child pauses in the middle of its line");
    half.launch
        .faults
        .push(Fault { who: Who::Nth(SLOW.0), ..fault(calls::WRITES, Nth::Only(1), Some(On::Pipe), Effect::Short(3)) });
    let mut most = poll_plan("as many children as there may be", 64);
    // A thread for each, all at once, is a way too.
    most.launch.limits.processes = 192;
    vec![
        plain.clone(),
        poll_plan("one child", 1),
        most,
        plain
            .again("child first", &["output", "reaped"])
            .scheduled(Schedule::ChildFirst, "When every child runs first"),
        plain
            .again("parent first", &["output", "reaped"])
            .scheduled(Schedule::ParentFirst, "When the parent runs first"),
        slow(plain.again("a slow child", held)),
        half,
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&poll_plan("one child", 1)),
        third.because("When the third fork fails"),
        bad_usage("no number", &[]),
        bad_usage("two numbers", &["3", "4"]),
        bad_usage("a word", &["few"]),
        cut(&plain, &[On::Pipe, On::Stdout], calls::WRITES, "write", 3),
        cut(&plain, &[On::Pipe], calls::READS, "read", 1),
        interrupted(&plain),
    ]
}

/// The first child makes its first write only when all others can do no more.
fn slow(plan: Plan) -> Plan {
    let holds = before_write(Who::Nth(SLOW.0), 1);
    let mut plan = plan.scheduled(Schedule::Holds(holds.into()), "When the first child is slow");
    plan.launch.deadline = Duration::from_secs(30);
    plan
}

fn interrupted(plan: &Plan) -> Plan {
    let effect = Effect::Fail(libc::EINTR);
    let mut plan = plan.again("interrupted calls", &["eintr"]).at(Stage::Hard);
    for calls in [calls::READS, calls::WRITES] {
        plan.launch.faults.push(fault(calls, Nth::Alternate, Some(On::Pipe), effect));
    }
    plan.launch.faults.push(fault(POLLS, Nth::Alternate, None, effect));
    plan.launch.faults.push(fault(calls::WAITS, Nth::Alternate, None, effect));
    plan.because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)")
}

fn lines_printed(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let count: u64 = run.plan.argument(0).parse().unwrap_or_default();
    let text = run.seen.stdout.text();
    let times = |line: &str| text.lines().filter(|l| *l == line).count();
    let wrong = |words: String| {
        let shown = format!("printed: {}", quoted(&run.seen.stdout.bytes));
        Failure::new(Reason::WrongOutput, words).evidence(shown).evidences(complaints(run.seen)).found()
    };
    let odd = (1..=count).map(|i| format!("child {i}")).find(|line| times(line) != 1);
    if let Some(line) = odd {
        return wrong(match times(&line) {
            0 => {
                format!("The line `{line}` was not printed: every child's line is wanted, whole, in a line of its own.")
            }
            n => format!("The line `{line}` was printed {n} times."),
        });
    }
    if text.lines().count() as u64 == count && text.ends_with('\n') {
        return Ok(());
    }
    wrong(format!("{} lines were printed; {count} are wanted, each with its newline.", text.lines().count()))
}

fn in_pieces(run: &Run) -> Finding {
    lines_printed(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

fn interrupted_lines(run: &Run) -> Finding {
    in_pieces(run)
}

/// `own-pipes`: each child writes to a pipe that no other writes to, and the parent reads it.
fn own_pipes(run: &Run) -> Finding {
    let seen = run.seen;
    if !matches!(seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let wanted: usize = run.plan.argument(0).parse().unwrap_or_default();
    let mut own = 0;
    for pipe in pipes(seen) {
        let mut writers: Vec<ProcessId> =
            writes_of(seen, pipe).filter(|t| t.bytes > 0).map(|t| t.event.process).collect();
        writers.dedup();
        writers.sort_unstable();
        writers.dedup();
        if writers.len() > 1 {
            let words = format!(
                "{} children write to {}: give each a pipe of its own, and let the parent wait for all of them at once.",
                writers.len(),
                seen.object(pipe).label
            );
            return Failure::new(Reason::WrongCalls, words).found();
        }
        let heard = reads_of(seen, pipe).any(|t| t.event.process == ROOT && t.bytes > 0);
        own += usize::from(heard && writers.first().is_some_and(|writer| *writer != ROOT));
    }
    if own >= wanted {
        return Ok(());
    }
    let words = format!(
        "Only {own} of {wanted} lines came to the parent through a pipe from a child: fork {wanted} children, and let each write its own line."
    );
    Failure::new(Reason::WrongCalls, words).found()
}

/// `as-they-come`: the line of the child that was held is the last.
fn slow_last(run: &Run) -> Finding {
    lines_printed(run)?;
    let sent: Vec<u8> = pipes(run.seen)
        .into_iter()
        .flat_map(|pipe| joined(writes_of(run.seen, pipe).filter(|t| t.event.process == SLOW)))
        .collect();
    let slow = String::from_utf8_lossy(&sent).trim().to_string();
    let text = run.seen.stdout.text();
    let Some(place) = text.lines().position(|line| line == slow) else {
        return Err(Objection::open("the first child sent no line of its own"));
    };
    let after = text.lines().count() - place - 1;
    if after == 0 {
        return Ok(());
    }
    let words = format!(
        "{after} lines that had come long before were printed after `{slow}`, the last to come: the parent waits for one child while the others have spoken. Wait for all pipes at once (poll), read from those that are ready only what is there, and keep half a line until the rest comes."
    );
    Failure::new(Reason::Race, words).evidence(format!("printed: {}", quoted(text.as_bytes()))).found()
}

/// `waits-blocking`, told by calls: poll comes back at once, again and again, for pipes that have ended.
fn waits_blocking(run: &Run) -> Finding {
    let mut nothing_new = 0;
    for (_, event, call, result) in run.seen.calls().filter(|(_, event, ..)| event.process == ROOT) {
        match (call, result) {
            (Call::Poll { .. }, _) => nothing_new += 1,
            (Call::Read { .. }, Some(Ok(bytes))) if bytes > 0 => nothing_new = 0,
            _ => {}
        }
        if nothing_new == NOTHING_NEW {
            let words = "The parent polls again and again without anything to read: a pipe whose writer has gone is ready for ever (POLLHUP, and read gives 0). Read its end, close it, and poll it no more; and give poll no time limit.";
            return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
        }
    }
    fork::waits_blocking(run)
}
