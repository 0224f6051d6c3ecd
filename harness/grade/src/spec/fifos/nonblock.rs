//! `fifo_nonblock`: a writer that first asks, and then waits.

use observe::{Action, Call, Content, Deed, Effect, Ending, InputFile, Nth, On, Trigger};

use super::checks::fifos;
use crate::spec::Spec;
use crate::spec::common::calls::{OPEN_CALLS, OPENS, WRITES};
use crate::spec::common::endings::{blame_fault, ended, hung, status, text};
use crate::spec::common::plans::{bad_usage, cut, fault, interrupted, unwritable_output};
use crate::spec::common::text::difference;
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// What the reader is to get.
const HELLO: &[u8] = b"hello\n";
/// What is said where there is none.
const NOBODY: &str = "no reader\n";
/// Refused more often for want of a reader, a program looks again and again.
const TRIES: usize = 3;

/// `fifo_nonblock PATH`
pub(crate) fn fifo_nonblock() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one PATH is refused", usage),
            Check::outside("reports", "a failing open or write is reported", reports),
            Check::outside("output", "it says at once that there is no reader, and only then", said),
            Check::seen("reader-there", "if there is a reader, it says nothing and does not wait", greeted),
            Check::outside("delivered", "the reader gets `hello`, and then the end of file", delivered),
            Check::seen("one-way", "it never has the FIFO open for reading", one_way),
            Check::seen("waits-blocking", "it waits in a call that a reader ends: no looking again", waits_blocking),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted, open among them", under_faults),
        ],
        demo: later,
    }
}

/// Somebody else's FIFO.
fn fifo(nonce: &mut Nonce, name: &str) -> Plan {
    let path = nonce.word(5);
    let there = InputFile { path: path.clone().into(), content: Content::Fifo, mode: 0o600 };
    Plan::new(name).arg(path).file(there)
}

fn reader(plan: Plan, when: Trigger) -> Plan {
    let what = Deed::ReadFifo(plan.argument(0).into());
    plan.action(Action { when, what })
}

/// A reader comes when the program has said that there is none, and has nothing else to do.
fn later(nonce: &mut Nonce) -> Plan {
    // Nothing is fed: only the reader's turn is put off until the line is out.
    let answered = Action { when: Trigger::Printed(NOBODY.into()), what: Deed::Feed(Vec::new()) };
    let plan = fifo(nonce, "a reader comes later").prints(NOBODY).action(answered);
    reader(plan, Trigger::AllBlocked).judged_by(&["output", "delivered", "one-way", "waits-blocking"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = later(nonce);
    let before_open = Trigger::Before { calls: OPEN_CALLS.iter().map(|call| call.to_string()).collect(), nth: 1 };
    let there = reader(fifo(nonce, "a reader is there").prints(""), before_open)
        .judged_by(&["reader-there", "one-way"])
        .because("When a reader is there already");
    let open = fault(OPEN_CALLS, Nth::Alternate, None, Effect::Fail(libc::EINTR));
    vec![
        plain.clone(),
        there,
        Plan::new("no such name").arg("missing").reports(OPENS, Some("missing"), libc::ENOENT),
        unwritable_output(&plain),
        bad_usage("no path", &[]),
        bad_usage("two paths", &["one", "two"]),
        cut(&plain, &[On::Fifo, On::Stdout], WRITES, "write", 2),
        interrupted(&plain, &[On::Fifo, On::Stdout]).fault(open),
    ]
}

/// What the reader got, if one came.
fn got<'a>(run: &Run<'a>) -> Option<&'a [u8]> {
    run.seen.fifo_bytes.first().map(Vec::as_slice)
}

/// `output`: the line that says it, before the wait and without a reader's help.
fn said(run: &Run) -> Finding {
    let stuck = matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline);
    if stuck && run.seen.actions_done == 0 {
        let failure = hung(run.seen, run.plan.launch.deadline.as_secs());
        let words = "The program waits, and has not said that there is no reader: ask first, with an open that does not wait (O_NONBLOCK) and fails with ENXIO, and say it before you open in order to wait.";
        return Err(Failure { message: words.into(), ..failure }.into());
    }
    if stuck {
        return Err(Objection::open("the program said so, and came to no end later"));
    }
    ended(run)?;
    status(run)?;
    text(run)
}

/// `delivered`: what came out of the FIFO.
fn delivered(run: &Run) -> Finding {
    let wrong = |words: String| Failure::new(Reason::WrongOutput, words).found();
    match got(run) {
        Some(HELLO) => Ok(()),
        Some(bytes) => wrong(format!("The reader did not get `hello`: the FIFO {}.", difference(HELLO, bytes))),
        None if run.seen.exit().is_some() => {
            wrong("The program ended before a reader came: whatever it wrote, nobody has it.".into())
        }
        None => Err(Objection::open("no reader came, for the program never came to wait")),
    }
}

/// `reader-there`: nothing to say, and nothing to wait for.
fn greeted(run: &Run) -> Finding {
    if run.seen.actions_done == 0 {
        return Err(Objection::open("the program opened nothing"));
    }
    ended(run)?;
    status(run)?;
    text(run)?;
    delivered(run)
}

/// `one-way`: a process that can read the FIFO is its own reader.
fn one_way(run: &Run) -> Finding {
    let all = fifos(run);
    let readable = run.seen.successes().find(|(_, _, call, _)| {
        matches!(call, Call::Open { flags, object: Some(o), .. } if flags & libc::O_ACCMODE != libc::O_WRONLY && all.contains(o))
    });
    let Some((_, event, ..)) = readable else {
        return if all.is_empty() { Err(Objection::open("no FIFO was opened")) } else { Ok(()) };
    };
    let words = "The program opens the FIFO for reading too (O_RDWR, or a second descriptor): so it is a reader itself, open waits for nobody, and what it writes is lost if it ends before somebody else has come. Open it O_WRONLY.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `waits-blocking`: opens that are refused for want of a reader, and sleeps between them.
fn waits_blocking(run: &Run) -> Finding {
    let refused = |call: &Call, result| matches!(call, Call::Open { .. }) && result == Some(Err(libc::ENXIO));
    let sleeps = |call: &Call| matches!(call, Call::Sleep { .. } | Call::Poll { timeout: 1.., .. });
    let mut tries = 0;
    for (_, event, call, result) in run.seen.calls() {
        tries += usize::from(refused(call, result));
        if tries > TRIES || sleeps(call) {
            let words = "The program looks again and again whether a reader is there, and uses the processor for nothing or comes late. An open that blocks (without O_NONBLOCK) returns when a reader opens.";
            return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
        }
    }
    Ok(())
}

/// `short-io`, `eintr`: said and delivered all the same.
fn under_faults(run: &Run) -> Finding {
    said(run).and_then(|()| delivered(run)).map_err(|o| o.amended(|failure| blame_fault(run, failure)))
}
