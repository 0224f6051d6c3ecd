//! `map_shared`: a store to a shared mapping changes the file for everybody.

use observe::{InputFile, On, Who};

use super::mapping::mappings;
use crate::spec::Spec;
use crate::spec::common::calls::{self, ROOT, files, reads_of, writes_of};
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, orders};
use crate::spec::common::text::quoted;
use crate::spec::common::{FORKS, MAPS, OPENS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `map_shared FILE BYTE`
pub(crate) fn map_shared() -> Spec {
    Spec {
        plans: shared_plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and one BYTE is refused", usage),
            Check::outside("reports", "a failing open, mmap or fork is reported, the child's failures too", reports),
            Check::outside("output", "the child prints the byte that is in the file", output),
            Check::outside("file-changed", "the first byte of FILE is changed and nothing else", file_changed),
            Check::seen("shared-mapping", "FILE is mapped, writable and shared", shared_mapping),
            Check::seen("no-write-call", "no write reaches FILE but the store to memory", no_write_call),
            Check::seen("child-reads", "the child reads FILE and prints what it read", child_reads),
            Check::seen("order", "the child reads after the store, whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| shared_run(nonce, "shared", 300),
    }
}

fn shared_run(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let content = nonce.text(len);
    let byte = nonce.pick(b"0123456789+-*=#@");
    Plan::new(name)
        .arg(file.clone())
        .arg(vec![byte])
        .file(InputFile::new(file, content))
        .prints([b"file: ", &[byte][..], b"\n"].concat())
        .judged_by(&["output", "file-changed", "shared-mapping", "no-write-call", "child-reads", "reaped"])
}

fn shared_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(40, 440) as usize;
    let small = shared_run(nonce, "a small file", len);
    let pages = shared_run(nonce, "a file of some pages", 2 * 4096 + 5);
    let one = shared_run(nonce, "a file of one byte", 1);
    let file = small.argument(0);
    let data = On::File(file.clone().into());
    let unmapped = small.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM).fault(failing(
        &["mmap"],
        Some(data.clone()),
        libc::ENOMEM,
    ));
    let childless = small.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN).fault(failing(
        calls::FORK_CALLS,
        None,
        libc::EAGAIN,
    ));
    let mut unread = failing(calls::READS, Some(data.clone()), libc::EIO);
    unread.who = Who::Descendants;
    let unread = small
        .again("the child's read fails", &[])
        .reports(&["read"], Some(&file), libc::EIO)
        .because("When the child cannot read the file")
        .fault(unread);
    let missing =
        Plan::new("no such file").arg("missing.bin").arg("x").reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let mut plans = vec![small.clone(), pages, one];
    plans.extend(orders(&small, &["order", "file-changed", "reaped"]));
    plans.extend([missing, unmapped, childless, unread]);
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("BYTE is missing", &["data.bin"]),
        bad_usage("one too many", &["data.bin", "x", "y"]),
        bad_usage("BYTE is two bytes", &["data.bin", "xy"]).file(InputFile::new("data.bin", "abc\n")),
    ]);
    plans.extend(cuts(&small, &[data.clone(), On::Stdout, On::Pipe]));
    plans.push(interrupted(&small, &[data, On::Stdout, On::Pipe]));
    plans
}

/// `file-changed`: the first byte of FILE is BYTE, and the rest is as it was.
fn file_changed(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let observe::Content::Bytes(before) = &run.plan.launch.files[0].content else { return Ok(()) };
    let Some(left) = run.seen.file(&path) else {
        return Failure::new(Reason::WrongState, format!("{path} is gone.")).found();
    };
    let mut expected = before.clone();
    expected[..1].copy_from_slice(run.plan.argument(1).as_bytes());
    if left.bytes == expected {
        return Ok(());
    }
    let private =
        mappings(run, &path).into_iter().find(|m| m.flags & libc::MAP_TYPE == libc::MAP_PRIVATE && m.writable);
    let message = if left.len != before.len() as u64 {
        format!("{path} was {} bytes long and is now {}: only its first byte was to change.", before.len(), left.len)
    } else if left.bytes == *before {
        let why = match private {
            Some(_) => "a store to a MAP_PRIVATE mapping stays with the process that made it; map it MAP_SHARED",
            None => "the byte never reached it",
        };
        format!("{path} is as it was before: {why}.")
    } else {
        let at = left.bytes.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(0);
        format!("Byte {at} of {path} is {} and should be {}.", quoted(&left.bytes[at..=at]), quoted(&expected[at..=at]))
    };
    let source = private.and_then(|m| run.seen.events[m.index].source.clone());
    Failure::new(Reason::WrongState, message).at(source.as_ref()).found()
}

/// `shared-mapping`: FILE is mapped, writable and MAP_SHARED.
pub fn shared_mapping(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    if made.iter().any(|m| m.flags & libc::MAP_TYPE != libc::MAP_PRIVATE && m.writable) {
        return Ok(());
    }
    let (message, index) = match made.first() {
        Some(m) if m.flags & libc::MAP_TYPE == libc::MAP_PRIVATE => (
            format!(
                "{path} is mapped MAP_PRIVATE: a store makes a copy of the page for this process alone, and the file never hears of it."
            ),
            Some(m.index),
        ),
        Some(m) => (format!("{path} is mapped without PROT_WRITE: nothing can be stored there."), Some(m.index)),
        None => (format!("{path} is never mapped: change it by a store to memory that is mapped MAP_SHARED."), None),
    };
    let source = index.and_then(|i| run.seen.events[i].source.as_ref());
    Failure::new(Reason::WrongCalls, message).at(source).found()
}

/// `no-write-call`: FILE is changed by a store alone; nothing is written to it by a call.
pub fn no_write_call(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let written = files(run.seen, &path).into_iter().find_map(|o| writes_of(run.seen, o).next());
    match written {
        Some(transfer) => Failure::new(
            Reason::WrongCalls,
            format!(
                "{path} is changed by a write call. A shared mapping needs none: the store to memory is the write."
            ),
        )
        .at(transfer.event.source.as_ref())
        .found(),
        None => Ok(()),
    }
}

/// `child-reads`: a child read()s FILE and prints the line.
fn child_reads(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    if run.seen.processes.len() == 1 {
        return Failure::new(Reason::WrongCalls, "The program made no child: it is a child that is to read the file.")
            .found();
    }
    crate::spec::common::child_prints(run)?;
    let read = files(run.seen, &path)
        .into_iter()
        .any(|o| reads_of(run.seen, o).any(|t| t.event.process != ROOT && t.bytes > 0));
    if read {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let message = format!(
        "The child prints a byte that it never read from {path}: what it inherited at fork, or sees in its mapping, shows nothing of the file. Let it open {path} and read()."
    );
    let line = calls::printed(run).first().and_then(|t| t.event.source.clone());
    Failure::new(Reason::WrongCalls, message).at(line.as_ref()).found()
}
