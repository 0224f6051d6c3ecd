//! What several exercises ask of a mapped file: that it is one, and how it is opened, read and written.

use std::ops::Range;

use observe::{Call, Event, Exit, ObjectId, On, ProcessId};

use crate::spec::common::calls::{WRITES, files, reads_of};
use crate::spec::common::endings::output;
use crate::spec::common::plans::{cut, interrupted};
use crate::spec::common::text::quoted;
use crate::{Failure, Finding, Objection, Plan, Reason, Run};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// A successful mapping of a file.
#[derive(Clone, Copy)]
pub struct Mapping<'a> {
    /// Index of its event.
    pub index: usize,
    /// Its event.
    pub event: &'a Event,
    /// Where it is.
    pub start: u64,
    /// Bytes, rounded up to whole pages.
    pub len: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// `MAP_*`.
    pub flags: i32,
    /// It may be written, be it only later.
    pub writable: bool,
}

impl Mapping<'_> {
    /// What is stored there goes to the file.
    pub fn is_shared(&self) -> bool {
        self.flags & libc::MAP_TYPE != libc::MAP_PRIVATE
    }
}

/// The mappings of this file, in order.
pub fn mappings<'a>(run: &Run<'a>, path: &str) -> Vec<Mapping<'a>> {
    mappings_of(run, &files(run.seen, path))
}

/// The mappings of these objects, in order.
pub fn mappings_of<'a>(run: &Run<'a>, objects: &[ObjectId]) -> Vec<Mapping<'a>> {
    let made = run.seen.successes().filter_map(|(index, event, call, address)| match call {
        Call::Mmap { object: Some(object), prot, flags, len, offset, .. } if objects.contains(object) => {
            let (start, len) = (address as u64, len.next_multiple_of(PAGE));
            let writable = prot & libc::PROT_WRITE != 0 || made_writable(run, index, event.process, start..start + len);
            Some(Mapping { index, event, start, len, offset: *offset, flags: *flags, writable })
        }
        _ => None,
    });
    made.collect()
}

fn made_writable(run: &Run, after: usize, process: ProcessId, range: Range<u64>) -> bool {
    run.seen.successes().any(|(index, event, call, _)| {
        matches!(call, Call::Mprotect { address, prot, .. }
            if index > after && event.process == process && range.contains(address) && prot & libc::PROT_WRITE != 0)
    })
}

/// Whether the program has mapped this address before this event, and not unmapped it since.
pub fn is_mapped(run: &Run, address: u64, before: usize) -> bool {
    let within = |start: u64, len: u64| (start..start.saturating_add(len.next_multiple_of(PAGE))).contains(&address);
    run.seen.successes().filter(|(index, ..)| *index < before).fold(false, |mapped, (_, _, call, value)| match call {
        Call::Mmap { len, .. } if within(value as u64, *len) => true,
        Call::Munmap { address, len, .. } if within(*address, *len) => false,
        _ => mapped,
    })
}

/// A failure about a call, at its line.
pub fn wrong_call(message: String, event: Option<&Event>) -> Finding {
    Failure::new(Reason::WrongCalls, message).at(event.and_then(|e| e.source.as_ref())).found()
}

/// `mapped`: FILE is mapped, and none of its contents come by a call that reads.
pub fn mapped(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let objects = files(run.seen, &path);
    let read = objects.iter().flat_map(|o| reads_of(run.seen, *o)).find(|t| t.bytes > 0);
    if let Some(read) = read {
        let (how, bytes) = (if read.inside { "moved by the kernel" } else { "read" }, read.bytes);
        let words = format!(
            "{path} is {how} ({bytes} bytes in one call): take all of its bytes from the mapping, and make no call that reads it."
        );
        return wrong_call(words, Some(read.event));
    }
    match mappings(run, &path).is_empty() {
        false => Ok(()),
        true if run.seen.exit().is_some() => {
            wrong_call(format!("{path} is never mapped: map it with mmap, and look at its bytes in memory."), None)
        }
        true => Err(Objection::open("the program ended before it mapped anything")),
    }
}

/// `read-only-open`: FILE is opened O_RDONLY, so that a file of mode 0444 will do.
pub fn read_only_open(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let objects = files(run.seen, &path);
    let opened = run.seen.calls().find_map(|(_, event, call, _)| match call {
        Call::Open { path: p, flags, object, .. }
            if flags & libc::O_ACCMODE != libc::O_RDONLY
                && (p.ends_with(&path) || object.is_some_and(|o| objects.contains(&o))) =>
        {
            Some(event)
        }
        _ => None,
    });
    match opened {
        Some(event) => wrong_call(
            format!("{path} is opened for writing, which a file of mode 0444 does not permit: open it O_RDONLY."),
            Some(event),
        ),
        None if run.plan.launch.files.iter().any(|f| f.mode & 0o200 == 0) => output(run),
        None => Ok(()),
    }
}

/// This file has these bytes; `why` ends the sentence that says what it has instead.
pub fn contains(run: &Run, path: &str, expected: &[u8], why: &str) -> Finding {
    let wrong = |message: String| Failure::new(Reason::WrongState, message).found();
    let Some(left) = run.seen.file(path) else { return wrong(format!("There is no {path} at the end: {why}.")) };
    if left.len != expected.len() as u64 {
        return wrong(format!("{path} is {} bytes long instead of {}: {why}.", left.len, expected.len()));
    }
    match left.bytes.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => {
            let end = (at + 8).min(expected.len());
            let (is, should) = (quoted(&left.bytes[at..end]), quoted(&expected[at..end]));
            wrong(format!("{path} differs from byte {at} on: {is} instead of {should}: {why}."))
        }
    }
}

/// `sized`: no store met a page that the file does not have.
pub fn sized(run: &Run) -> Finding {
    if !killed_by(run, libc::SIGBUS) {
        return Ok(());
    }
    let path = run.plan.argument(0);
    let len = run.seen.file(&path).map_or(0, |f| f.len);
    let words = format!(
        "The program was killed by SIGBUS: it touched a page of its mapping of {path} that the file, {len} bytes long, does not have. A mapping never makes a file longer: give it its length with ftruncate first."
    );
    let place =
        run.seen.events.iter().find(|e| matches!(e.what, observe::What::Signalled { signal: libc::SIGBUS, .. }));
    wrong_call(words, place)
}

/// Died of this signal.
pub fn killed_by(run: &Run, signal: i32) -> bool {
    run.seen.exit() == Some(Exit::Signal(signal))
}

/// The same run with writes to standard output cut to three bytes, and with every second one interrupted.
pub fn hard_output(plan: &Plan) -> [Plan; 2] {
    [cut(plan, &[On::Stdout], WRITES, "write", 3), interrupted(plan, &[On::Stdout])]
}
