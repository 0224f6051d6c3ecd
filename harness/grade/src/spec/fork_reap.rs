//! `04_fork`, `fork_reap`: how each child ended, told by who asked.

use observe::{Call, Effect, Ending, Exit, Fault, Hold, Nth, ProcessId, Schedule, Who};

use super::Spec;
use super::common::calls::{self, ROOT};
use super::common::plans::{bad_usage, failing, orders, unwritable_output};
use super::common::text::complaints;
use super::common::{FORKS, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// The kernel's names of calls that send a signal.
const KILLS: &[&str] = &["kill", "tkill", "tgkill", "rt_sigqueueinfo"];

/// `fork_reap N`
pub(crate) fn fork_reap() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one N from 1 to 100 is refused", usage),
            Check::outside("reports", "a fork or write that fails is reported", reports),
            Check::outside("output", "how each child ended is printed in order", endings_printed),
            Check::seen("children-end", "child i exits with i, every third by a SIGKILL of its own", children_end),
            Check::outside("order", "it is right whichever child ends first", any_order),
            Check::seen("from-wait", "what is printed is what wait said", from_wait),
            Check::seen("eintr", "it is right when a wait is interrupted", under_faults),
            Check::seen("reaped", "every child is waited for, also when not all could be made", reaped),
        ],
        demo: |nonce| reap_plan("some children", nonce.number(4, 6)),
    }
}

fn reap_plan(name: &str, count: u64) -> Plan {
    let line = |i| if i % 3 == 0 { format!("{i}: killed by SIGKILL\n") } else { format!("{i}: exit {i}\n") };
    let lines: String = (1..=count).map(line).collect();
    Plan::new(name).arg(count.to_string()).prints(lines).judged_by(&["output", "children-end", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = reap_plan("some children", nonce.number(5, 9));
    let many = reap_plan("as many children as there may be", 100);
    let childless = plain.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN).fault(failing(
        calls::FORK_CALLS,
        None,
        libc::EAGAIN,
    ));
    let mut plans = vec![plain.clone(), reap_plan("one child", 1), many];
    plans.extend(orders(&plain, &["order", "reaped"]));
    plans.extend([
        first_last(&plain),
        childless,
        unwritable_output(&plain),
        bad_usage("no number", &[]),
        bad_usage("two numbers", &["3", "4"]),
        bad_usage("a word", &["many"]),
        third_fork_fails(&plain),
        kill_fails(&plain),
        waits_interrupted(&plain),
    ]);
    plans
}

/// The first two children end only when all others have, and the second before the first.
fn first_last(plan: &Plan) -> Plan {
    let hold = |child| ["exit_group", "exit"].map(|call| end_of(child, call));
    let schedule = Schedule::Holds([hold(1), hold(2)].concat());
    plan.again("the first child ends last", &["order", "reaped"])
        .scheduled(schedule, "When the first two children end after the others")
}

fn end_of(child: u32, call: &str) -> Hold {
    Hold::new(Who::Nth(child), call, 1)
}

fn third_fork_fails(plan: &Plan) -> Plan {
    let calls = calls::FORK_CALLS.iter().map(|call| call.to_string()).collect();
    let fault = Fault { who: Who::Root, calls, nth: Nth::From(3), on: None, effect: Effect::Fail(libc::EAGAIN) };
    plan.again("the third fork fails", &["reaped"])
        .at(Stage::Refusal)
        .exits(1)
        .fault(fault)
        .because("When the third fork fails")
}

fn kill_fails(plan: &Plan) -> Plan {
    let calls = KILLS.iter().map(|call| call.to_string()).collect();
    let fault = Fault { who: Who::Descendants, calls, nth: Nth::From(1), on: None, effect: Effect::Fail(libc::EPERM) };
    plan.again("nobody can be killed", &["from-wait"]).at(Stage::Refusal).fault(fault)
}

fn waits_interrupted(plan: &Plan) -> Plan {
    plan.again("interrupted waits", &["eintr"])
        .at(Stage::Hard)
        .fault(super::common::plans::fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
        .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)")
}

/// `output`, and the usual misreadings of a status word by their names.
fn endings_printed(run: &Run) -> Finding {
    let printed = run.seen.stdout.text();
    let lines: Vec<&str> = printed.lines().collect();
    let misread = if lines.contains(&"1: exit 256") {
        "1: exit 256 is the status word itself: the exit status is in its upper byte. Take it out with WEXITSTATUS, or let nix's WaitStatus do it."
    } else if lines.contains(&"3: exit 0") || lines.contains(&"3: exit 9") {
        "Child 3 was killed and has no exit status: ask of each status word whether the child exited (WIFEXITED) or was killed by a signal (WIFSIGNALED) before you take a number out of it."
    } else {
        return output(run);
    };
    Failure::new(Reason::WrongOutput, misread).evidences(lines.iter().take(4).map(|line| line.to_string())).found()
}

/// `order`: under a schedule the children end in another order than they were made.
fn any_order(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            if failure.reason == Reason::WrongOutput {
                failure.reason = Reason::Race;
                failure.message.push_str(" The order in which children end is not the order in which you made them: keep the id of each, and put down by the id that wait gives how that one ended.");
            }
        })
    })
}

fn children_end(run: &Run) -> Finding {
    let seen = run.seen;
    if !matches!(seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let children: Vec<ProcessId> = (1..seen.processes.len() as u32).map(ProcessId).collect();
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    for kill in seen.calls().filter(|(_, event, ..)| event.process == ROOT) {
        if let (_, event, Call::Kill { target: Some(child), signal, .. }, _) = kill
            && *signal != 0
            && children.contains(child)
        {
            let words =
                format!("The parent sends a signal to {}: every third child is to kill itself.", seen.name_of(*child));
            return wrong(words).at(event.source.as_ref()).found();
        }
    }
    let count: i32 = run.plan.argument(0).parse().unwrap_or_default();
    let ended = |exit: Exit| children.iter().filter(|id| seen.process(**id).exit == Some(exit)).count() as i32;
    if children.is_empty() {
        return wrong("The program made no child.".into()).found();
    }
    let missing = (1..=count).find(|i| i % 3 != 0 && ended(Exit::Code(*i)) == 0);
    if let Some(i) = missing {
        return wrong(format!("No child exited with status {i}: child {i} is to leave with its own number.")).found();
    }
    let killed = ended(Exit::Signal(libc::SIGKILL));
    if killed == count / 3 {
        return Ok(());
    }
    wrong(format!("{killed} children died by SIGKILL instead of {}: every third one is to.", count / 3)).found()
}

/// `from-wait`: where no child can kill itself, none is said to have been killed.
fn from_wait(run: &Run) -> Finding {
    if run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open("no child sent itself a signal"));
    }
    let printed = run.seen.stdout.text();
    let Some(line) = printed.lines().find(|line| line.contains("killed")) else { return Ok(()) };
    let words = format!(
        "The program prints `{line}`, but in this run the child was not killed (its kill was refused with EPERM): print what wait says, not what should have happened."
    );
    Failure::new(Reason::WrongOutput, words).evidences(complaints(run.seen)).found()
}
