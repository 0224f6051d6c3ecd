//! `file_size`: a length asked of a descriptor, and an offset that is left where it was.

use std::path::Path;

use observe::{Action, Call, Content, Deed, Effect, Ending, Event, InputFile, Nth, ObjectId, ObjectKind, On, Trigger};

use crate::spec::Spec;
use crate::spec::common::calls::{OPEN_CALLS, OPENS, WRITES, reads_of};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted, unwritable_output};
use crate::spec::common::{output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const GIB: u64 = 1 << 30;
/// What C's stdio reads at once.
const BLOCK: u64 = 4096;
/// How people name a look at a descriptor.
const LOOKS: &[&str] = &["fstat", "stat", "metadata"];
/// The kernel's names of it.
const LOOK_CALLS: &[&str] = &["fstat", "newfstatat", "statx"];
/// How people name a move of the offset.
const SEEKS: &[&str] = &["lseek", "seek", "tell"];

/// `file_size PATH`
pub(crate) fn file_size() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one PATH is refused", usage),
            Check::outside("reports", "a failing open, fstat, lseek or write is reported", reports),
            Check::outside("output", "both ways give the length of the file", output),
            Check::outside("large", "they do so for a file of more than 4 GiB", output),
            Check::outside("not-seekable", "a FIFO is said to be not seekable", output),
            Check::seen("by-descriptor", "the descriptor is asked, and not the name", by_descriptor),
            Check::seen("offset-kept", "the offset is moved to the end, and put back", offset_kept),
            Check::seen("not-read", "the file is not read", not_read),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when writes are interrupted", under_faults),
        ],
        demo: |nonce| of_length("a large file", "data", 5 * GIB + nonce.number(1, 9999)),
    }
}

fn of_length(name: &str, path: &str, len: u64) -> Plan {
    let content = Content::Sparse { len, pieces: vec![(0, b"some data".to_vec())] };
    Plan::new(name)
        .arg(path)
        .file(InputFile { path: path.into(), content, mode: 0o644 })
        .prints(format!("fstat: {len}\nseek: {len}\noffset kept: yes\n"))
        .judged_by(&["output", "by-descriptor", "offset-kept", "not-read"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (path, link) = (nonce.word(6), nonce.word(7));
    let plain = of_length("a file", &path, nonce.number(20_000, 60_000));
    let mut linked = of_length("a symbolic link", &path, nonce.number(20_000, 60_000));
    linked.launch.args = vec![link.clone().into()];
    let linked = linked.file(InputFile { path: link.into(), content: Content::Symlink(path.clone().into()), mode: 0 });
    let large = of_length("more than 4 GiB", &path, 5 * GIB + nonce.number(1, 999_999));
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, Some(&path), errno).fault(failing(calls, None, errno))
    };
    // Of the file alone: C's own dprintf asks for the offset of standard error.
    let seek_fails = |name: &str, nth| {
        let fault = fault(&["lseek"], nth, Some(On::AnyFile), Effect::Fail(libc::EIO));
        plain.again(name, &[]).reports(SEEKS, Some(&path), libc::EIO).fault(fault)
    };
    vec![
        plain.clone(),
        Plan {
            launch: observe::Launch { files: vec![InputFile::new(&path, "")], ..plain.launch.clone() },
            ..plain.clone()
        }
        .again("an empty file", &["output", "by-descriptor"])
        .prints("fstat: 0\nseek: 0\noffset kept: yes\n"),
        linked,
        large.judged_by(&["large"]).coarse(),
        a_fifo(nonce),
        Plan::new("open fails").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("open is refused", OPENS, OPEN_CALLS, libc::EACCES),
        fails("fstat fails", LOOKS, LOOK_CALLS, libc::EIO),
        seek_fails("lseek fails", Nth::From(1)),
        seek_fails("the second lseek fails", Nth::Only(2)),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("two paths", &["one", "two"]),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::Stdout]),
    ]
}

