//! `sigpipe_default`: a program that prints for ever is ended by the signal of a pipe that nobody reads.

use std::time::Duration;

use observe::{Call, Ending, Event, Exit, On, Stdout};

use crate::spec::Spec;
use crate::spec::common::calls::{WRITES, is_stdout, printed};
use crate::spec::common::endings::{blame_fault, hung};
use crate::spec::common::plans::{bad_usage, cut, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, first_complaint, panicked, quoted, signal_name};
use crate::spec::common::{reports, usage_unless_ignored};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const LINE: &[u8] = b"y\n";
/// Who writes on although nobody reads is stopped after this time.
const DEADLINE: Duration = Duration::from_secs(5);

/// `sigpipe_default`
pub(crate) fn sigpipe_default() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a write that fails for another reason is reported", reports),
            Check::outside("output", "lines of y come for as long as somebody reads", output),
            Check::outside("killed", "when the reader has gone the program is ended by SIGPIPE", killed),
            Check::outside("silent", "it says nothing about it", silent),
            Check::seen("short-io", "no letter is lost when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when writes are interrupted", under_faults),
        ],
        demo: |_| read_for("the reader takes one line", LINE.len()),
    }
}

/// The reader of standard output goes away after so many bytes.
fn read_for(name: &str, bytes: usize) -> Plan {
    let mut plan = Plan::new(name).onto(Stdout::ClosesAfter(bytes)).judged_by(&["output", "killed", "silent"]);
    plan.launch.deadline = DEADLINE;
    plan
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let one = read_for("the reader takes one line", LINE.len());
    let hundreds = read_for("the reader takes some hundred lines", nonce.number(300, 900) as usize);
    vec![
        one.clone(),
        hundreds.clone(),
        read_for("the reader takes ten thousand lines", nonce.number(20_000, 30_000) as usize).coarse(),
        unwritable_output(&one),
        bad_usage("an argument", &["n"]).onto(Stdout::ClosesAfter(LINE.len())),
        cut(&hundreds, &[On::Stdout], WRITES, "write", 3),
        interrupted(&hundreds, &[On::Stdout]),
    ]
}

/// `output`: nothing but lines of y, and no end before the reader's.
fn output(run: &Run) -> Finding {
    let Stdout::ClosesAfter(wanted) = run.plan.launch.stdout else { return Ok(()) };
    let got = &run.seen.stdout.bytes;
    let line = printed(run).first().and_then(|t| t.event.source.clone());
    let wrong = |words: String| {
        Failure::new(Reason::WrongOutput, words).at(line.as_ref()).evidences(complaints(run.seen)).found()
    };
    if let Some(at) = got.iter().zip(LINE.iter().cycle()).position(|(a, b)| a != b) {
        return wrong(format!(
            "Byte {at} of the output is wrong: from there on it is {}, and should be lines of y.",
            quoted(&got[at..])
        ));
    }
    match run.seen.ending {
        _ if got.len() >= wanted => Ok(()),
        Ending::Deadlocked | Ending::Deadline => hung(run.seen, run.plan.launch.deadline.as_secs()).found(),
        _ => wrong(format!(
            "The program ended after {} bytes, while its reader was still there: it is to print for ever.",
            got.len()
        )),
    }
}

/// The first write to standard output that found no reader.
fn refused<'a>(run: &Run<'a>) -> Option<&'a Event> {
    let mut refused = run.seen.calls().filter(|(_, _, call, result)| {
        *result == Some(Err(libc::EPIPE))
            && matches!(call, Call::Write { object: Some(o), .. } if is_stdout(run, run.seen.object(*o)))
    });
    refused.next().map(|(_, event, ..)| event)
}

/// `killed`: by SIGPIPE, and not by a decision of its own.
fn killed(run: &Run) -> Finding {
    let why = "Rust's runtime ignores SIGPIPE, so the write fails with EPIPE instead: set the signal back to its default before you print, and the kernel ends the program.";
    let words = match run.seen.ending {
        Ending::Ended(Exit::Signal(libc::SIGPIPE)) => return Ok(()),
        _ if output(run).is_err() => {
            return Err(Objection::open("the program did not print for as long as it was read"));
        }
        Ending::Ended(Exit::Signal(signal)) => {
            format!("The program was killed by {}, not by SIGPIPE.", signal_name(signal))
        }
        Ending::Ended(Exit::Code(_)) if panicked(run.seen) => {
            format!("The program panicked when its reader had gone: print! panics when it cannot write. {why}")
        }
        Ending::Ended(Exit::Code(code)) if code == 128 + libc::SIGPIPE => format!(
            "The program exited with {code}: a shell shows that for SIGPIPE, but nothing has killed the program, and who started it can tell. {why}"
        ),
        Ending::Ended(Exit::Code(code)) => {
            format!("When its reader had gone the program exited with {code} and was not killed by SIGPIPE. {why}")
        }
        _ => format!("The program runs on although nobody reads any more: it looks at no result of its writes. {why}"),
    };
    let reason = if run.seen.exit().is_some() { Reason::WrongStatus } else { Reason::Flooded };
    let place = refused(run).and_then(|e| e.source.as_ref());
    Failure::new(reason, words).at(place).evidences(complaints(run.seen)).found()
}

/// `silent`: nothing on standard error.
fn silent(run: &Run) -> Finding {
    if output(run).is_err() {
        return Err(Objection::open("the program did not print for as long as it was read"));
    }
    let Some(line) = first_complaint(run.seen) else { return Ok(()) };
    let words = format!(
        "The program says `{line}` when its reader has gone: that somebody wanted one line only is no error, and nothing is to be said about it."
    );
    Failure::new(Reason::WrongOutput, words).at(refused(run).and_then(|e| e.source.as_ref())).found()
}

/// `short-io`, `eintr`: the same lines as without the faults.
fn under_faults(run: &Run) -> Finding {
    output(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}
