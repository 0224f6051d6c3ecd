//! `04_fork`, `fork_offset`: who shares a file offset with whom.

use std::collections::BTreeSet;

use observe::{Call, Content, Event, Exit, InputFile, ObjectId, On, ProcessId, Who};

use super::Spec;
use super::common::calls::{self, ROOT, birth_of, files};
use super::common::endings::ended;
use super::common::plans::{bad_usage, cut, failing, interrupted, orders, unwritable_output};
use super::common::text::{complaints, panicked, quoted};
use super::common::{FORKS, OPENS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Bytes of a piece.
const PIECE: usize = 4;

/// `fork_offset FILE`
pub(crate) fn fork_offset() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::outside("reports", "a failing open, read, fork or write is reported", reports),
            Check::outside("refused", "a FILE of fewer than two pieces is refused", refused),
            Check::outside("output", "the four pieces are printed in order", pieces_printed),
            Check::seen("reads", "the pieces are read, with no offset given or set", reads_only),
            Check::seen("one-open-file", "child and parent read one open file, each its own piece", one_open_file),
            Check::seen("own-open-files", "child and parent each open FILE and read a piece", own_open_files),
            Check::seen("order", "it is right whoever runs first, and with sleeps that do not sleep", order),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "every child is waited for", reaped),
        ],
        demo: |nonce| offset_plan("some letters", nonce, 20),
    }
}

fn offset_plan(name: &str, nonce: &mut Nonce, len: usize) -> Plan {
    let (file, text) = (format!("{}.txt", nonce.word(6)), nonce.word(len));
    let plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file, text.as_bytes()));
    if len < 2 * PIECE {
        return plan.exits(1).at(Stage::Refusal).judged_by(&["refused"]);
    }
    let (first, second) = (&text[..PIECE], &text[PIECE..2 * PIECE]);
    let lines = format!("shared child: {first}\nshared parent: {second}\nown child: {first}\nown parent: {first}\n");
    plan.prints(lines).judged_by(&["output", "reads", "one-open-file", "own-open-files", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let length = nonce.number(30, 90) as usize;
    let plain = offset_plan("some letters", nonce, length);
    let file = plain.argument(0);
    let data = || Some(On::File(file.clone().into()));
    let fails = |name: &str, names, calls: &[&str], on, object: Option<&str>, errno| {
        plain.again(name, &[]).reports(names, object, errno).fault(failing(calls, on, errno))
    };
    // Its child has read and printed by then.
    let mut alone = fails("the parent's read fails", &["read"], calls::READS, data(), Some(&file), libc::EIO);
    alone.launch.faults[0].who = Who::Root;
    alone.expect.stdout = None;
    let mut plans = vec![
        plain.clone(),
        offset_plan("two pieces and no more", nonce, 2 * PIECE),
        offset_plan("a large file", nonce, 20_000).judged_by(&["output"]),
    ];
    plans.extend(orders(&plain, &["order", "reaped"]));
    plans.extend([
        Plan::new("no such file").arg("missing.txt").reports(OPENS, Some("missing.txt"), libc::ENOENT),
        fails("read fails", &["read"], calls::READS, data(), Some(&file), libc::EIO),
        alone,
        fails("fork fails", FORKS, calls::FORK_CALLS, None, None, libc::EAGAIN),
        unwritable_output(&plain),
        offset_plan("one byte too few", nonce, 2 * PIECE - 1),
        offset_plan("an empty file", nonce, 0),
        bad_usage("no file", &[]),
        bad_usage("two files", &["one", "two"]),
        cut(&plain, &[On::File(file.clone().into())], calls::READS, "read", 1),
        cut(&plain, &[On::Stdout], calls::WRITES, "write", 3),
        interrupted(&plain, &[On::File(file.clone().into()), On::Stdout, On::Pipe]),
    ]);
    plans
}

/// `output`, and the usual surprise by its name.
fn pieces_printed(run: &Run) -> Finding {
    let swallowed = run.seen.calls().find_map(|(_, event, call, result)| match call {
        Call::Read { object: Some(o), asked, .. }
            if matches!(result, Some(Ok(n)) if n > PIECE as i64) && is_file(run, *o) =>
        {
            Some((event, *asked))
        }
        _ => None,
    });
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            if let Some((event, asked)) = swallowed {
                failure.message.push_str(&format!(
                    " A read asks for {asked} bytes where a piece has {PIECE}: a buffered reader moves the offset that both share far beyond what it gives you. Read without a buffer."
                ));
                failure.source = event.source.clone();
            }
        })
    })
}

fn is_file(run: &Run, object: ObjectId) -> bool {
    files(run.seen, &run.plan.argument(0)).contains(&object)
}

