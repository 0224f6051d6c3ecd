//! `fifo_server`: clients that come and go, and a server that stays.

use observe::{Action, Call, Deed, Ending, Event, Exit, On, Trigger};

use super::checks::{clean, existing_path, fifos};
use super::{FOREIGN, MAKES};
use crate::spec::Spec;
use crate::spec::common::calls::{OPEN_CALLS, printed};
use crate::spec::common::endings::{blame_fault, ended, hung, status, text};
use crate::spec::common::plans::{bad_usage, cuts, fault, interrupted, unwritable_output};
use crate::spec::common::text::{quoted, signal_name};
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Calls in which a server may wait for a client.
const WAITS: &[&str] = &[
    "read",
    "readv",
    "open",
    "openat",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
];
const PIPE_BUF: usize = libc::PIPE_BUF;
/// So many clients a server must be ready for.
const MOST_CLIENTS: usize = 1000;
/// Told so often in a row that there is nothing, a process spins.
const NOTHING_NEW: usize = 20;

/// `fifo_server PATH N`
pub(crate) fn fifo_server() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PATH and N is refused", usage),
            Check::outside("reports", "a failing mkfifo or write is reported", reports),
            Check::outside("output", "the line of every client is printed when it has come", served),
            Check::outside("together", "two lines that come in one read are two clients", served),
            Check::seen("always-a-reader", "who comes between two clients finds a reader", always_a_reader),
            Check::seen(
                "waits-blocking",
                "between clients the server blocks: no spinning, no looking again and again",
                waits_blocking,
            ),
            Check::outside("sigterm", "SIGTERM ends it in order, also before the first client", terminated),
            Check::seen("sigterm-race", "SIGTERM just before it begins to wait is not lost", terminated),
            Check::outside("existing-path", "what is at PATH already is an error, and stays untouched", existing_path),
            Check::outside("clean", "the FIFO is gone at the end, also after a failure or SIGTERM", clean),
            Check::seen("short-io", "it is right when lines come in pieces", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| clients(nonce, "three clients", 3),
    }
}

/// A server for so many clients; none comes yet.
fn server(nonce: &mut Nonce, name: &str, clients: usize) -> (Plan, Vec<String>) {
    let lines = (0..clients).map(|_| {
        let len = nonce.number(5, 30) as usize;
        format!("{}\n", nonce.sentence(len))
    });
    let lines: Vec<String> = lines.collect();
    let plan = Plan::new(name).arg(nonce.word(5)).arg(clients.to_string()).prints(lines.concat());
    (plan, lines)
}

/// A client, or some whose lines come in one read.
fn client(plan: &Plan, when: Trigger, lines: &str) -> Action {
    Action { when, what: Deed::WriteFifo { path: plan.argument(0).into(), bytes: lines.into() } }
}

/// One client after the other: each comes when the line before is printed and the server has nothing else to do.
fn one_by_one(mut plan: Plan, lines: &[String]) -> Plan {
    for line in lines {
        let comes = client(&plan, Trigger::AllBlocked, line);
        // Nothing is fed: only the next action's turn is put off until the line is out.
        let printed = Trigger::Printed(line.as_bytes().to_vec());
        plan = plan.action(comes).action(Action { when: printed, what: Deed::Feed(Vec::new()) });
    }
    plan
}

