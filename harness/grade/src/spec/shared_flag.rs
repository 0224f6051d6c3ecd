//! `04_fork`, `shared_flag`: a process waits until another has changed a mapped file.

use std::time::Duration;

use observe::{Action, Call, Content, Deed, Effect, Exit, InputFile, Nth, On, ProcessId, Schedule, Trigger, What};

use super::Spec;
use super::common::calls::{self, ROOT, birth_of, files, reads_of, writes_of};
use super::common::endings::{ended, hung};
use super::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use super::common::text::{complaints, quoted};
use super::common::{FORKS, MAPS, OPENS, order, output, reaped, reports, under_faults, usage};
use super::fork::waits_blocking;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `shared_flag FILE`
pub(crate) fn shared_flag() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::outside("reports", "a failing open, mmap or fork is reported, and nothing is printed", reports),
            Check::outside("output", "`seen 2` is printed", output),
            Check::outside("file-changed", "the first number of FILE is 2, and nothing else has changed", file_changed),
            Check::seen("both-map", "both processes have FILE mapped shared, and no call reads or writes it", both_map),
            Check::seen("child-stores", "it is the child that changes the number", child_stores),
            Check::seen("order", "it is right whoever runs first, and with sleeps that do not sleep", order),
            Check::seen(
                "waits-blocking",
                "the parent blocks while it waits: no spinning, no looking again and again",
                waits_blocking,
            ),
            Check::seen("child-died", "a child that dies is noticed: `child died`, exit status 1", child_died),
            Check::seen("eintr", "it is right when a wait is interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |nonce| flag_plan("a flag", nonce, 1),
    }
}

