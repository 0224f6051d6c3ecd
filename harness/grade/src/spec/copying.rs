//! What is asked of a copy, whoever made it: its bytes, its mode, and what becomes of it on failure.

use std::borrow::Cow;

use observe::{Call, Content, FileKind, ObjectId, ObjectKind};

use super::common::calls::{files, reads_of, writes_of};
use super::common::endings::{command_line, ended, output};
use super::common::text::{complaints, panicked};
use super::io::OLD;
use crate::{Failure, Finding, Objection, Reason, Run};

/// What SRC held when the program started.
fn source<'a>(run: &Run<'a>) -> Cow<'a, [u8]> {
    match &run.plan.launch.files[0].content {
        Content::Bytes(bytes) => Cow::Borrowed(bytes),
        Content::Sparse { len, pieces } => {
            let mut whole = vec![0; *len as usize];
            for (at, piece) in pieces {
                whole[*at as usize..][..piece.len()].copy_from_slice(piece);
            }
            Cow::Owned(whole)
        }
        _ => Cow::Borrowed(&[]),
    }
}

/// How many bytes SRC had then.
pub fn source_len(run: &Run) -> u64 {
    source(run).len() as u64
}

fn wrong(run: &Run, reason: Reason, message: String) -> Finding {
    Failure::new(reason, message).evidence(command_line(run)).evidences(complaints(run.seen)).found()
}

/// `copied`, `sparse`: DST equals SRC. Of a source that grew, `growing` says what is right.
pub fn copied(run: &Run) -> Finding {
    if !run.plan.launch.actions.is_empty() {
        return growing(run);
    }
    output(run)?;
    let dst = run.plan.argument(1);
    let Some(left) = run.seen.file(&dst) else {
        return wrong(run, Reason::WrongState, format!("There is no {dst} at the end."));
    };
    let source = source(run);
    if left.len == source.len() as u64 && left.bytes == source.as_ref() {
        return Ok(());
    }
    let message = match left.len.cmp(&(source.len() as u64)) {
        std::cmp::Ordering::Equal => {
            let at = left.bytes.iter().zip(source.iter()).position(|(a, b)| a != b).unwrap_or(0);
            format!("The copy is as long as SRC but differs from byte {at} on.")
        }
        order => {
            let longer = if order.is_gt() { "longer" } else { "shorter" };
            format!("The copy is {longer} than SRC: {} bytes instead of {}.", left.len, source.len())
        }
    };
    wrong(run, Reason::WrongState, message)
}

/// `growing`: DST is a beginning of what SRC came to be, and at least as long as SRC was.
pub fn growing(run: &Run) -> Finding {
    if run.seen.actions_done == 0 {
        return Err(Objection::open("SRC did not grow: the program made no such call"));
    }
    output(run)?;
    let (src, dst) = (run.plan.argument(0), run.plan.argument(1));
    let Some(left) = run.seen.file(&dst) else {
        return wrong(run, Reason::WrongState, format!("There is no {dst} at the end."));
    };
    let (before, after) = (source(run), run.seen.file(&src));
    let Some(after) = after else { return wrong(run, Reason::WrongState, format!("{src} is gone.")) };
    if left.len < before.len() as u64 {
        let message =
            format!("The copy has {} bytes: less than the {} that SRC had at the beginning.", left.len, before.len());
        return wrong(run, Reason::WrongState, message);
    }
    if !after.bytes.starts_with(&left.bytes) {
        let at = left.bytes.iter().zip(&after.bytes).position(|(a, b)| a != b).unwrap_or(after.bytes.len());
        let message = format!(
            "The copy holds bytes that SRC never held, from byte {at} on: take the length once, and copy no more and no less."
        );
        return wrong(run, Reason::WrongState, message);
    }
    Ok(())
}

