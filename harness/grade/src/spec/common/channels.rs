//! What went through a pipe, from whom to whom, and who held its ends too long.

use observe::{Call, ObjectId, Observation, What};

use super::calls::{ROOT, joined, pipes, reads_of, writes_of};
use super::family::capital;
use super::text::quoted;
use crate::{Failure, Finding, Objection, Reason, Run};

/// `through-pipe`: the parent wrote `message` to a pipe and a child read it there.
pub fn parent_to_child(run: &Run, message: &[u8]) -> Finding {
    let seen = run.seen;
    let used = pipes(seen);
    let carries = |pipe: &&ObjectId| {
        let sent = joined(writes_of(seen, **pipe).filter(|t| t.event.process == ROOT));
        let inside = writes_of(seen, **pipe).any(|t| t.event.process == ROOT && t.inside);
        let read: u64 = reads_of(seen, **pipe).filter(|t| t.event.process != ROOT).map(|t| t.bytes).sum();
        (inside || contains(&sent, message)) && read >= message.len() as u64
    };
    match used.iter().find(carries) {
        Some(_) => Ok(()),
        None => Err(not_carried(run, &used, message)),
    }
}

/// Says what did go through the pipes instead of the message.
fn not_carried(run: &Run, used: &[ObjectId], message: &[u8]) -> Objection {
    let seen = run.seen;
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    if used.is_empty() {
        let words = "The program made no pipe: a child that knows the message without one has inherited it at fork.";
        return wrong(words.into()).into();
    }
    for pipe in used {
        let label = &seen.object(*pipe).label;
        let from_child = writes_of(seen, *pipe).find(|t| t.event.process != ROOT && t.bytes > 0);
        let to_parent = reads_of(seen, *pipe).any(|t| t.event.process == ROOT && t.bytes > 0);
        if let (Some(sent), true) = (from_child, to_parent) {
            let words = format!("{} goes the wrong way: the child writes it and the parent reads.", capital(label));
            return wrong(words).at(sent.event.source.as_ref()).into();
        }
        let sent = joined(writes_of(seen, *pipe));
        let read: u64 = reads_of(seen, *pipe).filter(|t| t.event.process != ROOT).map(|t| t.bytes).sum();
        if contains(&sent, message) && !matches!(seen.ending, observe::Ending::Ended(_)) {
            return Objection::open(format!("the message was written to {label}, but the program came to no end"));
        }
        if contains(&sent, message) {
            let words =
                format!("The child read only {read} of the {} bytes of the message from {label}.", message.len());
            return wrong(words).into();
        }
        if !sent.is_empty() {
            let words = format!("What went through {label} is {}, not the message {}.", quoted(&sent), quoted(message));
            return wrong(words).into();
        }
    }
    if !matches!(seen.ending, observe::Ending::Ended(_)) {
        return Objection::open("the program came to no end before anything was sent");
    }
    wrong("A pipe was made, but nothing was ever written to it.".into()).into()
}

/// Whether `whole` has `part` in it.
pub fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

/// `ends-closed`: nobody waits for end-of-file on a pipe or FIFO whose write end he holds himself, and no end that
/// was left open keeps another waiting.
pub fn ends_closed(run: &Run) -> Finding {
    let seen = run.seen;
    if let Some(hang) = seen.hang.as_ref().filter(|h| h.kind == "end-of-file-never-comes") {
        let waiter = hang.waiters.iter().find(|w| !w.culprits.is_empty()).or(hang.waiters.first());
        if let Some(waiter) = waiter {
            return Err(left_open(seen, waiter).into());
        }
    }
    if let Some((index, object)) = unanswered_read(seen) {
        let event = &seen.events[index];
        let own = seen.holders_before(index, object, true).into_iter().find(|(p, _)| *p == event.process);
        if let Some((process, fd)) = own {
            let label = &seen.object(object).label;
            let words = holds_it_itself(&seen.name_of(process), label, fd);
            return Failure::new(Reason::Hung, words).at(event.source.as_ref()).found();
        }
    }
    match seen.ending {
        observe::Ending::Ended(_) => Ok(()),
        _ => Err(Objection::open("the program came to no end, for another reason than an end left open")),
    }
}

/// A read of a pipe or FIFO that never came back.
fn unanswered_read(seen: &Observation) -> Option<(usize, ObjectId)> {
    seen.events.iter().enumerate().rev().find_map(|(index, event)| match &event.what {
        What::Called { call: Call::Read { object: Some(object), .. }, result: None, .. } => Some((index, *object)),
        _ => None,
    })
}

fn left_open(seen: &Observation, waiter: &observe::Waiter) -> Failure {
    let who = seen.name_of(waiter.process);
    let label = waiter.object.map_or("the pipe".into(), |o| seen.object(o).label.clone());
    let own = waiter.culprits.iter().find(|c| c.process == waiter.process);
    let other = waiter.culprits.first();
    let words = match (own, other) {
        (Some(culprit), _) => holds_it_itself(&who, &label, culprit.fd),
        (None, Some(culprit)) => format!(
            "{} waits for end-of-file on {label}, but {} still has the write end open (fd {}): the end comes only when every copy of it is closed.",
            capital(&who),
            seen.name_of(culprit.process),
            culprit.fd
        ),
        (None, None) => format!("{} waits for end-of-file on {label}, and it never comes.", capital(&who)),
    };
    let made = waiter.culprits.iter().filter_map(|c| {
        let line = c.made_at.as_ref()?;
        Some(format!("fd {} of {} was made at {line}", c.fd, seen.name_of(c.process)))
    });
    Failure::new(Reason::Hung, words).at(waiter.source.as_ref()).evidences(waiter.because.clone()).evidences(made)
}

fn holds_it_itself(who: &str, label: &str, fd: i32) -> String {
    let advice = if who == "the child" { "close it in the child right after fork" } else { "close it before the wait" };
    format!(
        "{} waits for end-of-file on {label}, but it still holds the write end itself (fd {fd}): {advice}.",
        capital(who)
    )
}
