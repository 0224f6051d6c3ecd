//! `04_fork`: processes that share memory.

use std::time::Duration;

use observe::{Call, Observation, On, ProcessId, Schedule, Snapshot, What};

use super::Spec;
use super::common::calls::{self, ROOT, printed};
use super::common::plans::{bad_usage, failing, orders, unreadable};
use super::common::{FORKS, MAPS, child_prints, order, output, reaped, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Processor time that a process may use while it waits.
const WAITING: Duration = Duration::from_millis(20);

/// A process that sleeps so often looks again and again for what it should wait for.
const POLLING: usize = 5;

/// `shared_anon A B`
pub(crate) fn shared_anon() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but two integers is refused", usage),
            Check::outside("reports", "a failing mmap, fork or read is reported", reports),
            Check::outside("output", "the child prints the sum", output),
            Check::seen(
                "shared-mapping",
                "a writable shared mapping is made before fork and both processes have it",
                shared_mapping,
            ),
            Check::seen("stored-after-fork", "A and B are stored after fork", stored_after_fork),
            Check::seen("values-in-shared-memory", "A and B are in the shared memory", values_in_shared_memory),
            Check::seen("child-prints", "the child prints", child_prints),
            Check::seen("order", "the sum is right whoever runs first, and with sleeps that do not sleep", order),
            Check::seen(
                "waits-blocking",
                "whoever waits blocks: no spinning, no looking again and again",
                waits_blocking,
            ),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: run_plan,
    }
}

fn run_plan(nonce: &mut Nonce) -> Plan {
    // Large enough to be told from anything else in memory, small enough that 32 bits hold the sum.
    let (a, b) = (nonce.number(1 << 24, 1 << 30), nonce.number(1 << 24, (1 << 30) - 1));
    Plan::new("two numbers").arg(a.to_string()).arg(b.to_string()).prints(format!("{}\n", a + b)).snapshots().judged_by(
        &["output", "shared-mapping", "stored-after-fork", "values-in-shared-memory", "child-prints", "reaped"],
    )
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let free = run_plan(nonce);
    let unmapped =
        free.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM).fault(failing(&["mmap"], None, libc::ENOMEM));
    let childless = free.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN).fault(failing(
        calls::FORK_CALLS,
        None,
        libc::EAGAIN,
    ));
    let mut plans = vec![free.clone()];
    plans.extend(orders(&free, &["order", "waits-blocking", "stored-after-fork", "values-in-shared-memory", "reaped"]));
    // It goes on without the signal before there is anything to add up.
    let unsignalled = unreadable(&free, On::Pipe, "the pipe").scheduled(
        Schedule::ChildFirst,
        "When a read of the pipe fails, and the parent is held after fork until the child can do no more",
    );
    plans.extend([unmapped, childless, unsignalled.at(Stage::Refusal)]);
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("one number", &["16777216"]),
        bad_usage("three numbers", &["1", "2", "3"]),
        bad_usage("no number", &["12", "x"]),
    ]);
    plans
}

/// The fork that made the family of the process that printed; failing that, the first one.
fn fork_in_question<'a>(run: &Run<'a>) -> Option<(usize, ProcessId, &'a [Snapshot])> {
    let printer = printed(run).first().map(|t| t.event.process).filter(|p| *p != ROOT);
    let mut child = printer.or((run.seen.processes.len() > 1).then_some(ProcessId(1)))?;
    while let Some(parent) = run.seen.process(child).parent.filter(|p| *p != ROOT) {
        child = parent;
    }
    let (index, event) = calls::birth_of(run.seen, child)?;
    match &event.what {
        What::Forked { snapshots, .. } => Some((index, child, snapshots)),
        _ => None,
    }
}

