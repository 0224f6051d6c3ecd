//! `flush_child`, of `06_stdio`: what a child has printed into a buffer, and its parent is to hear.

use observe::{Ending, On, Who};

use crate::spec::Spec;
use crate::spec::common::calls::{self, ROOT, WRITES, joined, pipes, printed, reads_of, writes_of};
use crate::spec::common::channels::{contains, ends_closed};
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, orders, unwritable_output};
use crate::spec::common::text::{complaints, panicked, quoted};
use crate::spec::common::{FORKS, PIPES, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `flush_child SCORE`
pub(crate) fn flush_child() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one integer is refused", usage),
            Check::outside("reports", "a failing pipe, fork or write is reported", reports),
            Check::outside("output", "the parent says the score", output),
            Check::seen("flushed", "the child's line has left its buffer before the child is gone", flushed),
            Check::seen("through-pipe", "the score is printed after it has come through the pipe", through_pipe),
            Check::seen("one-write", "the child's line leaves its buffer in one write", one_write),
            Check::seen("parent-prints", "it is the parent that prints", parent_prints),
            Check::outside("from-the-pipe", "a parent that hears nothing prints nothing", from_the_pipe),
            Check::seen("ends-closed", "nobody waits for an end of file that an open end keeps away", ends_closed),
            Check::seen("order", "it is right whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| score(nonce, "a score"),
    }
}

fn score(nonce: &mut Nonce, name: &str) -> Plan {
    let score = nonce.number(100_000, 2_000_000_000);
    said(name, &score.to_string())
}

fn said(name: &str, score: &str) -> Plan {
    Plan::new(name).arg(score).prints(format!("The child says the score is {score}\n")).judged_by(&[
        "output",
        "flushed",
        "through-pipe",
        "one-write",
        "parent-prints",
        "ends-closed",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = score(nonce, "a score");
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![plain.clone(), said("a score below zero", &format!("-{}", nonce.number(1, 99)))];
    plans.extend(orders(&plain, &["order", "ends-closed", "reaped"]));
    plans.extend([
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        unheard(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("two scores", &["1", "2"]),
        bad_usage("no number", &["twenty"]),
    ]);
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Pipe, On::Stdout]));
    plans
}

/// The child cannot write to the pipe, so that the parent hears nothing.
fn unheard(plain: &Plan) -> Plan {
    let mut fault = failing(WRITES, Some(On::Pipe), libc::EIO);
    fault.who = Who::Descendants;
    plain
        .again("the child's write fails", &["from-the-pipe"])
        .prints("")
        .exits(1)
        .at(Stage::Refusal)
        .fault(fault)
        .because("When the child cannot write to the pipe")
}

/// What children wrote to pipes of the program's own.
fn sent(run: &Run) -> Vec<u8> {
    let all = pipes(run.seen).into_iter();
    all.flat_map(|pipe| joined(writes_of(run.seen, pipe).filter(|t| t.event.process != ROOT))).collect()
}

