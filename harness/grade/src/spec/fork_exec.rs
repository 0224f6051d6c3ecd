//! `04_fork`, `fork_exec`: a command in a child, and the news when there is none.

use observe::{Effect, Event, Exit, Fault, InputFile, Nth, ObjectId, On, What, Who};

use super::Spec;
use super::common::calls::{self, ROOT, is_stdout};
use super::common::endings::ended;
use super::common::plans::{bad_usage, failing, orders, unwritable_output};
use super::common::refusals::{described, gives_reason};
use super::common::text::{complaints, panicked, quoted};
use super::common::{PIPES, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// How people name a call that makes a process.
const STARTS: &[&str] = &["fork", "clone", "spawn", "exec"];
/// Descriptors that every program has.
const STANDARD: [i32; 3] = [0, 1, 2];

/// `fork_exec CMD ARGS…`
pub(crate) fn fork_exec() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an empty command line is refused", usage),
            Check::outside("reports", "a pipe, fork or write that fails is reported", reports),
            Check::outside("output", "the command runs as given, and then its status is printed", output),
            Check::seen("extra-descriptor", "the command has one descriptor besides 0, 1 and 2", extra_descriptor),
            Check::seen("nothing-leaks", "the command has no more than that one", nothing_leaks),
            Check::outside("not-executed", "a command that cannot be executed: one line, status 127", not_executed),
            Check::seen("parent-reports", "it is the parent that says so", parent_reports),
            Check::outside("told-apart", "a command that exits with 127 was executed", output),
            Check::seen("order", "it is right whoever runs first", order),
            Check::seen("eintr", "it is right when waiting is interrupted", under_faults),
            Check::seen("reaped", "the child is waited for, also when exec has failed", reaped),
        ],
        demo: |nonce| {
            let word = nonce.word(6);
            shell("a command", &format!("echo {word} >&3; exit 7"), &format!("{word}\nexit 7\n"))
        },
    }
}

