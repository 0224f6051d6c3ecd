//! `uring_copy`: asked for by io_uring, several requests at once.

use observe::{Call, Effect, Event, InputFile, Nth, Observation, Rung, Tracing, What};

use super::{checks, onto_old, plain_plans, sized};
use crate::spec::Spec;
use crate::spec::common::calls::{READS, files, reads_of, writes_of};
use crate::spec::common::plans::{bad_usage, failing, fault};
use crate::spec::copying::{copies, mapping, source_len};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// Requests that are to be in flight, where there is enough to copy.
const TOGETHER: i64 = 4;
/// `IORING_SETUP_SQPOLL`: the kernel looks for requests by itself.
const POLLED_BY_KERNEL: i32 = 1 << 1;

/// `uring_copy SRC DST`
pub(crate) fn uring_copy() -> Spec {
    let by_ring = Check::seen("by-ring", "the bytes are asked for by io_uring, and by no other call", by_ring);
    let together = Check::seen("in-flight", "several requests are in flight at once", in_flight);
    let checks = checks("a command line of anything but SRC and DST is refused", &[by_ring, together]);
    // No fault reaches the requests themselves: they are no system calls.
    let checks = checks.into_iter().filter(|check| check.id != "short-io");
    let checks = checks.map(|check| if check.id == "usage" { check } else { check.unless(no_ring) });
    Spec { plans, checks: checks.collect(), demo: |nonce| sized(nonce, "a copy", 500_000).drawn(drawing) }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut plans = plain_plans(nonce, &["by-ring"], &["read"], READS);
    // Failing reads and writes reach no ring; what can fail is the ring itself.
    plans.retain(|plan| plan.launch.faults.is_empty());
    let large = sized(nonce, "many blocks", (1 << 20) + 77);
    let mut unmade = onto_old(&large, "no ring").reports(&["io_uring", "ring"], None, libc::ENOMEM);
    unmade = unmade.fault(failing(&["io_uring_setup"], None, libc::ENOMEM));
    unmade.checks.push("whole-or-nothing");
    let mut interrupted = large.again("interrupted calls", &["eintr"]).at(Stage::Hard);
    interrupted = interrupted.fault(fault(&["io_uring_enter"], Nth::Alternate, None, Effect::Fail(libc::EINTR)));
    plans.extend([
        large.again("many blocks", &["copied", "by-ring", "in-flight", "whole-or-nothing"]),
        unmade.because("When the kernel has no memory for a ring"),
        interrupted.because("When a signal interrupts a call (EINTR: it did nothing and is to be made again)"),
        bad_usage("one too many", &["a", "b", "c"]).file(InputFile::new("a", "abc\n")),
    ]);
    plans
}

/// What a run shows where no program may have a ring.
fn no_ring(run: &Run) -> Option<String> {
    let (seen, why) = (run.seen, "the kernel does not permit io_uring here");
    if seen.rung != Rung::F {
        return Some(format!("io_uring is not permitted in a box of rung {}", seen.rung));
    }
    if seen.tracing != Tracing::On {
        // The program's own word is all there is.
        return seen.stderr.text().contains("io_uring").then(|| why.into());
    }
    let refused = |event: &&Event| {
        matches!(&event.what, What::Called { sysno, result: Some(Err(libc::EPERM | libc::ENOSYS | libc::EACCES)), injected: false, .. }
            if sysno.name() == "io_uring_setup")
    };
    let refused = seen.events.iter().find(refused);
    refused.map(|_| format!("{why} (io_uring_setup)"))
}

fn wrong(words: String) -> Failure {
    Failure::new(Reason::WrongCalls, words)
}

/// The successful calls of this name, with what they return.
fn named<'a>(run: &Run<'a>, name: &str) -> Vec<(&'a Event, &'a Call, i64)> {
    let of_name = |event: &&'a Event| matches!(&event.what, What::Called { sysno, .. } if sysno.name() == name);
    let result = |event: &'a Event| match &event.what {
        What::Called { call, result: Some(Ok(value)), .. } => Some((event, call, *value)),
        _ => None,
    };
    run.seen.events.iter().filter(of_name).filter_map(result).collect()
}

