//! What is asked of `fifo_hello`: how the FIFO is made, used, and left.

use std::path::Path;

use observe::{Call, Content, Ending, Event, FileKind, ObjectId, ObjectKind};

use super::FOREIGN;
use crate::spec::common::calls::{ROOT, joined, objects, reads_of, writes_of};
use crate::spec::common::channels::contains;
use crate::spec::common::child_prints;
use crate::spec::common::endings::{command_line, ended};
use crate::spec::common::text::{complaints, quoted};
use crate::{Failure, Finding, Objection, Reason, Run};

/// The FIFOs that the program has opened.
pub(super) fn fifos(run: &Run) -> Vec<ObjectId> {
    objects(run.seen, |kind| matches!(kind, ObjectKind::Fifo(_)))
}

/// `fifo-mode`: 0600, by whatever way.
pub(super) fn fifo_mode(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = run.seen.calls().find_map(|(_, event, call, _)| match call {
        Call::MakeNode { mode, .. } if mode & libc::S_IFMT == libc::S_IFIFO => Some((event, mode & 0o7777)),
        _ => None,
    });
    let line = made.and_then(|(event, _)| event.source.as_ref());
    let Some(left) = run.seen.files.iter().find(|f| f.path == Path::new(&path) && f.kind == FileKind::Fifo) else {
        return match made {
            Some((event, mode)) if mode & 0o077 != 0 => wide(event, mode).found(),
            Some(_) => Ok(()),
            None => Err(Objection::open(format!("no FIFO was seen at {path}"))),
        };
    };
    match left.mode & 0o777 {
        0o600 => Ok(()),
        mode if mode & 0o077 != 0 => Failure::new(
            Reason::WrongState,
            format!("The FIFO has mode {mode:04o}: others than its owner may use it. Make it with mode 0600, and let it stay so."),
        )
        .at(line)
        .found(),
        mode => Failure::new(Reason::WrongState, format!("The FIFO has mode {mode:04o} instead of 0600.")).at(line).found(),
    }
}

fn wide(event: &Event, mode: u32) -> Failure {
    let words =
        format!("The FIFO is made with mode {mode:04o}: others than its owner may use it. Make it with mode 0600.");
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref())
}