/// `shared-mapping`: made before fork, so that the child has it too.
fn shared_mapping(run: &Run) -> Finding {
    let Some((fork, child, at_fork)) = fork_in_question(run) else {
        return Failure::new(Reason::WrongCalls, "The program made no child: there is nobody to share memory with.")
            .found();
    };
    if at_fork.is_empty() {
        return Err(not_shared(run, fork).into());
    }
    let unmapped = run.seen.successes().find(|(_, event, call, _)| {
        event.process == child
            && matches!(call, Call::Munmap { address, len, .. } if at_fork.iter().all(|s| (*address..address + len).contains(&s.address)))
    });
    let used =
        unmapped.is_none_or(|(index, ..)| printed(run).first().is_none_or(|t| t.index > index) || index > fork + 1);
    if used {
        return Ok(());
    }
    let line = unmapped.and_then(|(_, event, ..)| event.source.clone());
    Failure::new(Reason::WrongCalls, "The child unmaps the shared memory before it uses it.").at(line.as_ref()).found()
}

/// Says what mapping there is instead of a shared one.
pub(super) fn not_shared(run: &Run, fork: usize) -> Failure {
    let mapped = |wanted: i32, after: bool| {
        run.seen.successes().find(move |(index, _, call, _)| {
            matches!(call, Call::Mmap { flags, prot, .. }
                if flags & libc::MAP_TYPE == wanted && prot & libc::PROT_WRITE != 0 && (*index > fork) == after)
        })
    };
    let wrong =
        |message: &str, source: Option<&observe::SourceLine>| Failure::new(Reason::WrongCalls, message).at(source);
    if let Some((_, event, ..)) = mapped(libc::MAP_SHARED, true) {
        return wrong(
            "The memory is mapped after fork: each process has a mapping of its own, of which the other knows nothing. Map it before fork.",
            event.source.as_ref(),
        );
    }
    if let Some((_, event, ..)) = mapped(libc::MAP_PRIVATE, false) {
        return wrong(
            "The mapping is MAP_PRIVATE: after fork each process has its own copy, and a store of the parent is never seen by the child. Map it MAP_SHARED.",
            event.source.as_ref(),
        );
    }
    wrong("At fork no writable shared memory is mapped: map some, MAP_SHARED, before fork.", None)
}

/// `stored-after-fork`: neither number is in the shared memory when the child is made.
fn stored_after_fork(run: &Run) -> Finding {
    let Some((fork, _, at_fork)) = fork_in_question(run) else {
        return Err(Objection::open("the program made no child"));
    };
    if at_fork.is_empty() {
        return Err(Objection::open("no writable shared memory was mapped at fork"));
    }
    let there = numbers(run).into_iter().find(|n| at_fork.iter().any(|s| holds(&s.bytes, *n)));
    match there {
        None => Ok(()),
        Some(number) => Failure::new(
            Reason::WrongState,
            format!("{number} is in the shared memory at fork already: even a private copy would show it to the child. Store both numbers in the parent, after fork."),
        )
        .at(run.seen.events[fork].source.as_ref())
        .found(),
    }
}

/// `values-in-shared-memory`: both numbers have been in memory that parent and child share.
fn values_in_shared_memory(run: &Run) -> Finding {
    let Some((fork, _, at_fork)) = fork_in_question(run) else {
        return Err(Objection::open("the program made no child"));
    };
    let later: Vec<&Snapshot> =
        later_snapshots(run.seen, fork).filter(|s| at_fork.iter().any(|f| same(f, s))).collect();
    let missing = numbers(run).into_iter().find(|n| !later.iter().any(|s| holds(&s.bytes, *n)));
    let Some(number) = missing else { return Ok(()) };
    if later.is_empty() && !at_fork.is_empty() {
        return Err(Objection::open("what the shared memory held at the end was not seen"));
    }
    let message = if at_fork.is_empty() {
        "Parent and child share no memory, so the numbers cannot have gone through it.".to_string()
    } else {
        format!(
            "{number} never was in the shared memory: the child must have it from elsewhere. Let the parent store A and B there, and the child add them."
        )
    };
    Failure::new(Reason::WrongState, message).found()
}

