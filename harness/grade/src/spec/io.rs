//! `09_io`: a copy of a file: whole or not at all, with its mode, of any size.

mod ahead;
mod direct;
mod kernel;
mod random;
mod save;
mod uring;
mod words;

pub(crate) use ahead::read_ahead;
pub(crate) use direct::direct_copy;
pub(crate) use kernel::copy_kernel;
pub(crate) use random::random_reads;
pub(crate) use save::save_atomic;
pub(crate) use uring::uring_copy;
pub(crate) use words::word_count;

use observe::{Action, Content, Deed, Effect, InputFile, Nth, On, Trigger};

use super::Spec;
use super::common::calls::{MODE_CALLS, MOVES, READS, RENAME_CALLS, WRITES};
use super::common::endings::blame_fault;
use super::common::plans::{bad_usage, cut, cuts, failing, fault, interrupted};
use super::common::{MAPS, OPENS, reports, under_faults, usage};
use super::copying::{by_read_write, copied, growing, mapped, mode_kept, same_file, whole_or_nothing};
use crate::{Check, Nonce, Plan, Stage};

/// What DST holds where it is there before.
pub(super) const OLD: &[u8] = b"what was here before\n";
/// Room on the disk where it is to be too little for SRC and its copy.
const LITTLE_DISK: u64 = 3 << 20;

/// `copy_read_write SRC DST [--block N]`
pub(crate) fn copy_read_write() -> Spec {
    Spec {
        plans: read_write_plans,
        checks: checks(
            "a command line of anything but SRC, DST and perhaps --block N is refused",
            &[Check::seen("by-read-write", "the bytes pass through read and write", by_read_write)],
        ),
        demo: |nonce| sized(nonce, "a copy", 5000),
    }
}

/// `copy_mmap SRC DST`
pub(crate) fn copy_mmap() -> Spec {
    Spec {
        plans: mmap_plans,
        checks: checks(
            "a command line of anything but SRC and DST is refused",
            &[Check::seen("mapped", "SRC is mapped, and its contents are never read", mapped)],
        ),
        demo: |nonce| sized(nonce, "a copy", 5000),
    }
}

/// What every copy is asked; `ways` are the checks of how it is made.
fn checks(usage_title: &'static str, ways: &[Check]) -> Vec<Check> {
    let result = [
        Check::outside("usage", usage_title, usage),
        Check::outside("reports", "a failing call is reported with the file that it was for", reports),
        Check::outside("copied", "DST equals SRC, at every size", copied),
        Check::outside("mode-kept", "DST has the mode of SRC", mode_kept),
    ];
    let conditions = [
        Check::outside("same-file", "SRC and DST as one file are refused, and nothing is destroyed", same_file),
        Check::outside(
            "whole-or-nothing",
            "when it fails, DST is as it was and no other file is left",
            whole_or_nothing,
        ),
        Check::outside("sparse", "a file with holes is copied right", copied),
        Check::seen(
            "growing",
            "of a file that grows meanwhile, a beginning at least as long as it was is copied",
            growing,
        ),
        Check::seen("short-io", "it is right when reads and writes are cut short", copied_under_faults),
        Check::seen("eintr", "it is right when calls are interrupted", copied_under_faults),
    ];
    [&result, ways, &conditions].concat()
}

