//! `direct_copy`: past the page cache, in aligned pieces, and a tail that is none.

use std::collections::HashMap;

use observe::{Call, Event, InputFile, ObjectId, ObjectKind, On, Tracing, What};

use super::{checks, plain_plans, sized};
use crate::spec::Spec;
use crate::spec::common::calls::{READS, WRITES, files};
use crate::spec::common::plans::{bad_usage, cut, interrupted};
use crate::spec::copying::{mapping, source_len};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// What addresses, offsets and lengths are to be multiples of: enough for every device.
const UNIT: u64 = 4096;

/// `direct_copy SRC DST`
pub(crate) fn direct_copy() -> Spec {
    let direct =
        Check::seen("direct", "SRC is read and the copy written past the page cache, but for the tail", direct);
    let aligned =
        Check::seen("aligned", "what goes past the cache begins and ends at multiples of 4096 bytes", aligned);
    let checks = checks("a command line of anything but SRC and DST is refused", &[direct, aligned]);
    let checks = checks.into_iter().map(|check| if check.id == "usage" { check } else { check.unless(no_direct_io) });
    Spec { plans, checks: checks.collect(), demo: |nonce| sized(nonce, "a copy", 70_000) }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut plans = plain_plans(nonce, &["direct", "aligned"], &["read"], READS);
    let mut some = sized(nonce, "some pages and a rest", 40_000 + 77);
    some.checks.extend(["direct", "aligned"]);
    plans.extend([
        // Direct reads and writes end early at the end of a sector, if they do.
        cut(&some, &[On::AnyFile], READS, "read", UNIT),
        cut(&some, &[On::AnyFile], WRITES, "write", UNIT),
        interrupted(&some, &[On::AnyFile]),
        bad_usage("one too many", &["a", "b", "c"]).file(InputFile::new("a", "abc\n")),
        some,
    ]);
    plans
}

/// What a run shows where the file system has no direct input and output.
fn no_direct_io(run: &Run) -> Option<String> {
    if run.seen.tracing != Tracing::On {
        return None;
    }
    let refused = |event: &Event| {
        matches!(&event.what, What::Called { call, result: Some(Err(libc::EINVAL | libc::EOPNOTSUPP)), injected: false, .. }
            if asks_for_direct(call))
    };
    let refused = run.seen.events.iter().any(refused);
    refused.then(|| "the file system of the working directory has no O_DIRECT (EINVAL)".into())
}

fn asks_for_direct(call: &Call) -> bool {
    match call {
        Call::Open { flags, .. } => flags & libc::O_DIRECT != 0,
        Call::Fcntl { command: libc::F_SETFL, argument, .. } => *argument & libc::O_DIRECT as u64 != 0,
        _ => false,
    }
}

/// A read or write of a file.
struct Transfer<'a> {
    event: &'a Event,
    object: ObjectId,
    writing: bool,
    /// By a descriptor that was opened, or set, for that.
    direct: bool,
    address: u64,
    offset: u64,
    asked: u64,
    /// Bytes moved; nothing where it failed.
    moved: u64,
}

/// What is known of a descriptor.
#[derive(Clone, Copy, Default)]
struct Opened {
    direct: bool,
    position: u64,
}

/// The descriptors of the program and its threads as they go on. (That it might fork is left out.)
#[derive(Default)]
struct Table(HashMap<i32, Opened>);

impl Table {
    fn entry(&mut self, fd: i32) -> &mut Opened {
        self.0.entry(fd).or_default()
    }

    /// A call that succeeded, and is no transfer.
    fn apply(&mut self, call: &Call, value: i64) {
        match call {
            Call::Open { flags, .. } => {
                *self.entry(value as i32) = Opened { direct: flags & libc::O_DIRECT != 0, position: 0 };
            }
            Call::Fcntl { fd, command: libc::F_SETFL, argument, .. } => {
                self.entry(*fd).direct = *argument & libc::O_DIRECT as u64 != 0;
            }
            Call::Dup { fd, .. } => *self.entry(value as i32) = *self.entry(*fd),
            Call::Seek { fd, .. } => self.entry(*fd).position = value as u64,
            _ => {}
        }
    }
}

