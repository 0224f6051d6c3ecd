//! `map_private`: a change in a private mapping stays private.

use observe::{Call, InputFile, On};

use super::mapping::mappings;
use crate::spec::Spec;
use crate::spec::common::calls::{files, reads_of};
use crate::spec::common::endings::status;
use crate::spec::common::plans::{bad_usage, failing, unreadable_text};
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, OPENS, output, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `map_private FILE BYTE`
pub(crate) fn map_private() -> Spec {
    Spec {
        plans: private_plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and one BYTE is refused", usage),
            Check::outside("reports", "a failing open, mmap or read is reported, and nothing is printed", reports),
            Check::outside("output", "both bytes are printed", output),
            Check::outside("file-unchanged", "FILE is as it was", file_unchanged),
            Check::seen("private-mapping", "FILE itself is mapped, writable and private", private_mapping),
            Check::seen("read-only-open", "FILE is opened for reading only", read_only_open),
        ],
        demo: |nonce| private_run(nonce, "private", 300, 0o644),
    }
}

fn private_run(nonce: &mut Nonce, name: &str, len: usize, mode: u32) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let content = nonce.text(len);
    let byte = nonce.pick(b"0123456789+-*=#@");
    let line = [b"mapped: ", &[byte][..], b" file: ", &content[..1], b"\n"].concat();
    Plan::new(name)
        .arg(file.clone())
        .arg(vec![byte])
        .file(InputFile::new(file, content).mode(mode))
        .prints(line)
        .judged_by(&["output", "file-unchanged", "private-mapping", "read-only-open"])
}

fn private_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(40, 440) as usize;
    let small = private_run(nonce, "a small file", len, 0o644);
    let pages = private_run(nonce, "a file of some pages", 3 * 4096 + 17, 0o644);
    let one = private_run(nonce, "a file of one byte", 1, 0o644);
    let empty = Plan::new("an empty file").arg("empty").arg("x").file(InputFile::new("empty", ""));
    let empty = empty.prints("").exits(1).at(Stage::Refusal).judged_by(&["output"]);
    let locked = private_run(nonce, "a file that may only be read", 200, 0o444).judged_by(&["read-only-open"]);
    let file = small.argument(0);
    let unmapped = small.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM).fault(failing(
        &["mmap"],
        Some(On::File(file.clone().into())),
        libc::ENOMEM,
    ));
    let missing =
        Plan::new("no such file").arg("missing.bin").arg("x").reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let unread = unreadable_text(&small, &file);
    vec![
        small,
        pages,
        one,
        empty,
        locked,
        missing,
        unmapped,
        unread,
        bad_usage("no arguments", &[]),
        bad_usage("BYTE is missing", &["data.bin"]),
        bad_usage("one too many", &["data.bin", "x", "y"]),
        bad_usage("BYTE is two bytes", &["data.bin", "xy"]).file(InputFile::new("data.bin", "abc\n")),
    ]
}

/// `file-unchanged`: FILE has the bytes that it was given.
fn file_unchanged(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let observe::Content::Bytes(before) = &run.plan.launch.files[0].content else { return Ok(()) };
    let Some(left) = run.seen.file(&path) else {
        return Failure::new(Reason::WrongState, format!("{path} is gone: it was only to be looked at.")).found();
    };
    if left.bytes == *before {
        return Ok(());
    }
    let what = if left.len != before.len() as u64 {
        format!("{path} was {} bytes long and is now {}", before.len(), left.len)
    } else {
        format!("{path} now begins with {} instead of {}", quoted(&left.bytes[..1]), quoted(&before[..1]))
    };
    let shared = mappings(run, &path).into_iter().find(|m| m.flags & libc::MAP_SHARED != 0 && m.writable);
    let advice = match shared {
        Some(_) => "the mapping is MAP_SHARED, so every store goes to the file; MAP_PRIVATE keeps it to yourself",
        None => "a private mapping leaves the file alone",
    };
    let source = shared.and_then(|m| run.seen.events[m.index].source.clone());
    Failure::new(Reason::WrongState, format!("{what}: {advice}.")).at(source.as_ref()).found()
}

/// `private-mapping`: FILE itself is mapped, writable and MAP_PRIVATE.
fn private_mapping(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    if made.iter().any(|m| m.flags & libc::MAP_TYPE == libc::MAP_PRIVATE && m.writable) {
        return Ok(());
    }
    let wrong = |message: String, index: Option<usize>| {
        let source = index.and_then(|i| run.seen.events[i].source.as_ref());
        Failure::new(Reason::WrongCalls, message).at(source).found()
    };
    if let Some(shared) = made.iter().find(|m| m.flags & libc::MAP_TYPE != libc::MAP_PRIVATE && m.writable) {
        let message =
            format!("{path} is mapped MAP_SHARED: what you store there is stored in the file. Map it MAP_PRIVATE.");
        return wrong(message, Some(shared.index));
    }
    if let Some(locked) = made.first() {
        return wrong(format!("{path} is mapped without PROT_WRITE: nothing can be stored there."), Some(locked.index));
    }
    let read = files(run.seen, &path).into_iter().find_map(|o| reads_of(run.seen, o).next().map(|t| t.index));
    match read {
        Some(_) => wrong(
            format!(
                "{path} is read into memory of the program's own; it is never mapped. Map the file itself, MAP_PRIVATE."
            ),
            read,
        ),
        None if run.seen.exit().is_some() => wrong(format!("{path} is never mapped."), None),
        None => Err(Objection::open("the program ended before it mapped anything")),
    }
}

/// `read-only-open`: FILE is opened O_RDONLY, for a private mapping needs no more; so a file of mode 0444 will do.
fn read_only_open(run: &Run) -> Finding {
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
        Some(event) => Failure::new(
            Reason::WrongCalls,
            format!("{path} is opened for writing. A private mapping may be written although the file is opened O_RDONLY, and a file of mode 0444 can be opened no other way."),
        )
        .at(event.source.as_ref())
        .found(),
        None => status(run),
    }
}