fn copied_under_faults(run: &crate::Run) -> crate::Finding {
    under_faults(run)?;
    copied(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

/// A copy of `len` bytes to a new name.
fn sized(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let (src, dst) = (format!("{}.src", nonce.word(4)), format!("{}.dst", nonce.word(4)));
    // Modes with bits that the usual umask takes away.
    let mode = nonce.pick(&[0o640, 0o666, 0o775, 0o622, 0o600, 0o464]);
    let plan = Plan::new(name).arg(src.clone()).arg(dst).file(InputFile::new(src, nonce.bytes(len)).mode(mode));
    plan.judged_by(&["copied", "mode-kept", "whole-or-nothing"])
}

/// The same copy onto a file that is there.
fn onto_old(plan: &Plan, name: &str) -> Plan {
    let dst = plan.argument(1);
    plan.again(name, &plan.checks.clone()).file(InputFile::new(dst, OLD).mode(0o644))
}

fn read_write_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut plans = common_plans(nonce, "by-read-write", &["read"], READS);
    let mut block = |name: &str, size: &str| sized(nonce, name, 10_000).arg("--block").arg(size);
    let (small, large) = (block("blocks of 512 bytes", "512"), block("blocks of 1 MiB", "1048576"));
    plans.push(sized(nonce, "blocks of one byte", 300).arg("--block").arg("1").judged_by(&["copied"]));
    plans.extend([small.judged_by(&["copied", "by-read-write"]), large.judged_by(&["copied"])]);
    plans.push(bad_usage("a block of no bytes", &["a", "b", "--block", "0"]).file(InputFile::new("a", "abc\n")));
    plans.push(bad_usage("a block without a size", &["a", "b", "--block"]).file(InputFile::new("a", "abc\n")));
    plans
}

fn mmap_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut plans = common_plans(nonce, "mapped", MAPS, &["mmap"]);
    plans.push(bad_usage("one too many", &["a", "b", "c"]).file(InputFile::new("a", "abc\n")));
    plans
}

