//! `save_atomic`: a file is the old one or the new one, whenever the program or the power fails.

use std::path::Path;

use observe::{
    Action, Call, Deed, Effect, Event, Exit, InputFile, Nth, ObjectId, ObjectKind, On, Stdin, Trigger, What,
};

use super::OLD;
use crate::spec::Spec;
use crate::spec::common::calls::{INPUTS, MOVES, OPEN_CALLS, READS, WRITES};
use crate::spec::common::endings::{blame_fault, command_line, ended, output};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted};
use crate::spec::common::text::{complaints, panicked};
use crate::spec::common::{OPENS, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const RENAMES: &[&str] = &["rename", "renameat", "renameat2"];
const LINKS: &[&str] = &["link", "linkat"];
const SYNCS: &[&str] = &["fsync", "fdatasync", "syncfs"];
/// How people name a call that gives a file its contents.
const FILLS: &[&str] = &["write", "splice", "sendfile", "copy", "allocate", "truncate"];
/// The calls at which it is killed, counted together: a good program makes nine or ten of them.
const KILLED_AT: u32 = 10;

/// `save_atomic FILE`
pub(crate) fn save_atomic() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::outside("reports", "a failing call is reported", reports),
            Check::outside("saved", "FILE holds what came on standard input", saved),
            Check::seen("synced-first", "the contents are on the device before FILE names them", synced_first),
            Check::seen("directory-synced", "the new name is on the device before the end", directory_synced),
            Check::seen("old-or-new", "killed at any call, it leaves FILE old or new, whole", old_or_new),
            Check::outside(
                "whole-or-nothing",
                "when it fails, FILE is as it was and no other file is left",
                whole_or_nothing,
            ),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| onto_old(&saving(nonce, "onto an older file", 300), "onto an older file"),
    }
}

/// `len` bytes for a new FILE.
fn saving(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let file = format!("{}.txt", nonce.word(5));
    let mut plan = Plan::new(name).arg(file).prints("");
    plan.launch.stdin = Stdin::Bytes(nonce.bytes(len));
    plan.judged_by(&["saved", "synced-first", "directory-synced", "whole-or-nothing"])
}

fn onto_old(plan: &Plan, name: &str) -> Plan {
    let file = InputFile::new(plan.argument(0), OLD).mode(0o640);
    plan.again(name, &plan.checks.clone()).file(file)
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let small = saving(nonce, "a few bytes", 400);
    let old = onto_old(&small, "onto an older file");
    let large = saving(nonce, "more than a pipe holds", 300_000);
    let mut below = saving(nonce, "", 500).again("in another directory", &["saved", "directory-synced"]);
    below.launch.args[0] = format!("{}/{}", nonce.word(4), below.argument(0)).into();
    let directory = Path::new(&below.argument(0)).parent().unwrap_or(Path::new("")).to_path_buf();
    let below = below.file(InputFile { path: directory, content: observe::Content::Directory, mode: 0o755 });
    let mut plans = vec![small.clone(), old.clone(), large.clone(), below, saving(nonce, "nothing", 0)];
    plans.extend((1..=KILLED_AT).map(|nth| killed(&old, nth)));
    plans.extend(failures(&old, &large));
    plans.extend([cut(&small, &[On::Stdin], READS, "read", 1), cut(&small, &[On::AnyFile], WRITES, "write", 3)]);
    plans.push(interrupted(&small, &[On::AnyFile, On::Stdin]));
    plans.extend([bad_usage("no arguments", &[]), bad_usage("two files", &["a", "b"])]);
    plans
}

/// Killed just before the n-th call that may change a file.
fn killed(plan: &Plan, nth: u32) -> Plan {
    let names =
        [OPEN_CALLS, WRITES, MOVES, RENAMES, LINKS, SYNCS, &["close", "ftruncate", "fchmod", "unlink", "unlinkat"]];
    let calls = names.concat().iter().map(|c| c.to_string()).collect();
    let action = Action { when: Trigger::Before { calls, nth }, what: Deed::Signal(libc::SIGKILL) };
    let plan = plan.again(&format!("killed before call {nth}"), &["old-or-new"]).at(Stage::Hard).action(action);
    plan.because("When it is killed on its way")
}

