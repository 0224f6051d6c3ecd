//! `large_pages`: the same memory in pages of two sizes.

use memmap2::{Advice, MmapMut};
use nix::sys::resource::{UsageWho, getrusage};
use observe::{Call, Event, Observation};

use crate::spec::Spec;
use crate::spec::common::endings::{command_line, ended, status};
use crate::spec::common::plans::{bad_usage, unwritable_output};
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, reports, under_faults, usage};
use crate::spec::mmap::mapping::{hard_output, wrong_call};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const MIB: u64 = 1 << 20;
/// Pieces of 4 KiB that a MiB has.
const PIECES: u64 = 256;
/// Faults that are forgiven beyond one a page: of the stack, of the heap, of a page of code.
const SPARE: u64 = 64;
/// Faults that a program has in all, beyond those that it counts: loader, runtime, stack, heap.
const OTHER_FAULTS: u64 = 2000;
/// What the machine's administrator has decided about large pages.
const DECIDED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// `large_pages MIB STEPS`
pub(crate) fn large_pages() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an odd MIB, no STEPS, and what are no numbers, are refused", usage),
            Check::outside("reports", "a failing mmap or write is reported, and nothing is printed", reports),
            Check::outside("output", "both walks find what is to be found", told),
            Check::outside("small-faults", "in pages of 4 KiB each piece costs a fault", small_faults),
            Check::seen("advised", "the kernel is told which pages are wanted", advised),
            Check::outside("fewer-faults", "in pages of 2 MiB a fault brings 512 pieces", fewer_faults)
                .unless(no_large_pages),
            Check::outside("counted", "the faults told are those that the kernel has counted", counted),
            Check::seen("short-io", "it is right when writes are cut short", told_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", told_under_faults),
        ],
        demo: |_| walking("64 MiB", 64, 400_000).drawn(drawing),
    }
}

fn walking(name: &str, mib: u64, steps: u64) -> Plan {
    let plan = Plan::new(name).arg(mib.to_string()).arg(steps.to_string());
    plan.judged_by(&["output", "small-faults", "advised", "fewer-faults", "counted"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mib = 2 * nonce.number(16, 24);
    let plain = walking("some large pages", mib, nonce.number(10_000, 50_000));
    let huge = Plan::new("more memory than there is").arg("200000000").arg("1").reports(MAPS, None, libc::ENOMEM);
    let mut plans = vec![
        plain.clone(),
        walking("one large page", 2, nonce.number(500, 900)).judged_by(&["output", "small-faults", "advised"]),
        walking("one step", 4, 1).judged_by(&["output"]),
        huge,
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("STEPS is missing", &["64"]),
        bad_usage("an odd MIB", &["63", "100"]),
        bad_usage("no MIB", &["0", "100"]),
        bad_usage("no STEPS", &["64", "0"]),
        bad_usage("a word", &["64", "many"]),
    ];
    plans.extend(hard_output(&plain));
    plans
}

fn arguments(run: &Run) -> (u64, u64) {
    let number = |n| run.plan.argument(n).parse().unwrap_or(1);
    (number(0), number(1))
}

/// What a walk finds.
fn sum(mib: u64, steps: u64) -> u64 {
    let (mut x, mut sum) = (1_u64, 0_u64);
    for _ in 0..steps {
        let found = (x >> 33) % (mib * PIECES);
        sum = sum.wrapping_add(found);
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407).wrapping_add(found);
    }
    sum
}

/// What a line tells.
struct Told {
    faults: u64,
    sum: u64,
    nanoseconds: f64,
}

/// `SIZE: faults F sum S T ns a step`
fn line(line: &str, size: &str) -> Option<Told> {
    let rest = line.strip_prefix(size)?.strip_prefix(": faults ")?;
    let (faults, rest) = rest.split_once(" sum ")?;
    let (sum, rest) = rest.split_once(' ')?;
    let nanoseconds = rest.strip_suffix(" ns a step")?.parse().ok().filter(|time| *time >= 0.0)?;
    Some(Told { faults: faults.parse().ok()?, sum: sum.parse().ok()?, nanoseconds })
}

/// Both lines, small pages first.
fn both(seen: &Observation) -> Option<[Told; 2]> {
    let text = seen.stdout.text();
    let (small, large) = text.strip_suffix('\n')?.split_once('\n')?;
    Some([line(small, "4 KiB")?, line(large, "2 MiB")?])
}

fn wrong(run: &Run, message: String) -> Finding {
    let printed = format!("printed: {}", quoted(&run.seen.stdout.bytes));
    Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).evidence(printed).found()
}

/// The lines of a program that printed them.
fn printed(run: &Run) -> Result<[Told; 2], Objection> {
    both(run.seen).ok_or_else(|| Objection::open("the two lines were not printed"))
}

/// `output`: the form, and the sums.
fn told(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let Some(lines) = both(run.seen) else {
        return wrong(
            run,
            "The program is to print two lines, `4 KiB: faults F sum S T ns a step` and the same for `2 MiB`.".into(),
        );
    };
    let (mib, steps) = arguments(run);
    let wanted = sum(mib, steps);
    for (told, size) in lines.iter().zip(["4 KiB", "2 MiB"]) {
        if told.sum != wanted {
            let words = format!(
                "The walk in pages of {size} came to {} where {steps} steps through {mib} MiB come to {wanted}: is every number in its place, and x as it should be?",
                told.sum
            );
            return wrong(run, words);
        }
    }
    Ok(())
}

