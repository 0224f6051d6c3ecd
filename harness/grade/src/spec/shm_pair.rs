//! `04_fork`, `shm_pair`: shared memory with a name, from one child to another.

use std::collections::BTreeMap;

use observe::{Call, Effect, Event, Hold, Nth, ObjectId, On, ProcessId, Rung, Schedule, Side, What, Who};

use super::Spec;
use super::common::calls::{self, ROOT, files, printed};
use super::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use super::common::{FORKS, MAPS, child_prints, order, output, reaped, reports, under_faults, usage};
use super::fork::{holds, waits_blocking};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Where the system keeps POSIX shared memory.
const FOLDER: &str = "/dev/shm";
/// Calls that give a file its size.
const SIZES: &[&str] = &["ftruncate", "fallocate"];
/// How people name a call that gives a file its size.
const SIZINGS: &[&str] = &["truncate", "allocate", "set_len", "size"];
/// How people name a call that opens shared memory.
const OPENINGS: &[&str] = &["shm_open", "open"];

/// `shm_pair NAME VALUE`
pub(crate) fn shm_pair() -> Spec {
    Spec {
        plans,
        checks: [
            Check::outside("usage", "a command line of anything but a NAME with a slash and a VALUE is refused", usage),
            Check::seen("reports", "a call that fails is reported, and nothing is printed", reports),
            Check::seen("output", "VALUE is printed", output),
            Check::seen(
                "named-memory",
                "one child makes the memory NAME, sizes it and stores VALUE there",
                named_memory,
            ),
            Check::seen("own-eyes", "nobody else may open it: its mode is 0600", own_eyes),
            Check::seen("by-name", "another child opens it by its name, read-only, and maps it", by_name),
            Check::seen("child-prints", "the reader prints", child_prints),
            Check::seen("order", "the reader does not come too early, whoever runs first", order),
            Check::seen(
                "waits-blocking",
                "whoever waits blocks: no spinning, no looking again and again",
                waits_blocking,
            ),
            Check::seen("clean", "no name is left, also when something fails", clean),
            Check::seen("eintr", "it is right when a wait is interrupted", under_faults),
            Check::seen("reaped", "both children are waited for", reaped),
        ]
        .into_iter()
        .map(|check| if check.id == "usage" { check } else { check.unless(no_names) })
        .collect(),
        demo: pair_plan,
    }
}

/// Where no name space keeps them in, the box has no names for shared memory; then there is nothing to judge.
fn no_names(run: &Run) -> Option<String> {
    let refused = run.seen.calls().any(|(_, event, call, result)| {
        let injected = matches!(event.what, What::Called { injected: true, .. });
        matches!(call, Call::Open { path, .. } if path.starts_with(FOLDER))
            && result == Some(Err(libc::EACCES))
            && !injected
    });
    (run.seen.rung != Rung::F && refused).then(|| "the box has no place for shared memory with a name".into())
}

fn pair_plan(nonce: &mut Nonce) -> Plan {
    // Large enough to be told from anything else in memory.
    let (name, value) = (format!("/{}", nonce.word(8)), nonce.number(1 << 24, 1 << 31));
    Plan::new("a number").arg(name).arg(value.to_string()).prints(format!("{value}\n")).snapshots().judged_by(&[
        "output",
        "named-memory",
        "own-eyes",
        "by-name",
        "child-prints",
        "clean",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = pair_plan(nonce);
    let name = plain.argument(0);
    let memory = || Some(On::File(file_of(&name).into()));
    let fails = |title: &str, names, calls: &[&str], on, object: Option<&str>, errno| {
        let plan = plain.again(title, &[]).reports(names, object, errno).fault(failing(calls, on, errno));
        let checks = [plan.checks.as_slice(), &["clean", "reaped"]].concat();
        plan.judged_by(&checks)
    };
    let mut second = plain.again("the second fork fails", &["clean", "reaped"]).at(Stage::Refusal).exits(1);
    second.launch.faults.push(fault(calls::FORK_CALLS, Nth::From(2), None, Effect::Fail(libc::EAGAIN)));
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "waits-blocking", "clean", "reaped"]));
    plans.extend([
        held(&plain, "before it is sized", Side::Before, "When the writer is held before it gives the memory its size"),
        held(&plain, "before the store", Side::After, "When the writer is held before it stores VALUE"),
        late(&plain, "the first child comes late", 1),
        late(&plain, "the second child comes late", 2),
        fails("shm_open fails", OPENINGS, calls::OPEN_CALLS, None, Some(&name), libc::EACCES),
        fails("it cannot be sized", SIZINGS, SIZES, memory(), Some(&name), libc::ENOSPC),
        fails("mmap fails", MAPS, &["mmap"], memory(), Some(&name), libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, None, None, libc::EAGAIN),
        second.because("When the second fork fails"),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("no value", &["/name"]),
        bad_usage("three arguments", &["/name", "1", "2"]),
        bad_usage("no number", &["/name", "one"]),
        bad_usage("a name without a slash", &["name", "1"]),
        interrupted(&plain),
    ]);
    plans
}

