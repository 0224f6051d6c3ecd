//! `08_signals`: what a signal says, and what its handler may do.

mod readers;
mod unread;
mod waiting;

use observe::{Call, Disposition, Event, ObjectKind, On, ProcessId, What};

use super::Spec;
use super::common::calls::{self, ROOT, printed};
use super::common::plans::{bad_usage, failing, orders};
use super::common::text::quoted;
use super::common::{FORKS, PIPES, order, output, reaped, reports, usage_unless_ignored};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

pub(crate) use readers::sigpipe_epipe;
pub(crate) use unread::sigpipe_default;
pub(crate) use waiting::signal_wait;

const NEWS: &[u8] = b"No one is listening!\n";
const DONE: &[u8] = b"Done\n";

/// Parts of function names that a handler must not come near: locks, allocation and formatted output.
const UNSAFE_IN_HANDLER: [&str; 16] = [
    "_print",
    "print_to",
    "println",
    "stdio",
    "printf",
    "puts",
    "putchar",
    "fwrite",
    "fflush",
    "cout",
    "malloc",
    "alloc::",
    "__rust_alloc",
    "realloc",
    "LineWriter",
    "lock_contended",
];

/// `sigpipe_handler`
pub(crate) fn sigpipe_handler() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing pipe or fork is reported, and nothing is printed", reports),
            Check::outside("output", "the news and then Done are printed", output),
            Check::seen(
                "sigpipe-raised",
                "the child's write raises SIGPIPE, and its handler is called",
                sigpipe_raised,
            ),
            Check::seen(
                "handler-safe",
                "the handler writes the news with write(2), does no more, and returns",
                handler_safe,
            ),
            Check::seen("order", "the second write comes after the last reader is gone, whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
        ],
        demo: |_| plain(),
    }
}

fn plain() -> Plan {
    Plan::new("as it is").prints([NEWS, DONE].concat()).judged_by(&[
        "output",
        "sigpipe-raised",
        "handler-safe",
        "reaped",
    ])
}

fn plans(_: &mut Nonce) -> Vec<Plan> {
    let plain = plain();
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "reaped"]));
    let held = |name: &str, who, call: &str, words: &str| {
        let hold = observe::Hold::new(who, call, 0).on(On::Pipe);
        plain.again(name, &["order"]).scheduled(observe::Schedule::Holds(vec![hold]), words)
    };
    plans.push(held(
        "the parent closes late",
        observe::Who::Root,
        "close",
        "When the parent is held before it closes an end",
    ));
    plans.push(held(
        "the child writes late",
        observe::Who::Descendants,
        "write",
        "When the child is held before it writes",
    ));
    plans.extend([
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        bad_usage("an argument", &["listen"]),
    ]);
    plans
}

/// Each SIGPIPE that a process got: its event's index, the event, what was arranged for it, and which other process
/// had sent it.
fn deliveries<'a>(run: &Run<'a>) -> Vec<(usize, &'a Event, Disposition, Option<ProcessId>)> {
    let delivered = run.seen.events.iter().enumerate().filter_map(|(index, event)| match &event.what {
        What::Signalled { signal: libc::SIGPIPE, disposition, sender, .. } => {
            // The kernel's own SIGPIPE names the writing process as its sender.
            let sender = sender.filter(|sender| *sender != event.process);
            Some((index, event, *disposition, sender))
        }
        _ => None,
    });
    delivered.collect()
}

/// Writes to a pipe of the program's own that found no reader.
fn refused_writes<'a>(run: &Run<'a>) -> Vec<&'a Event> {
    let refused = run.seen.calls().filter(|(_, _, call, result)| {
        *result == Some(Err(libc::EPIPE))
            && matches!(call, Call::Write { object: Some(o), .. } if run.seen.object(*o).kind == ObjectKind::Pipe)
    });
    refused.map(|(_, event, ..)| event).collect()
}

