//! `fifo_race`: a sender that must not be gone with its message before anybody has opened the other end.

use observe::{Call, Exit, On, Who};

use super::checks::{child_reads, clean, existing_path, fifos};
use super::{FOREIGN, MAKES, hello, interrupted_opens};
use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, ROOT, reads_of, writes_of};
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, orders};
use crate::spec::common::{FORKS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `fifo_race PATH MESSAGE`
pub(crate) fn fifo_race() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PATH and MESSAGE is refused", usage),
            Check::outside("reports", "a failing mkfifo or fork is reported, and nothing is printed", reports),
            Check::seen("no-own-reader", "the sender has no way to read the FIFO when it sends", no_own_reader),
            Check::outside("output", "the message and a newline are printed", output),
            Check::seen("child-reads", "the parent writes to the FIFO; the child reads it and prints", through_fifo),
            Check::seen("order", "the message arrives whoever is first", order),
            Check::outside("existing-path", "what is at PATH already is an error, and stays untouched", existing_path),
            Check::outside("clean", "the FIFO is gone at the end, also after a failure", clean),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted, open among them", under_faults),
        ],
        demo: |nonce| message(nonce).again("a message", &["output"]),
    }
}

fn message(nonce: &mut Nonce) -> Plan {
    hello(nonce).judged_by(&["output", "no-own-reader", "child-reads", "clean", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = message(nonce);
    let path = plain.argument(0);
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "no-own-reader", "clean", "reaped"]));
    plans.push(late_reader(&plain));
    let mut childless = plain
        .again("fork fails", &[])
        .reports(FORKS, None, libc::EAGAIN)
        .fault(failing(FORK_CALLS, None, libc::EAGAIN))
        .because("When fork fails");
    childless.checks.push("clean");
    let taken = plain.again("a file is at PATH", &["existing-path"]).prints("").exits(1).at(Stage::Refusal);
    plans.extend([
        Plan::new("mkfifo fails").arg("nowhere/fifo").arg("hello").reports(MAKES, Some("nowhere"), libc::ENOENT),
        childless,
        taken.file(observe::InputFile::new(&path, FOREIGN)).because(format!("When a file {path} is there already")),
        bad_usage("no arguments", &[]),
        bad_usage("no message", &["pipe"]),
        bad_usage("one too many", &["pipe", "a", "b"]),
    ]);
    plans.extend(cuts(&plain, &[On::Fifo, On::Stdout]));
    plans.push(interrupted_opens(interrupted(&plain, &[On::Fifo, On::Stdout, On::Pipe])));
    plans
}

/// The child opens the FIFO only when the parent can do no more.
fn late_reader(plain: &Plan) -> Plan {
    let holds = ["open", "openat"].map(|call| observe::Hold::new(Who::Descendants, call, 1)).to_vec();
    plain
        .again("the reader opens late", &["order", "no-own-reader"])
        .scheduled(observe::Schedule::Holds(holds), "When the child is held before it opens the FIFO")
        .sleepless()
}

/// `child-reads`: through a FIFO, and nothing that keeps its bytes on a disk.
fn through_fifo(run: &Run) -> Finding {
    let made = run.seen.successes().any(|(_, _, call, _)| matches!(call, Call::MakeNode { .. }));
    if made || run.seen.exit() != Some(Exit::Code(0)) {
        return child_reads(run);
    }
    let words = "The program made no FIFO: a regular file in its place keeps the bytes for whoever comes late, but nobody can wait for its end.";
    Failure::new(Reason::WrongCalls, words).found()
}

/// `no-own-reader`: what is in a FIFO that only its writer has open is lost when he closes it.
fn no_own_reader(run: &Run) -> Finding {
    let seen = run.seen;
    let sent = fifos(run).into_iter().flat_map(|fifo| {
        let own = writes_of(seen, fifo).filter(|t| t.event.process == ROOT && t.bytes > 0).last();
        own.map(|last| (fifo, last))
    });
    let Some((fifo, last)) = sent.last() else {
        return Err(Objection::open("the parent wrote to no FIFO"));
    };
    let own = seen.holders_before(last.index, fifo, false).into_iter().find(|(process, _)| *process == ROOT);
    let Some((_, fd)) = own else { return Ok(()) };
    let label = &seen.object(fifo).label;
    let heard = reads_of(seen, fifo).any(|t| t.event.process != ROOT && t.bytes > 0);
    let fate = if heard {
        "This time the child was there in time; if it opens later, the bytes are thrown away when the parent closes."
    } else {
        "Nobody else had it open when the parent closed it, so the bytes were thrown away."
    };
    let words = format!(
        "The parent sends while it can read {label} itself (fd {fd}): it is its own reader, so neither open nor write waits for the child. {fate} Open the FIFO O_WRONLY, which waits until somebody reads."
    );
    Failure::new(Reason::WrongCalls, words).at(last.event.source.as_ref()).found()
}