/// The writer is held where it gives the memory its size, until the reader can do no more.
fn held(plan: &Plan, title: &str, side: Side, words: &str) -> Plan {
    let hold = |call: &&str| Hold { side, ..Hold::new(Who::Descendants, *call, 1) };
    let schedule = Schedule::Holds(SIZES.iter().map(hold).collect());
    plan.again(title, &["order", "waits-blocking", "clean"]).scheduled(schedule, words).sleepless()
}

/// A child is held at its first open, until the others can do no more.
fn late(plan: &Plan, title: &str, nth: u32) -> Plan {
    let hold = |call: &&str| Hold::new(Who::Nth(nth), *call, 1);
    let schedule = Schedule::Holds(calls::OPEN_CALLS.iter().map(hold).collect());
    let words = format!("When {title} (it is held at its first open until the others can do no more)");
    plan.again(title, &["order", "waits-blocking", "clean"]).scheduled(schedule, &words).sleepless()
}

fn interrupted(plan: &Plan) -> Plan {
    plan.again("interrupted waits", &["eintr", "clean"])
        .at(Stage::Hard)
        .fault(fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
        .fault(fault(calls::READS, Nth::Alternate, Some(On::Pipe), Effect::Fail(libc::EINTR)))
        .because("When a signal interrupts a wait (EINTR: it did nothing and is to be made again)")
}

fn file_of(name: &str) -> String {
    format!("{FOLDER}{name}")
}

/// The objects that NAME has been the name of.
fn memory(run: &Run) -> Vec<ObjectId> {
    files(run.seen, &file_of(&run.plan.argument(0)))
}

/// Whoever opened NAME, with which flags and mode.
fn openings<'a>(run: &Run<'a>) -> impl Iterator<Item = (usize, &'a Event, i32, u32)> {
    let objects = memory(run);
    run.seen.successes().filter_map(move |(index, event, call, _)| match call {
        Call::Open { flags, mode, object: Some(o), .. } if objects.contains(o) => Some((index, event, *flags, *mode)),
        _ => None,
    })
}

fn creation<'a>(run: &Run<'a>) -> Option<(usize, &'a Event, u32)> {
    openings(run)
        .find(|(_, _, flags, _)| flags & libc::O_CREAT != 0)
        .map(|(index, event, _, mode)| (index, event, mode))
}

fn not_made(run: &Run) -> Objection {
    let name = run.plan.argument(0);
    let words = format!("The program never makes the POSIX shared memory {name}: shm_open it with O_CREAT.");
    Failure::new(Reason::WrongCalls, words).into()
}

/// `named-memory`: made by a child, and VALUE was in it.
fn named_memory(run: &Run) -> Finding {
    let (_, made, _) = creation(run).ok_or_else(|| not_made(run))?;
    let name = run.plan.argument(0);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words).at(made.source.as_ref()).found();
    if made.process == ROOT {
        return wrong(format!("The parent makes {name} itself: it is a child, the writer, that is to."));
    }
    let objects = memory(run);
    let value: u64 = run.plan.argument(1).parse().unwrap_or_default();
    let there = run.seen.events.iter().any(|event| {
        let snapshots = match &event.what {
            What::Exited { snapshots, .. } | What::Forked { snapshots, .. } => snapshots,
            What::Called { call: Call::Munmap { snapshots, .. }, .. } => snapshots,
            _ => return false,
        };
        snapshots.iter().any(|s| s.object.is_some_and(|o| objects.contains(&o)) && holds(&s.bytes, value))
    });
    if there {
        return Ok(());
    }
    wrong(format!(
        "{value} never was in {name}: the writer is to map it MAP_SHARED, readable and writable, and to store VALUE there."
    ))
}

