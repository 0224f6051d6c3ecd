//! `user_pager`: demand paging by a program of one's own.

use observe::{Call, Effect, Event, Exit, InputFile, Nth, ObjectKind, Observation, On, Stdin, Tracing, What};

use super::replacement::Clock;
use crate::spec::Spec;
use crate::spec::common::calls::{LOADS, OUTPUTS, READS, WRITES};
use crate::spec::common::plans::{bad_usage, cut, failing, fault, interrupted, unwritable_output};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::spec::mmap::mapping::contains;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const PAGE: u64 = 4096;
/// Calls of `ioctl` that put a page in place: `UFFDIO_COPY`, `UFFDIO_ZEROPAGE` and `UFFDIO_MOVE`.
const PUTS: [u64; 3] = [0xc028_aa03, 0xc020_aa04, 0xc028_aa05];
/// How people name what they ask of a userfaultfd.
const REQUESTS: &[&str] = &["ioctl", "uffd", "userfault"];
/// The flag of userfaultfd(2) with which it needs no privilege.
const USER_MODE_ONLY: i32 = 1;

/// `user_pager FILE FRAMES`
pub(crate) fn user_pager() -> Spec {
    let checks = [
        Check::outside("usage", "a command line of anything but FILE and FRAMES is refused", usage),
        Check::outside("reports", "a failing open, mmap, userfaultfd, ioctl or write is reported", reports),
        Check::outside("output", "every byte is right after eviction, and the faults are the clock's", output),
        Check::outside("saved", "FILE holds what was stored", saved),
        Check::seen("pager", "each fault is answered by putting a page in place", pager),
        Check::seen("resident", "there are never more than FRAMES pages", resident),
        Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
        Check::seen("eintr", "it is right when calls are interrupted", under_faults),
    ];
    let checks = checks.map(|check| if check.id == "usage" { check } else { check.unless(not_permitted) });
    Spec { plans, checks: checks.to_vec(), demo: |_| small().drawn(drawing) }
}

/// A load, or a store of this byte.
type Access = (u64, Option<u8>);

fn paging(name: &str, content: &[u8], frames: usize, accesses: &[Access]) -> Plan {
    let mut after = content.to_vec();
    let mut clock = Clock::new(frames, None);
    let (mut text, mut answers, mut faults) = (String::new(), String::new(), 0);
    for (offset, byte) in accesses {
        faults += u64::from(clock.access(offset / PAGE).0);
        let here = &mut after[*offset as usize];
        match byte {
            Some(byte) => {
                *here = *byte;
                text.push_str(&format!("{offset}={byte}\n"));
            }
            None => {
                answers.push_str(&format!("{here}\n"));
                text.push_str(&format!("{offset}\n"));
            }
        }
    }
    let mut plan = Plan::new(name).arg("memory.bin").arg(frames.to_string());
    plan.launch.stdin = Stdin::Bytes(text.into_bytes());
    plan.launch.limits.huge_pages = false;
    plan.file(InputFile::new("memory.bin", content))
        .prints(format!("{answers}faults {faults}\n"))
        .judged_by(&["output", "saved", "pager", "resident"])
}

