//! `fault_kinds`: minor, major and invalid page faults, each made on purpose.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use memmap2::{Advice, Mmap};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::sys::resource::{UsageWho, getrusage};
use observe::{Call, Disposition, InputFile, Observation, On, What};

use crate::spec::Spec;
use crate::spec::common::calls::FORK_CALLS;
use crate::spec::common::endings::{blame_fault, command_line, ended, status};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, OPENS, calls, reaped, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const PAGE: u64 = 4096;
/// Faults that are forgiven beyond those asked for: of the stack, of the heap, of code.
const SPARE: u64 = 8;
/// Bytes of a file that has pages enough for everybody to have others.
const LARGE: u64 = 1 << 20;
/// Pages that lie beside one another, so that one fault could bring them all.
const NEIGHBOURS: u64 = 3;
/// `SEGV_MAPERR` and `SEGV_ACCERR`: the processor found it, nobody sent it.
const BY_THE_PROCESSOR: std::ops::RangeInclusive<i32> = 1..=2;

/// `fault_kinds MINOR INVALID FILE PAGE…`
pub(crate) fn fault_kinds() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but two numbers, FILE and pages is refused", usage),
            Check::outside("reports", "a failing open, mmap or write is reported, and nothing is printed", reports),
            Check::outside("output", "there are as many faults of each kind as there should be", output)
                .unless(nothing_to_drop),
            Check::seen("kernel-agrees", "the kernel counted them as well", kernel_agrees).unless(nothing_to_drop),
            Check::seen("invalid-raised", "the invalid ones are the processor's, and sent by nobody", invalid_raised),
            Check::seen("reaped", "a child, if there is one, is waited for", reaped),
            Check::seen("short-io", "it is right when writes are cut short", output_under_faults)
                .unless(nothing_to_drop),
            Check::seen("eintr", "it is right when calls are interrupted", output_under_faults).unless(nothing_to_drop),
        ],
        demo: |nonce| faults(nonce, "a few of each", 12, 3).drawn(drawing),
    }
}

fn faults(nonce: &mut Nonce, name: &str, minor: u64, invalid: u64) -> Plan {
    let (file, pages) = cold_pages(nonce).unwrap_or_else(|| ("small.bin".into(), vec![0]));
    let plan = Plan::new(name).arg(minor.to_string()).arg(invalid.to_string()).arg(file.to_string_lossy().into_owned());
    let mut plan = pages.iter().fold(plan, |plan, page| plan.arg(page.to_string()));
    if !file.is_absolute() {
        plan = plan.file(InputFile::new(file, "There is no other.\n"));
    }
    // A page larger than the smallest would be one fault for many.
    plan.launch.limits.huge_pages = false;
    plan.judged_by(&["output", "kernel-agrees", "invalid-raised", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    // So many that nothing else a process does costs as many minor faults.
    let (minor, invalid) = (nonce.number(3000, 4000), nonce.number(3, 6));
    let plain = faults(nonce, "many minor faults", minor, invalid);
    let few = faults(nonce, "one minor fault, none invalid", 1, 0).judged_by(&["output", "reaped"]);
    let (file, page) = (plain.argument(2), plain.argument(3));
    let missing = Plan::new("no such file").arg("9").arg("1").arg("missing.bin").arg("0");
    let mut childless = plain.again("fork fails", &[]).reports(&["fork", "clone"], None, libc::EAGAIN);
    childless.expect.stdout = None;
    let hard = [
        cut(&faults(nonce, "", minor, invalid), &[On::Stdout], calls::WRITES, "write", 3),
        interrupted(&faults(nonce, "", minor, invalid), &[On::Stdout]),
    ];
    let mut plans = vec![
        plain.clone(),
        few,
        missing.reports(OPENS, Some("missing.bin"), libc::ENOENT),
        plain.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM).fault(failing(&["mmap"], None, libc::ENOMEM)),
        childless.fault(failing(FORK_CALLS, None, libc::EAGAIN)),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("no page", &["9", "1", &file]),
        bad_usage("no number of faults", &["few", "1", &file, &page]),
        bad_usage("a page that is no number", &["9", "1", &file, &page, "last"]),
    ];
    plans.extend(hard);
    plans
}

/// A file of the machine's that can be dropped from memory, and some of its pages of which each was then a major
/// fault: neighbours first, then others.
fn cold_pages(nonce: &mut Nonce) -> Option<(PathBuf, Vec<u64>)> {
    static LARGEST: OnceLock<Vec<(u64, PathBuf)>> = OnceLock::new();
    LARGEST.get_or_init(|| largest_files(Path::new("/usr/bin"))).iter().find_map(|(len, path)| {
        let last = len / PAGE - NEIGHBOURS;
        let first = nonce.number(0, last);
        let mut pages: Vec<u64> = (first..first + NEIGHBOURS).collect();
        // A range to drop that begins behind the file's begin leaves this one.
        pages.push(0);
        for _ in 0..nonce.number(2, 4) {
            pages.push(nonce.number(0, last));
        }
        let mut seen = std::collections::BTreeSet::new();
        pages.retain(|page| seen.insert(*page));
        let all_major = major_faults(path, &pages).ok()? == pages.len() as i64;
        all_major.then(|| (path.clone(), pages))
    })
}

/// The few largest that have pages enough, the largest first.
fn largest_files(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| Some((entry.metadata().ok().filter(|m| m.is_file())?.len(), entry.path())))
        .filter(|(len, path)| *len >= LARGE && File::open(path).is_ok())
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    files.truncate(4);
    files
}

