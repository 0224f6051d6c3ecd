//! `05_pipes`, `pipe_reply`: there and back again, over two pipes.

use observe::{Action, Deed, Ending, ObjectId, Observation, On, ProcessId, Stdin, Trigger};

use super::Spec;
use super::common::calls::{self, ROOT, joined, pipes, printed, reads_of, writes_of};
use super::common::channels::contains;
use super::common::ends::only_ends_used;
use super::common::family::capital;
use super::common::plans::{bad_usage, cuts, failing, interrupted, orders, unwritable_channel};
use super::common::text::quoted;
use super::common::{PIPES, output, reaped, reports, under_faults, usage_unless_ignored};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// How people name a call that makes a process or a thread.
const STARTS: &[&str] = &["fork", "clone", "thread", "spawn"];

/// Four times what two pipes and their two processes can hold between them.
const LARGE: usize = 1 << 20;

/// `pipe_reply`
pub(crate) fn pipe_reply() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing pipe, fork or write is reported", reports),
            Check::outside("output", "standard input is printed in upper case, byte for byte", output),
            Check::seen("two-pipes", "lines go to a child over one pipe, and come back over another", two_pipes),
            Check::seen("parent-prints", "the parent prints what came back", parent_prints),
            Check::seen("ends-closed", "every process closes the ends that it does not use", only_ends_used),
            Check::outside("answers-at-once", "each line is answered before the next is asked for", answers_at_once),
            Check::outside("large-input", "an input larger than both pipes goes through", large_input),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| input_plan("three lines", lines(nonce, 3)),
    }
}

fn lines(nonce: &mut Nonce, count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| [nonce.sentence(24).as_bytes(), b"\n"].concat()).collect()
}