fn small() -> Plan {
    let content: Vec<u8> = (b'a'..=b'e').flat_map(|letter| [letter; PAGE as usize]).collect();
    let page = |page: u64| (page * PAGE, None);
    let accesses = [page(0), page(1), (8, Some(b'A')), page(2), page(3), page(1), (8, None), page(4), page(3)];
    paging("five pages in three frames", &content, 3, &accesses)
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let pages = nonce.number(10, 12);
    let len = pages * PAGE - nonce.number(1, PAGE - 1);
    let content = nonce.bytes(len as usize);
    let mut accesses: Vec<Access> = Vec::new();
    for _ in 0..12 {
        let home = nonce.number(0, len - 1) / PAGE;
        for _ in 0..3 {
            let offset = ((home + nonce.number(0, 2)) * PAGE + nonce.number(0, PAGE - 1)).min(len - 1);
            let byte = (nonce.number(0, 2) == 0).then(|| nonce.number(0, 255) as u8);
            accesses.push((offset, byte));
        }
    }
    let frames = nonce.number(3, 4) as usize;
    // Who never writes a page back has lost these by the time that they are loaded.
    let stored: Vec<Access> = (0..pages).map(|page| (page * PAGE, Some(page as u8 + 100))).collect();
    let loaded: Vec<Access> = stored.iter().map(|(offset, _)| (*offset, None)).collect();
    // A queue without a second chance has more faults here.
    let beloved: Vec<Access> = (1..pages).flat_map(|page| [(0, None), (page * PAGE, None)]).collect();
    // Nor does one have fewer that takes only loads for accesses.
    let beloved_stores = (1..pages).flat_map(|page| [(0, Some(page as u8)), (page * PAGE, None)]);
    let beloved_stores: Vec<Access> = beloved_stores.collect();
    let plain = paging("accesses here and there", &content, frames, &accesses);
    // The fifth page takes the second frame: the third page is still there for who goes on by one.
    let in_turn = [0, 1, 2, 3, 4, 2].map(|page| (page * PAGE, None));
    let every = paging("every page is stored to, then loaded", &content, frames, &[stored, loaded].concat());
    let roomy = paging("more frames than pages", &content, 40, &accesses);
    let sick = |name: &str, plan: &Plan, names, calls: &[&str], errno| {
        let mut plan = plan.again(name, &[]).reports(names, Some("memory.bin"), errno);
        // What was loaded by then may have been told.
        plan.expect.stdout = None;
        plan.fault(fault(calls, Nth::Only(1), Some(On::File("memory.bin".into())), Effect::Fail(errno)))
    };
    let missing = Plan::new("no such file").arg("missing.bin").arg("3");
    let fails = |name: &str, names, calls: &[&str]| {
        plain.again(name, &[]).reports(names, None, libc::ENOMEM).fault(failing(calls, None, libc::ENOMEM))
    };
    let there = |plan: Plan| plan.file(InputFile::new("memory.bin", "abc\n"));
    vec![
        plain.clone(),
        every.clone(),
        paging("one page is used again and again", &content, frames, &beloved),
        paging("one page is stored to again and again", &content, frames, &beloved_stores),
        paging("frames go in their turn", &content, 3, &in_turn),
        paging("one frame", &content, 1, &accesses[..9]),
        roomy.clone(),
        missing.reports(OPENS, Some("missing.bin"), libc::ENOENT),
        fails("mmap fails", MAPS, &["mmap"]),
        fails("userfaultfd fails", &["userfaultfd"], &["userfaultfd"]),
        refused(&plain, 1),
        refused(&plain, 2),
        refused(&plain, 3),
        sick("FILE cannot be read", &plain, LOADS, READS, libc::EIO),
        sick("a page cannot be written back", &every, OUTPUTS, WRITES, libc::ENOSPC),
        sick("a page cannot be written back at the end", &roomy, OUTPUTS, WRITES, libc::ENOSPC),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        there(bad_usage("no frames", &["memory.bin"])),
        there(bad_usage("FRAMES is no number", &["memory.bin", "few"])),
        cut(&plain, &[On::Stdin], READS, "read", 1),
        cut(&plain, &[On::AnyFile], READS, "read", 1000),
        cut(&plain, &[On::AnyFile], WRITES, "write", 1000),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::Stdin, On::AnyFile, On::Stdout]),
        interrupted_waits(&plain),
    ]
}

/// What is asked of the userfaultfd is refused, from the n-th request on: the handshake, the memory's registration, a
/// page.
fn refused(plan: &Plan, nth: u32) -> Plan {
    let mut plan = plan.again(&format!("ioctl {nth} fails"), &[]).reports(REQUESTS, None, libc::ENOMEM);
    // What was loaded by then may have been told.
    plan.expect.stdout = None;
    plan.fault(fault(&["ioctl"], Nth::From(nth), None, Effect::Fail(libc::ENOMEM)))
        .because(format!("When ioctl fails, from call {nth} on"))
}

/// Whoever waits for a fault is interrupted, in a read or before it. Each is counted by itself: a read that is always
/// the one between two polls is not to fail for ever.
fn interrupted_waits(plan: &Plan) -> Plan {
    let mut plan = plan.again("interrupted waits", &["eintr"]).at(Stage::Hard);
    for calls in [READS, &["poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"]] {
        plan = plan.fault(fault(calls, Nth::Alternate, None, Effect::Fail(libc::EINTR)));
    }
    plan.because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)")
}

/// Where the kernel refuses it even for faults in user mode there is nothing to judge.
fn not_permitted(run: &Run) -> Option<String> {
    let refused = run.seen.events.iter().any(|event| {
        matches!(&event.what, What::Called { sysno, call: Call::NewDescriptor { flags, .. }, result: Some(Err(errno)), injected: false, .. }
            if sysno.name() == "userfaultfd" && matches!(*errno, libc::EPERM | libc::ENOSYS)
                && (flags & USER_MODE_ONLY != 0 || *errno == libc::ENOSYS))
    });
    // Where calls cannot be seen, what the program says has to do.
    let said = run.seen.tracing != Tracing::On
        && run.seen.exit() == Some(Exit::Code(1))
        && run.seen.stderr.text().contains("userfaultfd: Operation not permitted");
    (refused || said).then(|| "userfaultfd is not permitted here (`syslings doctor` says how it can be)".into())
}

