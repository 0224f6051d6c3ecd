//! `copy_kernel`: the kernel copies, by the best way that it has.

use observe::{Call, InputFile, On, What};

use super::{checks, common_plans, copied_under_faults, onto_old, sized};
use crate::spec::Spec;
use crate::spec::common::calls::{MOVES, READS, WRITES, files, reads_of};
use crate::spec::common::plans::{bad_usage, cut, cuts, failing, interrupted};
use crate::spec::copying::{mapping, source_len};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `copy_kernel SRC DST`
pub(crate) fn copy_kernel() -> Spec {
    let by_range =
        Check::seen("by-kernel", "copy_file_range moves the bytes, which never come to the program", by_kernel);
    let without_range = Check::seen("then-sendfile", "where copy_file_range cannot, sendfile does", by_sendfile);
    let without_either =
        Check::seen("then-read-write", "where the kernel cannot copy at all, read and write do", copied_under_faults);
    let checks =
        checks("a command line of anything but SRC and DST is refused", &[by_range, without_range, without_either]);
    Spec { plans, checks, demo: |nonce| sized(nonce, "a copy", 5000) }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut plans = common_plans(nonce, "by-kernel", &["copy_file_range", "sendfile", "copy", "read"], READS);
    plans.push(bad_usage("one too many", &["a", "b", "c"]).file(InputFile::new("a", "abc\n")));
    let small = sized(nonce, "", 400);
    for (name, errno, why) in [
        ("another file system", libc::EXDEV, "copy_file_range fails with EXDEV (two file systems)"),
        ("a file system without it", libc::EOPNOTSUPP, "copy_file_range fails with EOPNOTSUPP"),
        ("a file that it is not for", libc::EINVAL, "copy_file_range fails with EINVAL"),
        ("an old kernel", libc::ENOSYS, "copy_file_range fails with ENOSYS (an old kernel)"),
    ] {
        plans.push(without(&small, name, "then-sendfile", &["copy_file_range"], errno, why));
    }
    let neither = without(
        &small,
        "neither of them",
        "then-read-write",
        MOVES,
        libc::EINVAL,
        "copy_file_range and sendfile both fail with EINVAL",
    );
    let full = onto_old(&small, "neither of them, and no space").exits(1).at(Stage::Refusal);
    plans.push(
        full.judged_by(&["whole-or-nothing"])
            .fault(failing(MOVES, Some(On::WrittenFile), libc::EINVAL))
            .fault(failing(WRITES, Some(On::WrittenFile), libc::ENOSPC))
            .because("When copy_file_range and sendfile fail with EINVAL, and the disk is full"),
    );
    let mut broken = onto_old(&small, "copy_file_range fails for good")
        .reports(&["copy_file_range", "copy"], None, libc::EIO)
        .fault(failing(&["copy_file_range"], Some(On::WrittenFile), libc::EIO))
        .because("When copy_file_range fails with EIO, which no other way mends");
    broken.checks.push("whole-or-nothing");
    plans.push(broken);
    plans.extend(cuts(&neither, &[On::AnyFile]));
    plans.push(interrupted(&neither, &[On::AnyFile]));
    plans.push(neither);
    plans.push(cut(&small, &[On::AnyFile], MOVES, "transfer", 70));
    plans
}

/// The same copy where these calls are not to be had.
fn without(plan: &Plan, name: &str, check: &'static str, calls: &[&str], errno: i32, why: &str) -> Plan {
    let plan = plan.again(name, &[check]).at(Stage::Hard);
    plan.fault(failing(calls, Some(On::WrittenFile), errno)).because(format!("When {why}"))
}

/// How many bytes of SRC these calls have moved.
fn moved(run: &Run, names: &[&str]) -> u64 {
    let sources = files(run.seen, &run.plan.argument(0));
    let of_source = run.seen.events.iter().filter_map(|event| match &event.what {
        What::Called { sysno, call: Call::Move { from: Some(from), .. }, result: Some(Ok(n)), .. }
            if sources.contains(from) && names.contains(&sysno.name()) =>
        {
            Some(*n as u64)
        }
        _ => None,
    });
    of_source.sum()
}

/// `by-kernel`: all bytes of SRC went by copy_file_range.
fn by_kernel(run: &Run) -> Finding {
    let (src, len) = (run.plan.argument(0), source_len(run));
    let sources = files(run.seen, &src);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    if let Some(read) = sources.iter().flat_map(|o| reads_of(run.seen, *o)).find(|t| t.bytes > 0 && !t.inside) {
        let words = format!("{src} is read ({} bytes at once): let the kernel copy, with copy_file_range.", read.bytes);
        return wrong(words).at(read.event.source.as_ref()).found();
    }
    if let Some(event) = mapping(run, &sources) {
        let words = format!("{src} is mapped: let the kernel copy, with copy_file_range.");
        return wrong(words).at(event.source.as_ref()).found();
    }
    match moved(run, &["copy_file_range"]) {
        by_range if by_range >= len => Ok(()),
        _ if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        0 if moved(run, MOVES) > 0 => {
            let words = "The kernel copies, but copy_file_range is not even tried: it is the way that can share blocks instead of copying them.";
            wrong(words.into()).found()
        }
        by_range => {
            wrong(format!("Only {by_range} of the {len} bytes of {src} were moved by copy_file_range.")).found()
        }
    }
}

/// `then-sendfile`: without copy_file_range all bytes of SRC went by sendfile (or splice, which is how it works).
fn by_sendfile(run: &Run) -> Finding {
    if run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open("the program never tried copy_file_range"));
    }
    copied_under_faults(run)?;
    let (src, len) = (run.plan.argument(0), source_len(run));
    match moved(run, &["sendfile", "splice"]) {
        by_sendfile if by_sendfile >= len => Ok(()),
        by_sendfile => {
            let words = format!(
                "{by_sendfile} of the {len} bytes of {src} went by sendfile: it is the next way, before read and write."
            );
            Failure::new(Reason::WrongCalls, words).found()
        }
    }
}