/// `by-ring`: neither SRC nor the copy is touched by a call of the old kind.
fn by_ring(run: &Run) -> Finding {
    let src = run.plan.argument(0);
    let sources = files(run.seen, &src);
    if let Some(event) = mapping(run, &sources) {
        return wrong(format!("{src} is mapped: ask for its bytes by io_uring.")).at(event.source.as_ref()).found();
    }
    if let Some(read) = sources.iter().flat_map(|o| reads_of(run.seen, *o)).find(|t| t.bytes > 0) {
        let words =
            format!("{src} is read by a call of its own ({} bytes): put the request into the ring.", read.bytes);
        return wrong(words).at(read.event.source.as_ref()).found();
    }
    if let Some(write) = copies(run).iter().flat_map(|o| writes_of(run.seen, *o)).find(|t| t.bytes > 0) {
        let words =
            format!("The copy is written by a call of its own ({} bytes): put the request into the ring.", write.bytes);
        return wrong(words).at(write.event.source.as_ref()).found();
    }
    if named(run, "io_uring_setup").is_empty() {
        return match run.seen.exit() {
            Some(_) => wrong("The program never sets up a ring (io_uring_setup).".into()).found(),
            None => Err(Objection::open("the program came to no end")),
        };
    }
    Ok(())
}

/// `in-flight`: as many requests were submitted, without waiting for one in between.
fn in_flight(run: &Run) -> Finding {
    let polled = |call: &Call| matches!(call, Call::NewDescriptor { flags, .. } if flags & POLLED_BY_KERNEL != 0);
    if named(run, "io_uring_setup").iter().any(|(_, call, _)| polled(call)) {
        // The kernel takes the requests from memory, and nobody sees when.
        return Ok(());
    }
    let enters = named(run, "io_uring_enter");
    let (mut together, mut most) = (0, 0);
    for (_, call, submitted) in &enters {
        let Call::Other { arguments } = call else { continue };
        together += submitted;
        most = most.max(together);
        let waits_for = arguments[2];
        if waits_for > 0 {
            together = 0;
        }
    }
    let blocks = source_len(run).div_ceil(64 << 10) as i64;
    if most >= TOGETHER.min(blocks) {
        return Ok(());
    }
    if run.seen.exit().is_none() || enters.is_empty() {
        return Err(Objection::open("no request is submitted"));
    }
    let words = format!(
        "No more than {most} requests are submitted before the program waits for a result: that is read and write by other means. Submit requests for several blocks, and then wait for the first that is done."
    );
    wrong(words).at(enters.first().and_then(|(event, ..)| event.source.as_ref())).found()
}

/// What each call hands to the kernel.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let run = Run { plan, seen, baseline: None, sometimes_right: false };
    let enters = named(&run, "io_uring_enter");
    let total: i64 = enters.iter().map(|(_, _, submitted)| submitted).sum();
    let mut lines = vec!["# is a request, a read or a write of one block; . one handed over before".to_owned()];
    let mut before = 0;
    for (number, (_, call, submitted)) in (1..).zip(&enters) {
        let Call::Other { arguments } = call else { continue };
        let row = [(".", before), ("#", *submitted), (" ", total - before - submitted)];
        let row: String = row.iter().map(|(mark, count)| mark.repeat(usize::try_from(*count).unwrap_or(0))).collect();
        let handed = if *submitted == 0 { "none".to_owned() } else { submitted.to_string() };
        lines.push(format!("call {number:>2}  {row}  {handed:>4} handed over, waits until {} is done", arguments[2]));
        before += submitted;
    }
    lines.push(format!(
        "{total} requests in {} calls; read and write would have made {total}, and waited in each",
        enters.len()
    ));
    lines
}
