//! `05_pipes`: from parent to child, to the end.

use observe::{Call, Ending, Exit, Hold, On, ProcessId, Schedule, Who};

use super::Spec;
use super::common::calls::{self, ROOT, pipes};
use super::common::channels::{ends_closed, parent_to_child};
use super::common::family::capital;
use super::common::plans::{
    bad_usage, cuts, failing, interrupted, orders, unprintable, unreadable, unwritable_channel,
};
use super::common::text::signal_name;
use super::common::{FORKS, PIPES, child_prints, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// The longest argument that Linux takes, without its final zero; a pipe holds half of it.
const LONGEST_ARGUMENT: usize = 131_071;

/// `pipe_hello MESSAGE`
pub(crate) fn pipe_hello() -> Spec {
    Spec {
        plans: hello_plans,
        checks: vec![
            USAGE,
            REPORTS,
            Check::outside("output", "the message and a newline are printed, whoever runs first", output),
            THROUGH_PIPE,
            CHILD_PRINTS,
            ENDS_CLOSED,
            LARGE_MESSAGE,
            SHORT_IO,
            EINTR,
            REAPED,
        ],
        demo: |nonce| message_plan("a message", nonce.sentence(24)),
    }
}

/// `pipe_eof MESSAGE`
pub(crate) fn pipe_eof() -> Spec {
    Spec {
        plans: eof_plans,
        checks: vec![
            USAGE,
            REPORTS,
            Check::outside("output", "any message is printed whole, and a newline, whoever runs first", output),
            THROUGH_PIPE,
            CHILD_PRINTS,
            Check::seen("end-of-file", "the child reads until read returns 0", end_of_file),
            Check::seen("child-ends-itself", "the child ends by itself; nobody kills it", child_ends_itself),
            ENDS_CLOSED,
            LARGE_MESSAGE,
            SHORT_IO,
            EINTR,
            REAPED,
        ],
        demo: |nonce| message_plan("a message", nonce.sentence(24)),
    }
}

const USAGE: Check = Check::outside("usage", "a command line of anything but one MESSAGE is refused", usage);
const REPORTS: Check = Check::outside("reports", "a failing pipe, fork, read or write is reported", reports);
const THROUGH_PIPE: Check =
    Check::seen("through-pipe", "the message goes through a pipe, from parent to child", through_pipe);
const CHILD_PRINTS: Check = Check::seen("child-prints", "the child prints", child_prints);
const ENDS_CLOSED: Check =
    Check::seen("ends-closed", "nobody waits for an end of file that an end left open keeps away", ends_closed);
const LARGE_MESSAGE: Check =
    Check::outside("large-message", "a message longer than the pipe holds arrives whole", large_message);
const SHORT_IO: Check = Check::seen("short-io", "it is right when reads and writes are cut short", under_faults);
const EINTR: Check = Check::seen("eintr", "it is right when calls are interrupted", under_faults);
const REAPED: Check = Check::seen("reaped", "the child is waited for", reaped);

fn message_plan(name: &str, message: impl Into<Vec<u8>>) -> Plan {
    let message = message.into();
    let line = [message.as_slice(), b"\n"].concat();
    Plan::new(name).arg(message).prints(line).judged_by(&[
        "output",
        "through-pipe",
        "child-prints",
        "ends-closed",
        "reaped",
    ])
}

fn hello_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(20, 200) as usize;
    let message = nonce.sentence(len);
    let mut plans = vec![message_plan("a message", message), message_plan("one letter", nonce.word(1))];
    plans.extend(common_plans(nonce));
    plans
}

fn eof_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(20, 200) as usize;
    let strange = [nonce.word(3).as_bytes(), b"!\xff\n\x04Bye!\x1a", nonce.word(4).as_bytes(), b"!"].concat();
    let also = ["end-of-file", "child-ends-itself"];
    let mut plans = vec![message_plan("a message", nonce.sentence(len)), message_plan("a strange message", strange)];
    plans.extend(common_plans(nonce));
    for plan in plans.iter_mut().filter(|p| matches!(p.stage, Stage::Plain | Stage::Order)) {
        plan.checks.extend(also);
    }
    plans
}

