//! Parents and children: who prints, and whether everybody is waited for.

use observe::{Call, Disposition, Ending, Observation, Process, ProcessId};

use super::calls::{self, ROOT};
use crate::{Failure, Finding, Objection, Reason, Run};

/// `reaped`: every child was waited for.
pub fn reaped(run: &Run) -> Finding {
    let seen = run.seen;
    if !matches!(seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program did not end by itself"));
    }
    let mut children = seen.processes.iter().enumerate().skip(1).map(|(i, p)| (ProcessId(i as u32), p));
    let Some((id, process)) = children.find(|(_, p)| !p.reaped && !reaped_by_itself(seen, p)) else { return Ok(()) };
    let name = seen.name_of(id);
    let birth = calls::birth_of(seen, id).and_then(|(_, e)| e.source.as_ref());
    let parent = process.parent.map_or("its parent".into(), |p| seen.name_of(p));
    let alive = seen.survivors.contains(&id) || process.killed;
    let message = if alive {
        format!(
            "{} was still running when the program had ended: {parent} must wait for it with waitpid.",
            capital(&name)
        )
    } else {
        format!(
            "Nobody waited for {name} (process {}): {parent} must call waitpid for it, or a zombie remains.",
            process.pid
        )
    };
    Failure::new(Reason::Leaked, message).at(birth).found()
}

/// A parent that ignores SIGCHLD has no zombies; it must still outlive its children.
fn reaped_by_itself(seen: &Observation, process: &Process) -> bool {
    let ignored = seen.successes().any(|(_, _, call, _)| {
        matches!(call, Call::Sigaction { signal: libc::SIGCHLD, disposition: Some(d), flags }
            if *d == Disposition::Ignored || flags & libc::SA_NOCLDWAIT as u64 != 0)
    });
    let parent = process.parent.map(|id| seen.process(id));
    let outlived = || match (process.ended, parent.and_then(|p| p.ended)) {
        (Some(child), Some(parent)) => child <= parent,
        _ => false,
    };
    ignored && outlived()
}

/// `child-prints`: what is on standard output was written there by a child.
pub fn child_prints(run: &Run) -> Finding {
    let printed = calls::printed(run);
    if let Some(own) = printed.iter().find(|t| t.event.process == ROOT && t.bytes > 0) {
        let message = if run.seen.processes.len() == 1 {
            "The program made no child: it printed the line itself. Fork, and let the child print what it received."
        } else {
            "The parent wrote to standard output itself: it is the child that must print what it received."
        };
        let failure = Failure::new(Reason::WrongCalls, message).at(own.event.source.as_ref());
        return failure.evidence(format!("the parent wrote {}", super::text::quoted(own.data))).found();
    }
    if printed.is_empty() {
        return Err(Objection::open("nothing was printed"));
    }
    Ok(())
}

/// With a capital letter at its beginning.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}", letters.as_str())
}