fn sigpipe_raised(run: &Run) -> Finding {
    let wrong = |words: &str| Failure::new(Reason::WrongCalls, words);
    let refused = refused_writes(run);
    let all = deliveries(run);
    let by_hand = run.seen.calls().find(|(_, _, call, _)| matches!(call, Call::Kill { signal: libc::SIGPIPE, .. }));
    if let Some((_, event, ..)) = by_hand {
        return wrong(
            "SIGPIPE is sent by hand (kill or raise): it is the write to a pipe without readers that must raise it.",
        )
        .at(event.source.as_ref())
        .found();
    }
    let handled = all.iter().find(|(_, event, disposition, sender)| {
        event.process != ROOT && *disposition == Disposition::Handler && sender.is_none()
    });
    match (handled, all.first(), refused.first()) {
        (Some(_), _, Some(_)) => Ok(()),
        (Some((_, event, ..)), _, None) if run.seen.exit().is_none() => {
            Err(Objection::open(format!("{} was stopped in its handler", run.seen.name_of(event.process))))
        }
        (Some(_), _, None) => {
            wrong("SIGPIPE came, but no write to a pipe of the program's own had failed: who raised it?").found()
        }
        (None, Some((_, event, Disposition::Default, _)), _) => {
            wrong("SIGPIPE came before a handler was there: arrange for it (sigaction) before the write.")
                .at(event.source.as_ref())
                .found()
        }
        (None, Some((_, event, ..)), _) if event.process == ROOT => {
            wrong("The parent got SIGPIPE: it is the child's write that must find nobody listening.")
                .at(event.source.as_ref())
                .found()
        }
        (None, _, Some(event)) => wrong(
            "The write failed with EPIPE but no handler was called: SIGPIPE is ignored or blocked there (Rust's runtime ignores it). Arrange for a handler.",
        )
        .at(event.source.as_ref())
        .found(),
        (None, _, None) => Err(still_read(run)),
    }
}

/// No write failed: somebody still has the read end.
fn still_read(run: &Run) -> Objection {
    let last = run.seen.successes().filter_map(|(index, event, call, _)| match call {
        Call::Write { object: Some(o), .. }
            if run.seen.object(*o).kind == ObjectKind::Pipe && event.process != ROOT =>
        {
            Some((index, event, *o))
        }
        _ => None,
    });
    let Some((index, event, pipe)) = last.last() else {
        return Failure::new(Reason::WrongCalls, "No child wrote to a pipe, so no write can have raised SIGPIPE.")
            .into();
    };
    let label = &run.seen.object(pipe).label;
    let holders = run.seen.holders_before(index, pipe, false);
    let own = holders.iter().find(|(process, _)| *process == event.process).or(holders.first());
    let words = match own {
        Some((process, fd)) if *process == event.process => format!(
            "SIGPIPE was never raised: when the child wrote to {label} it still held the read end itself (fd {fd}), so there was a reader. Close it in the child too."
        ),
        Some((process, fd)) => format!(
            "SIGPIPE was never raised: when the child wrote to {label} for the last time, {} still had the read end open (fd {fd}).",
            run.seen.name_of(*process)
        ),
        None => format!("SIGPIPE was never raised by the writes to {label}."),
    };
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).into()
}