fn failures(old: &Plan, large: &Plan) -> Vec<Plan> {
    let fails = |name: &str, calls, on, words, why: &str, errno| {
        let mut plan = old.again(name, &[]).reports(words, None, errno).fault(failing(calls, on, errno));
        plan.checks.push("whole-or-nothing");
        plan.because(format!("When {why}"))
    };
    let full = [WRITES, MOVES, &["fallocate", "ftruncate"]].concat();
    let later = onto_old(large, "a later write finds no space").exits(1).at(Stage::Refusal);
    let later = later.judged_by(&["whole-or-nothing"]).because("When the disk is full half way");
    let second = fault(SYNCS, Nth::Only(2), None, Effect::Fail(libc::EIO));
    let nowhere = Plan::new("no such directory").arg("nowhere/file");
    vec![
        nowhere.reports(OPENS, Some("nowhere"), libc::ENOENT),
        fails("no input", READS, Some(On::Stdin), INPUTS, "standard input cannot be read", libc::EIO),
        fails("a disk that is full", &full, Some(On::WrittenFile), FILLS, "the disk is full", libc::ENOSPC),
        later.fault(fault(&full, Nth::From(2), Some(On::WrittenFile), Effect::Fail(libc::ENOSPC))),
        fails("the device fails", SYNCS, Some(On::WrittenFile), &["sync"], "the device fails", libc::EIO),
        fails("no rename", RENAMES, None, &["rename"], "the file cannot be renamed", libc::EPERM),
        old.again("the device fails later", &[])
            .reports(&["sync"], None, libc::EIO)
            .fault(second)
            .because("When the second sync fails"),
    ]
}

fn input<'a>(run: &Run<'a>) -> &'a [u8] {
    match &run.plan.launch.stdin {
        Stdin::Bytes(bytes) => bytes,
        _ => &[],
    }
}

fn wrong(run: &Run, reason: Reason, message: String) -> Finding {
    Failure::new(reason, message).evidence(command_line(run)).evidences(complaints(run.seen)).found()
}

fn wrong_call(message: String, event: Option<&Event>) -> Finding {
    Failure::new(Reason::WrongCalls, message).at(event.and_then(|e| e.source.as_ref())).found()
}

/// `saved`: FILE holds the input.
fn saved(run: &Run) -> Finding {
    output(run)?;
    let (file, input) = (run.plan.argument(0), input(run));
    match run.seen.file(&file) {
        None => wrong(run, Reason::WrongState, format!("There is no {file} at the end.")),
        Some(left) if left.bytes == input && left.len == input.len() as u64 => Ok(()),
        Some(left) => {
            let message = format!("{file} is not what came: {} bytes came, and it has {}.", input.len(), left.len);
            wrong(run, Reason::WrongState, message)
        }
    }
}

