//! `map_unmap`: a hole in a mapping.

use std::path::Path;

use observe::{Call, InputFile, On, What};

use super::mapping::{PAGE, hard_output, mappings, wrong_call};
use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, ROOT};
use crate::spec::common::plans::{bad_usage, failing, orders};
use crate::spec::common::{FORKS, MAPS, OPENS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `map_unmap FILE`
pub(crate) fn map_unmap() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open, mmap, munmap or fork is reported", reports),
            Check::outside("output", "two regions are left, and the child dies", output),
            Check::seen("hole", "the middle page of three is unmapped, and no other", hole),
            Check::seen("listed", "the regions are those that the kernel lists", listed),
            Check::seen("stepped-into", "the child touches the hole", stepped_into),
            Check::seen("order", "the parent waits for the child, whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| with_file(nonce, "a file", 4 * PAGE),
    }
}

fn with_file(nonce: &mut Nonce, name: &str, len: u64) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let content = nonce.text(len as usize);
    let plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file, content));
    plan.prints("1 r--p\n1 r--p\nchild: SIGSEGV\n").judged_by(&["output", "hole", "listed", "stepped-into", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let exact = with_file(nonce, "a file of three pages", 3 * PAGE);
    let len = nonce.number(3 * PAGE + 1, 9 * PAGE);
    let longer = with_file(nonce, "a longer file", len);
    let file = exact.argument(0);
    let data = On::File(file.clone().into());
    let unmapped = exact.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(data), libc::ENOMEM));
    // The kernel refuses to make two regions of one where there are too many already.
    let whole = exact.again("munmap fails", &[]).reports(&["munmap", "unmap"], None, libc::ENOMEM);
    let whole = whole.fault(failing(&["munmap"], None, libc::ENOMEM));
    let mut childless = exact.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN);
    childless.expect.stdout = None;
    let childless = childless.fault(failing(FORK_CALLS, None, libc::EAGAIN));
    let missing = Plan::new("no such file").arg("missing.bin").reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let hard = hard_output(&exact);
    let orders = orders(&exact, &["order", "reaped"]);
    let mut plans = vec![exact, longer];
    plans.extend(orders);
    plans.extend([missing, unmapped, whole, childless, bad_usage("no arguments", &[])]);
    plans.push(bad_usage("one too many", &["a.bin", "b.bin"]).file(InputFile::new("a.bin", "abc\n")));
    plans.extend(hard);
    plans
}

/// Where the hole is to be: the middle page of the three mapped.
fn middle(run: &Run) -> Result<u64, Objection> {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    match made.iter().find(|m| m.len == 3 * PAGE) {
        Some(mapping) => Ok(mapping.start + PAGE),
        None if made.is_empty() => Err(Objection::open(format!("{path} was not mapped"))),
        None => {
            let words = format!("No three pages of {path} are mapped at once.");
            Err(Failure::new(Reason::WrongCalls, words).at(made[0].event.source.as_ref()).into())
        }
    }
}

/// `hole`: just that page is unmapped, before the fork.
fn hole(run: &Run) -> Finding {
    let middle = middle(run)?;
    let all = middle - PAGE..middle + 2 * PAGE;
    let unaligned = run.seen.calls().find(|(_, _, call, result)| {
        matches!(call, Call::Munmap { address, .. } if all.contains(address) && address % PAGE != 0)
            && *result == Some(Err(libc::EINVAL))
    });
    if let Some((_, event, ..)) = unaligned {
        let words = "munmap refuses an address within a page (EINVAL): only whole pages can be unmapped. The middle page begins 4096 bytes behind the start.";
        return wrong_call(words.into(), Some(event));
    }
    let forked = run.seen.events.iter().position(|e| matches!(e.what, What::Forked { .. })).unwrap_or(usize::MAX);
    let mut gone = Vec::new();
    for (index, event, call, _) in run.seen.successes() {
        let Call::Munmap { address, len, .. } = call else { continue };
        let pages = (all.start..all.end).step_by(PAGE as usize);
        let hit: Vec<u64> = pages.filter(|page| (*address..address.saturating_add(*len)).contains(page)).collect();
        if index < forked && event.process == ROOT && !hit.is_empty() {
            gone.push((event, hit));
        }
    }
    let Some((event, _)) = gone.first() else {
        return wrong_call("No page of the three is unmapped before the child is made.".into(), None);
    };
    match gone.iter().find(|(_, hit)| hit.iter().any(|page| *page != middle)) {
        Some((event, hit)) if hit.len() > 1 => wrong_call(
            format!("munmap takes {} of the three pages away: give it the middle one alone.", hit.len()),
            Some(event),
        ),
        Some((event, _)) => wrong_call("The page that is unmapped is not the middle one.".into(), Some(event)),
        None if gone.len() > 1 => wrong_call("The page is unmapped more than once.".into(), Some(event)),
        None => Ok(()),
    }
}

/// `listed`: the kernel is asked for the regions after the page was unmapped.
fn listed(run: &Run) -> Finding {
    let middle = middle(run)?;
    let cut = run.seen.successes().find_map(|(index, _, call, _)| match call {
        Call::Munmap { address, .. } if *address == middle => Some(index),
        _ => None,
    });
    let cut = cut.ok_or_else(|| Objection::open("the middle page was not unmapped"))?;
    let of_regions = |path: &Path| path.starts_with("/proc") && path.to_string_lossy().contains("map");
    let asked = run.seen.events[cut..].iter().any(|event| match &event.what {
        What::Called { call: Call::Open { path, .. } | Call::Look { path, .. }, result: Some(Ok(_)), .. } => {
            of_regions(path)
        }
        What::Called { call: Call::Read { object: Some(object), .. }, .. } => match &run.seen.object(*object).kind {
            observe::ObjectKind::File(path) => of_regions(path),
            _ => false,
        },
        _ => false,
    });
    if asked {
        return Ok(());
    }
    let words = "The regions are printed by heart: after munmap nobody looks into /proc/self/maps, where the kernel lists what is left.";
    wrong_call(words.into(), Some(&run.seen.events[cut]))
}

/// `stepped-into`: a child gets SIGSEGV for an address in the hole.
fn stepped_into(run: &Run) -> Finding {
    let middle = middle(run)?;
    let hit = run.seen.events.iter().find_map(|event| match event.what {
        What::Signalled { signal: libc::SIGSEGV, address, .. } => Some((event, address)),
        _ => None,
    });
    match hit {
        Some((event, Some(address))) if (middle..middle + PAGE).contains(&address) && event.process != ROOT => Ok(()),
        Some((event, Some(_))) if event.process == ROOT => {
            wrong_call("The program touches the hole itself: let a child do it.".into(), Some(event))
        }
        Some((event, _)) => wrong_call("The child gets SIGSEGV, but not for an address in the hole.".into(), Some(event)),
        None if run.seen.processes.len() == 1 => {
            wrong_call("There is no child: what is said of it is made up. Fork one, and let it load a byte of the hole.".into(), None)
        }
        None => wrong_call(
            "No child gets SIGSEGV: none touches the hole, or the compiler left the load out because nobody uses what it loads (read it volatile). What is printed of the child is to come from waitpid.".into(),
            None,
        ),
    }
}
