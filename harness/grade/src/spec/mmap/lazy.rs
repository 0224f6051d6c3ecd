//! `map_lazy`: what of a large mapping is in memory.

use std::collections::BTreeSet;

use observe::{Call, Content, Exit, InputFile, ObjectKind, On};

use super::mapping::{PAGE, hard_output, mapped, mappings, wrong_call};
use crate::spec::Spec;
use crate::spec::common::endings::{command_line, ended, status};
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::text::{complaints, panicked, quoted};
use crate::spec::common::{MAPS, OPENS, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const PAGES: u64 = 16 << 10;
/// KiB of a page.
const PAGE_KIB: u64 = PAGE / 1024;
/// KiB that one touch may bring: neighbours that are in memory, a large folio.
const BROUGHT: u64 = 2048;

/// `map_lazy FILE PAGE…`
pub(crate) fn map_lazy() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and numbers is refused", usage),
            Check::outside("reports", "a failing open or mmap is reported, and nothing is printed", reports),
            Check::outside("output", "the pages given come to be resident, and not the whole file", output),
            Check::outside("no-such-page", "a page that FILE does not have is an error", no_such_page),
            Check::seen("mapped", "FILE is mapped, and its contents are never read", mapped),
            Check::seen("lazy", "nothing of FILE is brought before it is touched", lazy),
            Check::seen("from-smaps", "both figures are those of the mapping in smaps", from_smaps),
            Check::seen("short-io", "it is right when writes are cut short", output_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", output_under_faults),
        ],
        demo: |nonce| touching(nonce, "some pages", 4),
    }
}

/// A file of 64 MiB, all of it a hole, and so many of its pages.
fn touching(nonce: &mut Nonce, name: &str, count: usize) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let content = Content::Sparse { len: PAGES * PAGE, pieces: Vec::new() };
    let plan = Plan::new(name).arg(file.clone()).file(InputFile { path: file.into(), content, mode: 0o644 });
    let mut plan = (0..count).fold(plan, |plan, _| plan.arg(nonce.number(0, PAGES - 1).to_string()));
    plan.launch.watch.transfer_bytes = 1 << 20;
    // Zeros, and nobody asks for them afterwards.
    plan.launch.watch.file_bytes = 0;
    plan.launch.limits.huge_pages = false;
    plan.judged_by(&["output", "mapped", "lazy", "from-smaps"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let some = touching(nonce, "some pages", 9);
    let again = touching(nonce, "a page twice", 3);
    let twice = again.argument(2);
    let again = again.arg(twice);
    let ends = touching(nonce, "the first page and the last", 0).arg("0").arg((PAGES - 1).to_string());
    let behind = touching(nonce, "a page behind the end", 1).arg(PAGES.to_string()).judged_by(&["no-such-page"]);
    let file = some.argument(0);
    let unmapped = some.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(On::File(file.into())), libc::ENOMEM));
    let missing = Plan::new("no such file").arg("missing.bin").arg("0");
    let missing = missing.reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let hard = hard_output(&some);
    let mut plans = vec![some, again, ends, behind, missing, unmapped];
    let there = |plan: Plan| plan.file(InputFile::new("a.bin", "abc\n"));
    plans.extend([bad_usage("no arguments", &[]), there(bad_usage("PAGE is no number", &["a.bin", "0", "one"]))]);
    plans.extend(hard);
    plans
}

/// How many different pages are to be touched.
fn wanted(run: &Run) -> u64 {
    run.plan.launch.args.iter().skip(1).collect::<BTreeSet<_>>().len() as u64
}

/// The two numbers of `resident before: A after: B`, a line to itself.
fn said(run: &Run) -> Option<(u64, u64)> {
    let text = run.seen.stdout.text();
    let (before, after) = text.strip_suffix('\n')?.strip_prefix("resident before: ")?.split_once(" after: ")?;
    Some((before.parse().ok()?, after.parse().ok()?))
}

/// `output`: what has come is at least the pages given, and not much more.
fn output(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).found();
    let Some((before, after)) = said(run) else {
        let printed = quoted(&run.seen.stdout.bytes);
        return wrong(format!("The program printed {printed} instead of one line `resident before: A after: B`."));
    };
    let (least, most) = (wanted(run) * PAGE_KIB, wanted(run) * BROUGHT);
    match after.checked_sub(before) {
        Some(come) if come < least => wrong(format!(
            "The program says that {come} KiB have come (before {before}, after {after}), and {} pages are {least} KiB: touch each of them, and look before and after.",
            wanted(run)
        )),
        Some(come) if come > most => wrong(format!(
            "The program says that {come} KiB have come, where {} pages were to be touched, of 4 KiB each: touch no others, and print KiB.",
            wanted(run)
        )),
        Some(_) => Ok(()),
        None => wrong(format!("The program says that {before} KiB were resident before and fewer, {after}, after.")),
    }
}