fn flag_plan(name: &str, nonce: &mut Nonce, first: i32) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let rest = nonce.number(9, 99) as usize;
    let content = [first.to_ne_bytes().as_slice(), &nonce.bytes(rest)].concat();
    Plan::new(name).arg(file.clone()).file(InputFile::new(file, content)).prints("seen 2\n").snapshots().judged_by(&[
        "output",
        "file-changed",
        "both-map",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = flag_plan("a flag", nonce, 1);
    let file = plain.argument(0);
    let content = plain.launch.files[0].content.clone();
    let mut exact = plain.again("a file of one number", &["output", "file-changed"]);
    if let Content::Bytes(bytes) = &content {
        exact.launch.files[0].content = Content::Bytes(bytes[..4].to_vec());
    }
    let fails = |name: &str, names, calls: &[&str], on: Option<On>, object: Option<&str>, errno| {
        plain.again(name, &[]).reports(names, object, errno).fault(failing(calls, on, errno))
    };
    let data = || Some(On::File(file.clone().into()));
    let mut plans = vec![plain.clone(), exact];
    plans.extend(orders(&plain, &["order", "child-stores", "waits-blocking", "file-changed", "reaped"]));
    plans.extend([
        Plan::new("no such file").arg("missing.bin").reports(OPENS, Some("missing.bin"), libc::ENOENT),
        fails("mmap fails", MAPS, &["mmap"], data(), Some(&file), libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, None, None, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("no file", &[]),
        bad_usage("two files", &["one", "two"]),
        dying_child(&plain),
        interrupted(&plain),
    ]);
    plans
}

/// The child is killed before it has done anything, when the parent waits already.
fn dying_child(plan: &Plan) -> Plan {
    let mut plan = plan.again("the child is killed", &["child-died", "reaped"]).exits(1);
    plan.launch.schedule = Schedule::ParentFirst;
    plan.launch.deadline = Duration::from_secs(3);
    plan.at(Stage::Hard)
        .action(Action { when: Trigger::Released, what: Deed::SignalChild { nth: 1, signal: libc::SIGKILL } })
        .because("When the child is killed before it has changed anything")
}

fn interrupted(plan: &Plan) -> Plan {
    let effect = Effect::Fail(libc::EINTR);
    let mut plan = plan.again("interrupted waits", &["eintr"]).at(Stage::Hard);
    plan.launch.faults = vec![
        fault(calls::WAITS, Nth::Alternate, None, effect),
        fault(calls::READS, Nth::Alternate, Some(On::Pipe), effect),
        fault(calls::WRITES, Nth::Alternate, Some(On::Pipe), effect),
    ];
    plan.because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)")
}

fn before(run: &Run) -> Vec<u8> {
    match &run.plan.launch.files[0].content {
        Content::Bytes(bytes) => bytes.clone(),
        _ => Vec::new(),
    }
}

fn file_changed(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let old = before(run);
    let wrong = |words: String| Failure::new(Reason::WrongState, words).found();
    let Some(left) = run.seen.file(&path) else { return wrong(format!("{path} is gone.")) };
    let wanted = [2_i32.to_ne_bytes().as_slice(), &old[4..]].concat();
    if left.bytes == wanted {
        return Ok(());
    }
    if left.bytes == old {
        return wrong(format!(
            "{path} still begins with 1: what is stored in a private mapping, or in memory that is no mapping of the file, never reaches it. Map it MAP_SHARED."
        ));
    }
    if left.len != old.len() as u64 {
        return wrong(format!(
            "{path} was {} bytes long and is now {}: only its first number was to change.",
            old.len(),
            left.len
        ));
    }
    let at = left.bytes.iter().zip(&wanted).position(|(a, b)| a != b).unwrap_or(0);
    wrong(format!(
        "Byte {at} of {path} is {} and should be {}: the number has four bytes, in the order of this machine, and nothing else is to change.",
        quoted(&left.bytes[at..=at]),
        quoted(&wanted[at..=at])
    ))
}

/// `both-map`: FILE is mapped shared in the parent and in a child, and nobody goes around the mappings.
fn both_map(run: &Run) -> Finding {
    let seen = run.seen;
    let path = run.plan.argument(0);
    let objects = files(seen, &path);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    let Some((fork, _)) = birth_of(seen, ProcessId(1)) else {
        return wrong("The program made no child.".into()).found();
    };
    let mapped = |by_child: bool| {
        seen.successes().any(|(index, event, call, _)| {
            let own = (event.process != ROOT) == by_child || (by_child && index < fork);
            own && matches!(call, Call::Mmap { object: Some(o), flags, .. }
                if objects.contains(o) && flags & libc::MAP_TYPE != libc::MAP_PRIVATE)
        })
    };
    for (by_child, who) in [(false, "parent"), (true, "child")] {
        if !mapped(by_child) {
            let words = format!(
                "The {who} has no shared mapping of {path}: map it MAP_SHARED, before fork for both or after it in each."
            );
            return wrong(words).found();
        }
    }
    let around = objects.iter().find_map(|o| {
        let written = writes_of(seen, *o).next().map(|t| (t, "writes"));
        written.or_else(|| reads_of(seen, *o).find(|t| t.index > fork).map(|t| (t, "reads")))
    });
    let Some((transfer, does)) = around else { return Ok(()) };
    let who = seen.name_of(transfer.event.process);
    let words = format!(
        "After fork {who} {does} {path} with a call: change the number by a store to the mapping, and look at it by a load."
    );
    wrong(words).at(transfer.event.source.as_ref()).found()
}

/// `child-stores`, seen where the child runs before the parent: when the child is done, the number is 2.
fn child_stores(run: &Run) -> Finding {
    if run.plan.launch.schedule != Schedule::ChildFirst {
        return Err(Objection::open("the parent ran first"));
    }
    let objects = files(run.seen, &run.plan.argument(0));
    let left = run.seen.events.iter().filter(|e| e.process != ROOT).find_map(|event| {
        let snapshots = match &event.what {
            What::Exited { snapshots, .. } | What::Called { call: Call::Munmap { snapshots, .. }, .. } => snapshots,
            _ => return None,
        };
        snapshots.iter().find(|s| s.object.is_some_and(|o| objects.contains(&o))).map(|s| (event, s))
    });
    let Some((event, left)) = left else { return Err(Objection::open("the child had no shared mapping of FILE")) };
    if left.bytes.starts_with(&2_i32.to_ne_bytes()) {
        return Ok(());
    }
    let words = "When the child had done its part, the number was not 2: it is the child that is to change it, and the parent that waits.";
    Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found()
}

/// `child-died`: nobody will ever change the number, and the parent says so.
fn child_died(run: &Run) -> Finding {
    if run.seen.actions_done == 0 {
        return Err(Objection::open("there was no child to kill"));
    }
    let advice = "Wait for something that also happens when the child dies: the end of file of a pipe of which only the child has the write end, or its end itself.";
    if run.seen.exit().is_none() {
        let failure = hung(run.seen, run.plan.launch.deadline.as_secs());
        let words = format!("The parent waits for ever: nobody is left to change the number. {advice}");
        return Failure { message: words, ..failure }.found();
    }
    ended(run)?;
    let said = run.seen.stderr.text();
    let printed = &run.seen.stdout.bytes;
    let wrong = |words: String| {
        let words = format!("{words} `child died` is wanted on standard error, and exit status 1. {advice}");
        Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found()
    };
    match run.seen.exit() {
        _ if printed.starts_with(b"seen") => wrong(format!("The program prints {}.", quoted(printed))),
        _ if !said.to_lowercase().contains("child died") => {
            wrong(format!("Standard error says {}.", quoted(said.as_bytes())))
        }
        Some(Exit::Code(1)) => Ok(()),
        Some(Exit::Code(code)) => wrong(format!("The exit status is {code}.")),
        _ => Ok(()),
    }
}