fn under_faults(run: &Run) -> Finding {
    saved(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

/// The call that gave FILE its new contents: its event, and the object that has the name since. Paths are as they were
/// given, from any directory: what they end in tells enough.
fn renamed<'a>(run: &Run<'a>) -> Option<(usize, &'a Event, ObjectId)> {
    let file = run.plan.argument(0);
    let is_file = |path: &Path| path.file_name() == Path::new(&file).file_name();
    let calls: Vec<_> = run.seen.successes().collect();
    let (index, event, from) = calls.iter().rev().find_map(|(index, event, call, _)| match call {
        Call::Rename { from, to, .. } | Call::Link { from, to } if is_file(to) => Some((*index, *event, from)),
        _ => None,
    })?;
    let named = run
        .seen
        .objects
        .iter()
        .position(|object| matches!(&object.kind, ObjectKind::File(path) if path.file_name() == from.file_name()));
    // One that was made without a name is seen under another.
    let last_opened = || {
        calls.iter().rev().filter(|(at, ..)| *at < index).find_map(|(_, _, call, _)| match call {
            Call::Open { flags, object, .. } if flags & libc::O_ACCMODE != libc::O_RDONLY => *object,
            _ => None,
        })
    };
    let object = named.map(|n| ObjectId(n as u32)).or_else(last_opened)?;
    Some((index, event, object))
}

/// Whether the call has put this object's contents, or what is in it if it is a directory, onto the device.
fn syncs(run: &Run, event: &Event, object: ObjectId) -> bool {
    match &event.what {
        What::Called { sysno, call: Call::Sync { object: synced, .. }, result: Some(Ok(_)), .. } => {
            match sysno.name() {
                "syncfs" => true,
                // It leaves out what is needed to find the contents again.
                "sync_file_range" => false,
                _ => *synced == Some(object),
            }
        }
        What::Called { call: Call::Msync { flags, .. }, result: Some(Ok(_)), .. } => {
            flags & libc::MS_SYNC != 0 && matches!(run.seen.object(object).kind, ObjectKind::File(_))
        }
        _ => false,
    }
}

/// `synced-first`: between the last write to the new file and its renaming, it was synced.
fn synced_first(run: &Run) -> Finding {
    let file = run.plan.argument(0);
    let Some((index, rename, new)) = renamed(run) else {
        if run.seen.exit().is_none() {
            return Err(Objection::open("the program came to no end"));
        }
        let words = format!(
            "Nothing is ever renamed to {file}: write to a new file beside it, and give that its name in one step."
        );
        return wrong_call(words, None);
    };
    let before = &run.seen.events[..index];
    let fills = |event: &Event| match &event.what {
        What::Called { call: Call::Write { object, .. }, result: Some(Ok(_)), .. } => *object == Some(new),
        What::Called { call: Call::Move { to, .. }, result: Some(Ok(_)), .. } => *to == Some(new),
        _ => false,
    };
    let through = before.iter().any(|event| {
        matches!(&event.what, What::Called { call: Call::Open { flags, object, .. }, .. }
            if *object == Some(new) && flags & libc::O_DSYNC != 0)
    });
    let written = before.iter().rposition(fills).unwrap_or(0);
    if through || before[written..].iter().any(|event| syncs(run, event, new)) {
        return Ok(());
    }
    if let Some(early) = before.iter().find(|event| syncs(run, event, new)) {
        let words =
            "The new file is synced, and written to after that: what came later may be lost when the power fails.";
        return wrong_call(words.into(), Some(early));
    }
    if let Some(late) = run.seen.events[index..].iter().find(|event| syncs(run, event, new)) {
        let words = format!(
            "The sync comes after the rename: when the power fails between the two, {file} is the new file with contents that are not on the device. fsync first."
        );
        return wrong_call(words, Some(late));
    }
    let words = format!(
        "{file} is renamed into place with contents that are in memory only: when the power fails, it may be empty. fsync the new file before the rename."
    );
    wrong_call(words, Some(rename))
}

/// `directory-synced`: after the rename, the directory that FILE is in was synced.
fn directory_synced(run: &Run) -> Finding {
    let file = run.plan.argument(0);
    let parent = Path::new(&file).parent().unwrap_or(Path::new(""));
    let Some((index, rename, _)) = renamed(run) else { return Err(Objection::open("nothing was renamed to FILE")) };
    let directory = |kind: &ObjectKind| matches!(kind, ObjectKind::Directory(path) if path == parent);
    let is = |event: &Event, right: bool| {
        (0..run.seen.objects.len() as u32).map(ObjectId).any(|id| {
            let kind = &run.seen.object(id).kind;
            matches!(kind, ObjectKind::Directory(_)) && directory(kind) == right && syncs(run, event, id)
        })
    };
    let (before, after) = run.seen.events.split_at(index);
    if after.iter().any(|event| is(event, true)) {
        return Ok(());
    }
    if let Some(early) = before.iter().find(|event| is(event, true)) {
        let words = "The directory is synced before the rename, when it holds the old name still: sync it afterwards.";
        return wrong_call(words.into(), Some(early));
    }
    if let Some(other) = after.iter().find(|event| is(event, false)) {
        let words = format!("Another directory is synced than the one that {file} is in.");
        return wrong_call(words, Some(other));
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let words = format!(
        "Nobody syncs the directory: the rename is a change of it, and when the power fails {file} may be the old file though the program said it was done."
    );
    wrong_call(words, Some(rename))
}

/// `old-or-new`: killed, it has left FILE as it was or as it was to be.
fn old_or_new(run: &Run) -> Finding {
    if run.seen.exit() != Some(Exit::Signal(libc::SIGKILL)) {
        // It makes fewer such calls than that.
        return ended(run);
    }
    let file = run.plan.argument(0);
    let last = run.seen.events.iter().rev().find(|event| event.source.is_some());
    let message = match run.seen.file(&file) {
        Some(left) if left.bytes == OLD || left.bytes == input(run) => return Ok(()),
        Some(left) => format!(
            "{file} is neither what it was nor what it was to be, but has {} bytes: whoever starts the program again finds half a file.",
            left.len
        ),
        None => format!("{file} is gone: between the end of the old one and the new one's name there must be no gap."),
    };
    Failure::new(Reason::WrongState, message).at(last.and_then(|event| event.source.as_ref())).found()
}

/// `whole-or-nothing`: no other name is left; and after a failure FILE is what it was.
fn whole_or_nothing(run: &Run) -> Finding {
    let file = run.plan.argument(0);
    let failed = run.plan.expect.status != 0;
    if let Some(extra) = run.seen.files.iter().find(|f| f.path.as_os_str() != &*file) {
        let when = if failed { " after the failure" } else { "" };
        return wrong(run, Reason::Leaked, format!("{} is left behind{when}: remove it.", extra.path.display()));
    }
    if !failed {
        return Ok(());
    }
    if run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open(format!("the program made no such call ({})", run.plan.name)));
    }
    match run.seen.file(&file) {
        Some(left) if left.bytes == OLD => {}
        Some(left) => {
            let message = format!("It failed, and {file} is not what it was: it has {} bytes.", left.len);
            return wrong(run, Reason::WrongState, message);
        }
        None => return wrong(run, Reason::WrongState, format!("It failed, and {file}, which was there, is gone.")),
    }
    ended(run)?;
    match panicked(run.seen) {
        true => wrong(run, Reason::WrongStatus, "The program panicked.".into()),
        false => output(run),
    }
}
