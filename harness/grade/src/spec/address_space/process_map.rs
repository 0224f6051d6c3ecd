//! `process_map`: what a process has in memory, and what of it is its own share.

use observe::{Call, Effect, Nth, ObjectKind, Observation};

use crate::spec::Spec;
use crate::spec::common::calls::{READS, WRITES};
use crate::spec::common::endings::{blame_fault, command_line, ended, status};
use crate::spec::common::plans::{bad_usage, fault, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// The lines, in order.
const KINDS: [&str; 5] = ["executable", "libraries", "heap", "stack", "libc"];
/// The largest number that the kernel gives a process.
const LAST: u64 = 1 << 22;
/// How a process is looked for.
const LOOKS: &[&str] = &["open", "read", "readlink", "stat", "access"];

/// `process_map PID`
pub(crate) fn process_map() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PID is refused", usage),
            Check::outside("reports", "a process that there is not, or a failing write, is reported", reports),
            Check::outside("output", "five kinds are printed, of none more share than is resident", output),
            Check::seen("from-smaps", "the figures are the sums of what the kernel told", from_smaps),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| own("its own").drawn(drawing),
    }
}

/// The only process that it may be asked about in its box is the program itself.
fn own(name: &str) -> Plan {
    let mut plan = Plan::new(name).judged_by(&["output", "from-smaps"]);
    plan.launch.own_pid = true;
    plan.launch.watch.transfer_bytes = 1 << 20;
    plan
}

/// A process that there is not.
fn nobody(name: &str, pid: u64) -> Plan {
    let pid = pid.to_string();
    Plan::new(name).arg(pid.clone()).reports(LOOKS, Some(&pid), libc::ENOENT)
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = own("the program itself");
    let hard = |name: &str, check, calls: &[&str], nth, effect, words: &str| {
        plain.again(name, &[check]).at(Stage::Hard).fault(fault(calls, nth, None, effect)).because(words)
    };
    let each = Nth::From(1);
    vec![
        plain.clone(),
        nobody("no such process", LAST + nonce.number(1, 5_000_000)),
        nobody("the largest number of all", i32::MAX as u64),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("a name", &["init"]),
        bad_usage("two processes", &["1", "2"]),
        hard(
            "short reads",
            "short-io",
            READS,
            each,
            Effect::Short(100),
            "When a read moves at most 100 bytes at a time",
        ),
        hard(
            "short writes",
            "short-io",
            WRITES,
            each,
            Effect::Short(3),
            "When a write moves at most 3 bytes at a time",
        ),
        hard(
            "interrupted calls",
            "eintr",
            READS,
            Nth::Alternate,
            Effect::Fail(libc::EINTR),
            "When a signal interrupts a read (EINTR: it did nothing and is to be made again)",
        ),
    ]
}

/// Resident and share of each kind, in KiB.
type Figures = [(u64, u64); KINDS.len()];

/// What the program printed.
fn said(run: &Run) -> Option<Figures> {
    let text = run.seen.stdout.text();
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let mut figures = Figures::default();
    for (kind, figure) in KINDS.iter().zip(&mut figures) {
        let (rss, pss) = lines.next()?.strip_prefix(kind)?.strip_prefix(": rss ")?.split_once(" pss ")?;
        *figure = (rss.parse().ok()?, pss.parse().ok()?);
    }
    lines.next().is_none().then_some(figures)
}

/// `output`: the lines are there, and what they say can be.
fn output(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).found();
    let Some(figures) = said(run) else {
        let printed = quoted(&run.seen.stdout.bytes);
        return wrong(format!(
            "The program printed {printed} instead of the five lines `KIND: rss R pss P`, of {}.",
            KINDS.join(", ")
        ));
    };
    for (kind, (rss, pss)) in KINDS.iter().zip(figures) {
        if pss > rss {
            return wrong(format!("{kind}: a share of {pss} KiB is more than the {rss} KiB that are resident."));
        }
        if rss == 0 && matches!(*kind, "executable" | "stack") {
            return wrong(format!("{kind}: nothing is resident, and no process runs without it."));
        }
    }
    Ok(())
}

