//! `signal_wait`: signals and the ends of children, awaited in one loop that misses none.

use std::collections::BTreeMap;

use observe::{Action, Call, Deed, Ending, Event, On, Stdin, Trigger, What};

use super::unsafe_call;
use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, ROOT};
use crate::spec::common::endings::{blame_fault, ended, hung, status};
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, quoted, signal_name};
use crate::spec::common::{FORKS, reaped, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const MOST_CHILDREN: u64 = 100;

/// Calls in which a program may wait for a signal.
const SIGNAL_WAITS: &[&str] = &[
    "pause",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "read",
];

/// `signal_wait N`
pub(crate) fn signal_wait() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one number up to 100 is refused", usage),
            Check::outside("reports", "a failing fork or write is reported", reports),
            Check::outside("output", "each signal and each child's end is printed as it comes", told),
            Check::outside("together", "children that end together are all told of", told),
            Check::seen("no-gap", "a signal that comes just before the wait is not lost", no_gap),
            Check::seen("handler-safe", "no handler does what is not safe in one", handler_safe),
            Check::seen("blocks", "it waits in a call that blocks until something comes", blocks),
            Check::seen("reaped", "every child is waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when reads and writes are interrupted", under_faults),
        ],
        demo: |_| signals("signals and two children", 2),
    }
}

fn act(when: Trigger, what: Deed) -> Action {
    Action { when, what }
}

fn said(lines: &str) -> Trigger {
    Trigger::Printed(lines.into())
}

/// A launch with so many children; nothing is sent to it yet.
fn children(name: &str, count: u64) -> Plan {
    let mut plan = Plan::new(name).arg(count.to_string());
    plan.launch.stdin = Stdin::Open(Vec::new());
    plan
}

/// SIGUSR1 twice, then the end of all children, then SIGTERM, each when everybody waits.
fn signals(name: &str, count: u64) -> Plan {
    children(name, count)
        .judged_by(&["output", "handler-safe", "blocks", "reaped"])
        .action(act(Trigger::AllBlocked, Deed::Signal(libc::SIGUSR1)))
        .action(act(Trigger::AllBlocked, Deed::Signal(libc::SIGUSR1)))
        .action(act(Trigger::AllBlocked, Deed::CloseStdin))
        .action(act(Trigger::AllBlocked, Deed::Signal(libc::SIGTERM)))
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = signals("signals and children", nonce.number(2, 4));
    let together = children("many children, all at once", nonce.number(6, 9))
        .judged_by(&["together", "reaped"])
        .action(act(Trigger::AllBlocked, Deed::Signal(libc::SIGTERM)))
        .action(act(said("SIGTERM\n"), Deed::CloseStdin))
        .because("When all children end together");
    let mut hundred = together.again("as many children as may be asked for", &["together", "reaped"]).coarse();
    hundred.circumstance = format!("With {MOST_CHILDREN} children");
    hundred.launch.args = vec![MOST_CHILDREN.to_string().into()];
    hundred.launch.limits.processes += MOST_CHILDREN;
    let before = |signal| {
        let when = Trigger::Before { calls: SIGNAL_WAITS.iter().map(|c| c.to_string()).collect(), nth: 1 };
        act(when, Deed::Signal(signal))
    };
    let gap = |name: &str, signal: i32| {
        let words = format!("When {} comes just before the program begins to wait", signal_name(signal));
        children(name, 0).judged_by(&["no-gap"]).action(before(signal)).because(words)
    };
    let failing_fork = plain.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN);
    // Who waits for what is printed must not be told at the end only.
    let alone = children("signals alone", 0)
        .judged_by(&["output", "blocks"])
        .action(act(Trigger::AllBlocked, Deed::Signal(libc::SIGUSR1)))
        .action(act(said("SIGUSR1\n"), Deed::Signal(libc::SIGTERM)));
    let mut plans = vec![
        alone.clone(),
        gap("SIGUSR1 before the wait", libc::SIGUSR1).action(act(said("SIGUSR1\n"), Deed::Signal(libc::SIGTERM))),
        gap("SIGTERM before the wait", libc::SIGTERM),
        plain.clone(),
        together,
        hundred.at(Stage::Hard),
    ];
    plans.extend([
        failing_fork.fault(failing(FORK_CALLS, None, libc::EAGAIN)),
        unwritable_output(&alone),
        bad_usage("no arguments", &[]),
        bad_usage("two numbers", &["1", "2"]),
        bad_usage("no number", &["two"]),
    ]);
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdout]));
    // Only what really can be interrupted: a look for children that does not wait cannot.
    let mut interrupted = interrupted(&plain, &[On::Pipe, On::Stdin, On::Stdout]);
    interrupted.launch.faults.retain(|fault| fault.on.is_some());
    plans.push(interrupted);
    plans
}

fn name(signal: i32) -> String {
    signal_name(signal).split(' ').next().unwrap_or_default().to_owned()
}

/// The lines that are to come, in any order.
fn expected(plan: &Plan) -> Vec<String> {
    let signals = plan.launch.actions.iter().filter_map(|action| match action.what {
        Deed::Signal(signal) => Some(name(signal)),
        _ => None,
    });
    let count: u32 = plan.argument(0).parse().unwrap_or_default();
    signals.chain((1..=count).map(|n| format!("child {n}: exit {n}"))).collect()
}

