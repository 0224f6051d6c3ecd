//! `pipe_count`, of `05_pipes`: the smallest exercise there is. `docs/adding-an-exercise.md` shows how it was made.

use observe::On;

use super::Spec;
use super::common::calls::{self, pipes};
use super::common::plans::{bad_usage, cuts};
use super::common::{output, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Plan, Reason, Run, Stage};

/// More bytes than a pipe holds, fewer than an argument may have.
const LONG: usize = 100_000;

/// `pipe_count MESSAGE`
pub(crate) fn pipe_count() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one MESSAGE is refused", usage),
            Check::outside("output", "the number of bytes is printed", output),
            Check::seen("counted-from-pipe", "the whole message comes out of a pipe", counted_from_pipe),
            Check::outside("large-message", "a message longer than the pipe holds is counted too", output),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
        ],
        demo: |nonce| count("a message", nonce.sentence(24)),
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let length = nonce.number(20, 200) as usize;
    let plain = count("a message", nonce.sentence(length));
    let long = count("a long message", nonce.sentence(LONG)).judged_by(&["large-message"]).at(Stage::Hard);
    let mut plans = vec![plain.clone(), bad_usage("no message", &[]), bad_usage("two messages", &["one", "two"])];
    plans.extend(cuts(&plain, &[On::Pipe]));
    plans.push(long);
    plans
}

fn count(name: &str, message: String) -> Plan {
    let line = format!("{}\n", message.len());
    Plan::new(name).arg(message).prints(line).judged_by(&["output", "counted-from-pipe"])
}

fn counted_from_pipe(run: &Run) -> Finding {
    let pipes = pipes(run.seen);
    if pipes.is_empty() {
        return Failure::new(Reason::WrongCalls, "The program made no pipe: it counted its argument.").found();
    }
    let sent = run.plan.argument(0).len() as u64;
    let came = pipes.iter().map(|pipe| calls::reads_of(run.seen, *pipe).map(|read| read.bytes).sum());
    let most: u64 = came.max().unwrap_or_default();
    if most == sent {
        return Ok(());
    }
    Failure::new(Reason::WrongCalls, format!("{most} of {sent} bytes were read from the pipe.")).found()
}