/// `saved`: what was stored is in FILE, and all else is as it was.
fn saved(run: &Run) -> Finding {
    let Some(observe::Content::Bytes(content)) = run.plan.launch.files.first().map(|file| &file.content) else {
        return Err(Objection::open("there is no FILE"));
    };
    if run.seen.exit() != Some(Exit::Code(0)) {
        return Err(Objection::open("the program failed"));
    }
    let mut expected = content.clone();
    for (offset, byte) in stores(run.plan) {
        expected[offset] = byte;
    }
    let why = "a page that was stored to is written back when it has to go, and at the end";
    contains(run, &run.plan.argument(0), &expected, why)
}

/// The stores of standard input.
fn stores(plan: &Plan) -> Vec<(usize, u8)> {
    let Stdin::Bytes(text) = &plan.launch.stdin else { return Vec::new() };
    let text = String::from_utf8_lossy(text);
    let stores = text.lines().filter_map(|line| line.split_once('='));
    stores.filter_map(|(offset, byte)| Some((offset.parse().ok()?, byte.parse().ok()?))).collect()
}

/// Pages put in place.
fn is_put(seen: &Observation, call: &Call) -> bool {
    let of_userfaultfd = |name: &str| name.contains("userfaultfd");
    matches!(call, Call::Ioctl { request, object: Some(object), .. } if PUTS.contains(request)
        && matches!(&seen.object(*object).kind, ObjectKind::Other(name) if of_userfaultfd(name)))
}

/// The number of faults that a right program prints.
fn wanted(plan: &Plan) -> u64 {
    let stdout = plan.expect.stdout.clone().unwrap_or_default();
    let text = String::from_utf8_lossy(&stdout).into_owned();
    text.trim_end().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// `pager`: as many pages are put in place as there are faults.
fn pager(run: &Run) -> Finding {
    let put = run.seen.successes().filter(|(_, _, call, _)| is_put(run.seen, call)).count() as u64;
    let wanted = wanted(run.plan);
    if put == wanted {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let words = match put {
        0 => {
            "No page is ever put in place by userfaultfd (UFFDIO_COPY): the faults printed are computed, and nobody's."
                .into()
        }
        _ => format!(
            "{put} pages are put in place, and {wanted} faults are to be: one page for each, when it is touched."
        ),
    };
    Failure::new(Reason::WrongCalls, words).found()
}

/// How many pages have frames after each page put in place, with its event: those given back before are fewer.
fn residents<'a>(run: &Run<'a>) -> Vec<(&'a Event, u64)> {
    let seen = run.seen;
    let len = run.plan.launch.files.first().map_or(0, |file| match &file.content {
        observe::Content::Bytes(bytes) => bytes.len() as u64,
        _ => 0,
    });
    let memory = seen.successes().filter_map(|(_, _, call, value)| match call {
        Call::Mmap { len: mapped, .. } if *mapped >= len => Some(value as u64..value as u64 + mapped),
        _ => None,
    });
    let memory: Vec<_> = memory.collect();
    let (mut resident, mut all) = (0_u64, Vec::new());
    for (_, event, call, _) in seen.successes() {
        let given_back = match call {
            Call::Madvise { address, len, advice: libc::MADV_DONTNEED | libc::MADV_REMOVE }
            | Call::Munmap { address, len, .. } => memory.iter().any(|m| m.contains(address)).then_some(*len),
            _ => None,
        };
        if let Some(len) = given_back {
            resident = resident.saturating_sub(len.div_ceil(PAGE));
        }
        if is_put(seen, call) {
            resident += 1;
            all.push((event, resident));
        }
    }
    all
}

/// `resident`: room is made before a page comes.
fn resident(run: &Run) -> Finding {
    let frames: u64 = run.plan.argument(1).parse().unwrap_or_default();
    let Some((event, count)) = residents(run).into_iter().find(|(_, count)| *count > frames) else { return Ok(()) };
    let words = format!(
        "There are {count} pages in {frames} frames here: make room first (madvise MADV_DONTNEED gives the frame of a page back), and put the new page in place then."
    );
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

/// The frames after each access: a star for a bit that is set, and where the hand stands.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let Stdin::Bytes(text) = &plan.launch.stdin else { return Vec::new() };
    let mut clock = Clock::new(plan.argument(1).parse().unwrap_or(1), None);
    let mut lines = vec!["access   page  frames (* accessed, > the hand)".to_string()];
    for line in String::from_utf8_lossy(text).lines() {
        let offset: u64 = line.split('=').next().and_then(|offset| offset.parse().ok()).unwrap_or_default();
        let (fault, victim) = clock.access(offset / PAGE);
        let event = match (fault, victim) {
            (_, Some(victim)) => format!("fault: {victim} goes, UFFDIO_COPY"),
            (true, None) => "fault: UFFDIO_COPY".to_string(),
            _ => String::new(),
        };
        let row = format!("{line:<8} {:>4}  {:<20} {event}", offset / PAGE, clock.row());
        lines.push(row.trim_end().to_string());
    }
    let puts = seen.successes().filter(|(_, _, call, _)| is_put(seen, call)).count();
    lines.push(format!("{puts} pages were put in place by the program itself"));
    lines
}