/// `mode-kept`: DST has the permission bits of SRC.
pub fn mode_kept(run: &Run) -> Finding {
    ended(run)?;
    let Some(left) = run.seen.file(&run.plan.argument(1)) else { return Err(Objection::open("nothing was copied")) };
    let mode = run.plan.launch.files[0].mode;
    if left.mode & 0o777 == mode {
        return Ok(());
    }
    let cut = left.mode & 0o777 == mode & !0o022;
    let advice = if cut {
        "the umask takes bits from the mode that open is given; set it with fchmod"
    } else {
        "set it with fchmod"
    };
    wrong(run, Reason::WrongState, format!("SRC has mode {mode:04o} and the copy {:04o}: {advice}.", left.mode & 0o777))
}

/// `same-file`: refused, and the file is as it was.
pub fn same_file(run: &Run) -> Finding {
    let (src, dst) = (run.plan.argument(0), run.plan.argument(1));
    let name = dst.strip_prefix("./").unwrap_or(&dst);
    let source = source(run);
    let intact = |path: &str| {
        let left = run.seen.file(path);
        left.is_some_and(|f| matches!(f.kind, FileKind::Symlink(_)) || f.bytes == source.as_ref())
    };
    if !intact(&src) {
        let held = run.seen.file(&src).map_or("is gone".into(), |f| format!("now has {} bytes", f.len));
        let message = format!(
            "{src} {held}: a file copied onto itself is destroyed. Compare device and inode of SRC and DST before you open DST for writing."
        );
        return wrong(run, Reason::WrongState, message);
    }
    if !intact(name) {
        return wrong(run, Reason::WrongState, format!("{name} is not what it was."));
    }
    ended(run)?;
    match run.seen.exit() {
        Some(observe::Exit::Code(0)) => {
            let message = format!(
                "{src} and {dst} are one file, and the program goes on as if they were two: compare device and inode, not names."
            );
            wrong(run, Reason::WrongStatus, message)
        }
        _ if panicked(run.seen) => wrong(run, Reason::WrongStatus, "The program panicked.".into()),
        _ => output(run),
    }
}

/// `whole-or-nothing`: no names but SRC and DST; and after a failure DST is what it was.
pub fn whole_or_nothing(run: &Run) -> Finding {
    let (src, dst) = (run.plan.argument(0), run.plan.argument(1));
    let extra = run.seen.files.iter().find(|f| f.path.as_os_str() != &*src && f.path.as_os_str() != &*dst);
    let failed = run.plan.expect.status != 0;
    if let Some(extra) = extra {
        let when = if failed { " after the failure" } else { "" };
        return wrong(run, Reason::Leaked, format!("{} is left behind{when}: remove it.", extra.path.display()));
    }
    if !failed {
        return Ok(());
    }
    let left = run.seen.file(&dst);
    let whole = left.is_some_and(|f| f.bytes == source(run).as_ref());
    if whole && run.seen.exit() == Some(observe::Exit::Code(0)) {
        // It found another way, or the box could not make the disk small.
        return Ok(());
    }
    match left {
        Some(left) if left.bytes == OLD => {}
        Some(left) if run.seen.exit() != Some(observe::Exit::Code(0)) => {
            let message = format!(
                "The copy failed, and {dst} is neither what it was nor a whole copy ({} bytes): write to a file beside it, and rename that when it is whole.",
                left.len
            );
            return wrong(run, Reason::WrongState, message);
        }
        Some(left) => {
            let message = format!(
                "{dst} is no whole copy ({} bytes), and yet the exit status says that all went well.",
                left.len
            );
            return wrong(run, Reason::WrongState, message);
        }
        None => {
            return wrong(
                run,
                Reason::WrongState,
                format!("The copy failed, and {dst}, which was there before, is gone."),
            );
        }
    }
    ended(run)?;
    match panicked(run.seen) {
        true => wrong(run, Reason::WrongStatus, "The program panicked.".into()),
        false => output(run),
    }
}