fn clients(nonce: &mut Nonce, name: &str, count: usize) -> Plan {
    let (plan, lines) = server(nonce, name, count);
    one_by_one(plan, &lines).judged_by(&["output", "always-a-reader", "waits-blocking", "clean"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let count = nonce.number(3, 5) as usize;
    let plain = clients(nonce, "some clients", count);
    let path = plain.argument(0);
    let (together, lines) = server(nonce, "two clients at once", 3);
    let both = client(&together, Trigger::AllBlocked, &lines[..2].concat());
    let printed = Trigger::Printed(lines[..2].concat().into_bytes());
    let both_are_out = Action { when: printed, what: Deed::Feed(Vec::new()) };
    let third = client(&together, Trigger::AllBlocked, &lines[2]);
    let together = together.judged_by(&["together"]).because("When two clients have written before the server reads");
    let taken = plain.again("a file is at PATH", &["existing-path"]).prints("").exits(1).at(Stage::Refusal);
    let mut full = unwritable_output(&plain);
    full.checks.push("clean");
    let mut plans = vec![
        plain.clone(),
        clients(nonce, "one client", 1),
        together.action(both).action(both_are_out).action(third),
        longest_line(nonce),
        one_too_many(nonce),
        sigterm(nonce, "SIGTERM before the first client", 0, Trigger::AllBlocked),
        sigterm(nonce, "SIGTERM after some clients", 2, Trigger::AllBlocked),
        sigterm(nonce, "SIGTERM before the wait", 1, before_wait()),
        Plan::new("mkfifo fails").arg("nowhere/fifo").arg("2").reports(MAKES, Some("nowhere"), libc::ENOENT),
        full,
        Plan { launch: observe::Launch { actions: Vec::new(), ..taken.launch.clone() }, ..taken }
            .file(observe::InputFile::new(&path, FOREIGN))
            .because(format!("When a file {path} is there already")),
        bad_usage("no arguments", &[]),
        bad_usage("no number of clients", &["pipe"]),
        bad_usage("one too many", &["pipe", "2", "3"]),
        bad_usage("no number", &["pipe", "some"]),
        bad_usage("no client", &["pipe", "0"]),
    ];
    plans.extend(cuts(&plain, &[On::Fifo, On::Stdout]));
    let mut interrupted = interrupted(&plain, &[On::Fifo, On::Stdout]);
    for calls in [OPEN_CALLS, &WAITS[4..]] {
        let again = observe::Effect::Fail(libc::EINTR);
        interrupted = interrupted.fault(fault(calls, observe::Nth::Alternate, None, again));
    }
    plans.push(interrupted);
    plans
}

/// A line of `PIPE_BUF` bytes, and a short one.
fn longest_line(nonce: &mut Nonce) -> Plan {
    let (plan, mut lines) = server(nonce, "a line of PIPE_BUF bytes", 2);
    lines[0] = format!("{}\n", nonce.word(PIPE_BUF - 1));
    one_by_one(plan.prints(lines.concat()), &lines).judged_by(&["output"]).because("When a line has PIPE_BUF bytes")
}

/// One client more than there is to be has written when the server reads.
fn one_too_many(nonce: &mut Nonce) -> Plan {
    let (plan, lines) = server(nonce, "one client too many", 2);
    let all = client(&plan, Trigger::AllBlocked, &[lines.concat(), "one too many\n".into()].concat());
    plan.action(all).judged_by(&["output"]).because("When more than N lines come in one read")
}

fn before_wait() -> Trigger {
    Trigger::Before { calls: WAITS.iter().map(|call| call.to_string()).collect(), nth: 1 }
}

/// So many clients of more come, and then SIGTERM.
fn sigterm(nonce: &mut Nonce, name: &str, come: usize, when: Trigger) -> Plan {
    let (mut plan, lines) = server(nonce, name, come + 2);
    let race = matches!(when, Trigger::Before { .. });
    let words = if race { "When SIGTERM comes just before the server begins to wait" } else { "When SIGTERM comes" };
    plan.expect.stdout = None;
    if race {
        // What it has been told by then it may have printed or not.
        let comes = client(&plan, Trigger::AllBlocked, &lines[0]);
        plan = plan.action(comes);
    } else {
        // As many as may be asked for; that most of them never come is what SIGTERM is for.
        plan.launch.args[1] = MOST_CLIENTS.to_string().into();
        plan.expect.stdout = Some(lines[..come].concat().into_bytes());
        plan = one_by_one(plan, &lines[..come]);
    }
    plan.action(Action { when, what: Deed::Signal(libc::SIGTERM) })
        .judged_by(&[if race { "sigterm-race" } else { "sigterm" }, "clean"])
        .because(words)
}

/// How many lines of clients have come out.
fn lines_printed(run: &Run) -> usize {
    run.seen.stdout.bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// `output`, `together`: all lines are there, each when it was due.
fn served(run: &Run) -> Finding {
    let done = lines_printed(run);
    if matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline) {
        let failure = hung(run.seen, run.plan.launch.deadline.as_secs());
        let words = match next(run) {
            Some(Trigger::Printed(line)) if !run.seen.stdout.bytes.ends_with(line) => format!(
                "A client's line has come, and the server waits on without having printed it: {}. Flush what you print, line by line.",
                quoted(line)
            ),
            // What it does instead of waiting, waits-blocking says.
            Some(_) => return Err(Objection::open("the server never came to rest between clients")),
            None => format!(
                "All {} clients have come, {done} lines are printed, and the server waits on: count lines, not reads nor ends of file.",
                run.plan.argument(1)
            ),
        };
        return Err(Failure { message: words, ..failure }.into());
    }
    ended(run)?;
    status(run)?;
    if matches!(next(run), Some(Trigger::AllBlocked)) && run.plan.argument(1).parse() != Ok(done) {
        let words = format!(
            "The server ended after {done} of {} lines, before the other clients came. An end of file says that nobody has the FIFO open for writing at this moment, and somebody may again in the next.",
            run.plan.argument(1)
        );
        return Failure::new(Reason::WrongOutput, words).at(last_end(run).and_then(|e| e.source.as_ref())).found();
    }
    text(run)
}

/// What is still awaited, for something to happen from outside.
fn next<'a>(run: &Run<'a>) -> Option<&'a Trigger> {
    run.plan.launch.actions.get(run.seen.actions_done).map(|action| &action.when)
}