/// Major faults of this thread while it loads from each of these pages, the file dropped from memory before; after
/// it they are there, for the program to drop.
fn major_faults(path: &Path, pages: &[u64]) -> std::io::Result<i64> {
    let file = File::open(path)?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    // SAFETY: a file of the system's, whose bytes mean nothing here; nobody makes it shorter.
    let mapping = unsafe { Mmap::map(&file) }?;
    mapping.advise(Advice::Random)?;
    let so_far = || getrusage(UsageWho::RUSAGE_THREAD).map(|usage| usage.major_page_faults());
    let before = so_far()?;
    for page in pages {
        std::hint::black_box(mapping[(page * PAGE) as usize]);
    }
    Ok(so_far()? - before)
}

/// Where every file stays in memory there are no major faults.
fn nothing_to_drop(run: &Run) -> Option<String> {
    let absolute = run.plan.argument(2).starts_with('/');
    (!absolute).then(|| "no large file in /usr/bin can be dropped from memory here, so none causes major faults".into())
}

/// How many faults of each kind there should be: minor, major, invalid.
fn wanted(plan: &Plan) -> [u64; 3] {
    let number = |n| plan.argument(n).parse().unwrap_or_default();
    [number(0), plan.launch.args.len().saturating_sub(3) as u64, number(1)]
}

/// The three figures printed.
fn said(run: &Run) -> Option<[u64; 3]> {
    let text = run.seen.stdout.text();
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let mut figure = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ")?.parse().ok();
    let figures = [figure("minor")?, figure("major")?, figure("invalid")?];
    lines.next().is_none().then_some(figures)
}

/// `output`: each figure is what was asked for, or for the kernel's counts a little more.
fn output(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).found();
    let Some([minor, major, invalid]) = said(run) else {
        let printed = quoted(&run.seen.stdout.bytes);
        return wrong(format!(
            "The program printed {printed} instead of the lines `minor: M`, `major: J`, `invalid: I`."
        ));
    };
    let [wanted_minor, wanted_major, wanted_invalid] = wanted(run.plan);
    if minor < wanted_minor {
        return wrong(format!(
            "The program counted {minor} minor faults for {wanted_minor} new pages: each costs one when it is first touched, so they were touched before the counting began, or not at all."
        ));
    }
    if minor > wanted_minor + SPARE {
        return wrong(format!(
            "The program counted {minor} minor faults for {wanted_minor} new pages: count around the touching alone, and store at once (a load first costs a fault of its own)."
        ));
    }
    if major < wanted_major {
        let why = match major {
            0 => "FILE was in memory: drop it with posix_fadvise(POSIX_FADV_DONTNEED) before it is mapped",
            _ => {
                "the kernel brought pages along that lie beside those touched: madvise(MADV_RANDOM) keeps it from that"
            }
        };
        return wrong(format!("The program counted {major} major faults for {wanted_major} pages of FILE: {why}."));
    }
    if major > wanted_major + SPARE {
        return wrong(format!(
            "The program counted {major} major faults for {wanted_major} pages of FILE: touch these alone, and count around that."
        ));
    }
    if invalid != wanted_invalid {
        return wrong(format!("The program counted {invalid} invalid faults, where {wanted_invalid} were to be made."));
    }
    Ok(())
}

