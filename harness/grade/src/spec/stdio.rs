//! `06_stdio`: buffered streams, and when what is in them leaves.

mod buffering;
mod calls_counted;
mod child_streams;
mod double_flush;
mod endings;
mod modes;
mod numbers;
mod sizes;
mod stream_files;

use observe::{Ending, On};

use super::Spec;
use super::common::calls::{self, ROOT, joined, pipes, printed, reads_of, writes_of};
use super::common::channels::contains;
use super::common::plans::{bad_usage, cuts, failing, interrupted, unwritable_output};
use super::common::text::quoted;
use super::common::{PIPES, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

pub(crate) use buffering::line_buffering;
pub(crate) use calls_counted::buffer_sizes;
pub(crate) use child_streams::flush_child;
pub(crate) use double_flush::double_flush;
pub(crate) use endings::lost_output;
pub(crate) use modes::stream_modes;
pub(crate) use numbers::scan_number;
pub(crate) use sizes::file_size;
pub(crate) use stream_files::fdopen_file;

/// `fdopen_pipe A B C`
pub(crate) fn fdopen_pipe() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but three integers is refused", usage),
            Check::outside("reports", "a failing pipe, read or write is reported", reports),
            Check::outside("output", "the three values are printed with their number", output),
            Check::seen("through-pipe", "the line goes through a pipe and is printed from there", through_pipe),
            Check::seen("one-process", "one process writes and reads", one_process),
            Check::seen("flushed", "the line has left the buffer before it is waited for", flushed),
            Check::seen("no-self-wait", "it does not wait for an end of file that only itself can bring", no_self_wait),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| values(nonce, "three values", 999),
    }
}

fn values(nonce: &mut Nonce, name: &str, high: u64) -> Plan {
    let [a, b, c] = [(); 3].map(|()| nonce.number(high / 2, high).to_string());
    Plan::new(name).prints(format!("3 values parsed: {a} {b} {c}\n")).arg(a).arg(b).arg(c).judged_by(&[
        "output",
        "through-pipe",
        "one-process",
        "flushed",
        "no-self-wait",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = values(nonce, "three values", 2_000_000_000);
    let pipeless = plain.again("pipe fails", &[]).reports(PIPES, None, libc::EMFILE).fault(failing(
        calls::PIPE_CALLS,
        None,
        libc::EMFILE,
    ));
    let unheard = plain.again("the pipe cannot be read", &[]).reports(calls::INPUTS, None, libc::EIO);
    let mut plans = vec![
        plain.clone(),
        values(nonce, "small values", 9),
        values(nonce, "values of more than 32 bits", 1 << 60),
        pipeless,
        unwritable_output(&plain),
        unheard.fault(failing(calls::READS, Some(On::Pipe), libc::EIO)).because("When a read of the pipe fails"),
        bad_usage("no arguments", &[]),
        bad_usage("two values", &["1", "2"]),
        bad_usage("four values", &["1", "2", "3", "4"]),
        bad_usage("no number", &["1", "x", "3"]),
    ];
    plans.extend(cuts(&plain, &[On::Pipe, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Pipe, On::Stdout]));
    plans
}

/// The line that is to go through the pipe, without its end.
fn line(run: &Run) -> Vec<u8> {
    (0..3).map(|n| run.plan.argument(n)).collect::<Vec<_>>().join(" ").into_bytes()
}

fn through_pipe(run: &Run) -> Finding {
    let (seen, line) = (run.seen, line(run));
    let used = pipes(seen);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    let Some(first) = used.first() else {
        let words = "The program made no pipe: the line is to go through one, from a stream over its write end to a stream over its read end.";
        return wrong(words.into()).found();
    };
    for pipe in &used {
        let sent = writes_of(seen, *pipe);
        let last_read = reads_of(seen, *pipe).filter(|t| t.bytes > 0).last();
        if !contains(&joined(sent), &line) {
            continue;
        }
        let Some(read) = last_read else { continue };
        return match printed(run).first() {
            Some(print) if print.index < read.index => {
                wrong("The values are printed before they are read from the pipe.".into())
                    .at(print.event.source.as_ref())
                    .found()
            }
            _ => Ok(()),
        };
    }
    if !matches!(seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end before the line was through the pipe"));
    }
    let (label, sent) = (&seen.object(*first).label, joined(writes_of(seen, *first)));
    let words = match sent.is_empty() {
        true => format!("Nothing was ever written to {label}."),
        false if contains(&sent, &line) => format!("The line was written to {label}, but nobody read it there."),
        false => format!("What went through {label} is {}, not the line {}.", quoted(&sent), quoted(&line)),
    };
    wrong(words).found()
}

fn one_process(run: &Run) -> Finding {
    let Some((_, event)) = calls::birth_of(run.seen, observe::ProcessId(1)) else { return Ok(()) };
    let words = "The program forks: here one process holds both ends, writes the line, and reads it back.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// Whether anything was ever written to a pipe of the program's own.
fn anything_sent(run: &Run) -> bool {
    pipes(run.seen).into_iter().any(|pipe| writes_of(run.seen, pipe).any(|t| t.bytes > 0))
}

fn flushed(run: &Run) -> Finding {
    if anything_sent(run) {
        return Ok(());
    }
    let waiter = run.seen.hang.as_ref().and_then(|h| h.waiters.iter().find(|w| w.process == ROOT));
    match (run.seen.ending, waiter) {
        (Ending::Deadlocked | Ending::Deadline, Some(waiter)) => {
            let label = waiter.object.map_or("the pipe".into(), |o| run.seen.object(o).label.clone());
            let words = format!(
                "The program waits for bytes from {label}, but not one byte was ever written to it: the line is still in the writer's buffer and never left it. Flush the writer before you read."
            );
            Failure::new(Reason::Hung, words).at(waiter.source.as_ref()).evidence(waiter.waits.clone()).found()
        }
        _ => Err(Objection::open("nothing was written to a pipe")),
    }
}

fn no_self_wait(run: &Run) -> Finding {
    match run.seen.ending {
        Ending::Ended(_) => return Ok(()),
        _ if !anything_sent(run) => return Err(Objection::open("the line never came into the pipe")),
        _ => {}
    }
    let Some(hang) = run.seen.hang.as_ref().filter(|h| h.kind == "end-of-file-never-comes") else {
        return Err(Objection::open("the program came to no end, for another reason"));
    };
    let waiter = hang.waiters.iter().find(|w| !w.culprits.is_empty()).or(hang.waiters.first());
    let label = waiter.and_then(|w| w.object).map_or("the pipe".into(), |o| run.seen.object(o).label.clone());
    let held = waiter.and_then(|w| w.culprits.first()).map(|c| format!(" (fd {})", c.fd)).unwrap_or_default();
    let words = format!(
        "The program reads {label} to the end of file while it holds the write end itself{held}: the end cannot come. Read one line, or close the writer first."
    );
    let lines = waiter.map(|w| w.because.clone()).unwrap_or_default();
    Failure::new(Reason::Hung, words).at(waiter.and_then(|w| w.source.as_ref())).evidences(lines).found()
}
