//! `04_fork`, `robust_mutex`: a lock whose holder has died.

use observe::{Effect, Ending, Nth, Observation, ProcessId, Snapshot, What};

use super::Spec;
use super::common::calls::{self, ROOT, birth_of};
use super::common::plans::{bad_usage, failing, fault, orders, unwritable_output};
use super::common::{FORKS, MAPS, order, output, reaped, reports, under_faults, usage_unless_ignored};
use super::fork::{not_shared, waits_blocking};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// What the C library leaves as the owner of a mutex that was given back inconsistent.
const NOT_RECOVERABLE: u32 = i32::MAX as u32 - 1;
/// The bits of a robust lock's word that are the id of the thread that has it; see futex(2), robust futexes.
const OWNER: u32 = 0x3fff_ffff;
/// The bit that the kernel sets in it when that thread has died.
const OWNER_DIED: u32 = 0x4000_0000;

/// `robust_mutex`
pub(crate) fn robust_mutex() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing mmap, fork or write is reported", reports),
            Check::outside("output", "`recovered` is printed", recovered),
            Check::seen("dies-holding", "the child ends while it has a lock in shared memory", dies_holding),
            Check::seen("robust", "the kernel marks the lock when its owner dies", robust),
            Check::seen("consistent", "the lock is made consistent before it is given back", consistent),
            Check::seen("given-back", "the lock is free at the end", given_back),
            Check::seen("order", "it is right whoever runs first, and with sleeps that do not sleep", order),
            Check::seen("waits-blocking", "the parent blocks while it waits for the child", waits_blocking),
            Check::seen("eintr", "it is right when a wait is interrupted", under_faults),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |_| mutex_plan().drawn(drawing),
    }
}

fn mutex_plan() -> Plan {
    Plan::new("a dead owner").prints("recovered\n").snapshots().judged_by(&[
        "output",
        "dies-holding",
        "robust",
        "consistent",
        "given-back",
        "reaped",
    ])
}

fn plans(_: &mut Nonce) -> Vec<Plan> {
    let plain = mutex_plan();
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "dies-holding", "waits-blocking", "given-back", "reaped"]));
    plans.extend([
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("an argument", &["1"]),
        plain
            .again("interrupted waits", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(calls::WAITS, Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a wait (EINTR: it reaped nobody and is to be made again)"),
    ]);
    plans
}

/// Where a word lies that the processes share: the memory's place among the mappings, and the offset in it.
struct Word {
    address: u64,
    offset: usize,
}

fn words(bytes: &[u8]) -> impl Iterator<Item = (usize, u32)> {
    bytes.chunks_exact(4).enumerate().map(|(n, b)| (4 * n, u32::from_le_bytes([b[0], b[1], b[2], b[3]])))
}

/// What the shared memory held at a process's end.
fn at_end<'a>(run: &Run<'a>, process: ProcessId) -> Option<&'a [Snapshot]> {
    run.seen.events.iter().rev().find_map(|event| match &event.what {
        What::Exited { snapshots, .. } if event.process == process => Some(snapshots.as_slice()),
        _ => None,
    })
}

/// The child that died with a lock, and where that is: the first word that was the child's id at its end.
fn lock(run: &Run) -> Result<Word, Objection> {
    let seen = run.seen;
    let Some((fork, event)) = birth_of(seen, ProcessId(1)) else {
        return Err(Failure::new(
            Reason::WrongCalls,
            "The program made no child: it is a child that is to die with the lock.",
        )
        .into());
    };
    if matches!(&event.what, What::Forked { snapshots, .. } if snapshots.is_empty()) {
        return Err(not_shared(run, fork).into());
    }
    let mut ended = false;
    for id in (1..seen.processes.len() as u32).map(ProcessId) {
        let own = seen.process(id).pid as u32;
        let Some(snapshots) = at_end(run, id) else { continue };
        ended = true;
        for snapshot in snapshots {
            if let Some((offset, _)) = words(&snapshot.bytes).find(|(_, word)| word & OWNER == own) {
                return Ok(Word { address: snapshot.address, offset });
            }
        }
    }
    if !ended {
        return Err(Objection::open("the child did not end"));
    }
    let words = "When the child ended it had no lock in the shared memory: let it take the mutex and leave by _exit, without giving it back.";
    Err(Failure::new(Reason::WrongState, words).at(event.source.as_ref()).into())
}