fn output_under_faults(run: &Run) -> Finding {
    output(run).map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

/// `kernel-agrees`: the kernel's own count over the whole run is no less.
fn kernel_agrees(run: &Run) -> Finding {
    ended(run)?;
    let sum = |count: fn(&observe::Process) -> u64| run.seen.processes.iter().map(count).sum::<u64>();
    let (minor, major) = (sum(|process| process.minor_faults), sum(|process| process.major_faults));
    if minor == 0 {
        return Err(Objection::open("the kernel's count of faults could not be read"));
    }
    let [wanted_minor, wanted_major, _] = wanted(run.plan);
    let wrong = |kind: &str, counted: u64, wanted: u64| {
        let words = format!(
            "The kernel counted {counted} {kind} faults in the whole run, and {wanted} were to be made: what the program prints is made up."
        );
        Failure::new(Reason::WrongState, words).evidence(command_line(run)).found()
    };
    match () {
        () if minor < wanted_minor => wrong("minor", minor, wanted_minor),
        () if major < wanted_major => wrong("major", major, wanted_major),
        () => Ok(()),
    }
}

/// The accesses that the processor refused. Rust's runtime has a handler that looks for the stack's end and lets the
/// access be made again, without a handler then: one access, two signals.
fn raised(seen: &Observation) -> u64 {
    let mut passed_on = Vec::new();
    let mut count = 0;
    for event in &seen.events {
        let What::Signalled { signal: libc::SIGSEGV, code, address, disposition, .. } = &event.what else { continue };
        let access = (event.thread, *address);
        if !BY_THE_PROCESSOR.contains(code) || (*disposition == Disposition::Default && passed_on.contains(&access)) {
            continue;
        }
        if *disposition == Disposition::Handler {
            passed_on.push(access);
        }
        count += 1;
    }
    count
}

/// `invalid-raised`: as many SIGSEGVs came from touching as were to come, and none from kill.
fn invalid_raised(run: &Run) -> Finding {
    let sent = run.seen.calls().find(|(_, _, call, _)| matches!(call, Call::Kill { signal: libc::SIGSEGV, .. }));
    if let Some((_, event, ..)) = sent {
        let words =
            "SIGSEGV is sent by hand (kill or raise): touch memory that may not be touched, and it comes by itself.";
        return Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found();
    }
    let ([_, _, wanted], raised) = (wanted(run.plan), raised(run.seen));
    if raised == wanted {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let words = format!("The kernel sent {raised} SIGSEGVs for invalid accesses, where {wanted} were to be made.");
    Failure::new(Reason::WrongCalls, words).evidence(command_line(run)).found()
}

/// What each kind of fault finds in the page table, and what the kernel makes of it.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let [minor, major, _] = wanted(plan);
    let pages: Vec<String> = plan.launch.args.iter().skip(3).map(|page| page.to_string_lossy().into_owned()).collect();
    let row = |count: u64, what: &str, table: &str, kernel: &str| {
        format!("{:<30} {table:<20} {kernel}", format!("{count:>4} {what}"))
    };
    vec![
        format!("{:<30} {:<20} the kernel", "a load or store in", "the page table"),
        row(minor, "new pages", "has no frame", "gives one of zeros: minor fault"),
        row(major, "pages of FILE, dropped", "has no frame", "waits for the device: major fault"),
        row(raised(seen), "times a forbidden page", "allows nothing", "sends SIGSEGV: invalid"),
        format!("FILE is {}, its pages {}", plan.argument(2), pages.join(" ")),
    ]
}
