//! `double_flush`, of `06_stdio`: a line that is in the buffer at fork must come out once.

use observe::{On, Stdout};

use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, ROOT, printed};
use crate::spec::common::endings::{command_line, ended};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, orders, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{FORKS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `double_flush TEXT`
pub(crate) fn double_flush() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one TEXT is refused", usage),
            Check::outside("reports", "a failing fork or write is reported", reports),
            Check::outside("once", "on a pipe the line from before fork comes out once", once),
            Check::outside("output", "the three lines come out on a pipe", output),
            Check::outside("terminal", "on a terminal the same three lines come out, each once", terminal),
            Check::seen("whole-lines", "the lines go through a buffer: none leaves it in pieces", whole_lines),
            Check::seen("own-lines", "the child prints its line and the parent its own", own_lines),
            Check::seen("order", "the child's line is before the parent's, whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "nothing is lost or doubled when writes are cut short", under_faults),
            Check::seen("eintr", "nothing is lost or doubled when calls are interrupted", under_faults),
        ],
        demo: |nonce| three_lines(nonce, "on a pipe"),
    }
}

fn three_lines(nonce: &mut Nonce, name: &str) -> Plan {
    let len = nonce.number(12, 40) as usize;
    let text = nonce.sentence(len);
    let lines = format!("before: {text}\nchild: {text}\nparent: {text}\n");
    Plan::new(name).arg(text).prints(lines).judged_by(&["output", "once", "whole-lines", "own-lines", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = three_lines(nonce, "on a pipe");
    let childless = plain.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN);
    let mut childless = childless.fault(failing(FORK_CALLS, None, libc::EAGAIN));
    childless.expect.stdout = None;
    let mut plans = vec![
        plain.clone(),
        three_lines(nonce, "on a terminal").judged_by(&["terminal"]).onto(Stdout::Terminal).because("On a terminal"),
    ];
    plans.extend(orders(&plain, &["order", "reaped"]));
    plans.extend([
        childless,
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("two texts", &["one", "two"]),
    ]);
    plans.push(cut(&plain, &[On::Stdout], crate::spec::common::calls::WRITES, "write", 3));
    plans.push(interrupted(&plain, &[On::Stdout, On::Pipe]));
    plans
}

/// How often the line from before fork came out.
fn times(run: &Run) -> usize {
    let line = format!("before: {}", run.plan.argument(0));
    run.seen.stdout.bytes.split(|b| *b == b'\n').filter(|l| *l == line.as_bytes()).count()
}

/// `once`: the line that was buffered before fork.
fn once(run: &Run) -> Finding {
    ended(run)?;
    let got = &run.seen.stdout.bytes;
    let words = match times(run) {
        1 => return Ok(()),
        0 if got.is_empty() => return Err(Objection::open("nothing was printed")),
        0 => "The line from before fork never came out: the buffer that held it was thrown away. Flush it before fork."
            .to_string(),
        n => format!(
            "The line from before fork came out {n} times: it was still in the buffer at fork, which copied the buffer too, and more than one process flushed its copy. Flush before fork; after it is too late."
        ),
    };
    let writers = printed(run).into_iter().filter(|t| t.data.starts_with(b"before: "));
    let who = writers.map(|t| format!("{} wrote {}", run.seen.name_of(t.event.process), quoted(t.data)));
    Failure::new(Reason::WrongOutput, words).evidence(command_line(run)).evidences(who).found()
}

/// `terminal`: the same on a terminal.
fn terminal(run: &Run) -> Finding {
    once(run)?;
    output(run)
}

/// `whole-lines`: every write ends where a line ends.
fn whole_lines(run: &Run) -> Finding {
    let all = printed(run);
    let Some(piece) = all.iter().find(|t| t.bytes > 0 && !t.data.ends_with(b"\n")) else {
        return if all.is_empty() { Err(Objection::open("nothing was printed")) } else { Ok(()) };
    };
    let words = format!(
        "A write holds only {}, a piece of a line: there is no buffer any more, and others may write in between. Keep the buffer, and flush it at the right moment.",
        quoted(piece.data)
    );
    let count = format!("{} writes for three lines", all.len());
    Failure::new(Reason::WrongCalls, words).at(piece.event.source.as_ref()).evidence(count).found()
}

/// `own-lines`: the child's line is written by the child, the parent's by the parent.
fn own_lines(run: &Run) -> Finding {
    let text = run.plan.argument(0);
    let all = printed(run);
    for (who, by_root) in [("child", false), ("parent", true)] {
        let line = format!("{who}: {text}");
        let has = |data: &[u8]| crate::spec::common::channels::contains(data, line.as_bytes());
        let Some(print) = all.iter().find(|t| has(t.data)) else {
            return Err(Objection::open(format!("the line of the {who} was not seen in one write")));
        };
        if (print.event.process == ROOT) != by_root {
            let words = format!(
                "The line of the {who} was written by {}: each process is to print its own after fork.",
                run.seen.name_of(print.event.process)
            );
            return Failure::new(Reason::WrongCalls, words).at(print.event.source.as_ref()).found();
        }
    }
    Ok(())
}