/// A FIFO; somebody opens its other end when the program waits for that.
fn a_fifo(nonce: &mut Nonce) -> Plan {
    let path = nonce.word(5);
    let opened = Deed::WriteFifo { path: path.clone().into(), bytes: b"unread".to_vec() };
    Plan::new("a FIFO")
        .arg(path.clone())
        .file(InputFile { path: path.into(), content: Content::Fifo, mode: 0o644 })
        .action(Action { when: Trigger::AllBlocked, what: opened })
        .prints("fstat: 0\nseek: not seekable\n")
        .judged_by(&["not-seekable"])
        .because("When PATH is a FIFO")
}

/// The first opening of the file: its event, the descriptor, and the file.
fn opening<'a>(run: &Run<'a>) -> Result<(&'a Event, i32, ObjectId), Objection> {
    let mut opened = run.seen.successes().filter_map(|(_, event, call, fd)| match call {
        Call::Open { object: Some(object), .. } => match &run.seen.object(*object).kind {
            ObjectKind::File(path) if path.is_relative() => Some((event, fd as i32, *object)),
            _ => None,
        },
        _ => None,
    });
    opened.next().ok_or_else(|| Objection::open("the program has not opened the file"))
}

/// `by-descriptor`: a look at a descriptor, by whatever call.
fn by_descriptor(run: &Run) -> Finding {
    let name = run.plan.argument(0);
    let own = |path: &Path| path.starts_with("/proc/self/fd") || path.starts_with("/dev/fd");
    let mut by_name = None;
    let opened = opening(run);
    for (_, event, call, _) in run.seen.successes() {
        let Call::Look { path, fd } = call else { continue };
        match &opened {
            Ok((_, descriptor, _)) if fd == descriptor && path.as_os_str().is_empty() => return Ok(()),
            _ if own(path) => return Ok(()),
            _ if path.ends_with(&name) => by_name = Some(event),
            _ => {}
        }
    }
    let Some(event) = by_name else {
        return match run.seen.ending {
            Ending::Ended(_) if opened.is_ok() => {
                let words = "The descriptor was never asked for its length: call fstat (in Rust File::metadata).";
                Failure::new(Reason::WrongCalls, words).found()
            }
            _ => Err(Objection::open("the program did not come to it")),
        };
    };
    let words = format!(
        "The length comes from the name {name} (stat), not from the descriptor: between that look and the open somebody may put another file there. Call fstat on what you have opened (in Rust File::metadata)."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// `offset-kept`: what the seeks of the first descriptor come to.
fn offset_kept(run: &Run) -> Finding {
    let (opened, descriptor, file) = opening(run)?;
    let seeks = run.seen.successes().filter_map(|(_, event, call, at)| match call {
        Call::Seek { fd, object: Some(object), whence, .. } if *object == file => Some((event, *fd, *whence, at)),
        _ => None,
    });
    let all: Vec<_> = seeks.collect();
    // C's fseek does not go to the end itself, but to the beginning of the block that it is in.
    if !all.iter().any(|(_, _, whence, at)| *whence == libc::SEEK_END || *at > 0) {
        let words = "The offset was never moved to the end of the file: lseek with SEEK_END says where that is.";
        return Failure::new(Reason::WrongCalls, words).at(opened.source.as_ref()).found();
    }
    match all.iter().rev().find(|(_, fd, ..)| *fd == descriptor) {
        Some((event, _, _, at)) if *at != 0 => {
            let words = format!(
                "The offset is left at {at}: it was 0, and whoever reads from this descriptor next gets the end of file. Seek back to where it was."
            );
            Failure::new(Reason::WrongState, words).at(event.source.as_ref()).found()
        }
        _ => Ok(()),
    }
}

/// `not-read`: at most a block of it, which C's fseek reads at the end.
fn not_read(run: &Run) -> Finding {
    let (_, _, file) = opening(run)?;
    let map = |call: &Call| matches!(call, Call::Mmap { object: Some(o), .. } if *o == file);
    let mapped = run.seen.successes().find(|(_, _, call, _)| map(call)).map(|(_, event, ..)| event);
    let reads: Vec<_> = reads_of(run.seen, file).collect();
    let much = reads.iter().map(|t| t.bytes).sum::<u64>() > BLOCK;
    let Some(event) = reads.first().filter(|_| much).map(|t| t.event).or(mapped) else { return Ok(()) };
    let words =
        "The file is read to know how long it is: that takes as long as the file is, and the file system knows.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}