fn told_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    told(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// `small-faults`: one for each piece, or a few more.
fn small_faults(run: &Run) -> Finding {
    let [small, _] = printed(run)?;
    let pieces = arguments(run).0 * PIECES;
    if small.faults < pieces {
        let words = format!(
            "In pages of 4 KiB {} faults are told, and each of {pieces} pieces costs one when it is first touched. The memory was touched before the counting began, or it came in larger pages: advise MADV_NOHUGEPAGE, and count around the filling.",
            small.faults
        );
        return wrong(run, words);
    }
    if small.faults > pieces + SPARE {
        let words = format!(
            "In pages of 4 KiB {} faults are told for {pieces} pieces: count around the filling alone, and store without looking first.",
            small.faults
        );
        return wrong(run, words);
    }
    Ok(())
}

/// `advised`: as much memory as is asked for, once of each kind.
fn advised(run: &Run) -> Finding {
    let (mib, _) = arguments(run);
    // Whoever cuts off what is not aligned advises a little less than he has mapped, but no less than he uses.
    let enough = |len: u64| len >= mib * MIB;
    let asked = |wanted: i32| -> Option<&Event> {
        run.seen.successes().find_map(|(_, event, call, _)| match call {
            Call::Madvise { len, advice, .. } if *advice == wanted && enough(*len) => Some(event),
            Call::Mmap { len, flags, .. }
                if wanted == libc::MADV_HUGEPAGE && flags & libc::MAP_HUGETLB != 0 && enough(*len) =>
            {
                Some(event)
            }
            _ => None,
        })
    };
    if run.seen.stdout.bytes.is_empty() {
        return Err(Objection::open("nothing was printed"));
    }
    match (asked(libc::MADV_NOHUGEPAGE), asked(libc::MADV_HUGEPAGE)) {
        (Some(_), Some(_)) => Ok(()),
        (other, None) => {
            let words = format!(
                "Nobody tells the kernel that {mib} MiB are wanted in large pages: madvise them with MADV_HUGEPAGE before they are touched."
            );
            wrong_call(words, other)
        }
        (None, other) => {
            let words = format!(
                "Nobody tells the kernel that {mib} MiB are wanted in small pages: where it gives large ones unasked, both walks are the same. madvise with MADV_NOHUGEPAGE."
            );
            wrong_call(words, other)
        }
    }
}

/// `fewer-faults`: most of the memory came in large pages.
fn fewer_faults(run: &Run) -> Finding {
    let [small, large] = printed(run)?;
    if 2 * large.faults <= small.faults {
        return Ok(());
    }
    let words = format!(
        "In pages of 2 MiB there were {} faults, and in pages of 4 KiB {}: the memory did not come in large pages. Advise before the first touch, and take memory that has whole pages of 2 MiB in it.",
        large.faults, small.faults
    );
    wrong(run, words)
}

/// Where large pages are never given, or none is left, nobody can be asked to get some.
fn no_large_pages(run: &Run) -> Option<String> {
    match std::fs::read_to_string(DECIDED) {
        Ok(decided) if decided.contains("[never]") => {
            Some(format!("this machine gives no large pages ({DECIDED} says never)"))
        }
        Ok(_) if fewer_faults(run).is_ok() || large_pages_are_left(arguments(run).0) == Some(true) => None,
        Ok(_) => Some("the machine's memory is in pieces: this program gets no large pages either".into()),
        Err(_) => Some("this kernel has no transparent large pages".into()),
    }
}

/// Whether as much memory comes in large pages to who asks for them as the program is to do.
fn large_pages_are_left(mib: u64) -> Option<bool> {
    let len = (mib * MIB) as usize;
    let mut memory = MmapMut::map_anon(len).ok()?;
    memory.advise(Advice::HugePage).ok()?;
    let so_far = || getrusage(UsageWho::RUSAGE_THREAD).map(|usage| usage.minor_page_faults());
    let before = so_far().ok()?;
    for piece in memory.chunks_mut((MIB / PIECES) as usize) {
        piece[0] = 1;
    }
    let faults = (so_far().ok()? - before) as u64;
    Some(2 * faults <= mib * PIECES)
}

/// `counted`, over the whole run.
fn counted(run: &Run) -> Finding {
    let [small, large] = printed(run)?;
    let told = small.faults.saturating_add(large.faults);
    let counted: u64 = run.seen.processes.iter().map(|process| process.minor_faults).sum();
    if counted == 0 {
        return Err(Objection::open("the kernel's count of faults could not be read"));
    }
    let words = if told > counted {
        format!(
            "The program tells of {told} faults, and the kernel has counted {counted} in the whole run: they are made up."
        )
    } else if told + OTHER_FAULTS < counted {
        format!(
            "The kernel has counted {counted} faults in the whole run, and the program tells of {told}: it was not the filling that it counted, or other memory was touched too."
        )
    } else {
        return Ok(());
    };
    wrong(run, words)
}

/// How much of the memory an entry of the TLB reaches, and what that came to.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let mib: u64 = plan.argument(0).parse().unwrap_or(2);
    let Some([small, large]) = both(seen) else { return Vec::new() };
    let row = |size: &str, pages: u64, picture: &str, told: &Told| {
        format!("{size}  {picture}  {pages:>6} pages   {:>6} faults   {:>6.1} ns a step", told.faults, told.nanoseconds)
    };
    vec![
        row("4 KiB", mib * PIECES, "|||||||||||||||||||||||||", &small),
        row("2 MiB", mib / 2, "|           |           |", &large),
        format!("each page takes one entry of the TLB; {mib} MiB in all"),
    ]
}