/// What is asked of every program that sends one message to its child.
fn common_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(150, 250) as usize;
    let plain = message_plan("a longer message", nonce.sentence(len));
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = orders(&plain, &["output", "ends-closed", "reaped"]);
    plans.extend([
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_channel(&plain, On::Pipe),
        unreadable(&plain, On::Pipe, "the pipe"),
        unprintable(&plain),
        bad_usage("no message", &[]),
        bad_usage("two messages", &["one", "two"]),
    ]);
    let mut large = message_plan("the longest message", nonce.sentence(LONGEST_ARGUMENT)).coarse();
    large.launch.schedule = child_leaves_late();
    plans.push(large.judged_by(&["large-message"]).at(Stage::Hard));
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Pipe, On::Stdout]));
    plans
}

/// The child lets go of the pipe, and ends, when its parent can do no more: whether a child that has read too little is
/// gone before the rest is written would be chance otherwise, and with that who of the two fails.
fn child_leaves_late() -> Schedule {
    let closes = Hold::new(Who::Descendants, "close", 0).on(On::Pipe);
    Schedule::Holds(vec![closes, Hold::new(Who::Descendants, "exit_group", 0)])
}

fn through_pipe(run: &Run) -> Finding {
    let message = std::os::unix::ffi::OsStrExt::as_bytes(run.plan.launch.args[0].as_os_str());
    parent_to_child(run, message)
}

/// `large-message`: the result is right, where a pipe cannot hold it all.
fn large_message(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            if failure.reason == Reason::Hung {
                failure.message.push_str(
                    " The message is longer than a pipe holds (65536 bytes): a write waits there until somebody reads, so the child must read while the parent writes.",
                );
            }
        })
    })
}

/// `end-of-file`: the child's last read of the pipe returned 0.
fn end_of_file(run: &Run) -> Finding {
    let seen = run.seen;
    let used: Vec<_> = pipes(seen);
    let message = std::os::unix::ffi::OsStrExt::as_bytes(run.plan.launch.args[0].as_os_str());
    let mut stopped = None;
    for pipe in used {
        let carried: u64 = calls::writes_of(seen, pipe).filter(|t| t.event.process == ROOT).map(|t| t.bytes).sum();
        if carried < message.len() as u64 {
            continue;
        }
        let last = seen.calls().filter(|(_, event, call, _)| event.process != ROOT && reads_from(call, pipe)).last();
        match last {
            Some((_, _, _, Some(Ok(0)))) => return Ok(()),
            Some((_, event, ..)) => stopped = Some((pipe, event)),
            None => {}
        }
    }
    let Some((pipe, event)) = stopped else {
        return Err(Objection::open("the child read no message from a pipe"));
    };
    let label = &seen.object(pipe).label;
    let killed = seen.processes.iter().skip(1).any(|p| matches!(p.exit, Some(Exit::Signal(_))));
    if !matches!(seen.ending, Ending::Ended(_)) || killed {
        return Err(Objection::open(format!("the child was still waiting for the end of {label} when it was stopped")));
    }
    let words = format!(
        "The child stops reading {label} before read() has returned 0: a marker, a length or a short read is not the end of the message. Read until read() returns 0."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

fn reads_from(call: &Call, pipe: observe::ObjectId) -> bool {
    match call {
        Call::Read { object, .. } => *object == Some(pipe),
        Call::Move { from, .. } => *from == Some(pipe),
        _ => false,
    }
}

/// `child-ends-itself`: no child was killed, by whomever.
fn child_ends_itself(run: &Run) -> Finding {
    let seen = run.seen;
    let dead = seen.processes.iter().enumerate().skip(1).find_map(|(i, p)| match p.exit {
        Some(Exit::Signal(signal)) => Some((ProcessId(i as u32), signal)),
        _ => None,
    });
    if let Some((child, signal)) = dead {
        let killer = seen.calls().find_map(|(_, event, call, _)| match call {
            Call::Kill { target: Some(target), .. } if *target == child && event.process != child => Some(event),
            _ => None,
        });
        let name = capital(&seen.name_of(child));
        let words = match killer {
            Some(event) => format!(
                "{} kills {} with {}: a child that reads to the end of file ends by itself, when every write end is closed.",
                capital(&seen.name_of(event.process)),
                seen.name_of(child),
                signal_name(signal)
            ),
            None => format!("{name} was killed by {}: let it end by itself, at the end of file.", signal_name(signal)),
        };
        return Failure::new(Reason::WrongState, words).at(killer.and_then(|e| e.source.as_ref())).found();
    }
    match seen.ending {
        Ending::Ended(_) if seen.processes.len() > 1 => Ok(()),
        Ending::Ended(_) => Err(Objection::open("there was no child")),
        _ => Err(Objection::open("the program came to no end")),
    }
}
