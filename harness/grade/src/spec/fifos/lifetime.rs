//! `fifo_lifetime`: foretold, and tried: what is left of a FIFO that nobody has open.

use observe::{Call, Ending, InputFile, ObjectId, On};

use super::checks::{clean, existing_path, fifos};
use super::{FOREIGN, MAKES};
use crate::spec::Spec;
use crate::spec::common::calls::{INPUTS, READS, writes_of};
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, unwritable_channel, unwritable_output};
use crate::spec::common::{output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// What happens.
const HAPPENS: &str = "size on disk: 0\nname: stays\nunread bytes: lost\n";

/// `fifo_lifetime PATH`
pub(crate) fn fifo_lifetime() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one PATH is refused", usage),
            Check::outside("reports", "a failing mkfifo or write is reported", reports),
            Check::outside("output", "what happens was foretold", output),
            Check::seen("tried", "it is seen to happen: bytes in, last close, and what is there then", tried),
            Check::outside("existing-path", "what is at PATH already is an error, and stays untouched", existing_path),
            Check::outside("clean", "the FIFO is gone at the end, also after a failure", clean),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted, open among them", under_faults),
        ],
        demo: foretold,
    }
}

fn foretold(nonce: &mut Nonce) -> Plan {
    Plan::new("a FIFO with bytes left in it")
        .arg(nonce.word(5))
        .prints(HAPPENS)
        .judged_by(&["output", "tried", "clean"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = foretold(nonce);
    let path = plain.argument(0);
    let taken = plain.again("a file is at PATH", &["existing-path"]).prints("").exits(1).at(Stage::Refusal);
    let mut full = unwritable_output(&plain);
    full.checks.push("clean");
    let unread = plain.again("the FIFO cannot be read", &[]).reports(INPUTS, Some(&path), libc::EIO);
    let unread = unread.fault(failing(READS, Some(On::Fifo), libc::EIO)).because("When the FIFO cannot be read");
    let mut failures = [unwritable_channel(&plain, On::Fifo), unread];
    failures.iter_mut().for_each(|plan| plan.checks.push("clean"));
    let mut plans = vec![
        plain.clone(),
        Plan::new("mkfifo fails").arg("nowhere/fifo").reports(MAKES, Some("nowhere"), libc::ENOENT),
        full,
        taken.file(InputFile::new(&path, FOREIGN)).because(format!("When a file {path} is there already")),
        bad_usage("no path", &[]),
        bad_usage("two paths", &["one", "two"]),
    ];
    plans.extend(failures);
    plans.extend(cuts(&plain, &[On::Fifo, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Fifo, On::Stdout]));
    plans
}

/// `tried`: bytes were in the FIFO, its size was looked at, nobody had it open, and then somebody did.
fn tried(run: &Run) -> Finding {
    let seen = run.seen;
    let wrong = |words: &str| Failure::new(Reason::WrongCalls, words);
    if !matches!(seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let written = fifos(run).into_iter().find_map(|fifo| {
        let first = writes_of(seen, fifo).find(|t| t.bytes > 0)?;
        Some((fifo, first))
    });
    let Some((fifo, first)) = written else {
        return wrong("No bytes were ever in the FIFO: foretold is good, and seen is better. Let the program try it.")
            .found();
    };
    let free = |index: usize| [false, true].iter().all(|side| seen.holders_before(index, fifo, *side).is_empty());
    let reopened =
        seen.successes().find(|(index, _, call, _)| *index > first.index && opens(call, fifo) && free(*index));
    let Some((again, ..)) = reopened else {
        return wrong("After bytes were written to it, the FIFO was never closed by everybody and then opened again: while one descriptor is open, nothing is decided.")
            .at(first.event.source.as_ref())
            .found();
    };
    let looked = seen
        .successes()
        .any(|(index, _, call, _)| first.index < index && matches!(call, Call::Look { .. }) && !free(index));
    if !looked {
        return wrong("Nobody asked for the size of the FIFO (stat) while bytes were in it.")
            .at(first.event.source.as_ref())
            .found();
    }
    let read = seen
        .calls()
        .any(|(index, _, call, _)| index > again && matches!(call, Call::Read { object: Some(o), .. } if *o == fifo));
    if !read {
        return wrong("The FIFO was opened again, and nobody tried to read from it.").found();
    }
    Ok(())
}

fn opens(call: &Call, fifo: ObjectId) -> bool {
    matches!(call, Call::Open { object: Some(object), .. } if *object == fifo)
}
