//! `map_fixed`: an address that is asked for, and one that is ordered.

use observe::{Call, Event};

use super::mapping::{hard_output, is_mapped, wrong_call};
use crate::spec::Spec;
use crate::spec::common::plans::{bad_usage, failing, unwritable_output};
use crate::spec::common::{MAPS, output, reports, under_faults, usage_unless_ignored};
use crate::{Check, Finding, Nonce, Objection, Plan, Run};

/// `map_fixed`
pub(crate) fn map_fixed() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing mmap or write is reported, and nothing is printed", reports),
            Check::outside("output", "both answers are printed", output),
            Check::seen("refused", "the kernel refuses page B while page A is there", refused),
            Check::seen("replaced", "page B takes the place of page A, which nobody unmapped", replaced),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| plain(),
    }
}

fn plain() -> Plan {
    let plan = Plan::new("as it is").prints("refused: EEXIST\nA is now: B\n");
    plan.judged_by(&["output", "refused", "replaced"])
}

fn plans(_: &mut Nonce) -> Vec<Plan> {
    let plain = plain();
    let unmapped = plain.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], None, libc::ENOMEM));
    let full = unwritable_output(&plain);
    let hard = hard_output(&plain);
    let mut plans = vec![plain, unmapped, full, bad_usage("an argument", &["A"])];
    plans.extend(hard);
    plans
}

/// A call of mmap that asked for an address: which, how, and what came of it.
struct Asked<'a> {
    index: usize,
    event: &'a Event,
    address: u64,
    flags: i32,
    result: Result<i64, i32>,
}

fn asked<'a>(run: &Run<'a>) -> Vec<Asked<'a>> {
    let calls = run.seen.calls().filter_map(|(index, event, call, result)| match call {
        Call::Mmap { address, flags, .. } if *address != 0 => {
            Some(Asked { index, event, address: *address, flags: *flags, result: result? })
        }
        _ => None,
    });
    calls.collect()
}

/// `refused`: MAP_FIXED_NOREPLACE, at an address that is mapped, answered by EEXIST.
fn refused(run: &Run) -> Finding {
    let asked = asked(run);
    let careful = |a: &&Asked| a.flags & libc::MAP_FIXED_NOREPLACE != 0;
    if asked.iter().filter(careful).any(|a| a.result == Err(libc::EEXIST) && is_mapped(run, a.address, a.index)) {
        return Ok(());
    }
    match (asked.iter().find(careful), asked.first()) {
        (Some(one), _) => wrong_call(
            "MAP_FIXED_NOREPLACE is not refused: nothing of page A is at that address. Ask for the address of A while A is mapped.".into(),
            Some(one.event),
        ),
        (None, Some(one)) if one.flags & libc::MAP_FIXED == 0 => wrong_call(
            "An address without a flag is only a hint: the kernel puts the page elsewhere and refuses nothing. Ask with MAP_FIXED_NOREPLACE.".into(),
            Some(one.event),
        ),
        (None, other) => {
            let words = "Nothing is asked for with MAP_FIXED_NOREPLACE: what is said of a refusal is made up.";
            wrong_call(words.into(), other.map(|one| one.event))
        }
    }
}

/// `replaced`: MAP_FIXED at an address that is mapped.
fn replaced(run: &Run) -> Finding {
    let asked = asked(run);
    let orders: Vec<&Asked> =
        asked.iter().filter(|a| a.flags & libc::MAP_FIXED != 0 && a.flags & libc::MAP_FIXED_NOREPLACE == 0).collect();
    if orders.iter().any(|a| a.result.is_ok() && is_mapped(run, a.address, a.index)) {
        return Ok(());
    }
    if let Some(order) = orders.first() {
        let words = "Nothing is at that address any more when MAP_FIXED asks for it: leave page A mapped, MAP_FIXED itself replaces it.";
        return wrong_call(words.into(), Some(order.event));
    }
    let emptied = run.seen.successes().any(|(_, _, call, _)| matches!(call, Call::Munmap { .. }));
    match asked.last() {
        _ if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        Some(last) if emptied => wrong_call(
            "Page A is unmapped to make room: between the two calls the room is anybody's. MAP_FIXED replaces it in one step.".into(),
            Some(last.event),
        ),
        last => wrong_call("Nothing is asked for with MAP_FIXED.".into(), last.map(|one| one.event)),
    }
}