fn input_plan(name: &str, input: Vec<u8>) -> Plan {
    let mut plan = Plan::new(name).prints(input.to_ascii_uppercase());
    plan.launch.stdin = Stdin::Bytes(input);
    plan.judged_by(&["output", "two-pipes", "parent-prints", "ends-closed", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let count = nonce.number(4, 9) as usize;
    let plain = input_plan("a few lines", lines(nonce, count));
    let strange = [nonce.word(5).as_bytes(), b"\n\n{z}`a\xe4\xff\x00\n", nonce.word(7).as_bytes()].concat();
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![
        plain.clone(),
        input_plan("strange bytes, and no newline at the end", strange),
        input_plan("no input", Vec::new()).judged_by(&["output", "reaped"]),
    ];
    plans.extend(orders(&plain, &["output", "ends-closed", "reaped"]));
    plans.extend([
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", STARTS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_channel(&plain, On::Pipe),
        bad_usage("an argument", &["hello"]),
        input_plan("a large input", nonce.text(LARGE)).coarse().judged_by(&["large-input"]).at(Stage::Hard),
        input_plan("a line longer than both pipes", nonce.word(LARGE / 2).into_bytes())
            .coarse()
            .judged_by(&["large-input"])
            .at(Stage::Hard),
        plain
            .again("standard input cannot be read", &[])
            .reports(calls::INPUTS, None, libc::EIO)
            .fault(failing(calls::READS, Some(On::Stdin), libc::EIO))
            .because("When a read of standard input fails"),
        conversation(nonce),
    ]);
    plans.extend(cuts(&plain, &[On::Stdin, On::Pipe, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Stdin, On::Pipe, On::Stdout]));
    plans
}

/// The second line comes only when the first has been answered, and the end when the second has.
fn conversation(nonce: &mut Nonce) -> Plan {
    let (first, second) = (lines(nonce, 1), lines(nonce, 1));
    let mut plan = input_plan("line for line", [first.clone(), second.clone()].concat());
    plan.launch.stdin = Stdin::Open(first.clone());
    plan.judged_by(&["answers-at-once"])
        .at(Stage::Hard)
        .because("When the next line is typed only after the last was answered")
        .action(Action { when: Trigger::Printed(first.to_ascii_uppercase()), what: Deed::Feed(second.clone()) })
        .action(Action { when: Trigger::Printed(second.to_ascii_uppercase()), what: Deed::CloseStdin })
}

fn answers_at_once(run: &Run) -> Finding {
    let asked = run.plan.launch.actions.len();
    if run.seen.actions_done == asked || matches!(run.seen.ending, Ending::Flooded) {
        return output(run);
    }
    let which = ["first", "second"][run.seen.actions_done.min(1)];
    let words = format!(
        "The answer to the {which} line never came, because the input had not ended yet: somebody keeps the line in a buffer, or reads on before answering. Pass on (and flush) what has come before reading more."
    );
    Failure::new(Reason::Hung, words).found()
}

fn large_input(run: &Run) -> Finding {
    if matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline) {
        let words = "The input is larger than both pipes, and everybody waits: the parent writes and does not read, so the child's answers fill their pipe, the child stops reading, and the parent's own pipe is full. Read answers while you still send: with poll, a thread or a second child.";
        let because = run.seen.hang.iter().map(|h| h.summary.clone());
        return Failure::new(Reason::Hung, words).evidences(because).found();
    }
    output(run)
}

/// `two-pipes`: a child read the input from one pipe and wrote it in upper case to another, and the parent read that.
fn two_pipes(run: &Run) -> Finding {
    let seen = run.seen;
    let Stdin::Bytes(input) = &run.plan.launch.stdin else { return Ok(()) };
    let answer = input.to_ascii_uppercase();
    let used: Vec<ObjectId> = pipes(seen).into_iter().filter(|p| writes_of(seen, *p).any(|t| t.bytes > 0)).collect();
    let children = (1..seen.processes.len() as u32).map(ProcessId);
    let replies = |child: ProcessId| {
        let asked = used.iter().find(|p| carried(seen, **p, child, false, input));
        let answered = used.iter().find(|p| carried(seen, **p, child, true, &answer));
        asked.zip(answered).filter(|(a, b)| a != b).is_some()
    };
    if children.clone().any(replies) {
        return Ok(());
    }
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    match used.as_slice() {
        [] if pipes(seen).is_empty() => {
            wrong("The program made no pipe: send the lines to a child through one, and take the answers from another.".into())
        }
        [only] => wrong(format!(
            "{} is the only pipe in use: with one pipe for both ways each process may read what it wrote itself, and there is no end of file. Make two, one for each way.",
            capital(&seen.object(*only).label)
        )),
        _ => match used.iter().find(|p| children.clone().any(|c| carried(seen, **p, c, false, &answer))) {
            Some(pipe) if answer != *input => wrong(format!(
                "What the child read from {} is in upper case already: it is the child that must make it so.",
                seen.object(*pipe).label
            )),
            _ => return Err(not_replied(run, &used)),
        },
    }
    .found()
}

fn not_replied(run: &Run, used: &[ObjectId]) -> Objection {
    if !matches!(run.seen.ending, Ending::Ended(_)) {
        return Objection::open("the program came to no end before all was answered");
    }
    let went = used.iter().map(|pipe| {
        let sent = joined(writes_of(run.seen, *pipe));
        format!("through {} went {}", run.seen.object(*pipe).label, quoted(&sent))
    });
    let words = "No child read the lines from one pipe and wrote them in upper case to another: let the child answer, over a pipe of its own.";
    Failure::new(Reason::WrongCalls, words).evidences(went).into()
}

/// Whether this process read (or wrote) these bytes from (to) this pipe.
fn carried(seen: &Observation, pipe: ObjectId, process: ProcessId, wrote: bool, bytes: &[u8]) -> bool {
    let own = |t: &calls::Transfer| t.event.process == process;
    let all: Vec<_> =
        if wrote { writes_of(seen, pipe).filter(own).collect() } else { reads_of(seen, pipe).filter(own).collect() };
    let moved: u64 = all.iter().map(|t| t.bytes).sum();
    let inside = all.iter().any(|t| t.inside);
    moved >= bytes.len() as u64 && (inside || contains(&joined(all.into_iter()), bytes))
}

fn parent_prints(run: &Run) -> Finding {
    let other = printed(run).into_iter().find(|t| t.event.process != ROOT && t.bytes > 0);
    let Some(other) = other else { return Ok(()) };
    let who = capital(&run.seen.name_of(other.event.process));
    let words = format!(
        "{who} wrote to standard output itself: its answers are to come back to the parent over the second pipe, and the parent prints them."
    );
    let failure = Failure::new(Reason::WrongCalls, words).at(other.event.source.as_ref());
    failure.evidence(format!("it wrote {}", quoted(other.data))).found()
}
