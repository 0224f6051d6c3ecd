//! `05_pipes`, `pipe_line`: a shell's line of commands.

use std::time::Duration;

use observe::{
    Action, Call, Deed, Effect, Ending, Event, Exit, Fault, Hold, InputFile, Nth, ObjectId, ObjectKind, ProcessId,
    Schedule, Stdin, Trigger, What, Who,
};

use super::Spec;
use super::common::calls::{self, ROOT};
use super::common::endings::{ended, hung};
use super::common::plans::{bad_usage, failing, orders};
use super::common::text::{complaints, signal_name};
use super::common::{PIPES, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// How people name a call that makes a process.
const STARTS: &[&str] = &["fork", "clone", "spawn", "exec"];

/// `pipe_line 'CMD | CMD | …'`
pub(crate) fn pipe_line() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "anything but one line of whole commands is refused", usage),
            Check::outside("reports", "a failing pipe or fork is reported, and nothing is printed", reports),
            Check::outside("output", "the last command prints what the line means, whoever runs first", output),
            Check::outside("status-of-last", "the exit status is that of the last command", status_of_last),
            Check::outside("not-found", "a command that does not exist is named, and its status is 127", not_found),
            Check::seen("all-at-once", "there are as many children as commands, all alive at once", all_at_once),
            Check::seen("only-two-ends", "each command has its two ends and no others", only_two_ends),
            Check::seen("ends-closed", "the line ends: nobody holds an end that others wait for", ends_closed),
            Check::seen("sigpipe-default", "a command whose reader is gone dies of SIGPIPE", sigpipe_default),
            Check::seen("eintr", "it is right when waiting is interrupted", under_faults),
            Check::seen("reaped", "every command is waited for", reaped),
        ],
        demo: five_commands,
    }
}

/// The line of five commands that lists each name in the directory once, without its ending.
fn five_commands(nonce: &mut Nonce) -> Plan {
    let mut names = vec!["listing".to_string()];
    for _ in 0..nonce.number(3, 6) {
        let name = nonce.word(5);
        names.push(format!("{name}.c"));
        names.push(format!("{name}.txt"));
    }
    let mut plan = Plan::new("five commands").arg("ls -1 | cut -d. -f1 | uniq | sort | tee listing");
    for name in &names {
        plan = plan.file(InputFile::new(name, ""));
    }
    names.sort();
    let mut stems: Vec<&str> = names.iter().filter_map(|name| name.split('.').next()).collect();
    stems.sort_unstable();
    stems.dedup();
    let listing: String = stems.iter().map(|stem| format!("{stem}\n")).collect();
    plan.prints(listing).judged_by(&["output", "only-two-ends", "ends-closed", "reaped"])
}