fn output_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    output(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// `no-such-page`: no SIGBUS, no panic, but an error.
fn no_such_page(run: &Run) -> Finding {
    let advice = "The last page given is not in FILE: say so in a line on standard error, and exit with 1.";
    let wrong = |message: &str| {
        let failure = Failure::new(Reason::WrongStatus, format!("{message} {advice}"));
        failure.evidence(command_line(run)).evidences(complaints(run.seen)).found()
    };
    match run.seen.exit() {
        Some(Exit::Signal(libc::SIGBUS)) => wrong("The program was killed by SIGBUS."),
        _ if panicked(run.seen) => wrong("The program panicked."),
        Some(Exit::Code(1)) if run.seen.stderr.bytes.is_empty() => wrong("The program says nothing."),
        Some(Exit::Code(1)) if run.seen.stdout.bytes.is_empty() => Ok(()),
        Some(Exit::Code(1)) => wrong("The program prints a result all the same."),
        Some(Exit::Code(code)) => wrong(&format!("The exit status is {code}.")),
        _ => ended(run),
    }
}

/// `lazy`: the kernel is not asked to bring pages beforehand.
fn lazy(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    if made.is_empty() {
        return Err(Objection::open(format!("{path} was not mapped")));
    }
    if let Some(eager) = made.iter().find(|m| m.flags & libc::MAP_POPULATE != 0) {
        let words = format!("{path} is mapped with MAP_POPULATE, which brings all of it at once. Leave the flag out.");
        return wrong_call(words, Some(eager.event));
    }
    let advised = run.seen.successes().find(|(_, _, call, _)| {
        matches!(call, Call::Madvise { address, advice: libc::MADV_POPULATE_READ | libc::MADV_WILLNEED, len }
            if *len > PAGE && made.iter().any(|m| (m.start..m.start + m.len).contains(address)))
    });
    match advised {
        Some((_, event, ..)) => {
            wrong_call("madvise asks for pages that nobody has touched: let each come when it is.".into(), Some(event))
        }
        None => Ok(()),
    }
}

/// What the program read of smaps, each time that it opened it.
fn smaps_read(run: &Run) -> Vec<String> {
    let is_smaps = |object: observe::ObjectId| match &run.seen.object(object).kind {
        ObjectKind::File(path) => path.ends_with("smaps"),
        _ => false,
    };
    let mut texts: Vec<String> = Vec::new();
    for (_, _, call, value) in run.seen.successes() {
        match call {
            Call::Open { object: Some(o), .. } if is_smaps(*o) => texts.push(String::new()),
            Call::Seek { object: Some(o), offset: 0, whence: libc::SEEK_SET, .. } if is_smaps(*o) => {
                texts.push(String::new());
            }
            Call::Read { object: Some(o), data, .. } if is_smaps(*o) => {
                if let Some(text) = texts.last_mut() {
                    text.push_str(&String::from_utf8_lossy(&data[..data.len().min(value as usize)]));
                }
            }
            _ => {}
        }
    }
    texts
}

/// KiB of the regions of these addresses that are resident, as smaps tells.
fn resident(smaps: &str, within: std::ops::Range<u64>) -> Option<u64> {
    let mut inside = false;
    let mut kib = None;
    for line in smaps.lines() {
        let start = line.split_once('-').and_then(|(start, _)| u64::from_str_radix(start, 16).ok());
        if let Some(start) = start {
            inside = within.contains(&start);
        } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| inside) {
            let number: u64 = rss.trim().trim_end_matches("kB").trim().parse().ok()?;
            kib = Some(kib.unwrap_or(0) + number);
        }
    }
    kib
}

/// `from-smaps`: the figures are what the kernel said of the mapping, once before and once after.
fn from_smaps(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let Some((before, after)) = said(run) else { return Err(Objection::open("no figures were printed")) };
    let made = mappings(run, &path);
    let Some(mapping) = made.first() else { return Err(Objection::open(format!("{path} was not mapped"))) };
    let range = mapping.start..mapping.start + mapping.len;
    let told: Vec<u64> = smaps_read(run).iter().filter_map(|text| resident(text, range.clone())).collect();
    let first = told.iter().position(|kib| *kib == before);
    if first.is_some_and(|first| told[first + 1..].contains(&after)) {
        return Ok(());
    }
    let words = match told.as_slice() {
        [] => "The figures are not from /proc/self/smaps: the program never read there of its mapping.".into(),
        [once] => format!("The program looked once, and the kernel said {once} KiB: look before and after."),
        [earlier, .., later] => format!(
            "Of this mapping smaps said {earlier} KiB at first and {later} at last (Rss), and the program prints {before} and {after}: these are of something else."
        ),
    };
    wrong_call(words, Some(mapping.event))
}
