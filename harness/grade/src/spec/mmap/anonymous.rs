//! `map_anonymous`: pages that are made when they are touched, and what that costs.

use observe::{Call, ObjectKind, Observation};

use super::mapping::{PAGE, hard_output, wrong_call};
use crate::spec::Spec;
use crate::spec::common::endings::{command_line, ended, status};
use crate::spec::common::plans::bad_usage;
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// Faults that are forgiven beyond one a page: of the stack, of a page of code.
const SPARE: u64 = 8;
/// Faults that a program has in all, beyond those of the pages touched: loader, runtime, stack, heap.
const OTHER_FAULTS: u64 = 2000;

/// `map_anonymous PAGES STRIDE`
pub(crate) fn map_anonymous() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but two numbers from 1 on is refused", usage),
            Check::outside("reports", "a failing mmap is reported, and nothing is printed", reports),
            Check::outside("output", "the pages touched and their faults are counted right", counted),
            Check::seen("demand-zero", "the memory is mapped, and not filled beforehand", demand_zero),
            Check::outside("touched", "the pages named are touched, and no others", touched),
            Check::seen("short-io", "it is right when writes are cut short", counted_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", counted_under_faults),
        ],
        demo: |nonce| many(nonce, "some pages"),
    }
}

fn touching(name: &str, pages: u64, stride: u64) -> Plan {
    let mut plan = Plan::new(name).arg(pages.to_string()).arg(stride.to_string()).judged_by(&["output", "demand-zero"]);
    plan.launch.limits.huge_pages = false;
    plan
}

fn many(nonce: &mut Nonce, name: &str) -> Plan {
    let stride = nonce.number(11, 16);
    let pages = nonce.number(8000, 9000);
    let mut plan = touching(name, pages, stride);
    plan.checks.push("touched");
    plan
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let many = many(nonce, "many pages");
    let few = touching("a stride that does not divide", 3 * nonce.number(30, 60) + 1, 3);
    let all = touching("every page", nonce.number(100, 200), 1);
    let one = touching("one page of fewer than the stride", 3, 5);
    let hard = hard_output(&few);
    let mut plans = vec![many, few, all, one];
    let huge = Plan::new("more memory than there is").arg("1000000000000").arg("1");
    plans.push(huge.reports(MAPS, None, libc::ENOMEM));
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("STRIDE is missing", &["10"]),
        bad_usage("PAGES is no number", &["ten", "1"]),
        bad_usage("every 0th page", &["10", "0"]),
    ]);
    plans.extend(hard);
    plans
}

fn arguments(run: &Run) -> (u64, u64) {
    let number = |n| run.plan.argument(n).parse().unwrap_or(1);
    (number(0), number(1))
}

/// How many pages are to be touched.
fn wanted(run: &Run) -> u64 {
    let (pages, stride) = arguments(run);
    pages.div_ceil(stride)
}

/// `output`: T is right, and F is T or a little more.
fn counted(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).evidence(command_line(run)).found();
    let printed = quoted(&run.seen.stdout.bytes);
    let Some((pages, faults)) = said(&run.seen.stdout.text()) else {
        return wrong(format!("The program printed {printed} instead of one line `touched T faults F`."));
    };
    let wanted = wanted(run);
    if pages != wanted {
        let (all, stride) = arguments(run);
        return wrong(format!(
            "The program says that it touched {pages} pages. Of {all} pages every {stride}-th, from the first on, are {wanted}."
        ));
    }
    if faults < wanted {
        return wrong(format!(
            "The program counted {faults} minor faults for {wanted} pages, and each page costs one when it is first touched: they were made before the counting began (by MAP_POPULATE, by initialising a vector), or other faults were counted. Count ru_minflt around the first touch."
        ));
    }
    if faults <= wanted + SPARE {
        return Ok(());
    }
    if (2 * wanted..=2 * wanted + SPARE).contains(&faults) {
        return wrong(format!(
            "The program counted {faults} minor faults for {wanted} pages: two a page. It looked at each page before it wrote to it: the load brought the page of zeros that all share, and the store faulted again for one of its own. Store first, and look afterwards, or swap."
        ));
    }
    wrong(format!(
        "The program counted {faults} minor faults for {wanted} pages: it touched others, or counted what it did before and after. Touch every STRIDE-th page only, and count around that alone."
    ))
}

/// The two numbers of `touched T faults F`, a line to itself.
fn said(text: &str) -> Option<(u64, u64)> {
    let line = text.strip_suffix('\n')?;
    let (pages, faults) = line.strip_prefix("touched ")?.split_once(" faults ")?;
    Some((pages.parse().ok()?, faults.parse().ok()?))
}

fn counted_under_faults(run: &Run) -> Finding {
    under_faults(run)?;
    counted(run).map_err(|objection| objection.amended(|failure| failure.reason = Reason::FaultNotHandled))
}

/// `demand-zero`: memory of that size is mapped, and not populated.
fn demand_zero(run: &Run) -> Finding {
    let (pages, _) = arguments(run);
    let seen = run.seen;
    let memory = |call: &Call| match call {
        Call::Mmap { len, flags, object, .. } => {
            let no_file = object.is_none_or(|o| !matches!(seen.object(o).kind, ObjectKind::File(_)));
            *len >= pages * PAGE && (flags & libc::MAP_ANONYMOUS != 0 || no_file)
        }
        _ => false,
    };
    let mut made = seen.successes().filter(|(_, _, call, _)| memory(call));
    let Some((_, event, call, _)) = made.next() else {
        return match seen.exit() {
            Some(_) => wrong_call(format!("No mapping of {pages} pages was made: map them, MAP_ANONYMOUS."), None),
            None => Err(Objection::open("the program ended before it mapped anything")),
        };
    };
    match call {
        Call::Mmap { flags, .. } if flags & libc::MAP_POPULATE != 0 => wrong_call(
            "The mapping is made with MAP_POPULATE: all its pages are made at once, and none is left to be made when it is touched. Leave the flag out.".into(),
            Some(event),
        ),
        _ => Ok(()),
    }
}

fn faults_of(seen: &Observation) -> u64 {
    seen.processes.iter().map(|p| p.minor_faults).sum()
}

/// `touched`: the kernel's own count over the whole run agrees.
fn touched(run: &Run) -> Finding {
    ended(run)?;
    let (wanted, faults) = (wanted(run), faults_of(run.seen));
    if faults == 0 {
        return Err(Objection::open("the kernel's count of faults could not be read"));
    }
    let message = if faults < wanted {
        format!(
            "The kernel counted {faults} minor faults in the whole run, and {wanted} pages were to be touched: most of them never were. Store a byte in each."
        )
    } else if faults > wanted + OTHER_FAULTS {
        format!(
            "The kernel counted {faults} minor faults in the whole run, where {wanted} pages were to be touched: the pages between them were touched as well. Go from page to page by STRIDE."
        )
    } else {
        return Ok(());
    };
    Failure::new(Reason::WrongState, message).evidence(command_line(run)).found()
}
