//! `fault_report`: what a handler of SIGSEGV says before the process dies of it.

use observe::{Disposition, Event, Exit, Observation, What};

use crate::spec::Spec;
use crate::spec::common::endings::{command_line, hung};
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::text::quoted;
use crate::spec::common::{MAPS, reports, usage};
use crate::spec::signals::safe_handler;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const PAGE: u64 = 4096;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;

/// `fault_report unmapped|protected OFFSET`
pub(crate) fn fault_report() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but a kind and OFFSET is refused", usage),
            Check::outside("reports", "a failing mmap is reported", reports),
            Check::outside("output", "the address and the cause are told, on standard error", output),
            Check::outside("dies", "the process dies of SIGSEGV all the same", dies),
            Check::seen("kernel-agrees", "the processor refused that address, for that cause", kernel_agrees),
            Check::seen("from-handler", "a handler tells it", from_handler),
            Check::seen("handler-safe", "the handler does nothing that is unsafe in a handler", handler_safe),
        ],
        demo: |nonce| {
            fault("a store to a page that may be read", "protected", nonce.number(1, PAGE - 1)).drawn(drawing)
        },
    }
}

fn fault(name: &str, kind: &str, offset: u64) -> Plan {
    let plan = Plan::new(name).arg(kind).arg(offset.to_string());
    plan.judged_by(&["output", "dies", "kernel-agrees", "from-handler", "handler-safe"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let unmapped = fault("where nothing is mapped", "unmapped", nonce.number(1, PAGE - 1));
    let protected = fault("where loads are allowed", "protected", nonce.number(1, PAGE - 1));
    let no_memory = protected.again("mmap fails", &[]).reports(MAPS, None, libc::ENOMEM);
    vec![
        unmapped,
        protected,
        fault("the first byte of a page", "unmapped", 0),
        fault("the last byte of a page", "protected", PAGE - 1),
        no_memory.fault(failing(&["mmap"], None, libc::ENOMEM)),
        bad_usage("no arguments", &[]),
        bad_usage("no offset", &["protected"]),
        bad_usage("another kind", &["forgotten", "5"]),
        bad_usage("an offset that is no number", &["unmapped", "five"]),
        bad_usage("the offset of the next page's first byte", &["unmapped", "4096"]),
    ]
}

/// The address and the cause that standard error tells.
fn said(run: &Run) -> Option<(u64, String)> {
    let text = run.seen.stderr.text();
    let (address, cause) = text.strip_suffix('\n')?.strip_prefix("SIGSEGV at 0x")?.split_once(": ")?;
    Some((u64::from_str_radix(address, 16).ok()?, cause.to_owned()))
}

fn wrong(run: &Run, reason: Reason, message: String) -> Finding {
    let said = format!("standard error: {}", quoted(&run.seen.stderr.bytes));
    Failure::new(reason, message).evidence(command_line(run)).evidence(said).found()
}

/// `output`: one line, whose address has OFFSET in its last twelve bits, and the cause asked for.
fn output(run: &Run) -> Finding {
    let Some((address, cause)) = said(run) else {
        let words = "Standard error is to get one line, like `SIGSEGV at 0x7f3a52c81064: protected`, and nothing else.";
        return wrong(run, Reason::WrongOutput, words.into());
    };
    let (kind, offset) = (run.plan.argument(0), run.plan.argument(1).parse().unwrap_or(0));
    if address % PAGE != offset {
        return wrong(
            run,
            Reason::WrongOutput,
            format!(
                "The address told is byte {} of its page, and byte {offset} was to be touched: si_addr is the address itself.",
                address % PAGE
            ),
        );
    }
    if cause != kind {
        let words = format!("The cause told is `{cause}`, and it was `{kind}`: si_code tells the two apart.");
        return wrong(run, Reason::WrongOutput, words);
    }
    Ok(())
}

/// `dies`: whoever waits for the process sees what it died of.
fn dies(run: &Run) -> Finding {
    let back = "let the default action follow (SA_RESETHAND, or signal(SIGSEGV, SIG_DFL)), return, and the access is made again.";
    match run.seen.exit() {
        Some(Exit::Signal(libc::SIGSEGV)) => Ok(()),
        Some(Exit::Signal(signal)) => {
            wrong(run, Reason::Signalled, format!("The process died of signal {signal} and not of SIGSEGV: {back}"))
        }
        Some(Exit::Code(code)) => wrong(
            run,
            Reason::WrongStatus,
            format!(
                "The process exits with {code} and does not die of SIGSEGV, so whoever waits for it is told otherwise: {back}"
            ),
        ),
        None if said(run).is_none() && run.seen.stderr.text().matches("SIGSEGV").count() > 1 => wrong(
            run,
            Reason::Flooded,
            format!(
                "The handler is called again and again: it returns to the access, which is refused once more. Before it returns, {back}"
            ),
        ),
        None => hung(run.seen, run.plan.launch.deadline.as_secs()).found(),
    }
}

/// The first SIGSEGV that the processor's finding raised and that the program's own handler got: its event's index, the
/// event, `si_code` and the address. (Rust's runtime has a handler as well, until another is arranged for.)
fn refused(seen: &Observation) -> Option<(usize, &Event, i32, u64)> {
    seen.events.iter().enumerate().find_map(|(index, event)| match event.what {
        What::Signalled { signal: libc::SIGSEGV, code, address: Some(address), .. }
            if matches!(code, SEGV_MAPERR | SEGV_ACCERR) =>
        {
            Some((index, event, code, address))
        }
        _ => None,
    })
}

/// `kernel-agrees`: what is told is what the kernel told.
fn kernel_agrees(run: &Run) -> Finding {
    let Some((told, _)) = said(run) else { return Err(Objection::open("no address was told")) };
    let Some((_, event, code, address)) = refused(run.seen) else {
        let words = "No access was refused: SIGSEGV is to come from touching the page, not from kill or raise.";
        return wrong(run, Reason::WrongCalls, words.into());
    };
    let kind = if code == SEGV_MAPERR { "unmapped" } else { "protected" };
    let message = if told != address {
        format!("The processor refused address {address:#x}, and the program tells {told:#x}.")
    } else if kind != run.plan.argument(0) {
        format!("The page that was touched is {kind}, and not {}.", run.plan.argument(0))
    } else {
        return Ok(());
    };
    Failure::new(Reason::WrongCalls, message).evidence(command_line(run)).at(event.source.as_ref()).found()
}

/// `from-handler`: standard error is written between the signal's delivery and the process's end, by its thread.
fn from_handler(run: &Run) -> Finding {
    let Some((from, event, ..)) = refused(run.seen) else { return Err(Objection::open("no access was refused")) };
    let handled = matches!(event.what, What::Signalled { disposition: Disposition::Handler, .. });
    let after = run.seen.events[from + 1..].iter().filter(|e| e.thread == event.thread);
    let mut inside = after.take_while(|e| !matches!(e.what, What::HandlerReturned));
    let told = inside.any(|e| matches!(e.what, What::Called { call: observe::Call::Write { fd: 2, .. }, .. }));
    if handled && told {
        return Ok(());
    }
    let words = "The line is not written by a handler of SIGSEGV: before the access nobody knows what will be wrong with it. Arrange for a handler (sigaction, SA_SIGINFO) and let it tell.";
    Failure::new(Reason::WrongCalls, words).at(event.source.as_ref()).found()
}

fn handler_safe(run: &Run) -> Finding {
    safe_handler(run, libc::SIGSEGV)
}

/// From the access to the end.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let Some((_, _, code, address)) = refused(seen) else { return Vec::new() };
    let page = address - address % PAGE;
    let entry = if code == SEGV_MAPERR { "no entry" } else { "present, R/W = 0" };
    vec![
        format!("address {address:#x} = page {page:#x} + {}", plan.argument(1)),
        format!("        page table: {entry}"),
        "   1st  access > page fault > the kernel finds no right > SIGSEGV > handler tells, returns".into(),
        "   2nd  access > page fault > the kernel finds no right > SIGSEGV > default action: the end".into(),
    ]
}