/// What the program read of smaps, each time that it opened it.
fn smaps_read(seen: &Observation) -> Vec<String> {
    let is_smaps = |object: observe::ObjectId| match &seen.object(object).kind {
        ObjectKind::File(path) => path.ends_with("smaps"),
        _ => false,
    };
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for (_, _, call, value) in seen.successes() {
        match call {
            Call::Open { object: Some(o), .. } if is_smaps(*o) => texts.push(Vec::new()),
            Call::Read { object: Some(o), data, .. } if is_smaps(*o) => {
                if let Some(text) = texts.last_mut() {
                    text.extend_from_slice(&data[..data.len().min(value.max(0) as usize)]);
                }
            }
            _ => {}
        }
    }
    texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// The sums that smaps comes to. Of all files the executable lies lowest.
fn sums(smaps: &str) -> Figures {
    let mut figures = Figures::default();
    let mut executable = None;
    let mut kinds: Vec<usize> = Vec::new();
    for line in smaps.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !key.ends_with(':') {
            let name = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start();
            if executable.is_none() && name.starts_with('/') {
                executable = Some(name);
            }
            let file = name.rsplit('/').next().unwrap_or(name);
            let library = executable != Some(name) && name.starts_with('/') && file.contains(".so");
            let is = [
                executable == Some(name),
                library,
                name == "[heap]",
                name == "[stack]",
                library && file.starts_with("libc.so"),
            ];
            kinds = (0..KINDS.len()).filter(|kind| is[*kind]).collect();
            continue;
        }
        let kib: u64 = rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
        for kind in &kinds {
            match key {
                "Rss:" => figures[*kind].0 += kib,
                "Pss:" => figures[*kind].1 += kib,
                _ => {}
            }
        }
    }
    figures
}

/// `from-smaps`: each line is the sum of what some reading of smaps told.
fn from_smaps(run: &Run) -> Finding {
    let Some(printed) = said(run) else { return Err(Objection::open("no figures were printed")) };
    let told: Vec<Figures> = smaps_read(run.seen).iter().map(|text| sums(text)).collect();
    let wrong = |message: String| Failure::new(Reason::WrongCalls, message).evidence(command_line(run)).found();
    let Some(last) = told.last() else {
        return wrong("The figures are not from /proc/PID/smaps: the program never read it.".into());
    };
    for (number, kind) in KINDS.iter().enumerate() {
        let (rss, pss) = printed[number];
        if told.iter().any(|figures| figures[number] == (rss, pss)) {
            continue;
        }
        let (right_rss, right_pss) = last[number];
        return wrong(format!(
            "{kind}: the Rss of its regions in smaps adds up to {right_rss} KiB and their Pss to {right_pss}, and the program prints {rss} and {pss}."
        ));
    }
    Ok(())
}

fn under_faults(run: &Run) -> Finding {
    output(run)
        .and_then(|()| from_smaps(run))
        .map_err(|objection| objection.amended(|failure| blame_fault(run, failure)))
}

/// Bars of what is resident, in which the process's own share is darker.
fn drawing(_: &Plan, seen: &Observation) -> Vec<String> {
    const WIDTH: u64 = 48;
    let Some(figures) = smaps_read(seen).last().map(|text| sums(text)) else { return Vec::new() };
    let most = figures.iter().map(|(rss, _)| *rss).max().unwrap_or_default().max(1);
    let mut lines =
        vec!["resident memory: █ the process's share, ░ charged to others that have the same frames".to_string()];
    lines.extend(KINDS.iter().zip(figures).map(|(kind, (rss, pss))| {
        let (all, own) = ((rss * WIDTH).div_ceil(most), (pss * WIDTH).div_ceil(most));
        let bar = "█".repeat(own as usize) + &"░".repeat(all.saturating_sub(own) as usize);
        format!("{kind:<10} {bar} {pss} of {rss} KiB")
    }));
    lines
}