/// `one-way`: nobody opens the FIFO for reading and writing.
pub(super) fn one_way(run: &Run) -> Finding {
    let all = fifos(run);
    let both = run.seen.calls().find_map(|(_, event, call, _)| match call {
        Call::Open { flags, object: Some(o), .. } if flags & libc::O_ACCMODE == libc::O_RDWR && all.contains(o) => {
            Some(event)
        }
        _ => None,
    });
    if let Some(event) = both {
        let words = format!(
            "{} opens the FIFO O_RDWR: it is then its own reader, and nobody notices that the other side is not there. Open it O_WRONLY in the parent and O_RDONLY in the child.",
            crate::spec::common::family::capital(&run.seen.name_of(event.process))
        );
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    if all.is_empty() {
        return Err(Objection::open("no FIFO was opened"));
    }
    Ok(())
}

/// `child-reads`: the message goes through the FIFO, from the parent to the child, who prints it.
pub(super) fn child_reads(run: &Run) -> Finding {
    let message = run.plan.argument(1);
    let wrong = |words: &str| Failure::new(Reason::WrongCalls, words);
    let all = fifos(run);
    let sent = |fifo: ObjectId| writes_of(run.seen, fifo).filter(|t| t.event.process == ROOT);
    let read = |fifo: ObjectId| reads_of(run.seen, fifo).filter(|t| t.event.process != ROOT);
    let through = all.iter().any(|fifo| {
        let inside = sent(*fifo).any(|t| t.inside);
        (inside || contains(&joined(sent(*fifo)), message.as_bytes()))
            && read(*fifo).map(|t| t.bytes).sum::<u64>() >= message.len() as u64
    });
    if through {
        return child_prints(run);
    }
    if !matches!(run.seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let from_child = all.iter().find_map(|f| writes_of(run.seen, *f).find(|t| t.event.process != ROOT && t.bytes > 0));
    match from_child {
        Some(transfer) => {
            wrong("The child writes to the FIFO and the parent reads it: it is to be the other way round.")
                .at(transfer.event.source.as_ref())
                .found()
        }
        None if all.is_empty() => {
            wrong("Nobody opened the FIFO: the child knows the message without it, from before fork.").found()
        }
        None => wrong("The message did not go through the FIFO, from the parent to the child.").found(),
    }
}

/// `create-race`: what appears at PATH just before the FIFO is made stays, and nothing is removed to make room.
pub(super) fn create_race(run: &Run) -> Finding {
    if !run.plan.launch.actions.is_empty() {
        return existing_path(run);
    }
    let path = run.plan.argument(0);
    let early = run.seen.calls().find_map(|(_, event, call, _)| match call {
        Call::MakeNode { .. } => Some(None),
        Call::Unlink { path: p } if p.ends_with(&path) => Some(Some(event)),
        Call::Rename { to, .. } if to.ends_with(&path) => Some(Some(event)),
        _ => None,
    });
    match early {
        Some(None) => Ok(()),
        Some(Some(event)) => Failure::new(
            Reason::WrongCalls,
            format!("The program removes {path} before it makes its FIFO: whatever somebody else puts there is lost. Let mkfifo itself say that the name is taken."),
        )
        .at(event.source.as_ref())
        .found(),
        None => Err(Objection::open("the program made no FIFO")),
    }
}

/// `existing-path`, `create-race`: PATH is somebody else's; it is an error, and nothing is done to it.
pub(super) fn existing_path(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    if !run.plan.launch.actions.is_empty() && run.seen.actions_done == 0 {
        return Err(Objection::open("the program made no FIFO"));
    }
    let as_fifo = run.plan.launch.files.first().is_some_and(|f| f.content == Content::Fifo);
    let wrong = |reason, words: String| {
        Failure::new(reason, words)
            .at(meddler(run).as_ref())
            .evidence(command_line(run))
            .evidences(complaints(run.seen))
            .found()
    };
    match run.seen.files.iter().find(|f| f.path == Path::new(&path)) {
        None => {
            return wrong(
                Reason::WrongState,
                format!("{path} is gone: what the program did not make it must not remove."),
            );
        }
        Some(left) if as_fifo && left.kind != FileKind::Fifo => {
            return wrong(Reason::WrongState, format!("{path} is a FIFO no longer: it was to stay untouched."));
        }
        Some(left) if !as_fifo && (left.kind != FileKind::File || left.bytes != FOREIGN) => {
            return wrong(
                Reason::WrongState,
                format!("{path} held {} and now {}: it was to stay untouched.", quoted(FOREIGN), shown(left)),
            );
        }
        Some(_) => {}
    }
    if matches!(run.seen.ending, Ending::Deadlocked | Ending::Deadline) {
        return ended(run);
    }
    if run.seen.exit() == Some(observe::Exit::Code(0)) || !run.seen.stdout.bytes.is_empty() {
        let words = format!(
            "The program goes on with the {path} that was there: mkfifo says EEXIST, and that is an error to report."
        );
        return wrong(Reason::WrongStatus, words);
    }
    crate::spec::common::endings::status(run)?;
    if run.seen.stderr.text().trim().is_empty() {
        return wrong(Reason::WrongOutput, "Nothing is said on standard error about it.".into());
    }
    Ok(())
}

fn shown(left: &observe::FileLeft) -> String {
    match left.kind {
        FileKind::File => format!("holds {}", quoted(&left.bytes)),
        FileKind::Fifo => "is a FIFO".into(),
        _ => "is something else".into(),
    }
}

/// The line that removed or replaced a name.
fn meddler(run: &Run) -> Option<observe::SourceLine> {
    let removal =
        run.seen.successes().find(|(_, _, call, _)| matches!(call, Call::Unlink { .. } | Call::Rename { .. }));
    removal.and_then(|(_, event, ..)| event.source.clone())
}

/// `clean`: the FIFO is gone at the end.
pub(super) fn clean(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let faulted = !run.plan.launch.faults.is_empty();
    if faulted && run.seen.faults_hit.iter().all(|n| *n == 0) {
        return Err(Objection::open("the call that was to fail was not made"));
    }
    if faulted && run.seen.exit().is_none() {
        return ended(run);
    }
    if let Some(left) = run.seen.files.iter().find(|f| f.kind == FileKind::Fifo) {
        let made = run.seen.calls().find(|(_, _, call, _)| matches!(call, Call::MakeNode { .. }));
        let when = if run.seen.exit() == Some(observe::Exit::Code(0)) { "at the end" } else { "after a failure" };
        let words = format!(
            "The FIFO {} is still there {when}: unlink it, whichever way the program ends.",
            left.path.display()
        );
        return Failure::new(Reason::Leaked, words).at(made.and_then(|(_, e, ..)| e.source.as_ref())).found();
    }
    // A parent that cannot open the FIFO has no good way to tell the child that waits there.
    if !faulted && !run.seen.survivors.is_empty() {
        let words = format!(
            "A process was still there when the program had ended; {path} is removed, but its reader waits on."
        );
        return Failure::new(Reason::Leaked, words).found();
    }
    if !objects(run.seen, |_| true).is_empty() && run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end by itself"));
    }
    Ok(())
}