/// Between the signal's delivery and the handler's return: the news is written, and nothing is done that would not be
/// safe wherever the signal may have come.
fn handler_safe(run: &Run) -> Finding {
    let Some((from, event, ..)) =
        deliveries(run).into_iter().find(|(_, e, d, _)| e.process != ROOT && *d == Disposition::Handler)
    else {
        return Err(Objection::open("no handler was called"));
    };
    let thread = event.thread;
    let after: Vec<&Event> = run.seen.events[from + 1..].iter().filter(|e| e.thread == thread).collect();
    let returned = after.iter().position(|e| matches!(e.what, What::HandlerReturned));
    let inside = &after[..returned.unwrap_or(after.len())];
    // The functions that the signal has interrupted are further out on the handler's stack; they are not its doing.
    let before = run.seen.events[..from].iter().rev().find(|e| e.thread == thread && !e.stack.is_empty());
    let interrupted = before.map_or(&[][..], |e| &e.stack);
    if let Some((event, words)) = inside.iter().find_map(|e| Some((e, unsafe_call(e, interrupted)?))) {
        return Failure::new(Reason::Forbidden, words).at(event.source.as_ref()).found();
    }
    let told = printed(run).into_iter().filter(|t| inside.iter().any(|e| std::ptr::eq(*e, t.event)));
    let text: Vec<u8> = told.flat_map(|t| t.data.iter().copied()).collect();
    let place = inside.last().and_then(|e| e.source.clone()).or_else(|| event.source.clone());
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words).at(place.as_ref()).found();
    if text != NEWS && text.starts_with(NEWS) {
        return wrong(format!(
            "The handler writes {}: it is to write the news only, and leave the rest to the program.",
            quoted(&text)
        ));
    }
    if returned.is_none() && run.seen.exit().is_some() {
        return wrong(
            "The handler does not return: it is to write the news only, and leave the rest to the program.".into(),
        );
    }
    if !text.starts_with(&NEWS[..NEWS.len() - 1]) {
        return wrong("The handler does not write the news itself, with write(2).".into());
    }
    Ok(())
}

/// What a handler of this signal calls is safe in one. For a fault, whose handler may leave by a jump.
pub(super) fn safe_handler(run: &Run, signal: i32) -> Finding {
    for (from, event) in run.seen.events.iter().enumerate() {
        let handled = matches!(event.what, What::Signalled { signal: s, disposition, .. }
            if s == signal && disposition == Disposition::Handler);
        if !handled {
            continue;
        }
        let before = run.seen.events[..from].iter().rev().find(|e| e.thread == event.thread && !e.stack.is_empty());
        let interrupted = before.map_or(&[][..], |e| &e.stack);
        let after = run.seen.events[from + 1..].iter().filter(|e| e.thread == event.thread);
        let inside = after.take_while(|e| !matches!(e.what, What::HandlerReturned));
        // Whoever has left the handler by a jump is in main again.
        let inside = inside.filter(|e| !came_from_main(e));
        if let Some((call, name)) = inside.into_iter().find_map(|e| Some((e, unsafe_function(e, interrupted)?))) {
            let words = format!(
                "The handler calls {name}, which takes locks or memory: the access that failed may have come in the middle of the same thing. Only what signal-safety(7) lists is safe here."
            );
            return Failure::new(Reason::Forbidden, words).at(call.source.as_ref()).found();
        }
    }
    Ok(())
}

fn came_from_main(event: &Event) -> bool {
    event.stack.last().is_some_and(|name| name == "main" || name.ends_with("::main"))
}

/// The function that a handler must not call and that made this call, if one did. What was on the stack when the
/// signal came is none of the handler's doing.
fn unsafe_function<'a>(event: &'a Event, interrupted: &[String]) -> Option<&'a str> {
    let shared = event.stack.iter().rev().zip(interrupted.iter().rev()).take_while(|(a, b)| a == b).count();
    let own = &event.stack[..event.stack.len() - shared];
    own.iter().map(String::as_str).find(|name| UNSAFE_IN_HANDLER.iter().any(|part| name.contains(part)))
}

/// What is wrong with a call made in a handler.
fn unsafe_call(event: &Event, interrupted: &[String]) -> Option<String> {
    let What::Called { call, sysno, .. } = &event.what else { return None };
    let advice = "the signal may have come in the middle of the same thing, with its lock held. Only write(2) and its like are safe here (signal-safety(7)).";
    if let Some(name) = unsafe_function(event, interrupted) {
        return Some(format!("The handler calls {name}, which takes locks or memory: {advice}"));
    }
    let allocates = match call {
        Call::Brk { .. } | Call::Mmap { .. } | Call::Munmap { .. } | Call::Mremap { .. } => "asks for memory",
        Call::Futex { .. } => "takes a lock",
        _ => return None,
    };
    Some(format!("The handler {allocates} ({}): {advice}", sysno.name()))
}