/// What is asked of every copier that reads and writes, cut short and interrupted too; `way` is the check of how it
/// copies, which may fail in `calls`.
fn common_plans(nonce: &mut Nonce, way: &'static str, names: &'static [&'static str], calls: &[&str]) -> Vec<Plan> {
    let mut plans = plain_plans(nonce, &[way], names, calls);
    let small = sized(nonce, "a small file", 400);
    let large = sized(nonce, "a large file", (1 << 20) + 3);
    plans.extend(cuts(&small, &[On::AnyFile]));
    plans.push(cut(&large, &[On::AnyFile], WRITES, "write", 100_000));
    plans.push(interrupted(&small, &[On::AnyFile]));
    plans
}

/// What is asked of every copier, without interfering with its reads and writes.
fn plain_plans(nonce: &mut Nonce, ways: &[&'static str], names: &'static [&'static str], calls: &[&str]) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (name, len) in [("4097 bytes", 4097), ("4096 bytes", 4096), ("4095 bytes", 4095), ("one byte", 1)] {
        let mut plan = sized(nonce, name, len);
        plan.checks.extend(ways);
        plans.push(plan);
    }
    plans.push(sized(nonce, "an empty file", 0));
    plans.push(onto_old(&sized(nonce, "", 300), "onto a file that is there"));
    let mebibyte = sized(nonce, "1 MiB and 3 bytes", (1 << 20) + 3);
    plans.push(mebibyte.clone());
    plans.extend(sparse(nonce));
    plans.extend(grown(&mebibyte));
    plans.extend(same(nonce));
    plans.extend(failures(nonce, &mebibyte, names, calls));
    plans.extend([bad_usage("no arguments", &[]), bad_usage("no DST", &["a"]).file(InputFile::new("a", "abc\n"))]);
    plans
}

/// Holes in the middle, and at the end, where only the length tells of them.
fn sparse(nonce: &mut Nonce) -> Vec<Plan> {
    let piece = |nonce: &mut Nonce, at: u64| (at, nonce.bytes(3000));
    let middle = vec![piece(nonce, 0), piece(nonce, 2 << 20)];
    let end = vec![piece(nonce, 65_536)];
    [("a hole in the middle", middle, (2 << 20) + 3000), ("a hole at the end", end, 1 << 20)]
        .into_iter()
        .map(|(name, pieces, len)| {
            let mut plan = sized(nonce, name, 0).judged_by(&["sparse"]);
            plan.launch.files[0].content = Content::Sparse { len, pieces };
            plan.because(format!("When SRC has {name}"))
        })
        .collect()
}

/// SRC gets longer while it is copied: once early, once when the copy is on its way.
fn grown(plan: &Plan) -> Vec<Plan> {
    let early = [READS, &["mmap"], MOVES].concat();
    let late = [WRITES, &["munmap", "fchmod", "rename", "renameat", "renameat2"]].concat();
    let more = b"and then some more".repeat(700);
    [("SRC grows early", early, 1), ("SRC grows late", late, 1)]
        .into_iter()
        .map(|(name, calls, nth)| {
            let calls = calls.iter().map(|c| c.to_string()).collect();
            let path = plan.argument(0).into();
            let action =
                Action { when: Trigger::Before { calls, nth }, what: Deed::AppendFile { path, bytes: more.clone() } };
            let mut plan = plan.again(name, &["growing", "copied"]).action(action);
            plan.launch.files[0].mode = 0o640;
            plan.because("When SRC grows while it is copied")
        })
        .collect()
}

/// SRC and DST are one file, under one name or two.
fn same(nonce: &mut Nonce) -> Vec<Plan> {
    let src = format!("{}.src", nonce.word(4));
    let file = InputFile::new(src.clone(), nonce.bytes(5000));
    let link = |content: Content| InputFile { path: "other".into(), content, mode: 0o644 };
    let refused = |name: &str, dst: &str| {
        let plan = Plan::new(name).arg(src.clone()).arg(dst).file(file.clone());
        plan.exits(1).at(Stage::Refusal).judged_by(&["same-file"]).because(format!("When DST is {name}"))
    };
    vec![
        refused("the same path as SRC", &src),
        refused("SRC by a longer path", &format!("./{src}")),
        refused("a hard link to SRC", "other").file(link(Content::HardLink(src.clone().into()))),
        refused("a symbolic link to SRC", "other").file(link(Content::Symlink(src.clone().into()))),
    ]
}

/// Calls that fail, and a disk that is full.
fn failures(nonce: &mut Nonce, large: &Plan, names: &'static [&'static str], calls: &[&str]) -> Vec<Plan> {
    let small = sized(nonce, "", 9000);
    let src = small.argument(0);
    let missing = Plan::new("no such file").arg("missing").arg("dst").reports(OPENS, Some("missing"), libc::ENOENT);
    let nowhere = with_dst(small.again("no such directory", &[]), "nowhere/dst");
    let errno = if calls == ["mmap"] { libc::ENOMEM } else { libc::EIO };
    let mut unreadable = onto_old(&small, "SRC cannot be had")
        .reports(names, Some(&src), errno)
        .fault(failing(calls, Some(On::File(src.into())), errno))
        .fault(failing(MOVES, Some(On::WrittenFile), errno))
        .because("When the bytes of SRC cannot be had");
    unreadable.checks.push("whole-or-nothing");
    let refused = |name: &str, names, calls: &[&str], why: &str| {
        let mut plan =
            onto_old(&small, name).reports(names, None, libc::EPERM).fault(failing(calls, None, libc::EPERM));
        plan.checks.push("whole-or-nothing");
        plan.because(format!("When {why}"))
    };
    let mut little = onto_old(&sized(nonce, "", 2 << 20), "a disk that is too small").exits(1).at(Stage::Refusal);
    little.launch.limits.disk = LITTLE_DISK;
    vec![
        missing,
        nowhere.reports(OPENS, Some("nowhere"), libc::ENOENT),
        unreadable,
        refused("no rename", &["rename", "link", "move"], RENAME_CALLS, "DST's name cannot be given"),
        refused("no mode", &["fchmod", "chmod", "mode", "permission"], MODE_CALLS, "the mode cannot be set"),
        disk_full(&small, "the first write finds no space", Nth::From(1)),
        disk_full(large, "a later write finds no space", Nth::From(2)),
        little.judged_by(&["whole-or-nothing"]).because("When the disk is too small for the copy"),
    ]
}

/// From the n-th call that would take space on, there is none.
fn disk_full(plan: &Plan, name: &str, nth: Nth) -> Plan {
    let calls = [WRITES, MOVES, &["fallocate", "ftruncate"]].concat();
    onto_old(plan, name)
        .exits(1)
        .at(Stage::Refusal)
        .judged_by(&["whole-or-nothing"])
        .fault(fault(&calls, nth, Some(On::WrittenFile), Effect::Fail(libc::ENOSPC)))
        .because("When the disk is full")
}

fn with_dst(mut plan: Plan, dst: &str) -> Plan {
    plan.launch.args[1] = dst.into();
    plan
}