pub(super) fn later_snapshots(seen: &Observation, fork: usize) -> impl Iterator<Item = &Snapshot> {
    seen.events.iter().skip(fork + 1).flat_map(|event| match &event.what {
        What::Exited { snapshots, .. } | What::Forked { snapshots, .. } => snapshots.as_slice(),
        What::Called { call: Call::Munmap { snapshots, .. }, .. } => snapshots.as_slice(),
        _ => &[],
    })
}

/// Whether two snapshots are of one memory.
fn same(at_fork: &Snapshot, later: &Snapshot) -> bool {
    match (at_fork.object, later.object) {
        (Some(a), Some(b)) => a == b,
        _ => at_fork.address == later.address,
    }
}

fn numbers(run: &Run) -> Vec<u64> {
    (0..2).filter_map(|n| run.plan.argument(n).parse().ok()).collect()
}

/// Whether memory holds a number: as an integer of 32 bits or more at any alignment, or in decimal digits.
pub(super) fn holds(memory: &[u8], number: u64) -> bool {
    let binary = u32::try_from(number).map(|n| n.to_le_bytes().to_vec()).unwrap_or(number.to_le_bytes().to_vec());
    let float = (number as f64).to_le_bytes();
    let decimal = number.to_string();
    [binary.as_slice(), &float, decimal.as_bytes()].iter().any(|form| memory.windows(form.len()).any(|w| w == *form))
}

/// `waits-blocking`: while all others are held, a process that waits uses no processor.
pub(super) fn waits_blocking(run: &Run) -> Finding {
    let processes = || run.seen.processes.iter().enumerate().map(|(i, p)| (ProcessId(i as u32), p));
    let sleeper = processes().find(|(id, _)| sleeps_of(run, *id) >= POLLING);
    let spinner = processes().find(|(_, p)| p.cpu_while_alone > WAITING);
    let Some((id, process)) = sleeper.or(spinner) else { return Ok(()) };
    let (name, other) = (super::common::family::capital(&run.seen.name_of(id)), other_of(id));
    let how = match sleeper {
        Some(_) => format!("{name} looks again and again instead of waiting: it slept {} times", sleeps_of(run, id)),
        None => format!(
            "{name} spins instead of waiting: it used the processor for {} ms",
            process.cpu_while_alone.as_millis()
        ),
    };
    let message = format!(
        "{how} while {other} was held. Let it block in a call that {other} ends: a read of a pipe, a futex, a semaphore."
    );
    let line = run.seen.calls().filter(|(_, e, ..)| e.process == id).filter_map(|(_, e, ..)| e.source.clone()).last();
    Failure::new(Reason::WrongState, message).at(line.as_ref()).found()
}

fn sleeps_of(run: &Run, id: ProcessId) -> usize {
    let sleeps = |event: &observe::Event, call: &Call| event.process == id && matches!(call, Call::Sleep { .. });
    run.seen.calls().filter(|(_, event, call, _)| sleeps(event, call)).count()
}

fn other_of(id: ProcessId) -> &'static str {
    if id == ROOT { "the child" } else { "the parent" }
}

/// The object of a snapshot, for tests.
#[cfg(test)]
fn snapshot(object: Option<u32>, address: u64, bytes: &[u8]) -> Snapshot {
    Snapshot { address, len: bytes.len() as u64, object: object.map(observe::ObjectId), bytes: bytes.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_at_any_alignment_and_in_any_usual_form() {
        let n = 0x1234_5678_u64;
        let mut memory = vec![0; 3];
        memory.extend_from_slice(&n.to_le_bytes());
        assert!(holds(&memory, n) && !holds(&memory, n + 1));
        assert!(holds(b"sum of 305419896", n));
        assert!(holds(&(n as f64).to_le_bytes(), n));
    }

    #[test]
    fn memory_is_the_same_by_its_object_or_else_by_its_address() {
        let at_fork = snapshot(Some(1), 0x1000, b"");
        assert!(same(&at_fork, &snapshot(Some(1), 0x2000, b"")));
        assert!(!same(&at_fork, &snapshot(Some(2), 0x1000, b"")));
        assert!(same(&at_fork, &snapshot(None, 0x1000, b"")));
    }
}