/// The files other than SRC that the program had open.
pub fn copies(run: &Run) -> Vec<ObjectId> {
    let src = run.plan.argument(0);
    super::common::calls::objects(
        run.seen,
        |kind| matches!(kind, ObjectKind::File(path) if path.as_os_str() != &*src && !path.is_absolute()),
    )
}

/// A call that moved bytes of SRC inside the kernel.
fn moved<'a>(run: &Run<'a>, sources: &[ObjectId]) -> Option<(&'a observe::Event, &'static str)> {
    run.seen.events.iter().find_map(|event| match &event.what {
        observe::What::Called { sysno, call: Call::Move { from: Some(from), .. }, result: Some(Ok(n)), .. }
            if *n > 0 && sources.contains(from) =>
        {
            Some((event, sysno.name()))
        }
        _ => None,
    })
}

/// A mapping of SRC.
pub fn mapping<'a>(run: &Run<'a>, sources: &[ObjectId]) -> Option<&'a observe::Event> {
    run.seen.successes().find_map(|(_, event, call, _)| match call {
        Call::Mmap { object: Some(object), .. } if sources.contains(object) => Some(event),
        _ => None,
    })
}

/// `by-read-write`: as many bytes as SRC has were read from it, and as many written.
pub fn by_read_write(run: &Run) -> Finding {
    let (src, sources) = (run.plan.argument(0), files(run.seen, &run.plan.argument(0)));
    let call = |words: String| Failure::new(Reason::WrongCalls, words);
    if let Some((event, name)) = moved(run, &sources) {
        let words = format!("The kernel copies ({name}): the bytes are to pass through read and write.");
        return call(words).at(event.source.as_ref()).found();
    }
    if let Some(event) = mapping(run, &sources) {
        return call(format!("{src} is mapped: here it is to be read.")).at(event.source.as_ref()).found();
    }
    let len = source_len(run);
    let reads: Vec<_> = sources.iter().flat_map(|o| reads_of(run.seen, *o)).collect();
    let block =
        if run.plan.argument(2) == "--block" { run.plan.argument(3).parse().unwrap_or(u64::MAX) } else { u64::MAX };
    if let Some(large) = reads.iter().find(|read| read.bytes > block) {
        let words = format!("One read brings {} bytes: {block} are to be asked of each (--block).", large.bytes);
        return call(words).at(large.event.source.as_ref()).found();
    }
    let read: u64 = reads.iter().map(|t| t.bytes).sum();
    let written: u64 = copies(run).iter().flat_map(|o| writes_of(run.seen, *o)).map(|t| t.bytes).sum();
    match (read >= len, written >= len) {
        (true, true) => Ok(()),
        _ if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        (false, _) => call(format!("Only {read} of the {len} bytes of {src} were read by read calls.")).found(),
        _ => call(format!("Only {written} of {len} bytes were written by write calls.")).found(),
    }
}

/// `mapped`: SRC is mapped and none of its contents come by read.
pub fn mapped(run: &Run) -> Finding {
    let (src, sources) = (run.plan.argument(0), files(run.seen, &run.plan.argument(0)));
    let call = |words: String| Failure::new(Reason::WrongCalls, words);
    if let Some((event, name)) = moved(run, &sources) {
        let words = format!("The kernel copies ({name}) and needs no mapping: map {src}, and write from there.");
        return call(words).at(event.source.as_ref()).found();
    }
    if let Some(read) = sources.iter().flat_map(|o| reads_of(run.seen, *o)).find(|t| t.bytes > 0) {
        let words = format!("{src} is read ({} bytes at once): take its bytes from a mapping.", read.bytes);
        return call(words).at(read.event.source.as_ref()).found();
    }
    match mapping(run, &sources) {
        Some(_) => Ok(()),
        None if run.seen.exit().is_some() => call(format!("{src} is never mapped.")).found(),
        None => Err(Objection::open("the program came to no end")),
    }
}
