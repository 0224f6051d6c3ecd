//! Who still holds the end of a pipe that he does not use, though nobody hangs by it yet.

use observe::{Call, Ending, ObjectId, Observation, ProcessId};

use super::calls::{pipes, writes_of};
use super::channels::ends_closed;
use super::family::capital;
use crate::{Failure, Finding, Reason, Run};

/// `ends-closed` in the strict sense: no hang, and nobody who reads a pipe still holds its write end at his last
/// read, nor anybody who writes one its read end at his last write, nor a third who uses other pipes either of them.
pub fn only_ends_used(run: &Run) -> Finding {
    ends_closed(run)?;
    if !matches!(run.seen.ending, Ending::Ended(_)) || run.seen.truncated {
        return Ok(());
    }
    match kept_needlessly(run.seen) {
        Some(failure) => failure.found(),
        None => Ok(()),
    }
}

fn kept_needlessly(seen: &Observation) -> Option<Failure> {
    let mut all = pipes(seen);
    all.retain(|pipe| writes_of(seen, *pipe).any(|written| written.bytes > 0));
    for process in (0..seen.processes.len() as u32).map(ProcessId) {
        let uses: Vec<_> =
            all.iter().map(|p| (*p, last(seen, process, *p, false), last(seen, process, *p, true))).collect();
        let last_of_all = uses.iter().flat_map(|(_, reads, writes)| [*reads, *writes]).flatten().max();
        for (pipe, reads, writes) in uses {
            let unused = match (reads, writes) {
                (Some(index), None) => vec![(index, true)],
                (None, Some(index)) => vec![(index, false)],
                (None, None) => last_of_all.map_or(Vec::new(), |index| vec![(index, true), (index, false)]),
                _ => Vec::new(),
            };
            for (index, write_end) in unused {
                let held = seen.holders_before(index, pipe, write_end).into_iter().find(|(p, _)| *p == process);
                if let Some((_, fd)) = held {
                    let is_user = reads.is_some() || writes.is_some();
                    let failure = words(seen, process, pipe, (fd, write_end), is_user);
                    return Some(failure.at(seen.events[index].source.as_ref()));
                }
            }
        }
    }
    None
}

fn words(seen: &Observation, process: ProcessId, pipe: ObjectId, (fd, write_end): (i32, bool), user: bool) -> Failure {
    let who = capital(&seen.name_of(process));
    let label = &seen.object(pipe).label;
    let message = if !user {
        let end = if write_end { "write" } else { "read" };
        format!(
            "{who} neither reads {label} nor writes to it, and still holds its {end} end (fd {fd}): those who use it are not told when the others have closed theirs. Close it right after fork."
        )
    } else if write_end {
        format!(
            "{who} reads {label} and still holds its write end (fd {fd}): while that is open nobody is told that the others have closed theirs. Close it right after fork."
        )
    } else {
        format!(
            "{who} writes to {label} and still holds its read end (fd {fd}): if the reader dies, the write is not refused (EPIPE) but waits for ever. Close it right after fork."
        )
    };
    Failure::new(Reason::Leaked, message)
}

/// The last event in which a process read a pipe, or wrote to it.
fn last(seen: &Observation, process: ProcessId, pipe: ObjectId, writing: bool) -> Option<usize> {
    let uses = |call: &Call| match call {
        Call::Read { object, .. } => !writing && *object == Some(pipe),
        Call::Write { object, .. } => writing && *object == Some(pipe),
        Call::Move { from, to, .. } => *(if writing { to } else { from }) == Some(pipe),
        _ => false,
    };
    seen.calls().filter(|(_, event, call, _)| event.process == process && uses(call)).map(|(index, ..)| index).last()
}
