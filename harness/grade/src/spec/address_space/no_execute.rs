//! `no_execute`: a page of data that is called, and one of code.

use observe::{Call, Event, Observation, What};

use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, ROOT};
use crate::spec::common::plans::{bad_usage, failing, orders, unwritable_output};
use crate::spec::common::{FORKS, MAPS, order, output, reaped, reports, under_faults, usage_unless_ignored};
use crate::spec::mmap::mapping::{hard_output, is_mapped, wrong_call};
use crate::{Check, Finding, Nonce, Objection, Plan, Run};

const SEGV_ACCERR: i32 = 2;

/// `no_execute`
pub(crate) fn no_execute() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing mmap, mprotect, fork or write is reported", reports),
            Check::outside("output", "the child dies, and then 42 is returned", output),
            Check::seen("refused", "the child calls a page that is mapped and not executable", refused),
            Check::seen("executable", "memory of the program's own is made executable", executable),
            Check::seen("never-both", "no page is writable and executable at once", never_both),
            Check::seen("order", "the child is dead before it is told, whoever runs first", order),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| plain().drawn(drawing),
    }
}

fn plain() -> Plan {
    let plan = Plan::new("as it is").prints("child: SIGSEGV\n42\n");
    plan.judged_by(&["output", "refused", "executable", "never-both", "reaped"])
}

fn plans(_: &mut Nonce) -> Vec<Plan> {
    let plain = plain();
    let fails = |name: &str, names, calls: &[&str], errno| {
        let mut plan = plain.again(name, &[]).reports(names, None, errno);
        // What the child came to may have been told by then.
        plan.expect.stdout = None;
        plan.fault(failing(calls, None, errno))
    };
    let mut plans = vec![
        plain.clone(),
        fails("mmap fails", MAPS, &["mmap"], libc::ENOMEM),
        fails("mprotect fails", &["mprotect", "protect"], &["mprotect"], libc::EACCES),
        fails("fork fails", FORKS, FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        bad_usage("an argument", &["now"]),
    ];
    plans.extend(orders(&plain, &["order", "reaped"]));
    plans.extend(hard_output(&plain));
    plans
}

/// Memory that is mapped, or changed, with these rights: the event, and the address.
fn given(seen: &Observation, rights: i32) -> impl Iterator<Item = (&Event, u64)> {
    seen.successes().filter_map(move |(_, event, call, value)| match call {
        Call::Mmap { prot, .. } if prot & rights == rights => Some((event, value as u64)),
        Call::Mprotect { prot, address, .. } if prot & rights == rights => Some((event, *address)),
        _ => None,
    })
}

/// `refused`: a child gets SIGSEGV for a page that is there, and does not allow this.
fn refused(run: &Run) -> Finding {
    let deaths = run.seen.events.iter().enumerate().filter_map(|(index, event)| match event.what {
        What::Signalled { signal: libc::SIGSEGV, code, address, .. } => Some((index, event, code, address)),
        _ => None,
    });
    let deaths: Vec<_> = deaths.collect();
    let of_child = |(index, event, code, address): &(usize, &Event, i32, Option<u64>)| {
        let there = address.is_some_and(|address| is_mapped(run, address, *index));
        event.process != ROOT && *code == SEGV_ACCERR && there
    };
    if deaths.iter().any(of_child) {
        return Ok(());
    }
    match deaths.first() {
        Some((_, event, ..)) if event.process == ROOT => {
            wrong_call("The program itself gets SIGSEGV: let a child call the page, for it is the end of it.".into(), Some(event))
        }
        Some((_, event, ..)) => wrong_call(
            "The child gets SIGSEGV, but not for calling a page that is mapped: it is to call the code that was written, while the page may be read and written only.".into(),
            Some(event),
        ),
        None if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        None if run.seen.processes.len() == 1 => {
            wrong_call("There is no child: what is said of it is made up.".into(), None)
        }
        None => wrong_call("No child gets SIGSEGV: none calls the page while it is data.".into(), None),
    }
}

/// `executable`: 42 can come from a call of it.
fn executable(run: &Run) -> Finding {
    if given(run.seen, libc::PROT_EXEC).next().is_some() {
        return Ok(());
    }
    match run.seen.exit() {
        Some(_) => wrong_call("No memory is made executable, so no code of the program's making can have returned 42: mprotect(PROT_READ | PROT_EXEC), and call it.".into(), None),
        None => Err(Objection::open("the program came to no end")),
    }
}

/// `never-both`: W^X.
fn never_both(run: &Run) -> Finding {
    match given(run.seen, libc::PROT_WRITE | libc::PROT_EXEC).next() {
        Some((event, _)) => wrong_call(
            "The page is writable and executable at once: whoever can write there can run what he likes. Write first, then give up PROT_WRITE for PROT_EXEC.".into(),
            Some(event),
        ),
        None => Ok(()),
    }
}

/// The page's rights, and what a call of it comes to.
fn drawing(_: &Plan, seen: &Observation) -> Vec<String> {
    let mut lines = vec!["the page   read  write  execute   a call of it".to_string()];
    let end = if seen.events.iter().any(|e| matches!(e.what, What::Signalled { signal: libc::SIGSEGV, .. })) {
        "page fault: NX is set > SIGSEGV"
    } else {
        "was not tried"
    };
    lines.push(format!("as data     yes    yes      no     {end}"));
    if given(seen, libc::PROT_EXEC).next().is_some() {
        lines.push("as code     yes     no     yes     mov eax, 42; ret > 42".into());
    }
    lines
}
