//! `map_device`: a request to the kernel by stores to a mapped device.

use observe::{Call, Content, Effect, Event, InputFile, Nth, ObjectKind, Observation, On, What};

use super::mapping::wrong_call;
use crate::spec::Spec;
use crate::spec::common::calls::{WRITES, files, objects, reads_of};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, unwritable_output};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Finding, Nonce, Objection, Plan, Run, Stage};

/// Bytes of a block.
const BLOCK: usize = 4096;

/// What lies at which offset of a ring's descriptor, as in `<linux/io_uring.h>`.
const PARTS: [(u64, &str); 3] = [
    (0, "submissions: storing the tail hands a request over"),
    (0x800_0000, "completions: the kernel stores the result there"),
    (0x1000_0000, "requests: one is filled in by stores"),
];

/// `map_device FILE`
pub(crate) fn map_device() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one FILE is refused", usage),
            Check::seen("reports", "a call or a request that fails is reported, and nothing is printed", reports)
                .unless(no_io_uring),
            Check::seen("output", "the first block of FILE is printed, or all of a shorter one", output)
                .unless(no_io_uring),
            Check::seen("device-mapped", "the rings of an io_uring are mapped", device_mapped).unless(no_io_uring),
            Check::seen("no-read", "no call reads FILE, and it is not mapped", no_read).unless(no_io_uring),
            Check::seen("short-io", "it is right when writes are cut short", under_faults).unless(no_io_uring),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults).unless(no_io_uring),
        ],
        demo: |nonce| block_plan("a file", nonce, 300).drawn(drawing),
    }
}

fn block_plan(name: &str, nonce: &mut Nonce, len: usize) -> Plan {
    let file = format!("{}.txt", nonce.word(6));
    let text = nonce.text(len);
    let first = text[..len.min(BLOCK)].to_vec();
    Plan::new(name).arg(file.clone()).file(InputFile::new(file, text)).prints(first).judged_by(&[
        "output",
        "device-mapped",
        "no-read",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (long, short) = (nonce.number(5_000, 9_000) as usize, nonce.number(100, 900) as usize);
    let long = block_plan("a file of more than a block", nonce, long);
    let short = block_plan("a file shorter than a block", nonce, short);
    let empty = block_plan("an empty file", nonce, 0).judged_by(&["output"]);
    let fails = |name: &str, names, calls: &[&str], errno| {
        short.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    let folder = nonce.word(6);
    let directory = InputFile { path: folder.clone().into(), content: Content::Directory, mode: 0o755 };
    vec![
        long.clone(),
        short.clone(),
        empty,
        Plan::new("no such file").arg("missing.txt").reports(OPENS, Some("missing.txt"), libc::ENOENT),
        Plan::new("a directory").arg(folder.clone()).file(directory).reports(
            &["read", "request"],
            Some(&folder),
            libc::EISDIR,
        ),
        fails("io_uring_setup fails", &["io_uring", "setup"], &["io_uring_setup"], libc::ENOMEM),
        fails("io_uring_enter fails", &["io_uring", "enter"], &["io_uring_enter"], libc::ENOMEM),
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        unwritable_output(&short),
        bad_usage("no file", &[]),
        bad_usage("two files", &["one", "two"]),
        cut(&long, &[On::Stdout], WRITES, "write", 3),
        long.again("interrupted calls", &["eintr"])
            .at(Stage::Hard)
            .fault(fault(&["io_uring_enter"], Nth::Alternate, None, Effect::Fail(libc::EINTR)))
            .fault(fault(WRITES, Nth::Alternate, Some(On::Stdout), Effect::Fail(libc::EINTR)))
            .because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)"),
    ]
}

/// Where io_uring may not be used there is nothing to judge.
fn no_io_uring(run: &Run) -> Option<String> {
    let refused = run.seen.events.iter().any(|event| {
        let refused = |result: &Option<Result<i64, i32>>| matches!(result, Some(Err(libc::EPERM | libc::ENOSYS)));
        matches!(&event.what, What::Called { sysno, result, injected: false, .. }
            if refused(result) && sysno.name() == "io_uring_setup")
    });
    refused.then(|| "io_uring is not permitted here".into())
}

fn is_ring(kind: &ObjectKind) -> bool {
    matches!(kind, ObjectKind::Other(name) if name.contains("io_uring"))
}

fn device_mapped(run: &Run) -> Finding {
    let rings = objects(run.seen, is_ring);
    let mapped = |call: &Call| matches!(call, Call::Mmap { object: Some(o), flags, .. } if rings.contains(o) && flags & libc::MAP_TYPE != libc::MAP_PRIVATE);
    if run.seen.successes().any(|(_, _, call, _)| mapped(call)) {
        return Ok(());
    }
    let made = run
        .seen
        .successes()
        .find(|(_, _, call, _)| matches!(call, Call::NewDescriptor { object: Some(o), .. } if rings.contains(o)));
    match made {
        Some((_, event, ..)) => wrong_call(
            "The io_uring is made but never mapped: its rings are memory that you and the kernel share, map them MAP_SHARED.".into(),
            Some(event),
        ),
        None if run.seen.exit().is_some() => {
            wrong_call("The program makes no io_uring: call io_uring_setup, and map what it gives.".into(), None)
        }
        None => Err(Objection::open("the program came to no end")),
    }
}

fn no_read(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let objects = files(run.seen, &path);
    let read = objects.iter().flat_map(|o| reads_of(run.seen, *o)).next();
    if let Some(read) = read {
        return wrong_call(
            format!("{path} is read by a system call: let the kernel read it on a request in the ring."),
            Some(read.event),
        );
    }
    let mapped = |call: &Call| matches!(call, Call::Mmap { object: Some(o), .. } if objects.contains(o));
    let around: Option<&Event> = run.seen.successes().find(|(_, _, call, _)| mapped(call)).map(|(_, event, ..)| event);
    if around.is_some() {
        return wrong_call(
            format!("{path} itself is mapped: map the rings, and let the kernel read {path} on a request in them."),
            around,
        );
    }
    if run.seen.stdout.bytes.is_empty() {
        return Err(Objection::open("nothing was printed"));
    }
    Ok(())
}

/// The mapped parts of the device, and what moved the bytes.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let rings = objects(seen, is_ring);
    let mut lines = vec!["the device's memory by offset, as the program has mapped it".to_owned()];
    for (offset, what) in PARTS {
        let len = seen.successes().find_map(|(_, _, call, _)| match call {
            Call::Mmap { object: Some(o), offset: at, len, .. } if rings.contains(o) && *at == offset => Some(*len),
            _ => None,
        });
        lines.extend(len.map(|len| format!("  {offset:#010x}  {len:>4} bytes  {what}")));
    }
    let path = plan.argument(0);
    let read: u64 = files(seen, &path).iter().flat_map(|o| reads_of(seen, *o)).map(|read| read.bytes).sum();
    let calls = |name: &str| {
        let named = |event: &&Event| matches!(&event.what, What::Called { sysno, .. } if sysno.name() == name);
        seen.events.iter().filter(named).count()
    };
    lines.push(format!("{} call of io_uring_enter says that there is a request", calls("io_uring_enter")));
    lines.push(format!(
        "{read} bytes of {path} read by calls, {} printed: the device brought them",
        seen.stdout.bytes.len()
    ));
    lines
}