fn line_plan(name: &str, line: &str, input: &[u8], printed: impl Into<Vec<u8>>) -> Plan {
    let mut plan = Plan::new(name).arg(line).prints(printed);
    plan.launch.stdin = Stdin::Bytes(input.to_vec());
    plan.judged_by(&["output", "only-two-ends", "ends-closed", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let text = nonce.text(300);
    let word = nonce.word(9);
    let through = line_plan("three commands", "cat | tr a-z A-Z|cat", &text, text.to_ascii_uppercase());
    let alone = line_plan("one command", &format!(" \t echo   {word} "), b"", format!("{word}\n"));
    let last = nonce.number(3, 120) as i32;
    let first = nonce.number(121, 240) as i32;
    // Each waits for the end of its input, so the last ends last unless it is held otherwise.
    let script = |name: &str, code| InputFile::new(name, format!("#!/bin/sh\nread line\nexit {code}\n")).mode(0o755);
    let status = |name: &str, line: &str, status: i32| {
        let plan = line_plan(name, line, b"", "").file(script("first", first)).file(script("last", last));
        plan.exits(status).judged_by(&["status-of-last"])
    };
    let holds = ["exit_group", "exit"].map(|call| Hold::new(Who::Nth(1), call, 1));
    let ends_first = status("the last succeeds and ends first", "./first | true", 0)
        .scheduled(Schedule::Holds(holds.into()), "When the first command ends last");
    let missing = nonce.word(12);
    let fails = |name: &str, names, calls: &[&str], errno| {
        through.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![
        through.clone(),
        alone,
        five_commands(nonce),
        held_open(&text),
        status("the last fails", "./first | ./last", last),
        status("the last is killed", "./first | ./killed", 128 + libc::SIGKILL)
            .file(InputFile::new("killed", "#!/bin/sh\nkill -KILL $$\n").mode(0o755)),
        ends_first,
    ];
    plans.extend(orders(&through, &["output", "ends-closed", "reaped"]));
    plans.extend([
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", STARTS, calls::FORK_CALLS, libc::EAGAIN),
        line_plan("no such command", &format!("echo {word} | ./{missing}"), b"", "")
            .exits(127)
            .judged_by(&["not-found"])
            .at(Stage::Refusal),
        bad_usage("no line", &[]),
        bad_usage("two lines", &["true", "true"]),
        endless(),
        waits_interrupted(&through),
    ]);
    plans
}

/// The first command waits for its input until everybody waits.
fn held_open(text: &[u8]) -> Plan {
    let mut plan = line_plan("all at once", "cat | tr a-z A-Z | cat", text, text.to_ascii_uppercase());
    plan.launch.stdin = Stdin::Open(text.to_vec());
    plan.judged_by(&["all-at-once"]).action(Action { when: Trigger::AllBlocked, what: Deed::CloseStdin })
}

fn endless() -> Plan {
    let mut plan = line_plan("an endless command", "yes | head -n 1", b"", "y\n").coarse().at(Stage::Hard);
    // For a program that collects all that `yes` says before it starts `head`.
    plan.launch.limits.disk = 16 << 20;
    plan.launch.deadline = Duration::from_secs(5);
    plan.judged_by(&["sigpipe-default"])
}

fn waits_interrupted(plan: &Plan) -> Plan {
    let calls = calls::WAITS.iter().map(|call| call.to_string()).collect();
    let effect = Effect::Fail(libc::EINTR);
    plan.again("interrupted waits", &["eintr"])
        .at(Stage::Hard)
        .fault(Fault { who: Who::Root, calls, nth: Nth::Alternate, on: None, effect })
        .because("When a signal interrupts a wait (EINTR: it did nothing and is to be made again)")
}

fn status_of_last(run: &Run) -> Finding {
    ended(run)?;
    let expected = run.plan.expect.status;
    match run.seen.exit() {
        Some(Exit::Code(code)) if code == expected => Ok(()),
        code => {
            let got = match code {
                Some(Exit::Code(code)) => code.to_string(),
                _ => "none".into(),
            };
            let words = format!(
                "The exit status is {got}, and that of the last command of `{}` is {expected}: keep apart whom each wait has reaped, and leave with the last one's status.",
                run.plan.argument(0)
            );
            Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found()
        }
    }
}

fn not_found(run: &Run) -> Finding {
    ended(run)?;
    let line = run.plan.argument(0);
    let command = line.rsplit(['|', ' ', '/']).next().unwrap_or_default();
    let named = run.seen.stderr.text().lines().filter(|l| l.contains(command)).count();
    let wrong = |words: String| Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found();
    match (run.seen.exit(), named) {
        (Some(Exit::Code(127)), 1) => Ok(()),
        (_, 0) => wrong(format!(
            "`{command}` does not exist, and no line on standard error names it: the failing exec is to be reported by the one who made it."
        )),
        (Some(Exit::Code(127)), n) => wrong(format!(
            "`{command}` does not exist, and that is said {n} times: a child whose exec failed must leave with _exit(127) and not go on as a second parent."
        )),
        _ => wrong(format!(
            "`{command}` does not exist: the exit status is to be 127, as the shell has it. A child whose exec failed leaves with _exit(127) at once."
        )),
    }
}

/// The commands' processes along the line: those that executed a program, and no ancestor did.
fn commands(run: &Run) -> Vec<ProcessId> {
    let own = |id: ProcessId| {
        let above = |id: &ProcessId| run.seen.process(*id).parent;
        begun(run, id).is_some() && !std::iter::successors(above(&id), above).any(|id| begun(run, id).is_some())
    };
    let mut left: Vec<ProcessId> = (1..run.seen.processes.len() as u32).map(ProcessId).filter(|id| own(*id)).collect();
    let mut line = Vec::new();
    // Each reads what the one before it writes; where that leads nowhere they are taken as they were begun.
    while !left.is_empty() {
        let source = line.last().and_then(|last| connected(run, *last, 1));
        let next = left.iter().position(|id| connected(run, *id, 0) == source);
        line.push(left.remove(next.unwrap_or(0)));
    }
    line
}

/// What a process had open when it became its command.
fn begun<'a>(run: &Run<'a>, id: ProcessId) -> Option<(&'a Event, &'a [(i32, ObjectId)])> {
    run.seen.events.iter().find_map(|event| match &event.what {
        What::Executed { open, .. } if event.process == id && id != ROOT => Some((event, open.as_slice())),
        _ => None,
    })
}

/// The pipe behind a descriptor of a command that begins.
fn connected(run: &Run, id: ProcessId, fd: i32) -> Option<ObjectId> {
    let (_, open) = begun(run, id)?;
    let object = open.iter().find(|(number, _)| *number == fd)?.1;
    (run.seen.object(object).kind == ObjectKind::Pipe).then_some(object)
}

fn wanted(run: &Run) -> Vec<String> {
    run.plan.argument(0).split('|').map(|command| command.trim().to_string()).collect()
}

fn all_at_once(run: &Run) -> Finding {
    let wanted = wanted(run);
    let started = commands(run);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words).found();
    if started.len() != wanted.len() {
        return wrong(format!(
            "`{}` is {} commands, and the program started {} of its own: fork and exec each of them yourself, no shell in between.",
            run.plan.argument(0),
            wanted.len(),
            started.len()
        ));
    }
    for (n, earlier) in started.iter().enumerate() {
        let ended = run.seen.process(*earlier).ended;
        let late =
            started.iter().position(|later| ended.is_some_and(|ended| ended <= run.seen.process(*later).started));
        if let Some(m) = late {
            return wrong(format!(
                "`{}` was started only when `{}` had ended, though that was still waiting for input: the commands of a line run side by side, and a pipe holds what is on its way.",
                wanted[m], wanted[n]
            ));
        }
    }
    output(run)
}

/// `only-two-ends`: what each command has open when it begins.
fn only_two_ends(run: &Run) -> Finding {
    let wanted = wanted(run);
    let started = commands(run);
    if started.len() != wanted.len() {
        return Err(Objection::open("there were not as many children as commands"));
    }
    for (n, id) in started.iter().enumerate() {
        let Some((event, open)) = begun(run, *id) else { continue };
        let is_pipe = |fd: i32| connected(run, *id, fd).is_some();
        let extra = open.iter().find(|(fd, object)| {
            let ours = (*fd == 0 && n > 0) || (*fd == 1 && n + 1 < wanted.len());
            !ours && run.seen.object(*object).kind == ObjectKind::Pipe
        });
        let words = if let Some((fd, object)) = extra {
            format!(
                "`{}` begins with an end of {} open that is not its own (fd {fd}): whoever reads that pipe never sees its end, or its writer is never told that the reader is gone. Open pipes with O_CLOEXEC, or close all but 0, 1 and 2 before exec.",
                wanted[n],
                run.seen.object(*object).label
            )
        } else if n > 0 && !is_pipe(0) {
            format!("The standard input of `{}` is no pipe: connect it to the command before it.", wanted[n])
        } else if n + 1 < wanted.len() && !is_pipe(1) {
            format!("The standard output of `{}` is no pipe: connect it to the command after it.", wanted[n])
        } else {
            continue;
        };
        return Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found();
    }
    Ok(())
}

fn ends_closed(run: &Run) -> Finding {
    let seen = run.seen;
    if let Ending::Deadlocked | Ending::Deadline = seen.ending {
        let failure = hung(seen, run.plan.launch.deadline.as_secs());
        let advice = " An end that stays open in the parent, or in another command, keeps it so: after each fork close what you do not need.";
        return Failure { message: failure.message.clone() + advice, ..failure }.found();
    }
    ended(run)?;
    // When it waits, the parent holds nothing any more.
    let wait = seen.calls().filter(|(_, e, call, _)| e.process == ROOT && matches!(call, Call::Wait { .. })).last();
    let Some((index, event, ..)) = wait else { return Ok(()) };
    let kept = calls::pipes(seen).into_iter().find_map(|pipe| {
        let holders = [true, false].into_iter().flat_map(|writing| seen.holders_before(index, pipe, writing));
        let own = holders.filter(|(p, _)| *p == ROOT).map(|(_, fd)| fd).next();
        own.filter(|_| !commands(run).is_empty() && used_by_command(run, pipe)).map(|fd| (pipe, fd))
    });
    let Some((pipe, fd)) = kept else { return Ok(()) };
    let words = format!(
        "The parent waits and still holds an end of {} (fd {fd}): the commands beside it see neither the end of file nor that their reader is gone. Close it when the command that uses it has been started.",
        seen.object(pipe).label
    );
    Failure::new(Reason::Leaked, words).at(event.source.as_ref()).found()
}

fn used_by_command(run: &Run, pipe: ObjectId) -> bool {
    commands(run).iter().any(|id| (0..2).any(|fd| connected(run, *id, fd) == Some(pipe)))
}

fn sigpipe_default(run: &Run) -> Finding {
    if !matches!(run.seen.ending, Ending::Ended(_)) {
        let words = "`yes | head -n 1` never ends: `head` has what it wants and has gone, but somebody still holds the read end, so `yes` is never told. Close it in the parent and in every other command.";
        return Failure::new(Reason::Hung, words).found();
    }
    let started = commands(run);
    let [yes, ..] = started.as_slice() else { return Err(Objection::open("no command was started")) };
    match run.seen.process(*yes).exit {
        Some(Exit::Signal(libc::SIGPIPE)) => output(run),
        end => {
            let how = match end {
                Some(Exit::Code(code)) => format!("exited with {code}"),
                Some(Exit::Signal(signal)) => format!("was killed by {}", signal_name(signal)),
                None => "did not end".into(),
            };
            let words = format!(
                "`yes` {how} when its reader had gone; SIGPIPE should have ended it silently. Rust's runtime ignores that signal, and a child inherits it so: set it back to its default before exec."
            );
            Failure::new(Reason::WrongState, words).evidences(complaints(run.seen)).found()
        }
    }
}