/// Each expected line, and how often more (or less often) it has come.
fn surplus(run: &Run) -> BTreeMap<String, i32> {
    let mut lines = BTreeMap::new();
    for line in expected(run.plan) {
        *lines.entry(line).or_insert(0) -= 1;
    }
    for line in run.seen.stdout.text().lines() {
        *lines.entry(line.to_owned()).or_insert(0) += 1;
    }
    lines
}

/// `output`, `together`: every line has come, each when it was due, and the program has ended.
fn told(run: &Run) -> Finding {
    if matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline) {
        return Err(waits_on(run).into());
    }
    ended(run)?;
    status(run)?;
    let lines = surplus(run);
    let wrong = |words: String| {
        let got = format!("standard output: {}", quoted(&run.seen.stdout.bytes));
        Failure::new(Reason::WrongOutput, words).evidence(got).evidences(complaints(run.seen)).found()
    };
    let find = |wanted: fn(i32) -> bool| lines.iter().find(|(_, n)| wanted(**n)).map(|(line, _)| line.as_str());
    match (find(|n| n < 0), find(|n| n > 0)) {
        (None, None) => Ok(()),
        (Some(missing), Some(other)) => wrong(format!("The program printed `{other}`, but never `{missing}`.")),
        (None, Some(other)) => wrong(format!("The program printed `{other}` once too often.")),
        (Some(missing), None) => {
            wrong(format!("The program ended without having printed `{missing}`. {}", lost(missing)))
        }
    }
}

/// Why such a line may be missing.
fn lost(line: &str) -> &'static str {
    if line.starts_with("child") {
        "It is to end only when SIGTERM has come and every child has ended; and as signals of one kind do not queue, one SIGCHLD may stand for several children: take all that have ended, with WNOHANG, until there is none."
    } else {
        "A signal that comes while the program does something else must not be lost."
    }
}

/// Something has come, and the program says nothing of it.
fn waits_on(run: &Run) -> Failure {
    let seconds = run.plan.launch.deadline.as_secs();
    let failure = hung(run.seen, seconds);
    let last = run.seen.actions_done.checked_sub(1).and_then(|n| run.plan.launch.actions.get(n));
    let missing = surplus(run).into_iter().find(|(line, n)| *n < 0 && line.starts_with("child"));
    let words = match (last.map(|action| &action.what), missing) {
        (Some(Deed::Signal(signal)), _) if !run.seen.stdout.text().contains(&name(*signal)) => format!(
            "The signal {} was sent, and the program waits on without having said so: the text is still in a buffer, or the signal was lost.",
            name(*signal)
        ),
        (Some(Deed::CloseStdin | Deed::Signal(libc::SIGTERM)), Some((line, _))) => {
            format!("The program waits on, and has never printed `{line}`. {}", lost(&line))
        }
        _ => return failure,
    };
    Failure { message: words, ..failure }
}

/// `no-gap`: the signal that comes between the program's last look and its waiting is told of.
fn no_gap(run: &Run) -> Finding {
    if run.seen.actions_done == 0 {
        return Err(Objection::open("the program did not wait in a call that is for this"));
    }
    if !matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline) {
        return told(run);
    }
    let words = "The program waits for ever: it has looked whether a signal has come, the signal comes, and then it begins to wait for it. Let looking and waiting be one step: block the signals and wait with sigwait, signalfd, sigsuspend or ppoll, or have the handler write to a pipe.";
    Err(Failure { reason: Reason::Race, message: words.into(), ..waits_on(run) }.into())
}

/// `handler-safe`: nothing that takes a lock or memory, in any handler.
fn handler_safe(run: &Run) -> Finding {
    let mut inside: Vec<(i32, &[String])> = Vec::new();
    for (index, event) in run.seen.events.iter().enumerate() {
        match &event.what {
            What::Signalled { disposition: observe::Disposition::Handler, .. } => {
                let before = run.seen.events[..index].iter().rev();
                let interrupted = before.filter(|e| e.thread == event.thread).find(|e| !e.stack.is_empty());
                inside.push((event.thread, interrupted.map_or(&[], |e| &e.stack)));
            }
            What::HandlerReturned => inside.retain(|(thread, _)| *thread != event.thread),
            _ => {
                let Some((_, interrupted)) = inside.iter().rev().find(|(thread, _)| *thread == event.thread) else {
                    continue;
                };
                if let Some(words) = unsafe_call(event, interrupted) {
                    return Failure::new(Reason::Forbidden, words).at(event.source.as_ref()).found();
                }
            }
        }
    }
    Ok(())
}

/// `blocks`: no sleep, and no wait that ends of itself.
fn blocks(run: &Run) -> Finding {
    let looks_again = |event: &Event| match &event.what {
        What::Called { call: Call::Sleep { .. }, .. } => Some("sleeps, and looks again"),
        What::Called { call: Call::Poll { timeout: 1.., .. } | Call::SignalWait { timed: true }, .. } => {
            Some("waits for a time only, and looks again")
        }
        _ => None,
    };
    let own = run.seen.events.iter().filter(|event| event.process == ROOT && !event.startup);
    let Some((event, does)) = own.filter_map(|event| Some((event, looks_again(event)?))).next() else {
        return Ok(());
    };
    let words = format!(
        "The program {does}: it wakes for nothing, and is late for what has come. Wait in one call that ends when something comes."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `short-io`, `eintr`: the same as without the faults.
fn under_faults(run: &Run) -> Finding {
    told(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}
