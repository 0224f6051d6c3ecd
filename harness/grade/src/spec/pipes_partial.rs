//! `05_pipes`, `pipe_partial`: a writer that is refused, and must come back.

use std::time::Duration;

use observe::{Call, Ending, Hold, InputFile, ObjectId, On, Schedule, What, Who};

use super::Spec;
use super::common::calls::{self, ROOT, pipes, reads_of, writes_of};
use super::common::channels::ends_closed;
use super::common::family::capital;
use super::common::plans::{bad_usage, cuts, failing, fault, interrupted, orders, unreadable_file, unwritable_channel};
use super::common::{FORKS, OPENS, PIPES, child_prints, order, output, reaped, reports, under_faults, usage};
use super::fork;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// The kernel's names of calls that wait for a descriptor to become ready.
const POLLS: &[&str] = &["poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// Refused so often in a row, without having waited, a process does nothing but ask.
const ASKING: usize = 20;

/// Some pipes full.
const LARGE: u64 = 300_000;

/// `pipe_partial FILE`
pub(crate) fn pipe_partial() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::outside("reports", "a failing open, pipe, fork or write of the parent is reported", reports),
            Check::outside("output", "the child prints a small file whole", output),
            Check::seen("through-pipe", "the file goes through a pipe, from parent to child", through_pipe),
            Check::seen("child-prints", "the child prints", child_prints),
            Check::seen("non-blocking", "the parent's end does not block", non_blocking),
            Check::outside("nothing-lost", "a large file arrives whole, however slow the reader", nothing_lost),
            Check::seen(
                "waits-blocking",
                "while the pipe is full the parent blocks in poll: no spinning",
                waits_blocking,
            ),
            Check::seen("ends-closed", "nobody waits for an end of file that an end left open keeps away", ends_closed),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| {
            let plan = file_plan("a file larger than the pipe", nonce, 100_000, 110_000);
            plan.scheduled(Schedule::ParentFirst, "When the child is held until the parent can do no more")
        },
    }
}

fn file_plan(name: &str, nonce: &mut Nonce, least: u64, most: u64) -> Plan {
    let len = nonce.number(least, most) as usize;
    let content = if len > 0 { nonce.bytes(len) } else { Vec::new() };
    let file = format!("{}.bin", nonce.word(6));
    Plan::new(name).arg(file.clone()).file(InputFile::new(file, content.clone())).prints(content).judged_by(&[
        "output",
        "through-pipe",
        "child-prints",
        "non-blocking",
        "ends-closed",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = file_plan("a small file", nonce, 500, 900);
    let empty = file_plan("an empty file", nonce, 0, 0).judged_by(&["output", "reaped"]);
    let large = file_plan("a large file", nonce, LARGE, LARGE + 9_999);
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let refusals = [
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_channel(&plain, On::Pipe),
        unreadable_file(&plain, &plain.argument(0)),
    ];
    let missing = Plan::new("no such file").arg("missing").reports(OPENS, Some("missing"), libc::ENOENT);
    let lasting = &["nothing-lost", "waits-blocking", "reaped"];
    let slow = large.again("a slow reader", lasting).scheduled(slow_reader(), "When the reader pauses before a read");
    let hasty = slow.again("a slow reader, no sleep", lasting).sleepless();
    let mut plans = vec![plain.clone(), empty];
    plans.extend(orders(&large, lasting));
    plans.extend([slow, hasty]);
    plans.extend(refusals);
    plans.extend([missing, bad_usage("no file", &[]), bad_usage("two files", &["one", "two"])]);
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdout, On::AnyFile]));
    let polls = fault(POLLS, observe::Nth::Alternate, None, observe::Effect::Fail(libc::EINTR));
    for one in [&plain, &large] {
        plans.push(interrupted(one, &[On::Pipe, On::Stdout, On::AnyFile]).fault(polls.clone()));
    }
    for plan in plans.iter_mut().filter(|p| p.stage != Stage::Refusal) {
        plan.launch.deadline = Duration::from_secs(20);
    }
    plans
}

/// Some reads of the child from the pipe begin only when the parent can do no more.
fn slow_reader() -> Schedule {
    let hold = |nth| Hold::new(Who::Descendants, "read", nth).on(On::Pipe);
    Schedule::Holds(vec![hold(2), hold(5)])
}