fn refused(run: &Run) -> Finding {
    ended(run)?;
    let path = run.plan.argument(0);
    let len = match &run.plan.launch.files[0].content {
        Content::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    let wrong = |words: String| {
        let words = format!(
            "{path} has only {len} bytes. {words} One line on standard error is wanted that names {path}, and exit status 1."
        );
        Failure::new(Reason::WrongStatus, words).evidences(complaints(run.seen)).found()
    };
    let stderr = run.seen.stderr.text();
    let lines: Vec<&str> = stderr.lines().collect();
    if panicked(run.seen) {
        return wrong("The program panics.".into());
    }
    if !run.seen.stdout.bytes.is_empty() {
        return wrong(format!("The program prints {}.", quoted(&run.seen.stdout.bytes)));
    }
    match (lines.as_slice(), run.seen.exit()) {
        ([line], Some(Exit::Code(1))) if line.contains(&path) => Ok(()),
        ([line], Some(Exit::Code(1))) => wrong(format!("The message `{line}` does not name the file.")),
        (lines, Some(Exit::Code(1))) => wrong(format!("Standard error has {} lines.", lines.len())),
        (_, Some(Exit::Code(code))) => wrong(format!("The exit status is {code}.")),
        _ => ended(run),
    }
}

/// `reads`: neither pread nor lseek nor a mapping.
fn reads_only(run: &Run) -> Finding {
    let around = run.seen.successes().find_map(|(_, event, call, _)| match call {
        Call::Read { object: Some(o), offset: Some(_), .. } if is_file(run, *o) => {
            Some((event, "reads with an offset of its own (pread), which no open file's offset has a part in"))
        }
        Call::Seek { object: Some(o), offset, whence, .. }
            if is_file(run, *o) && (*whence, *offset) != (libc::SEEK_CUR, 0) =>
        {
            Some((event, "sets the offset itself (lseek)"))
        }
        Call::Mmap { object: Some(o), .. } if is_file(run, *o) => Some((event, "maps the file")),
        _ => None,
    });
    let Some((event, does)) = around else { return Ok(()) };
    let words = format!(
        "{} {does}: let read go on from where the offset is, for that is what is to be shown.",
        super::common::family::capital(&run.seen.name_of(event.process))
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// Bytes that were read of FILE: by whom, and where the open file was opened that he read.
struct Piece<'a> {
    event: &'a Event,
    bytes: u64,
    opened: Option<usize>,
    inherited: bool,
}

fn pieces<'a>(run: &Run<'a>) -> Vec<Piece<'a>> {
    let read = |(index, event, call, value): (usize, &'a Event, &Call, i64)| match call {
        Call::Read { object: Some(o), fd, .. } if is_file(run, *o) => {
            let (opened, by) = opening(run, event.process, *fd, index).unzip();
            let inherited = by.is_some_and(|by| by != event.process);
            Some(Piece { event, bytes: value.max(0) as u64, opened, inherited })
        }
        _ => None,
    };
    run.seen.successes().filter_map(read).collect()
}

/// The open that a descriptor of a process goes back to, and whose it was: its own, or one from before its birth.
fn opening(run: &Run, process: ProcessId, fd: i32, before: usize) -> Option<(usize, ProcessId)> {
    let earlier = run.seen.successes().take_while(|(index, ..)| *index < before);
    let made = earlier.filter(|(_, event, _, value)| event.process == process && *value == i64::from(fd));
    let origin = made.filter_map(|(index, _, call, _)| match call {
        Call::Open { .. } => Some((index, None)),
        Call::Dup { fd, .. } => Some((index, Some(*fd))),
        _ => None,
    });
    match origin.last() {
        Some((index, None)) => Some((index, process)),
        Some((index, Some(fd))) => opening(run, process, fd, index),
        None => opening(run, run.seen.process(process).parent?, fd, birth_of(run.seen, process)?.0),
    }
}

/// The opens whose open file a child has inherited and read.
fn shared(run: &Run) -> BTreeSet<usize> {
    pieces(run).iter().filter(|piece| piece.inherited).filter_map(|piece| piece.opened).collect()
}

fn is_shared(piece: &Piece, shared: &BTreeSet<usize>) -> bool {
    piece.opened.is_some_and(|index| shared.contains(&index))
}

fn enough(run: &Run, who: &str, how: &str, advice: &str, chosen: impl Fn(&Piece) -> bool) -> Finding {
    let bytes: u64 = pieces(run).iter().filter(|piece| chosen(piece)).map(|piece| piece.bytes).sum();
    if bytes >= PIECE as u64 {
        return Ok(());
    }
    ended(run).map_err(|_| Objection::open("the program did not come to its end"))?;
    if birth_of(run.seen, ProcessId(1)).is_none() {
        return Failure::new(Reason::WrongCalls, "The program made no child.").found();
    }
    let path = run.plan.argument(0);
    let line = pieces(run).first().and_then(|piece| piece.event.source.clone());
    Failure::new(Reason::WrongCalls, format!("The {who} never reads a piece of {path} {how}: {advice}"))
        .at(line.as_ref())
        .found()
}

fn one_open_file(run: &Run) -> Finding {
    let shared = shared(run);
    let (how, advice) = ("that was opened before fork", "open it once, fork, and let both read that descriptor.");
    enough(run, "child", how, advice, |piece| piece.inherited)?;
    enough(run, "parent", how, advice, |piece| piece.event.process == ROOT && is_shared(piece, &shared))
}

fn own_open_files(run: &Run) -> Finding {
    let shared = shared(run);
    let (how, advice) = ("that it opened for itself", "let each of the two open FILE, and read a piece of its own.");
    enough(run, "child", how, advice, |piece| piece.event.process != ROOT && !piece.inherited)?;
    enough(run, "parent", how, advice, |piece| piece.event.process == ROOT && !is_shared(piece, &shared))
}
