//! `04_fork`, `fork_copy`: one variable before fork, two after it.

use observe::{Ending, On};

use super::Spec;
use super::common::calls::{self, ROOT, printed};
use super::common::plans::{bad_usage, cut, failing, interrupted, orders};
use super::common::text::quoted;
use super::common::{FORKS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `fork_copy A B`
pub(crate) fn fork_copy() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but two integers is refused", usage),
            Check::outside("reports", "a fork that fails is reported, and nothing is printed", reports),
            Check::outside("output", "the child has B, the parent afterwards still A, each said once", values_printed),
            Check::seen("each-prints-its-own", "the child prints its line and the parent its own", own_lines),
            Check::seen(
                "order",
                "the child's line is first, whoever runs first, and with sleeps that do not sleep",
                order,
            ),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| copy_plan("two numbers", nonce),
    }
}

fn copy_plan(name: &str, nonce: &mut Nonce) -> Plan {
    let (a, b) = (nonce.number(1, 4999) as i64, -(nonce.number(5000, 9999) as i64));
    Plan::new(name).arg(a.to_string()).arg(b.to_string()).prints(format!("child: {b}\nparent: {a}\n")).judged_by(&[
        "output",
        "each-prints-its-own",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = copy_plan("two numbers", nonce);
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "reaped"]));
    plans.extend([
        plain.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN).fault(failing(
            calls::FORK_CALLS,
            None,
            libc::EAGAIN,
        )),
        bad_usage("no numbers", &[]),
        bad_usage("one number", &["1"]),
        bad_usage("three numbers", &["1", "2", "3"]),
        bad_usage("no number", &["1", "two"]),
        cut(&plain, &[On::Stdout], calls::WRITES, "write", 3),
        interrupted(&plain, &[On::Stdout, On::Pipe]),
    ]);
    plans
}

/// `output`, and the two misunderstandings by their names.
fn values_printed(run: &Run) -> Finding {
    let (a, b) = (run.plan.argument(0), run.plan.argument(1));
    let text = run.seen.stdout.text();
    let lines: Vec<&str> = text.lines().collect();
    let times = |line: &str| lines.iter().filter(|l| **l == line).count();
    let (child, parent) = (format!("child: {b}"), format!("parent: {a}"));
    let words = if lines.contains(&format!("parent: {b}").as_str()) {
        format!(
            "The parent has {b} too: the variable lies in memory that both share. After fork an ordinary variable is two, and what the child stores the parent never sees."
        )
    } else if times(&child) > 1 || times(&parent) > 1 {
        "A line was printed twice: it was still in a buffer at fork, or at the child's exit, and each process has written its copy of the buffer. Flush before fork, and let the child leave by _exit.".into()
    } else {
        return output(run);
    };
    Failure::new(Reason::WrongOutput, words).evidence(format!("printed: {}", quoted(text.as_bytes()))).found()
}

/// `each-prints-its-own`: nobody speaks for the other.
fn own_lines(run: &Run) -> Finding {
    let wrong = |words: &str| Failure::new(Reason::WrongCalls, words.to_string());
    if run.seen.processes.len() == 1 {
        return wrong("The program made no child: fork, and let each of the two processes print what it has.").found();
    }
    let said = |by_child: bool| -> Vec<u8> {
        let own = |t: &calls::Transfer| (t.event.process != ROOT) == by_child;
        printed(run).into_iter().filter(own).flat_map(|t| t.data.to_vec()).collect()
    };
    let (child, parent) = (said(true), said(false));
    if !matches!(run.seen.ending, Ending::Ended(_)) || (child.is_empty() && parent.is_empty()) {
        return Err(Objection::open("the program printed nothing"));
    }
    if parent.windows(6).any(|w| w == b"child:") || child.is_empty() {
        let line = printed(run).into_iter().find(|t| t.event.process == ROOT).and_then(|t| t.event.source.clone());
        return wrong("The parent prints the child's line: it is the child that is to print what it has.")
            .at(line.as_ref())
            .found();
    }
    if child.windows(7).any(|w| w == b"parent:") || parent.is_empty() {
        return wrong("The child prints the parent's line: it is the parent that is to print what it still has, when the child has ended.").found();
    }
    Ok(())
}