/// `own-eyes`: the mode that it was made with, were the umask empty; what the program itself forbids counts.
fn own_eyes(run: &Run) -> Finding {
    let (index, made, mode) = creation(run).ok_or_else(|| not_made(run))?;
    let masked = run.seen.calls().take_while(|(i, ..)| *i < index).filter_map(|(_, event, call, _)| match call {
        Call::Other { arguments } if is_umask(event) => Some(arguments[0] as u32),
        _ => None,
    });
    let mode = mode & 0o777 & !masked.last().unwrap_or_default();
    let why = match (mode & 0o077, mode & 0o600) {
        (0, 0o600) => return Ok(()),
        (0, _) => "its own user may not both read and write it",
        _ => "what the umask does not happen to forbid, everybody may do who knows the name",
    };
    let words = format!("{} is made with mode {mode:04o}: {why}. Make it with mode 0600.", run.plan.argument(0));
    Failure::new(Reason::WrongCalls, words).at(made.source.as_ref()).found()
}

fn is_umask(event: &Event) -> bool {
    matches!(&event.what, What::Called { sysno, .. } if sysno.name() == "umask")
}

/// `by-name`: who prints has the memory by its name, and cannot change it.
fn by_name(run: &Run) -> Finding {
    let (_, made, _) = creation(run).ok_or_else(|| not_made(run))?;
    let name = run.plan.argument(0);
    let printed = printed(run);
    let Some(reader) = printed.first().map(|t| t.event.process) else {
        return Err(Objection::open("nothing was printed"));
    };
    let wrong =
        |words: String, event: &Event| Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    if reader == made.process {
        return wrong(
            format!("The process that made {name} prints VALUE itself: make a second child, the reader."),
            made,
        );
    }
    let own: Vec<_> = openings(run).filter(|(_, event, ..)| event.process == reader).collect();
    let Some((_, opened, ..)) = own.first() else {
        return wrong(
            format!("The reader never opens {name}: it has the memory, or VALUE, from its parent by inheritance."),
            printed[0].event,
        );
    };
    if let Some((_, event, ..)) = own.iter().find(|(_, _, flags, _)| flags & libc::O_ACCMODE != libc::O_RDONLY) {
        return wrong(format!("The reader opens {name} for writing too: it only reads, so open it O_RDONLY."), event);
    }
    if looked_into(run, reader) {
        return Ok(());
    }
    wrong(format!("The reader opens {name} but never maps it: VALUE must have come to it another way."), opened)
}

fn looked_into(run: &Run, reader: ProcessId) -> bool {
    let objects = memory(run);
    run.seen.successes().any(|(_, event, call, _)| {
        event.process == reader
            && matches!(call, Call::Mmap { object: Some(o), .. } | Call::Read { object: Some(o), .. } if objects.contains(o))
    })
}

/// `clean`: each name that was made has been removed.
fn clean(run: &Run) -> Finding {
    let mut names: BTreeMap<String, &Event> = BTreeMap::new();
    for (_, event, call, _) in run.seen.successes() {
        match call {
            Call::Open { path, flags, .. } if flags & libc::O_CREAT != 0 && path.starts_with(FOLDER) => {
                names.insert(path.display().to_string(), event);
            }
            Call::Link { to: path, .. } if path.starts_with(FOLDER) => {
                names.insert(path.display().to_string(), event);
            }
            Call::Unlink { path } => {
                names.remove(&path.display().to_string());
            }
            _ => {}
        }
    }
    let Some((path, event)) = names.into_iter().next() else { return Ok(()) };
    let words = format!(
        "{} is still there when the program has ended: shared memory with a name stays until somebody removes it (shm_unlink), also after a failure.",
        path.trim_start_matches(FOLDER)
    );
    Failure::new(Reason::Leaked, words).at(event.source.as_ref()).found()
}
