//! `lost_output`: what is in a buffer must be out before the program ends, whatever way it ends.

use observe::{Ending, Exit, On};

use crate::spec::Spec;
use crate::spec::common::calls::{WRITES, printed};
use crate::spec::common::endings::{blame_fault, hung};
use crate::spec::common::plans::{bad_usage, cut, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, quoted, signal_name};
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const LINE: &[u8] = b"before\n";

/// A way to end: its name, what becomes of the program, and why a buffer may be lost by it.
const WAYS: [(&str, Exit, &str); 6] = [
    ("return", Exit::Code(0), "main returned, and nothing emptied the buffer"),
    (
        "exit",
        Exit::Code(3),
        "exit runs no destructor of what main's functions hold (in C it empties stdio's streams only)",
    ),
    ("_exit", Exit::Code(4), "_exit goes straight to the kernel: no destructor and no exit handler runs"),
    ("panic", Exit::Code(101), "nothing emptied the buffer on the way"),
    ("abort", Exit::Signal(libc::SIGABRT), "abort runs no destructor and no exit handler"),
    ("kill", Exit::Signal(libc::SIGKILL), "SIGKILL leaves a program no moment to do anything"),
];

/// `lost_output WAY`
pub(crate) fn lost_output() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one WAY is refused", usage),
            Check::outside("reports", "a failing write is reported, whatever WAY says", reports),
            Check::outside("output", "before is out when main returns", out),
            Check::outside("not-lost", "before is out when the program ends past all destructors", out),
            Check::outside("once", "before comes out once", once),
            Check::outside("way", "the program ends in the way asked for", way),
            Check::seen("one-write", "it goes through a buffer, and leaves it in one write", one_write),
            Check::seen("short-io", "it is whole when writes are cut short", under_faults),
            Check::seen("eintr", "it is whole when writes are interrupted", under_faults),
        ],
        demo: |_| ends_by("_exit"),
    }
}

fn ends_by(way: &str) -> Plan {
    let out = if way == "return" { "output" } else { "not-lost" };
    let plan = Plan::new(format!("ends by {way}")).arg(way).judged_by(&[out, "once", "way", "one-write"]);
    plan.because(format!("When the program is to end by {way}"))
}

fn plans(_: &mut Nonce) -> Vec<Plan> {
    let mut plans: Vec<Plan> = WAYS.iter().map(|(way, ..)| ends_by(way)).collect();
    let exit = ends_by("_exit");
    let full = |way: &str| {
        let full = unwritable_output(&ends_by(way));
        Plan { name: format!("{}, ends by {way}", full.name), ..full }
    };
    plans.extend([
        full("return"),
        full("exit"),
        full("_exit"),
        bad_usage("no arguments", &[]),
        bad_usage("two ways", &["exit", "kill"]),
        bad_usage("another way", &["stop"]),
        cut(&exit, &[On::Stdout], WRITES, "write", 3),
        interrupted(&exit, &[On::Stdout]),
    ]);
    plans
}

/// The program has come to an end, whichever.
fn over(run: &Run) -> Finding {
    match run.seen.ending {
        Ending::Ended(_) => Ok(()),
        _ => hung(run.seen, run.plan.launch.deadline.as_secs()).found(),
    }
}

fn times(run: &Run) -> usize {
    run.seen.stdout.bytes.split_inclusive(|b| *b == b'\n').filter(|line| *line == LINE).count()
}

/// `output`, `not-lost`: the line has come out.
fn out(run: &Run) -> Finding {
    over(run)?;
    let got = &run.seen.stdout.bytes;
    let words = match times(run) {
        0 if got.is_empty() => {
            let way = run.plan.argument(0);
            let why = WAYS.iter().find(|(name, ..)| *name == way).map_or("it stayed in its buffer", |(_, _, why)| why);
            format!("`before` never came out: {why}. Flush the buffer before the program ends.")
        }
        0 => format!("The program printed {} instead of {}.", quoted(got), quoted(LINE)),
        _ => return Ok(()),
    };
    Failure::new(Reason::WrongOutput, words).evidences(complaints(run.seen)).found()
}

/// `once`: nothing but the line.
fn once(run: &Run) -> Finding {
    if times(run) == 0 {
        return Err(Objection::open("before did not come out"));
    }
    let got = &run.seen.stdout.bytes;
    let words = match times(run) {
        1 if got == LINE => return Ok(()),
        1 => format!("The program printed {} instead of {} alone.", quoted(got), quoted(LINE)),
        n => format!(
            "`before` came out {n} times: the same text was written by more than one flush. Whoever flushes must also empty the buffer, or forget it."
        ),
    };
    let last = printed(run).last().and_then(|t| t.event.source.clone());
    Failure::new(Reason::WrongOutput, words).at(last.as_ref()).found()
}

/// `way`: as the argument says.
fn way(run: &Run) -> Finding {
    over(run)?;
    let way = run.plan.argument(0);
    let wanted = WAYS.iter().find(|(name, ..)| *name == way).map(|(_, exit, _)| *exit);
    if wanted.is_none() || run.seen.exit() == wanted {
        return Ok(());
    }
    let told = |exit: Option<Exit>| match exit {
        Some(Exit::Code(code)) => format!("exits with {code}"),
        Some(Exit::Signal(signal)) => format!("is killed by {}", signal_name(signal)),
        None => "comes to no end".into(),
    };
    let words = format!("It {}, but who ends by {way} {}.", told(run.seen.exit()), told(wanted));
    Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found()
}

/// `one-write`: no part of the line is written by itself.
fn one_write(run: &Run) -> Finding {
    let writes: Vec<_> = printed(run).into_iter().filter(|t| t.bytes > 0).collect();
    match writes.as_slice() {
        [] => Err(Objection::open("nothing was printed")),
        [first, ..] if first.data != LINE && LINE.starts_with(first.data) => {
            let words = format!(
                "The line leaves in pieces, the first of them {}: it does not go through a buffer.",
                quoted(first.data)
            );
            Failure::new(Reason::WrongCalls, words).at(first.event.source.as_ref()).found()
        }
        _ => Ok(()),
    }
}

/// `short-io`, `eintr`: the same line as without the faults.
fn under_faults(run: &Run) -> Finding {
    let whole = out(run).and_then(|()| once(run));
    whole.map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}