/// `flushed`: anything that a child wrote came into a pipe.
fn flushed(run: &Run) -> Finding {
    let seen = run.seen;
    if !sent(run).is_empty() {
        return Ok(());
    }
    if seen.processes.len() == 1 || pipes(seen).is_empty() {
        return Err(Objection::open("there was no child with a pipe to its parent"));
    }
    let end =
        seen.calls().filter(|(_, event, call, _)| event.process != ROOT && matches!(call, observe::Call::Exit { .. }));
    let Some((_, event, ..)) = end.last() else {
        return Err(Objection::open("the child wrote nothing, and came to no end"));
    };
    let words = "The child ended, and not one byte of its line was ever written to the pipe: the line was still in the child's buffer, and _exit empties no buffer. Flush the stream before the child leaves.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `through-pipe`: the child's line went through a pipe, and the score was printed when it had come out.
fn through_pipe(run: &Run) -> Finding {
    let seen = run.seen;
    let line = format!("Score {}", run.plan.argument(0));
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    let used = pipes(seen);
    if used.is_empty() {
        return wrong("The program made no pipe: the parent says what it knew itself.".into()).found();
    }
    if sent(run).is_empty() {
        return Err(Objection::open("the child wrote nothing to a pipe"));
    }
    let carries = |pipe| contains(&joined(writes_of(seen, pipe).filter(|t| t.event.process != ROOT)), line.as_bytes());
    let Some(pipe) = used.into_iter().find(|pipe| carries(*pipe)) else {
        return wrong(format!(
            "What the child sent is {}: it is to send {}.",
            quoted(&sent(run)),
            quoted(line.as_bytes())
        ))
        .found();
    };
    let label = &seen.object(pipe).label;
    let reads: Vec<_> = reads_of(seen, pipe).filter(|t| t.event.process == ROOT && t.bytes > 0).collect();
    let came: u64 = reads.iter().map(|t| t.bytes).sum();
    let early = printed(run).into_iter().find(|p| reads.last().is_none_or(|r| p.index < r.index));
    match early {
        Some(print) if print.event.process == ROOT => wrong(format!(
            "The parent prints before the child's line has come out of {label}: what it says it did not hear. Read and parse first, then print."
        ))
        .at(print.event.source.as_ref())
        .found(),
        _ if came >= line.len() as u64 => Ok(()),
        _ if !matches!(seen.ending, Ending::Ended(_)) => Err(Objection::open("the program came to no end")),
        _ => wrong(format!("The parent read {came} of the {} bytes that the child sent through {label}.", line.len())).found(),
    }
}

/// `one-write`: a line that goes through a buffer leaves it in one piece.
fn one_write(run: &Run) -> Finding {
    let all = pipes(run.seen).into_iter();
    let writes: Vec<_> = all
        .flat_map(|pipe| {
            writes_of(run.seen, pipe).filter(|t| t.event.process != ROOT && t.bytes > 0).collect::<Vec<_>>()
        })
        .collect();
    match writes.as_slice() {
        [] => Err(Objection::open("the child wrote nothing to a pipe")),
        [_] => Ok(()),
        [first, ..] => {
            let words = format!(
                "The child's line takes {} writes: it is printed into the pipe piece by piece. Print it into a buffer, and flush that once.",
                writes.len()
            );
            let pieces = writes.iter().map(|t| format!("write of {}", quoted(t.data)));
            Failure::new(Reason::WrongCalls, words).at(first.event.source.as_ref()).evidences(pieces).found()
        }
    }
}

/// `parent-prints`: nothing on standard output comes from a child.
fn parent_prints(run: &Run) -> Finding {
    let printed = printed(run);
    match printed.iter().find(|t| t.event.process != ROOT && t.bytes > 0) {
        Some(print) => {
            let words = "The child wrote to standard output itself: it is to tell its parent, and the parent prints.";
            Failure::new(Reason::WrongCalls, words)
                .at(print.event.source.as_ref())
                .evidence(format!("the child wrote {}", quoted(print.data)))
                .found()
        }
        None if printed.is_empty() => Err(Objection::open("nothing was printed")),
        None => Ok(()),
    }
}

/// `from-the-pipe`: without a word from the child there is nothing to say.
fn from_the_pipe(run: &Run) -> Finding {
    if run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open("the child wrote nothing to a pipe"));
    }
    crate::spec::common::endings::ended(run)?;
    let told = complaints(run.seen);
    let wrong = |words: &str| Failure::new(Reason::FaultNotHandled, words).evidences(told.clone()).found();
    if !run.seen.stdout.bytes.is_empty() {
        return wrong(
            "The parent says a score all the same: it prints what it knew itself, not what it heard. Print what was parsed from the pipe, and nothing where nothing came.",
        );
    }
    if panicked(run.seen) {
        return wrong("The program panicked: a child that could not send is to end in a line on standard error.");
    }
    crate::spec::common::endings::status(run)
}
