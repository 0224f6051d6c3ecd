//! `05_pipes`, `pipe_splice`: bytes that the program never sees.

use observe::{Call, Effect, Event, InputFile, Nth, ObjectId, On, Stdout};

use super::Spec;
use super::common::calls::{MOVES, OPENS, WRITES, files, printed, reads_of};
use super::common::endings::{blame_fault, ended, output, status};
use super::common::plans::{bad_usage, cut, failing, fault, interrupted};
use super::common::text::{complaints, difference};
use super::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// More than a pipe holds.
const LARGE: u64 = 150_000;
/// Where standard output goes in some plans.
const TARGET: &str = "target.bin";

/// How people name a call that brings bytes to standard output.
const CARRIERS: &[&str] = &["sendfile", "splice", "copy", "write", "print", "stdout", "standard output", "flush"];

/// `pipe_splice FILE`
pub(crate) fn pipe_splice() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::outside("reports", "a file that is not there and a full disk are reported", reports),
            Check::outside("output", "FILE comes out whole, into a pipe and into a file", arrived),
            Check::seen("inside", "its bytes do not pass through the program", inside),
            Check::outside("falls-back", "where the kernel cannot, it copies by read and write", arrived),
            Check::seen("says-so", "and says so on standard error", says_so),
            Check::seen("short-io", "it is right when less is moved than was asked for", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| file(nonce, "a file larger than a pipe", LARGE),
    }
}

fn file(nonce: &mut Nonce, name: &str, least: u64) -> Plan {
    let len = nonce.number(least, least + least / 10) as usize;
    let content = if len > 0 { nonce.bytes(len) } else { Vec::new() };
    let path = format!("{}.bin", nonce.word(6));
    Plan::new(name)
        .arg(path.clone())
        .file(InputFile::new(path, content.clone()))
        .prints(content)
        .judged_by(&["output", "inside"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let large = file(nonce, "a large file", LARGE);
    let small = file(nonce, "a small file", 20_000);
    let onto = |plan: &Plan, name: &str, append| {
        plan.again(name, &plan.checks).onto(Stdout::File { path: TARGET.into(), append })
    };
    let fallen = ["falls-back", "says-so"];
    let append = onto(&large, "onto the end of a file", true)
        .judged_by(&fallen)
        .because("When standard output is a file that is opened with O_APPEND");
    let unable = large
        .again("the kernel cannot", &fallen)
        .fault(failing(MOVES, None, libc::EINVAL))
        .at(Stage::Order)
        .because("When sendfile, splice and copy_file_range say EINVAL");
    let full = small
        .again("no space", &[])
        .reports(CARRIERS, None, libc::ENOSPC)
        .fault(failing(MOVES, None, libc::ENOSPC))
        .fault(failing(WRITES, Some(On::Stdout), libc::ENOSPC))
        .because("When there is no space behind standard output");
    let again = fault(MOVES, Nth::Alternate, None, Effect::Fail(libc::EINTR));
    let slow = small.again("the slow way", &[]).fault(failing(MOVES, None, libc::EINVAL));
    vec![
        large.clone(),
        onto(&large, "into a file", false),
        file(nonce, "an empty file", 0),
        append,
        unable,
        Plan::new("no such file").arg("missing").reports(OPENS, Some("missing"), libc::ENOENT),
        full,
        bad_usage("no file", &[]),
        bad_usage("two files", &["one", "two"]),
        cut(&small, &[], MOVES, "call", 3000).fault(fault(MOVES, Nth::From(1), None, Effect::Short(3000))),
        cut(&slow, &[On::Stdout], WRITES, "write", 3000),
        interrupted(&small, &[On::Stdout, On::AnyFile]).fault(again),
        interrupted(&slow, &[On::Stdout, On::AnyFile]),
    ]
}

/// What has come out, wherever that was.
fn came<'a>(run: &Run<'a>) -> &'a [u8] {
    match run.plan.launch.stdout {
        Stdout::File { .. } => run.seen.file(TARGET).map_or(&[], |left| &left.bytes),
        _ => &run.seen.stdout.bytes,
    }
}

/// `output`, `falls-back`: all of it has come out.
fn arrived(run: &Run) -> Finding {
    let Stdout::File { append, .. } = run.plan.launch.stdout else { return output(run) };
    ended(run)?;
    status(run)?;
    let wanted = run.plan.expect.stdout.as_deref().unwrap_or_default();
    if came(run) == wanted {
        return Ok(());
    }
    let end = if append { " to whose end it was to be written" } else { "" };
    let words = format!("Into the file{end} the program {}.", difference(wanted, came(run)));
    Failure::new(Reason::WrongOutput, words).evidences(complaints(run.seen)).found()
}

/// The first call that took bytes of FILE into the program's memory, or gave some from there to standard output.
fn through_memory<'a>(run: &Run<'a>) -> Option<(&'static str, &'a Event)> {
    let source: Vec<ObjectId> = files(run.seen, &run.plan.argument(0));
    let read = source.iter().flat_map(|file| reads_of(run.seen, *file)).find(|t| !t.inside && t.bytes > 0);
    let mapped = run
        .seen
        .successes()
        .find(|(_, _, call, _)| matches!(call, Call::Mmap { object: Some(object), .. } if source.contains(object)));
    let written = || printed(run).into_iter().find(|t| !t.inside && t.bytes > 0);
    read.map(|t| ("reads FILE into its own memory", t.event))
        .or(mapped.map(|(_, event, ..)| ("maps FILE into its own memory", event)))
        .or_else(|| written().map(|t| ("writes to standard output from its own memory", t.event)))
}

/// `inside`: nothing but sendfile, splice and copy_file_range.
fn inside(run: &Run) -> Finding {
    let Some((does, event)) = through_memory(run) else {
        return match printed(run).is_empty() && run.plan.expect.stdout.as_ref().is_some_and(|all| !all.is_empty()) {
            true => Err(Objection::open("nothing has come out")),
            false => Ok(()),
        };
    };
    let words = format!(
        "The program {does}: it need not look at the bytes to pass them on. sendfile, splice and copy_file_range move them from one descriptor to another inside the kernel."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `says-so`: who falls back does not do so in silence.
fn says_so(run: &Run) -> Finding {
    let Some((_, event)) = through_memory(run) else {
        return Err(Objection::open("the program has found no other way"));
    };
    if complaints(run.seen).is_empty() {
        let words = "The program copies by read and write and says nothing of it: whoever waits for the fast way does not learn that this is not it. One line on standard error is wanted.";
        return Failure::new(Reason::WrongOutput, words).at(event.source.as_ref()).found();
    }
    Ok(())
}

/// `short-io`, `eintr`: the same as without.
fn under_faults(run: &Run) -> Finding {
    arrived(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}
