//! `map_sigbus`: a file that is truncated while it is mapped.

use observe::{Action, Call, Deed, InputFile, On, Stdin, Trigger, What};

use super::mapping::{PAGE, mapped, wrong_call};
use crate::spec::Spec;
use crate::spec::common::calls::{FORK_CALLS, WRITES};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unreadable};
use crate::spec::common::{FORKS, MAPS, OPENS, output, reaped, reports, under_faults, usage};
use crate::spec::signals::safe_handler;
use crate::{Check, Finding, Nonce, Objection, Plan, Run};

const READY: &[u8] = b"ready\n";

/// `map_sigbus FILE`
pub(crate) fn map_sigbus() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open, mmap, fork or read of standard input is reported", reports),
            Check::outside("output", "the first page that is gone is told, and the program survives", output),
            Check::seen("mapped", "FILE is mapped, and its contents are never read", mapped),
            Check::seen("touched", "the page itself is tried, not the size of the file", touched),
            Check::seen("handler-safe", "a handler does nothing that is unsafe in a handler", handler_safe),
            Check::seen("reaped", "a child, if there is one, is waited for", reaped),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| truncated(nonce, "truncated", 8 * PAGE, 3 * PAGE + 100),
    }
}

/// A file of so many bytes, of which these are left when the program goes on.
fn truncated(nonce: &mut Nonce, name: &str, len: u64, left: u64) -> Plan {
    let gone = left.div_ceil(PAGE);
    let answer = if gone < len.div_ceil(PAGE) { format!("gone at page {gone}\n") } else { "all there\n".into() };
    let file = format!("{}.bin", nonce.word(6));
    let content = nonce.text(len as usize);
    let mut plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file.clone(), content));
    plan.launch.stdin = Stdin::Open(Vec::new());
    let then = |what| Action { when: Trigger::AfterPrevious, what };
    plan.action(Action {
        when: Trigger::Printed(READY.to_vec()),
        what: Deed::Truncate { path: file.into(), len: left },
    })
    .action(then(Deed::Feed(b"go\n".to_vec())))
    .action(then(Deed::CloseStdin))
    .prints([READY, answer.as_bytes()].concat())
    .judged_by(&["output", "mapped", "touched", "handler-safe", "reaped"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let (pages, left) = (nonce.number(20, 40), nonce.number(2, 15));
    let within = nonce.number(1, PAGE - 1);
    let inside = truncated(nonce, "truncated within a page", pages * PAGE, left * PAGE + within);
    let between = truncated(nonce, "truncated between pages", pages * PAGE - 77, left * PAGE);
    let last = truncated(nonce, "the last page gone", pages * PAGE + 5, pages * PAGE);
    let emptied = truncated(nonce, "emptied", 3 * PAGE, 0);
    let whole = truncated(nonce, "left alone", pages * PAGE - 5, pages * PAGE - 5);
    let whole = whole.judged_by(&["output", "mapped", "reaped"]);
    let file = inside.argument(0);
    let data = On::File(file.clone().into());
    let unmapped = inside.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(data), libc::ENOMEM));
    let mut childless = inside.again("fork fails", &[]).reports(FORKS, None, libc::EAGAIN);
    childless.expect.stdout = None;
    let childless = childless.fault(failing(FORK_CALLS, None, libc::EAGAIN));
    let missing = Plan::new("no such file").arg("missing.bin").reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let hard = [cut(&inside, &[On::Stdout], WRITES, "write", 3), interrupted(&inside, &[On::Stdin, On::Stdout])];
    let mut unheard = unreadable(&inside, On::Stdin, "standard input");
    // Who goes on may be right by chance.
    unheard.expect.stdout = None;
    let mut plans = vec![inside, between, last, emptied, whole, missing, unmapped, childless, unheard];
    plans.push(bad_usage("no arguments", &[]));
    plans.push(bad_usage("one too many", &["a.bin", "b.bin"]).file(InputFile::new("a.bin", "abc\n")));
    plans.extend(hard);
    plans
}

/// `touched`: a load was answered by SIGBUS, or a call that was to take bytes from the mapping by an error.
fn touched(run: &Run) -> Finding {
    let tried = run.seen.events.iter().any(|event| match &event.what {
        What::Signalled { signal: libc::SIGBUS, .. } => true,
        What::Called { result: Some(Err(libc::EFAULT | libc::EIO)), .. } => !event.startup,
        _ => false,
    });
    if tried {
        return Ok(());
    }
    if run.seen.actions_done == 0 {
        return Err(Objection::open("the program never said that it was ready"));
    }
    let asked = run.seen.calls().filter(|(_, _, call, _)| matches!(call, Call::Look { .. } | Call::Seek { .. }));
    match asked.last() {
        Some((_, event, ..)) => wrong_call(
            "The page that is gone is never touched: the size of FILE is asked for instead. Between the answer and the load FILE may be truncated once more. Load the byte, and survive it.".into(),
            Some(event),
        ),
        None => wrong_call("The page that is gone is never touched.".into(), None),
    }
}

/// `handler-safe`: what the handler of SIGBUS calls is safe there.
fn handler_safe(run: &Run) -> Finding {
    safe_handler(run, libc::SIGBUS)
}