fn through_pipe(run: &Run) -> Finding {
    let seen = run.seen;
    let whole = run.plan.expect.stdout.as_ref().map_or(0, |text| text.len() as u64);
    let moved = |pipe: &ObjectId| {
        let sent: u64 = writes_of(seen, *pipe).filter(|t| t.event.process == ROOT).map(|t| t.bytes).sum();
        let came: u64 = reads_of(seen, *pipe).filter(|t| t.event.process != ROOT).map(|t| t.bytes).sum();
        sent.min(came)
    };
    let used = pipes(seen);
    let most = used.iter().map(moved).max();
    let words = match most {
        Some(most) if most >= whole => return Ok(()),
        _ if !matches!(seen.ending, Ending::Ended(_)) => {
            return Err(Objection::open("the program came to no end before all was sent"));
        }
        None => "The program made no pipe: the file is to go from the parent to the child through one.".to_string(),
        Some(0) => "Nothing went through a pipe from the parent to the child: let the parent read FILE and write it, and the child read the pipe.".to_string(),
        Some(most) => format!("Only {most} of the {whole} bytes of FILE went through a pipe from the parent to the child: write the rest too."),
    };
    Failure::new(Reason::WrongCalls, words).found()
}

/// `non-blocking`: the descriptor that the parent writes to does not block.
fn non_blocking(run: &Run) -> Finding {
    let seen = run.seen;
    let written = pipes(seen).into_iter().find(|p| writes_of(seen, *p).any(|t| t.event.process == ROOT && t.bytes > 0));
    let Some(pipe) = written else { return Err(Objection::open("the parent wrote to no pipe")) };
    let made_so = |call: &Call| match call {
        Call::Pipe { flags, object, .. } => *object == Some(pipe) && flags & libc::O_NONBLOCK != 0,
        Call::Fcntl { command: libc::F_SETFL, argument, object, .. } => {
            *object == Some(pipe) && *argument as i32 & libc::O_NONBLOCK != 0
        }
        Call::Ioctl { request, object, .. } => *object == Some(pipe) && *request == libc::FIONBIO,
        _ => false,
    };
    let refused = seen.events.iter().any(|event| {
        matches!(&event.what, What::Called { call: Call::Write { object, .. }, result: Some(Err(libc::EAGAIN)), .. } if *object == Some(pipe))
    });
    if refused || seen.successes().any(|(_, _, call, _)| made_so(call)) {
        return Ok(());
    }
    let words = format!(
        "The parent's end of {} blocks: a full pipe would hold it in write, where it can do nothing else. Set O_NONBLOCK on it (pipe2, or fcntl F_SETFL), and wait in poll when it says EAGAIN.",
        seen.object(pipe).label
    );
    let line = writes_of(seen, pipe).next().and_then(|t| t.event.source.clone());
    Failure::new(Reason::WrongCalls, words).at(line.as_ref()).found()
}

/// `nothing-lost`: the whole file, although writes are refused.
fn nothing_lost(run: &Run) -> Finding {
    let Some(expected) = &run.plan.expect.stdout else { return Ok(()) };
    let short = expected.len() as u64 > run.seen.stdout.total;
    if short && matches!(run.seen.ending, Ending::Ended(_)) {
        let words = format!(
            "{} of the {} bytes of FILE arrived: what the full pipe did not take (EAGAIN, or a write that returned less) must be offered again when there is room.",
            run.seen.stdout.total,
            expected.len()
        );
        let complaints = super::common::text::complaints(run.seen);
        return Failure::new(Reason::WrongOutput, capital(&words)).evidences(complaints).found();
    }
    order(run).or_else(|objection| match objection {
        crate::Objection::Open(_) | crate::Objection::Unavailable(_) => output(run),
        fails => Err(fails),
    })
}

/// `waits-blocking`: between two refusals the parent waits in a call that blocks.
fn waits_blocking(run: &Run) -> Finding {
    let mut refused = 0;
    for (_, event, call, result) in run.seen.calls().filter(|(_, event, ..)| event.process == ROOT) {
        refused = match (call, result) {
            (Call::Write { .. } | Call::Move { .. }, Some(Err(libc::EAGAIN))) | (Call::Poll { timeout: 0, .. }, _) => {
                refused + 1
            }
            (Call::Write { .. } | Call::Move { .. } | Call::Poll { .. }, _) => 0,
            _ => refused,
        };
        if refused == ASKING {
            let words = format!(
                "The parent asks again and again whether the pipe has room, {ASKING} times in a row, and waits for nothing: after EAGAIN let it block in poll, with POLLOUT and no time limit, until there is room."
            );
            return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
        }
    }
    fork::waits_blocking(run)
}