/// The last read that gave an end of file.
fn last_end<'a>(run: &Run<'a>) -> Option<&'a Event> {
    let all = fifos(run);
    let is_end =
        |call: &Call, value: i64| matches!(call, Call::Read { object: Some(o), .. } if all.contains(o) && value == 0);
    run.seen.successes().filter(|(_, _, call, value)| is_end(call, *value)).map(|(_, event, ..)| event).last()
}

/// `always-a-reader`: the last read end is not closed while clients are still to come.
fn always_a_reader(run: &Run) -> Finding {
    let all = fifos(run);
    let (Some(last), true) = (printed(run).last().map(|t| t.index), !all.is_empty()) else {
        return Err(Objection::open("no line was printed"));
    };
    let closed = run.seen.successes().take_while(|(index, ..)| *index < last).find(|(index, event, call, _)| {
        let Call::Close { fd, object: Some(fifo) } = call else { return false };
        let readers = || run.seen.holders_before(*index, *fifo, false);
        all.contains(fifo) && readers() == [(event.process, *fd)]
    });
    let Some((_, event, ..)) = closed else { return Ok(()) };
    let words = "Between two clients the server closes the FIFO and opens it again. Who has it open at that moment writes to nobody (SIGPIPE), and a line written just before is thrown away. Keep it open, with a write end of your own beside it: then there is no end of file to run away from.";
    Failure::new(Reason::Race, words).at(event.source.as_ref()).found()
}

/// `waits-blocking`: told by calls that find nothing, and by waits that end of themselves.
fn waits_blocking(run: &Run) -> Finding {
    let mut nothing_new = 0;
    for (_, event, call, result) in run.seen.calls() {
        match (call, result) {
            (Call::Read { .. }, Some(Ok(1..))) => nothing_new = 0,
            (Call::Read { .. } | Call::Poll { .. }, Some(_)) => nothing_new += 1,
            _ => {}
        }
        let looks_again = matches!(call, Call::Sleep { .. } | Call::Poll { timeout: 1.., .. });
        let words = if nothing_new >= NOTHING_NEW {
            "Between two clients the server reads again and again and gets the end of file each time: a FIFO without a writer is always at its end, and ready for poll. Hold a write end yourself, and read waits."
        } else if looks_again {
            "The server sleeps, or waits for a time only, and looks again: it wakes for nothing, and is late for who has come. Wait in a call that ends when a client comes."
        } else {
            continue;
        };
        return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
    }
    Ok(())
}

/// `sigterm`, `sigterm-race`: exit status 0, and all that came before is printed.
fn terminated(run: &Run) -> Finding {
    if run.seen.actions_done < run.plan.launch.actions.len() {
        return Err(Objection::open("the server never came to wait for a client"));
    }
    match run.seen.ending {
        Ending::Ended(Exit::Signal(libc::SIGTERM)) => {
            let left = run.seen.file(&run.plan.argument(0)).is_some();
            let words = format!(
                "SIGTERM kills the server{}: catch it or block it, remove the FIFO, and exit with 0.",
                if left { ", and the FIFO stays behind" } else { "" }
            );
            Failure::new(Reason::Signalled, words).found()
        }
        Ending::Deadlocked | Ending::Deadline => {
            let failure = hung(run.seen, run.plan.launch.deadline.as_secs());
            let words = format!(
                "{} was sent, and the server waits on. A handler that only sets a flag is not enough: the call that waits may be restarted, or begin just after the signal has come. Block the signal and wait for both with signalfd and poll or with ppoll, or let the handler itself unlink and _exit.",
                signal_name(libc::SIGTERM)
            );
            Err(Failure { message: words, ..failure }.into())
        }
        _ => {
            ended(run)?;
            status(run)?;
            text(run)
        }
    }
}

/// `short-io`, `eintr`: the same as without the faults.
fn under_faults(run: &Run) -> Finding {
    served(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}
