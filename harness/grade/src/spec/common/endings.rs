//! Did the program come to its end, and was its result right? The same question under every plan; the answer counts
//! for `output`, `order`, `short-io`, `eintr` or whatever check the plan belongs to.

use observe::{Effect, Ending, Exit, Observation, ProcessId};

use super::calls::{injected, printed};
use super::text::{complaints, difference, first_complaint, panicked, signal_name};
use crate::{Failure, Finding, Objection, Reason, Run};

/// Its result is right: it ended by itself with the status and the output expected.
pub fn output(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    text(run)
}

/// Its result is right under a schedule; if it is so without one, its order was left to chance.
pub fn order(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        if !run.sometimes_right {
            return Objection::open("the result is wrong under every order");
        }
        objection.amended(|failure| {
            if without_end(failure) {
                return;
            }
            failure.reason = Reason::Race;
            failure.message.push_str(
                " Nothing but chance keeps the order of the two processes: let the one that is to be later wait, in a call that blocks, for something that the other does.",
            );
        })
    })
}

/// Its result is right although calls are cut short or interrupted.
pub fn under_faults(run: &Run) -> Finding {
    output(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

/// Makes of a wrong result one that a fault has brought about, at the call that was hit: the last interrupted one, for
/// it was not made again, or the first one cut short.
pub fn blame_fault(run: &Run, failure: &mut Failure) {
    if without_end(failure) {
        return;
    }
    failure.reason = Reason::FaultNotHandled;
    let cut = run.plan.launch.faults.iter().any(|f| matches!(f.effect, Effect::Short(_)));
    let blamed = if cut { injected(run.seen).next() } else { injected(run.seen).last() };
    if let Some(event) = blamed {
        failure.source = event.source.clone();
    }
}

/// It came to no end of its own: what it would have done then is nobody's guess.
fn without_end(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Hung | Reason::Flooded | Reason::OverLimit)
}

/// It ended by itself.
pub fn ended(run: &Run) -> Finding {
    match run.seen.ending {
        Ending::Ended(Exit::Code(_)) => Ok(()),
        Ending::Ended(Exit::Signal(signal)) => signalled(run, signal).found(),
        Ending::Flooded => flooded().found(),
        Ending::OverLimit => over_limit(run.seen, "stopped").found(),
        Ending::Deadline if run.seen.over_limit.is_some() => over_limit(run.seen, "stopped").found(),
        Ending::Deadlocked | Ending::Deadline => hung(run.seen, run.plan.launch.deadline.as_secs()).found(),
    }
}

/// The words of a hang: who waits for what, and why nobody ends it.
pub fn hung(seen: &Observation, seconds: u64) -> Failure {
    let Some(hang) = &seen.hang else {
        return Failure::new(Reason::Hung, format!("The program did not end within {seconds} seconds."));
    };
    let heart = hang.waiters.first().map_or_else(
        || hang.summary.clone(),
        |waiter| {
            [seen.name_of(waiter.process), waiter.waits.clone()].join(" ")
                + &waiter.because.first().map(|why| format!(": {why}")).unwrap_or_default()
        },
    );
    let mut failure = Failure::new(Reason::Hung, sentence(&heart));
    for waiter in &hang.waiters {
        let place = waiter.source.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
        failure = failure.evidence(format!("{} {}{place}", seen.name_of(waiter.process), waiter.waits));
        failure = failure.evidences(waiter.because.iter().map(|why| format!("  {why}")));
    }
    let blamed = hang.waiters.iter().filter(|w| !w.culprits.is_empty()).chain(&hang.waiters);
    let source = blamed.filter_map(|w| w.source.as_ref()).next();
    failure.at(source)
}

fn signalled(run: &Run, signal: i32) -> Failure {
    let name = signal_name(signal);
    if run.seen.over_limit.is_some() {
        return over_limit(run.seen, &format!("killed by {name}"));
    }
    let message = format!("The program was killed by {name}{}", meaning(signal));
    let place = run.seen.events.iter().rev().find(|e| {
        e.process == ProcessId(0) && matches!(&e.what, observe::What::Signalled { signal: s, .. } if *s == signal)
    });
    Failure::new(Reason::Signalled, message).at(place.and_then(|e| e.source.as_ref())).evidences(complaints(run.seen))
}

fn meaning(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => ": it used memory that is not mapped, or not mapped for this use.",
        libc::SIGBUS => ": it used a mapped page that has no file behind it.",
        libc::SIGPIPE => ": it wrote to a pipe that nobody had open for reading.",
        libc::SIGABRT => ": it gave itself up (abort).",
        _ => ".",
    }
}

/// The limit, and the line at which it last was before its end.
fn over_limit(seen: &Observation, end: &str) -> Failure {
    let limit = seen.over_limit.as_deref().unwrap_or("ran into a limit of its box");
    let last = seen.events.iter().rev().find_map(|event| event.source.as_ref());
    let failure = Failure::new(Reason::OverLimit, format!("The program {limit}, and was {end}."));
    failure.at(last).evidences(complaints(seen))
}

/// Without a figure: how much it is depends on the moment.
fn flooded() -> Failure {
    Failure::new(Reason::Flooded, "The program wrote on and on without coming to an end, and was stopped.")
}

/// It ended with the status expected.
pub fn status(run: &Run) -> Finding {
    let expected = run.plan.expect.status;
    let Some(Exit::Code(code)) = run.seen.exit() else { return ended(run) };
    if code == expected {
        return Ok(());
    }
    let message = match (panicked(run.seen), first_complaint(run.seen)) {
        (true, Some(line)) => format!("The program panicked: {line}"),
        (false, Some(line)) => format!("The program exited with {code} instead of {expected}, and said `{line}`."),
        _ => format!("The program exited with {code} instead of {expected}, and said nothing on standard error."),
    };
    let failure = Failure::new(Reason::WrongStatus, message);
    failure.evidences(deaths(run.seen)).evidences(complaints(run.seen)).found()
}

/// It printed what was expected.
pub fn text(run: &Run) -> Finding {
    let Some(expected) = &run.plan.expect.stdout else { return Ok(()) };
    let got = &run.seen.stdout;
    if got.total == got.bytes.len() as u64 && got.bytes == *expected {
        return Ok(());
    }
    let message = format!("The program {}.", difference(expected, &got.bytes));
    let all = printed(run);
    let line = all.first().and_then(|t| t.event.source.as_ref());
    let failure = Failure::new(Reason::WrongOutput, message).at(line).evidence(command_line(run));
    failure.evidences(deaths(run.seen)).evidences(complaints(run.seen)).found()
}

/// What was run, as one would type it.
pub fn command_line(run: &Run) -> String {
    let words = run.plan.launch.args.iter().map(|arg| {
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(arg.as_os_str());
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./+".contains(b);
        if !bytes.is_empty() && bytes.len() <= 60 && bytes.iter().all(plain) {
            arg.to_string_lossy().into_owned()
        } else {
            super::text::quoted(bytes)
        }
    });
    std::iter::once("run:".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Processes below the program that were killed or failed.
fn deaths(seen: &Observation) -> Vec<String> {
    let below = seen.processes.iter().enumerate().skip(1);
    below
        .filter_map(|(i, process)| {
            let name = seen.name_of(ProcessId(i as u32));
            match process.exit? {
                Exit::Signal(signal) => Some(format!("{name} was killed by {}", signal_name(signal))),
                Exit::Code(0) => None,
                Exit::Code(code) => Some(format!("{name} exited with {code}")),
            }
        })
        .collect()
}

/// With a capital at its beginning and a full stop at its end.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let stop = if text.trim_end().ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}