fn shell(name: &str, script: &str, printed: &str) -> Plan {
    Plan::new(name).arg("sh").arg("-c").arg(script).prints(printed).judged_by(&[
        "output",
        "extra-descriptor",
        "nothing-leaks",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (word, status) = (nonce.word(8), nonce.number(3, 120));
    let plain = shell("a command", &format!("echo {word}; exit {status}"), &format!("{word}\nexit {status}\n"));
    let arguments = shell("arguments as given", "printf '<%s>\\n' \"$@\"", "<a  b>\n<>\n<*>\nexit 0\n");
    let arguments = arguments.arg("sh").arg("a  b").arg("").arg("*");
    let succeeds = Plan::new("a command that succeeds").arg("true").prints("exit 0\n").judged_by(&["output"]);
    let fails = |name: &str, names, calls: &[&str], errno| {
        succeeds.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let missing = not_executable("no such command", &nonce.word(12), libc::ENOENT);
    let forbidden = not_executable("a file that is no program", &format!("./{}", nonce.word(12)), libc::EACCES);
    let text = InputFile::new(forbidden.argument(0), "text\n");
    let mut plans = vec![
        plain.clone(),
        succeeds.clone(),
        arguments,
        shell("a command that is killed", "kill -KILL $$", "exit 137\n").judged_by(&["output"]),
        shell("a command that exits with 127", "exit 127", "exit 127\n").judged_by(&["told-apart"]),
    ];
    plans.extend(orders(&plain, &["order", "nothing-leaks", "reaped"]));
    plans.extend([
        missing.clone(),
        forbidden.file(text),
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", STARTS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&succeeds),
        bad_usage("no command", &[]),
        interrupted(&plain),
    ]);
    plans
}

fn not_executable(name: &str, command: &str, errno: i32) -> Plan {
    let mut plan = Plan::new(name).arg(command).prints("").exits(127).at(Stage::Refusal);
    plan.expect.errno = errno;
    plan.judged_by(&["not-executed", "parent-reports", "reaped"])
}

/// What the parent waits in: the end of its child, and of the pipe of bad news.
fn interrupted(plan: &Plan) -> Plan {
    let fault = |calls: &[&str], on| Fault {
        who: Who::Root,
        calls: calls.iter().map(|call| call.to_string()).collect(),
        nth: Nth::Alternate,
        on,
        effect: Effect::Fail(libc::EINTR),
    };
    plan.again("interrupted waits", &["eintr"])
        .at(Stage::Hard)
        .fault(fault(calls::WAITS, None))
        .fault(fault(calls::READS, Some(On::Pipe)))
        .because("When a signal interrupts a wait (EINTR: it did nothing and is to be made again)")
}

/// A descriptor and what it names.
type Open = (i32, ObjectId);

/// The child as it became the command, and what it had open besides what every program has.
fn executed<'a>(run: &Run<'a>) -> Result<(&'a Event, Vec<&'a Open>), Objection> {
    let found = run.seen.events.iter().find_map(|event| match &event.what {
        What::Executed { open, .. } if event.process != ROOT => {
            Some((event, open.iter().filter(|(fd, _)| !STANDARD.contains(fd)).collect()))
        }
        _ => None,
    });
    found.ok_or_else(|| {
        let words = "No child became the command: fork, and exec it in the child.";
        Failure::new(Reason::WrongCalls, words).into()
    })
}

/// `extra-descriptor`: whichever it is; the stub asks for 3, another will do.
fn extra_descriptor(run: &Run) -> Finding {
    let (event, extra) = executed(run)?;
    if !extra.is_empty() {
        return Ok(());
    }
    let words = "The command has no descriptor besides 0, 1 and 2: dup2 standard output to 3 in the child. (What dup2 makes stays open through exec, unlike what is opened with O_CLOEXEC.)";
    Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found()
}

fn nothing_leaks(run: &Run) -> Finding {
    let (event, extra) = executed(run)?;
    // The one that is wanted is standard output, or else the first.
    let wanted = extra.iter().position(|(_, object)| is_stdout(run, run.seen.object(*object))).unwrap_or(0);
    let Some((fd, object)) = extra.iter().enumerate().find(|(n, _)| *n != wanted).map(|(_, open)| **open) else {
        return Ok(());
    };
    let words = format!(
        "The command has {} open as descriptor {fd}, of which it knows nothing: it stays open for as long as the command runs. Make it with O_CLOEXEC, and exec closes it.",
        run.seen.object(object).label
    );
    Failure::new(Reason::Leaked, words).at(event.source.as_ref()).found()
}

/// `not-executed`: said once, with the reason, and by nobody who goes on as if he were the parent.
fn not_executed(run: &Run) -> Finding {
    ended(run)?;
    let (command, errno) = (run.plan.argument(0), run.plan.expect.errno);
    let stderr = run.seen.stderr.text();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let wrong = |kind, words: String| {
        let words = format!("`{command}` cannot be executed ({}). {words}", described(errno));
        Failure::new(kind, words).evidences(complaints(run.seen)).found()
    };
    if panicked(run.seen) {
        return wrong(Reason::WrongStatus, "The program panics.".into());
    }
    if !run.seen.stdout.bytes.is_empty() {
        let printed = quoted(&run.seen.stdout.bytes);
        let words = format!(
            "The program prints {printed}, as if there had been a command: nothing is to be printed on standard output."
        );
        return wrong(Reason::WrongOutput, words);
    }
    let line = match lines.as_slice() {
        [line] => line,
        [] => return wrong(Reason::WrongOutput, "No line on standard error says so.".into()),
        more => {
            let words = format!(
                "That is said in {} lines instead of one: a child whose exec failed must send its errno and leave with _exit, and not go on as a second parent.",
                more.len()
            );
            return wrong(Reason::WrongOutput, words);
        }
    };
    if !line.contains(&command) {
        return wrong(Reason::WrongOutput, format!("The message `{line}` does not name the command."));
    }
    if !gives_reason(line, errno) {
        let words = format!(
            "The message `{line}` does not say why: exec's errno is known to the child alone, which is to send it to the parent."
        );
        return wrong(Reason::WrongOutput, words);
    }
    match run.seen.exit() {
        Some(Exit::Code(127)) => Ok(()),
        Some(Exit::Code(code)) => wrong(Reason::WrongStatus, format!("The exit status is {code} instead of 127.")),
        _ => ended(run),
    }
}

/// `parent-reports`: what the child knows it tells the parent, not the world.
fn parent_reports(run: &Run) -> Finding {
    let complains = |event: &Event, object: &Option<ObjectId>| {
        let kind = object.map(|o| &run.seen.object(o).kind);
        event.process != ROOT && kind == Some(&observe::ObjectKind::Standard(2))
    };
    let said = run
        .seen
        .successes()
        .find(|(_, event, call, _)| matches!(call, observe::Call::Write { object, .. } if complains(event, object)));
    if let Some((_, event, ..)) = said {
        let words = "The child itself says on standard error that exec failed, so the parent cannot tell that from a command which exits with 127: send the errno to the parent, over a pipe that exec closes.";
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    if run.seen.stderr.bytes.is_empty() {
        return Err(Objection::open("nobody said that the command cannot be executed"));
    }
    Ok(())
}
