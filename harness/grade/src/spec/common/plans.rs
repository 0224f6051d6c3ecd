//! The conditions under which every exercise is tried: bad usage, other schedules, cut and interrupted calls.

use observe::{Effect, Fault, Hold, Nth, On, Schedule, Who};

use super::calls::{READS, WAITS, WRITES};
use crate::{Plan, Stage};

/// A fault on every call of these names.
pub fn failing(calls: &[&str], on: Option<On>, errno: i32) -> Fault {
    fault(calls, Nth::From(1), on, Effect::Fail(errno))
}

/// A fault on chosen calls of these names, by whomever they are made.
pub fn fault(calls: &[&str], nth: Nth, on: Option<On>, effect: Effect) -> Fault {
    Fault { who: Who::Any, calls: calls.iter().map(|c| c.to_string()).collect(), nth, on, effect }
}

/// A command line that must be refused.
pub fn bad_usage(name: &str, args: &[&str]) -> Plan {
    let plan = Plan::new(format!("bad usage: {name}")).at(Stage::Refusal).judged_by(&["usage"]);
    args.iter().fold(plan, |plan, arg| plan.arg(*arg))
}

/// The same run with every read cut to a byte, and with every write cut to three: apart, for a write of one byte
/// that was read can be cut no more.
pub fn cuts(plan: &Plan, on: &[On]) -> [Plan; 2] {
    [cut(plan, on, READS, "read", 1), cut(plan, on, WRITES, "write", 3)]
}

/// The same run with every call of a family cut to so many bytes.
pub fn cut(plan: &Plan, on: &[On], calls: &[&str], call: &str, bytes: u64) -> Plan {
    let most = if bytes == 1 { "one byte".into() } else { format!("{bytes} bytes") };
    let mut cut = plan.again(&format!("{call}s of at most {most}"), &["short-io"]).at(Stage::Hard);
    for object in on {
        cut = cut.fault(fault(calls, Nth::From(1), Some(object.clone()), Effect::Short(bytes)));
    }
    cut.because(format!("When a {call} moves at most {most} at a time"))
}

/// The same run with every second read, write and wait interrupted by a signal.
pub fn interrupted(plan: &Plan, on: &[On]) -> Plan {
    let mut plan = plan.again("interrupted calls", &["eintr"]).at(Stage::Hard);
    let interrupted = Effect::Fail(libc::EINTR);
    for object in on {
        for calls in [READS, WRITES] {
            plan = plan.fault(fault(calls, Nth::Alternate, Some(object.clone()), interrupted));
        }
    }
    plan.fault(fault(WAITS, Nth::Alternate, None, interrupted))
        .because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)")
}

/// The same run with the child before the parent, the parent before the child, and with sleeps that do not sleep; and
/// if it is right then, as the kernel likes.
pub fn orders(plan: &Plan, checks: &[&'static str]) -> Vec<Plan> {
    let after_fork = |name: &str, schedule: Schedule, words: &str| plan.again(name, checks).scheduled(schedule, words);
    vec![
        after_fork(
            "child first",
            Schedule::ChildFirst,
            "When the parent is held after fork until the child can do no more",
        ),
        after_fork(
            "parent first",
            Schedule::ParentFirst,
            "When the child is held after fork until the parent can do no more",
        ),
        after_fork(
            "child first, no sleep",
            Schedule::ChildFirst,
            "When the child runs first and a sleep takes no time",
        )
        .sleepless(),
        after_fork(
            "parent first, no sleep",
            Schedule::ParentFirst,
            "When the parent runs first and a sleep takes no time",
        )
        .sleepless(),
        plan.again("as it comes", checks).at(Stage::Hard),
    ]
}

/// Standard output that takes nothing: a full disk behind it.
pub fn unwritable_output(plan: &Plan) -> Plan {
    let plan = plan.again("standard output is full", &["reports"]);
    plan.reports(super::calls::OUTPUTS, None, libc::ENOSPC)
        .fault(failing(WRITES, Some(On::Stdout), libc::ENOSPC))
        .because("When standard output cannot be written")
}

/// A file that can be opened and not be read: a disk that fails.
pub fn unreadable_file(plan: &Plan, path: &str) -> Plan {
    let plan = plan.again(&format!("{path} cannot be read"), &[]).reports(super::calls::INPUTS, Some(path), libc::EIO);
    plan.fault(failing(READS, Some(On::File(path.into())), libc::EIO)).because(format!("When a read of {path} fails"))
}

/// The same of a program that may open and read the file in one step, and call that by the name of either.
pub fn unreadable_text(plan: &Plan, path: &str) -> Plan {
    let mut plan = unreadable_file(plan, path);
    plan.expect.calls = super::calls::LOADS;
    plan
}

/// A pipe or FIFO that takes nothing from the program itself. What its child makes of an early end is its own.
pub fn unwritable_channel(plan: &Plan, on: On) -> Plan {
    let fault = Fault { who: Who::Root, ..failing(WRITES, Some(on), libc::EIO) };
    let mut plan = plan.again("the parent's write fails", &[]).reports(super::calls::OUTPUTS, None, libc::EIO);
    plan.expect.stdout = None;
    plan.fault(fault).because("When the parent cannot write")
}

/// A pipe, a FIFO or standard input from which nobody can read: "the pipe".
pub fn unreadable(plan: &Plan, on: On, what: &str) -> Plan {
    let mut unread = plan.again(&format!("{what} cannot be read"), &[]).reports(super::calls::INPUTS, None, libc::EIO);
    unread.expect.stdout.clone_from(&plan.expect.stdout);
    unread.expect.anyones = true;
    // Not every head says what a parent is to make of its child's failure.
    unread.expect.status = 0;
    unread.fault(failing(READS, Some(on), libc::EIO)).because(format!("When a read of {what} fails"))
}

/// Standard output that takes nothing from the child that prints: somebody says so, and the program fails.
pub fn unprintable(plan: &Plan) -> Plan {
    let mut full = unwritable_output(plan);
    full.expect.stdout.clone_from(&plan.expect.stdout);
    full.expect.anyones = true;
    full
}

/// The first of so many children pauses between its first two writes to a pipe, and the others make theirs in the pause:
/// neither before it nor after.
pub fn first_pauses(children: u32) -> Schedule {
    let rest = before_write(Who::Nth(1), 2).map(|hold| Hold { last: true, ..hold });
    let others = (2..=children).flat_map(|other| before_write(Who::Nth(other), 1));
    Schedule::Holds(rest.into_iter().chain(others).collect())
}

/// Before the n-th write to a pipe.
pub fn before_write(who: Who, nth: u32) -> [Hold; 2] {
    ["write", "writev"].map(|call| Hold::new(who, call, nth).on(On::Pipe))
}
