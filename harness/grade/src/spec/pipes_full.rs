//! `05_pipes`, `pipe_capacity`: how much fits.

use observe::{Call, Effect, Ending, Nth, ObjectId, Observation, On};

use super::Spec;
use super::common::calls::{self, pipes};
use super::common::endings::{ended, status};
use super::common::family::capital;
use super::common::plans::{bad_usage, cut, failing, fault, interrupted};
use super::common::text::{complaints, quoted};
use super::common::{PIPES, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// How people name the call that asks for a pipe's capacity, and that sets it.
const CONTROLS: &[&str] = &["fcntl", "pipe_sz", "pipe size", "capacity", "nonblock"];

/// `pipe_capacity [BYTES]`
pub(crate) fn pipe_capacity() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but at most one number is refused", usage),
            Check::outside("reports", "a failing pipe or fcntl is reported, and nothing is printed", reports),
            Check::outside("output", "it prints `capacity C filled F`, with C at least BYTES", answer),
            Check::seen("asks-kernel", "C is what the kernel says of the pipe (F_GETPIPE_SZ)", asks_kernel),
            Check::seen(
                "until-eagain",
                "it writes until the pipe is full: EAGAIN, and no write that blocks",
                until_eagain,
            ),
            Check::seen("counts-written", "F is what the writes have put into the pipe", counts_written),
            Check::seen("short-io", "a write that took less is not yet the end", counts_written),
            Check::seen("eintr", "it is right when a write is interrupted", counts_written),
        ],
        demo: |nonce| capacity_plan("a size", Some(nonce.number(70_000, 130_000))),
    }
}

