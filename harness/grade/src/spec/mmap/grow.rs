//! `map_grow`: lines appended through a mapping that grows.

use observe::{Call, Content, Effect, InputFile, Nth, On, Stdin, What};

use super::mapping::{PAGE, contains, killed_by, mappings, sized, wrong_call};
use super::shared::{no_write_call, shared_mapping};
use crate::spec::Spec;
use crate::spec::common::calls::{READS, SIZE_CALLS, SIZES};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Finding, Nonce, Objection, Plan, Reason, Run};

/// `map_grow FILE`
pub(crate) fn map_grow() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open, ftruncate, mmap or mremap is reported", reports),
            Check::outside("sized", "FILE has its length before it is touched", sized),
            Check::seen("moved", "no address outlives the mapping that it lay in", moved),
            Check::outside("output", "it ends well, and prints nothing", output),
            Check::outside("contents", "FILE has what it had and the input, and no byte more", contents),
            Check::seen("shared-mapping", "FILE is mapped, writable and shared", shared_mapping),
            Check::seen("no-write-call", "no write reaches FILE but the store to memory", no_write_call),
            Check::seen("grown", "the mapping grows by mremap", grown),
            Check::seen("short-io", "it is right when reads are cut short", contents_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", contents_under_faults),
        ],
        demo: |nonce| lines(nonce, "many lines", 300, 200_000),
    }
}

/// So many bytes of lines to a file that has so many.
fn lines(nonce: &mut Nonce, name: &str, before: usize, more: usize) -> Plan {
    let (file, content, input) = (format!("{}.log", nonce.word(6)), nonce.text(before), nonce.text(more));
    let mut plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file, content)).prints("");
    plan.launch.stdin = Stdin::Bytes(input);
    plan.judged_by(&["sized", "moved", "output", "contents", "no-write-call"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (before, more) = (nonce.number(100, 400) as usize, nonce.number(100, 400) as usize);
    let mut few = lines(nonce, "some lines", before, more);
    few.checks.push("shared-mapping");
    let more = nonce.number(600_000, 800_000) as usize;
    let mut many = lines(nonce, "many lines", 5000, more);
    many.checks.push("grown");
    let empty = lines(nonce, "an empty file", 0, 3 * PAGE as usize);
    let none = lines(nonce, "no lines", before, 0);
    let mut long = lines(nonce, "one line of many pages", before, 1);
    long.launch.stdin = Stdin::Bytes([nonce.sentence(150_000).as_bytes(), b"\n"].concat());
    let file = few.argument(0);
    let data = On::File(file.clone().into());
    let unmapped = few.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(data.clone()), libc::ENOMEM));
    let full = few.again("ftruncate fails", &[]).reports(SIZES, Some(&file), libc::EFBIG);
    let full = full.fault(failing(SIZE_CALLS, Some(data), libc::EFBIG));
    let narrow = many.again("a later ftruncate fails", &[]).reports(SIZES, Some(&many.argument(0)), libc::ENOSPC);
    let narrow = narrow.fault(fault(
        SIZE_CALLS,
        Nth::Only(2),
        Some(On::File(many.argument(0).into())),
        Effect::Fail(libc::ENOSPC),
    ));
    let stuck = many.again("mremap fails", &[]).reports(&["remap"], Some(&many.argument(0)), libc::ENOMEM);
    let stuck = stuck.fault(failing(&["mremap"], None, libc::ENOMEM));
    let missing = Plan::new("no such file").arg("missing.log").reports(OPENS, Some("missing.log"), libc::ENOENT);
    let hard = [cut(&few, &[On::Stdin], READS, "read", 1), interrupted(&few, &[On::Stdin])];
    let mut plans =
        vec![few, many, empty, none, long, missing, full, narrow, unmapped, stuck, bad_usage("no arguments", &[])];
    plans.push(bad_usage("one too many", &["a.log", "b.log"]).file(InputFile::new("a.log", "abc\n")));
    plans.extend(hard);
    plans
}

/// `contents`: what was there, and then the input.
fn contents(run: &Run) -> Finding {
    let launch = &run.plan.launch;
    let (Content::Bytes(before), Stdin::Bytes(input)) = (&launch.files[0].content, &launch.stdin) else {
        return Ok(());
    };
    let expected = [&before[..], input].concat();
    let path = run.plan.argument(0);
    let padded = run.seen.file(&path).is_some_and(|left| {
        let all = expected.len().min(left.bytes.len());
        left.len > expected.len() as u64 && left.bytes[..all] == expected[..all]
    });
    let why = if padded {
        "the room that was not needed is left in it; cut it with ftruncate to what it holds"
    } else {
        "it is to have what it had, and then all of standard input"
    };
    contains(run, &path, &expected, why)
}

fn contents_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    contents(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// `moved`: nobody used an address of a mapping that mremap has moved.
fn moved(run: &Run) -> Finding {
    if !killed_by(run, libc::SIGSEGV) {
        return Ok(());
    }
    let hit = run.seen.events.iter().rev().find_map(|event| match event.what {
        What::Signalled { signal: libc::SIGSEGV, address: Some(address), .. } => Some((event, address)),
        _ => None,
    });
    let Some((event, address)) = hit else { return Err(Objection::open("the program died elsewhere")) };
    let left = run.seen.successes().any(|(_, _, call, value)| {
        matches!(call, Call::Mremap { address: old, new_len, .. }
            if *old != value as u64 && (*old..old.saturating_add(*new_len)).contains(&address))
    });
    if left {
        let words = "The program was killed by SIGSEGV: it used an address in the mapping as it was before mremap moved it. Take every pointer from the new address.";
        return wrong_call(words.into(), Some(event));
    }
    Err(Objection::open("the program died elsewhere"))
}

/// `grown`: a mapping of FILE is made longer by mremap.
fn grown(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    let Some(first) = made.first() else { return Err(Objection::open(format!("{path} was not mapped"))) };
    let mut starts: Vec<u64> = made.iter().map(|m| m.start).collect();
    for (_, _, call, value) in run.seen.successes() {
        if let Call::Mremap { address, old_len, new_len, .. } = call
            && starts.contains(address)
        {
            if new_len > old_len {
                return Ok(());
            }
            starts.push(value as u64);
        }
    }
    let words = match made.get(1) {
        Some(second) if second.event.process == first.event.process => format!(
            "{path} is mapped {} times: a mapping grows by mremap, which keeps what is in it and needs no copy.",
            made.len()
        ),
        _ => format!(
            "The mapping of {path} never grows: make it longer with mremap where it is full, and do not keep all of the input in memory first."
        ),
    };
    wrong_call(words, Some(made.get(1).unwrap_or(first).event))
}
