//! Who still holds the end of a pipe that he does not use, though nobody hangs by it yet.

use observe::{Call, Ending, ObjectId, Observation, ProcessId};

use super::calls::pipes;
use super::channels::ends_closed;
use super::family::capital;
use crate::{Failure, Finding, Reason, Run};

/// `ends-closed` in the strict sense: no hang, and nobody who reads a pipe still holds its write end at his last
/// read, nor anybody who writes one its read end at his last write.
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
    let everybody = || (0..seen.processes.len() as u32).map(ProcessId);
    for pipe in pipes(seen) {
        for process in everybody() {
            let (reads, writes) = (last(seen, process, pipe, false), last(seen, process, pipe, true));
            let (index, other_is_write) = match (reads, writes) {
                (Some(index), None) => (index, true),
                (None, Some(index)) => (index, false),
                _ => continue,
            };
            let held = seen.holders_before(index, pipe, other_is_write).into_iter().find(|(p, _)| *p == process);
            if let Some((_, fd)) = held {
                return Some(words(seen, process, pipe, fd, other_is_write).at(seen.events[index].source.as_ref()));
            }
        }
    }
    None
}

fn words(seen: &Observation, process: ProcessId, pipe: ObjectId, fd: i32, write_end: bool) -> Failure {
    let who = capital(&seen.name_of(process));
    let label = &seen.object(pipe).label;
    let message = if write_end {
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