fn capacity_plan(name: &str, bytes: Option<u64>) -> Plan {
    let plan = Plan::new(name).judged_by(&["output", "asks-kernel", "until-eagain", "counts-written"]);
    match bytes {
        Some(bytes) => plan.arg(bytes.to_string()),
        None => plan,
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = capacity_plan("as it comes", None);
    let larger = capacity_plan("a larger one", Some(nonce.number(70_000, 130_000)));
    let smaller = capacity_plan("a small one", Some(nonce.number(4_097, 16_000)));
    let cut = cut(&smaller, &[On::Pipe], calls::WRITES, "write", 100).judged_by(&["short-io", "until-eagain"]);
    let refused = larger.again("the size is refused", &[]).reports(CONTROLS, None, libc::EPERM).fault(failing(
        &["fcntl"],
        Some(On::Pipe),
        libc::EPERM,
    ));
    let mut refused_once = refused.again("the first fcntl fails", &["reports"]);
    refused_once.launch.faults = vec![fault(&["fcntl"], Nth::Only(1), Some(On::Pipe), Effect::Fail(libc::EPERM))];
    let pipeless = plain.again("pipe fails", &[]).reports(PIPES, None, libc::EMFILE).fault(failing(
        calls::PIPE_CALLS,
        None,
        libc::EMFILE,
    ));
    let interrupted = interrupted(&plain, &[On::Pipe]);
    vec![
        plain,
        larger,
        smaller,
        pipeless,
        refused,
        refused_once,
        bad_usage("no number", &["many"]),
        bad_usage("two numbers", &["4096", "8192"]),
        cut.at(Stage::Refusal),
        interrupted.at(Stage::Refusal),
    ]
}

/// The two numbers of the one line that was printed.
fn numbers(run: &Run) -> Result<(u64, u64), Objection> {
    let text = run.seen.stdout.text();
    let parsed = text.strip_suffix('\n').and_then(|line| {
        let (capacity, filled) = line.strip_prefix("capacity ")?.split_once(" filled ")?;
        Some((capacity.parse().ok()?, filled.parse().ok()?))
    });
    parsed.ok_or_else(|| {
        let words = format!(
            "The program printed {}; one line `capacity C filled F` is wanted.",
            quoted(&run.seen.stdout.bytes)
        );
        Failure::new(Reason::WrongOutput, words).evidences(complaints(run.seen)).into()
    })
}

fn answer(run: &Run) -> Finding {
    if let Some((label, event)) = blocked_write(run.seen) {
        let words = format!("The program hangs in a write to {label}, which is full and which nobody reads.");
        return Failure::new(Reason::Hung, words).at(event.source.as_ref()).found();
    }
    ended(run)?;
    status(run)?;
    let (capacity, _) = numbers(run)?;
    match run.plan.argument(0).parse::<u64>() {
        Ok(asked) if capacity < asked => {
            let words = format!(
                "The pipe was to hold at least {asked} bytes and holds {capacity}: set its capacity with fcntl(F_SETPIPE_SZ) before you fill it."
            );
            Failure::new(Reason::WrongOutput, words).found()
        }
        _ => Ok(()),
    }
}

/// The pipe that was filled: the one to which most was written.
fn filled(seen: &Observation) -> Option<(ObjectId, u64)> {
    let totals = pipes(seen).into_iter().map(|p| (p, calls::writes_of(seen, p).map(|t| t.bytes).sum::<u64>()));
    totals.max_by_key(|(_, total)| *total)
}

fn asks_kernel(run: &Run) -> Finding {
    let Some((pipe, _)) = filled(run.seen) else { return Err(Objection::open("the program made no pipe")) };
    let (capacity, _) = numbers(run)?;
    let said: Vec<u64> = run
        .seen
        .successes()
        .filter_map(|(_, _, call, value)| match call {
            Call::Fcntl { command: libc::F_GETPIPE_SZ | libc::F_SETPIPE_SZ, object: Some(o), .. } if *o == pipe => {
                Some(value as u64)
            }
            _ => None,
        })
        .collect();
    let words = match said.last() {
        Some(last) if *last == capacity => return Ok(()),
        Some(last) => format!("The kernel says that the pipe holds {last} bytes, and the program prints {capacity}."),
        None => format!(
            "The program prints capacity {capacity} and never asked for it: what a pipe holds differs between machines and users. Ask with fcntl(F_GETPIPE_SZ)."
        ),
    };
    Failure::new(Reason::WrongCalls, words).found()
}

fn blocked_write(seen: &Observation) -> Option<(String, &observe::Event)> {
    let ended = matches!(seen.ending, Ending::Ended(_));
    let stuck = |call: &Call| match call {
        Call::Write { object, .. } => *object,
        Call::Move { to, .. } => *to,
        _ => None,
    };
    seen.calls().filter(|(.., result)| !ended && result.is_none()).find_map(|(_, event, call, _)| {
        let pipe = stuck(call).filter(|o| pipes(seen).contains(o))?;
        Some((seen.object(pipe).label.clone(), event))
    })
}

fn until_eagain(run: &Run) -> Finding {
    let seen = run.seen;
    if let Some((label, event)) = blocked_write(seen) {
        let words = format!(
            "A write to {label} finds it full and waits, and nobody reads: make the write end non-blocking (O_NONBLOCK), and the write says EAGAIN instead."
        );
        return Failure::new(Reason::Hung, words).at(event.source.as_ref()).found();
    }
    let Some((pipe, total)) = filled(seen) else { return Err(Objection::open("the program made no pipe")) };
    if seen.truncated {
        return Ok(());
    }
    let last = seen
        .calls()
        .filter(|(_, _, call, _)| match call {
            Call::Write { object, .. } => *object == Some(pipe),
            Call::Move { to, .. } => *to == Some(pipe),
            _ => false,
        })
        .last();
    let label = capital(&seen.object(pipe).label);
    let (words, at) = match last {
        Some((.., Some(Err(libc::EAGAIN)))) => return Ok(()),
        Some((_, event, ..)) => (
            format!(
                "The program stops after {total} bytes although no write was refused yet: {label} is full when a write says EAGAIN, not when one took less than asked, nor when the sum reaches what you expect.",
                label = seen.object(pipe).label
            ),
            event.source.as_ref(),
        ),
        None => (format!("{label} was never written to: how much fits is found by filling it."), None),
    };
    Failure::new(Reason::WrongCalls, words).at(at).found()
}

fn counts_written(run: &Run) -> Finding {
    if blocked_write(run.seen).is_some() {
        return Err(Objection::open("a write blocked for ever"));
    }
    ended(run)?;
    status(run)?;
    let Some((_, total)) = filled(run.seen) else { return Err(Objection::open("the program made no pipe")) };
    let (_, said) = numbers(run)?;
    if said == total || run.seen.truncated {
        return Ok(());
    }
    let words = format!(
        "The program says that it filled in {said} bytes, and its writes put {total} into the pipe: add up what each write returns, not what it was asked for."
    );
    Failure::new(Reason::WrongOutput, words).found()
}