/// The mutex as the program left it, from the lock's word on.
fn left(run: &Run) -> Result<Vec<u32>, Objection> {
    let Word { address, offset } = lock(run)?;
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let memory = at_end(run, ROOT).and_then(|all| all.iter().find(|s| s.address == address));
    let Some(memory) = memory else { return Err(Objection::open("the parent had the memory no more at its end")) };
    Ok(words(&memory.bytes[offset..]).map(|(_, word)| word).collect())
}

fn dies_holding(run: &Run) -> Finding {
    lock(run).map(drop)
}

/// `output`; a hang is most often one for a lock that its dead owner has for ever.
fn recovered(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            let hangs = matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline);
            if hangs && lock(run).is_ok() {
                failure.message.push_str(" The child has died with the lock, and nobody else can give it back: make the mutex robust (pthread_mutexattr_setrobust), and the next who locks it gets it, with EOWNERDEAD.");
            }
        })
    })
}

/// `robust`: the word is not the dead child's any more.
fn robust(run: &Run) -> Finding {
    let Word { address, offset } = lock(run)?;
    let left = left(run)?;
    let before: Vec<u32> = (1..run.seen.processes.len() as u32)
        .filter_map(|id| at_end(run, ProcessId(id))?.iter().find(|s| s.address == address))
        .flat_map(|s| words(&s.bytes[offset..]).map(|(_, word)| word).next())
        .collect();
    if !before.iter().any(|word| word & OWNER != 0 && left.first().map(|now| now & OWNER) == Some(word & OWNER)) {
        return Ok(());
    }
    let words = "At the program's end the lock is still the dead child's: the mutex is not robust, so nobody was told of the death. Set PTHREAD_MUTEX_ROBUST in its attributes.";
    Failure::new(Reason::WrongState, words).found()
}

fn consistent(run: &Run) -> Finding {
    let left = left(run)?;
    // The owner's field of the C library's mutex lies two words behind the lock's.
    if left.iter().take(4).all(|word| *word != NOT_RECOVERABLE) {
        return Ok(());
    }
    let words = "The mutex was given back without being made consistent: from now on nobody can take it (ENOTRECOVERABLE). After EOWNERDEAD call pthread_mutex_consistent, then unlock.";
    Failure::new(Reason::WrongState, words).found()
}

fn given_back(run: &Run) -> Finding {
    let left = left(run)?;
    let word = left.first().copied().unwrap_or_default();
    let words = if word & OWNER_DIED != 0 && word & OWNER == 0 {
        "Nobody has taken the mutex after the child's death: it still has the kernel's mark for a dead owner. Lock it in the parent, and print `recovered` only if that returns EOWNERDEAD."
    } else if word & OWNER == run.seen.process(ROOT).pid as u32 {
        "The parent ends with the mutex locked: give it back after it was made consistent, and also the second time."
    } else {
        return Ok(());
    };
    Failure::new(Reason::WrongState, words).found()
}

/// The lock's word at each moment at which the shared memory was looked at.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let run = Run { plan, seen, baseline: None, sometimes_right: false };
    let Ok(Word { address, offset }) = lock(&run) else { return Vec::new() };
    let mut lines = vec!["the word of the lock, in the memory that both have".to_owned()];
    for event in &seen.events {
        let (when, snapshots) = match &event.what {
            What::Forked { snapshots, .. } => ("forks", snapshots),
            What::Exited { snapshots, .. } => ("ends", snapshots),
            _ => continue,
        };
        let memory = snapshots.iter().find(|snapshot| snapshot.address == address);
        let Some((_, word)) = memory.and_then(|m| words(&m.bytes).find(|(at, _)| *at == offset)) else { continue };
        let owner =
            (0..seen.processes.len() as u32).map(ProcessId).find(|id| seen.process(*id).pid as u32 == word & OWNER);
        let meaning = match owner {
            Some(owner) => format!("{} has the lock (its thread id is {})", seen.name_of(owner), word & OWNER),
            None => "nobody has the lock".to_owned(),
        };
        lines.push(format!("  {:<18}{word:#010x}  {meaning}", format!("{} {when}", seen.name_of(event.process))));
        if owner == Some(event.process) && when == "ends" {
            lines.push(format!("  {:<18}{OWNER_DIED:#010x}  set by the kernel, since the owner is dead:", "after it"));
            lines.push(format!("  {:<30}whoever locks next is told EOWNERDEAD, and has the lock", ""));
        }
    }
    lines
}