/// All reads and writes of files, with the place in the file where each began.
fn transfers<'a>(run: &Run<'a>) -> Vec<Transfer<'a>> {
    let mut table = Table::default();
    let mut transfers = Vec::new();
    for (_, event, call, result) in run.seen.calls() {
        let value = result.and_then(Result::ok);
        let (fd, object, address, offset, asked, writing) = match call {
            Call::Read { fd, object: Some(object), address, offset, asked, .. } => {
                (*fd, *object, *address, *offset, *asked, false)
            }
            Call::Write { fd, object: Some(object), address, offset, asked, .. } => {
                (*fd, *object, *address, *offset, *asked, true)
            }
            _ => {
                value.into_iter().for_each(|value| table.apply(call, value));
                continue;
            }
        };
        let moved = value.unwrap_or(0).max(0) as u64;
        let file = table.entry(fd);
        let start = offset.unwrap_or(file.position);
        if offset.is_none() {
            file.position += moved;
        }
        transfers.push(Transfer { event, object, writing, direct: file.direct, address, offset: start, asked, moved });
    }
    transfers
}

fn wrong(words: String) -> Failure {
    Failure::new(Reason::WrongCalls, words)
}

/// `direct`: whole units of SRC were read, and written to the copy, by descriptors with O_DIRECT.
fn direct(run: &Run) -> Finding {
    let src = run.plan.argument(0);
    let sources = files(run.seen, &src);
    if let Some(event) = mapping(run, &sources) {
        return wrong(format!("{src} is mapped: a mapping is the page cache.")).at(event.source.as_ref()).found();
    }
    let whole = source_len(run) / UNIT * UNIT;
    let all = transfers(run);
    let is_copy =
        |object: ObjectId| matches!(&run.seen.object(object).kind, ObjectKind::File(path) if path.is_relative());
    let sum = |writing: bool| {
        let of_file =
            |t: &&Transfer| t.writing == writing && sources.contains(&t.object) != writing && is_copy(t.object);
        all.iter().filter(of_file).filter(|t| t.direct).map(|t| t.moved).sum::<u64>()
    };
    let (read, written) = (sum(false), sum(true));
    if read >= whole && written >= whole {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let cached = |writing: bool| {
        let through = all.iter().find(|t| t.writing == writing && !t.direct && is_copy(t.object) && t.moved >= UNIT);
        through.and_then(|t| t.event.source.as_ref())
    };
    if read < whole {
        let words = format!(
            "{read} of the {whole} bytes in whole pages of {src} were read with O_DIRECT: the others came through the page cache."
        );
        return wrong(words).at(cached(false)).found();
    }
    let words = format!(
        "{written} of {whole} bytes in whole pages were written with O_DIRECT: the others went to the page cache."
    );
    wrong(words).at(cached(true)).found()
}

/// `aligned`: each transfer with O_DIRECT is as every device can take it.
fn aligned(run: &Run) -> Finding {
    let all = transfers(run);
    let mut direct = all.iter().filter(|t| t.direct).peekable();
    if direct.peek().is_none() {
        return Err(Objection::open("nothing is read or written with O_DIRECT"));
    }
    let Some(odd) = direct.find(|t| [t.address, t.offset, t.asked].iter().any(|value| value % UNIT != 0)) else {
        return Ok(());
    };
    let what = match odd {
        t if t.address % UNIT != 0 => "the buffer begins at an address that is no multiple of 4096".into(),
        t if t.offset % UNIT != 0 => format!("it begins at byte {} of the file", t.offset),
        t => format!("it is of {} bytes", t.asked),
    };
    let call = if odd.writing { "write" } else { "read" };
    let words = format!(
        "A {call} with O_DIRECT is not aligned: {what}. This file system lets it pass; most say EINVAL, for the device moves whole sectors straight to and from the memory."
    );
    wrong(words).at(odd.event.source.as_ref()).found()
}
