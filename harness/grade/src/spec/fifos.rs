//! `07_fifos`: a pipe with a name, which must be made, used one way, and removed.

mod checks;
mod lifetime;
mod nonblock;
mod race;
mod server;

use observe::{Action, Content, Deed, InputFile, On, Trigger, Who};

use super::Spec;
use super::common::calls::{FORK_CALLS, OPEN_CALLS};
use super::common::plans::{bad_usage, cuts, failing, fault, interrupted, orders, unreadable, unwritable_channel};
use super::common::{FORKS, order, output, reaped, reports, under_faults, usage};
use crate::{Check, Nonce, Plan, Stage};
use checks::{child_reads, clean, create_race, existing_path, fifo_mode, one_way};

pub(crate) use lifetime::fifo_lifetime;
pub(crate) use nonblock::fifo_nonblock;
pub(crate) use race::fifo_race;
pub(crate) use server::fifo_server;

/// How people name the call that makes a FIFO.
const MAKES: &[&str] = &["mkfifo", "mknod", "open", "stat"];
/// The kernel's names of it.
const MAKE_CALLS: &[&str] = &["mknod", "mknodat"];
/// What somebody else has put at PATH.
const FOREIGN: &[u8] = b"this was here before\n";

/// `fifo_hello PATH MESSAGE`
pub(crate) fn fifo_hello() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but PATH and MESSAGE is refused", usage),
            Check::outside("reports", "a failing mkfifo, fork, read or write is reported", reports),
            Check::outside("output", "the message and a newline are printed", output),
            Check::seen("fifo-mode", "the FIFO may be read and written by its owner and by nobody else", fifo_mode),
            Check::seen("one-way", "each side opens the FIFO one way only", one_way),
            Check::seen("child-reads", "the parent writes to the FIFO; the child reads it and prints", child_reads),
            Check::outside("existing-path", "what is at PATH already is an error, and stays untouched", existing_path),
            Check::seen("create-race", "nothing that appears at PATH meanwhile is used or removed", create_race),
            Check::outside("clean", "the FIFO is gone at the end, also after a failure", clean),
            Check::seen("reaped", "the child is waited for", reaped),
            Check::seen("order", "the message arrives whoever opens first", order),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted, open among them", under_faults),
        ],
        demo: hello,
    }
}

fn hello(nonce: &mut Nonce) -> Plan {
    let (path, len) = (nonce.word(5), nonce.number(20, 200) as usize);
    let message = nonce.sentence(len);
    Plan::new("a message").arg(path).arg(message.clone()).prints(format!("{message}\n")).judged_by(&[
        "output",
        "one-way",
        "child-reads",
        "create-race",
        "clean",
        "reaped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = hello(nonce);
    let path = plain.argument(0);
    let mut plans = vec![plain.clone()];
    plans.extend(orders(&plain, &["order", "clean", "reaped"]));
    plans.extend(taken(&plain, &path));
    plans.extend(failures(&plain, &path));
    plans.push(kept(&plain));
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("no message", &["pipe"]),
        bad_usage("one too many", &["pipe", "a", "b"]),
    ]);
    plans.extend(cuts(&plain, &[On::Fifo, On::Stdout]));
    plans.push(interrupted_opens(interrupted(&plain, &[On::Fifo, On::Stdout, On::Pipe])));
    plans
}

/// With each side's own first open interrupted, whoever comes first.
fn interrupted_opens(mut plan: Plan) -> Plan {
    for who in [Who::Root, Who::Descendants] {
        let open = fault(OPEN_CALLS, observe::Nth::Alternate, None, observe::Effect::Fail(libc::EINTR));
        plan = plan.fault(observe::Fault { who, ..open });
    }
    plan
}

/// Something is at PATH: before the program starts, or just before it makes its FIFO.
fn taken(plain: &Plan, path: &str) -> Vec<Plan> {
    let refused = |name: &str, check| plain.again(name, &[check]).prints("").exits(1).at(Stage::Refusal);
    let foreign = InputFile::new(path, FOREIGN);
    let fifo = InputFile { path: path.into(), content: Content::Fifo, mode: 0o644 };
    let appears = Action {
        when: Trigger::Before { calls: MAKE_CALLS.iter().map(|c| c.to_string()).collect(), nth: 1 },
        what: Deed::WriteFile { path: path.into(), bytes: FOREIGN.to_vec() },
    };
    vec![
        refused("a file is at PATH", "existing-path")
            .file(foreign)
            .because(format!("When a file {path} is there already")),
        refused("a FIFO is at PATH", "existing-path")
            .file(fifo)
            .because(format!("When a FIFO {path} is there already")),
        refused("a file appears at PATH", "create-race")
            .action(appears)
            .because(format!("When a file {path} appears just before the FIFO is made")),
    ]
}

/// Calls that fail; the FIFO must be gone all the same.
fn failures(plain: &Plan, path: &str) -> Vec<Plan> {
    let nowhere =
        Plan::new("mkfifo fails").arg("nowhere/fifo").arg("hello").reports(MAKES, Some("nowhere"), libc::ENOENT);
    let mut childless = plain
        .again("fork fails", &[])
        .reports(FORKS, None, libc::EAGAIN)
        .fault(failing(FORK_CALLS, None, libc::EAGAIN))
        .because("When fork fails");
    childless.checks.push("clean");
    let mut unopened = failing(OPEN_CALLS, None, libc::EMFILE);
    unopened.who = Who::Root;
    let unopened = plain
        .again("the parent's open fails", &["clean"])
        .exits(1)
        .at(Stage::Refusal)
        .fault(unopened)
        .because(format!("When the parent cannot open {path}"));
    let mut unsent = unwritable_channel(plain, On::Fifo);
    unsent.checks.push("clean");
    vec![nowhere, childless, unopened, unsent, unreadable(plain, On::Fifo, "the FIFO")]
}

/// The FIFO cannot be removed, so that its mode is still to be seen at the end.
fn kept(plain: &Plan) -> Plan {
    plain
        .again("the FIFO stays to be looked at", &["fifo-mode"])
        .fault(failing(&["unlink", "unlinkat"], None, libc::EPERM))
        .at(Stage::Order)
}
