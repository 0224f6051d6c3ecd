//! What the observer says of small programs whose doings are known. The programs are real, and so are their boxes.

mod descriptors;
mod ending;
mod hangs;
mod held;
mod kvm;
mod processors;
mod programs;
mod starved;
mod stopped;
mod strace;

use libtest_mimic::{Arguments, Trial};
use observe::{
    Action, Call, Deed, Effect, Ending, Event, Exit, Fault, Launch, Nth, ObjectKind, Observation, Observer, On, Rung,
    Stdin, Trigger, What, Who,
};
use programs::Programs;

/// What every test needs.
#[derive(Clone, Debug)]
pub struct Bench {
    observer: Observer,
    hangs: Programs,
    waiting: Programs,
}

fn main() {
    observe::supervise_if_asked();
    if std::env::args().nth(1).as_deref() == Some(descriptors::ARGUMENT) {
        return descriptors::ask();
    }
    let arguments = Arguments::from_args();
    let bench = Bench {
        observer: Observer::new(),
        hangs: Programs::compile(&programs::root().join("fixtures/hangs")),
        waiting: Programs::compile(&programs::root().join("fixtures/waiting")),
    };
    let mut trials = Vec::new();
    for name in bench.hangs.names.clone() {
        let (with, here) = (bench.clone(), bench.hangs.can_run(&name));
        let trial = Trial::test(format!("hangs::{name}_is_explained"), move || Ok(explained(&with, &name)?));
        trials.push(trial.with_ignored_flag(!here));
    }
    for name in bench.waiting.names.clone() {
        let (with, here) = (bench.clone(), bench.waiting.can_run(&name));
        let trial = Trial::test(format!("waiting::{name}_is_no_hang"), move || Ok(waits(&with, &name)?));
        trials.push(trial.with_ignored_flag(!here));
    }
    trials.push(starved::trial(&bench.observer, &Programs::compile(&programs::root().join("fixtures/starved"))));
    trials.extend(held::trials(&bench.observer, &Programs::compile(&programs::root().join("fixtures/held"))));
    let processors = Programs::compile(&programs::root().join("fixtures/processors"));
    trials.push(processors::trial(&bench.observer, &processors));
    trials.push(ending::trial(&bench.observer, &Programs::compile(&programs::root().join("fixtures/ending"))));
    trials.push(descriptors::trial(&bench.observer));
    trials.push(kvm::trial(&bench.observer));
    trials.push(stopped::trial(&bench.observer));
    trials.extend(strace::trials(&bench.observer, &bench.waiting));
    trials.push(Trial::test("faults::read_made_again_counts_once", move || Ok(counts_once(&bench)?)));
    libtest_mimic::run(&arguments, trials).exit();
}

fn explained(bench: &Bench, name: &str) -> Result<(), String> {
    let expected = hangs::Expected::read(&bench.hangs, name);
    for (trace, rung) in ways(bench.hangs.needs_namespaces(name)) {
        let launch = Launch { rung, ..expected.launch(&bench.hangs, trace) };
        // A machine that has no time for the observer makes it late: one prompt call in a few is asked for.
        for remaining in (0..ATTEMPTS).rev() {
            let seen = bench.observer.run(&launch).map_err(|e| e.to_string())?;
            match trace {
                true => expected.check(&seen)?,
                false => expected.check_untraced(&seen)?,
            }
            match hangs::latency(&seen).filter(|late| *late > hangs::PROMPT) {
                Some(late) if remaining == 0 => return Err(format!("{name}: called {late:?} after it had formed")),
                Some(_) => continue,
                None => break,
            }
        }
    }
    Ok(())
}

/// Runs in which a hang must be called promptly once.
const ATTEMPTS: usize = 5;

fn waits(bench: &Bench, name: &str) -> Result<(), String> {
    for (trace, rung) in ways(bench.waiting.needs_namespaces(name)) {
        let mut launch = Launch { rung, ..hangs::waiting(&bench.waiting, name) };
        launch.watch.trace = trace;
        let seen = bench.observer.run(&launch).map_err(|e| e.to_string())?;
        hangs::check_waiting(name, &seen)?;
    }
    Ok(())
}

/// The parent reads once, whatever the kernel makes of that: its second read is never made, and so cannot fail.
fn counts_once(bench: &Bench) -> Result<(), String> {
    let mut launch = hangs::waiting(&bench.waiting, "read_broken_off");
    launch.stdin = Stdin::Open(Vec::new());
    launch.actions = vec![Action { when: Trigger::AllBlocked, what: Deed::Feed(b"x".into()) }; 2];
    let second = Nth::Only(2);
    let (calls, on, effect) = (vec!["read".into()], Some(On::Pipe), Effect::Fail(5));
    launch.faults = vec![Fault { who: Who::Root, calls, nth: second, on, effect }];
    let seen = bench.observer.run(&launch).map_err(|e| e.to_string())?;
    let reads = seen.calls().filter(|(_, event, ..)| event.process.0 == 0 && is_read_of_pipe(&seen, event)).count();
    match seen.ending {
        // Seen twice, and counted once.
        Ending::Ended(Exit::Code(0)) if reads == 2 => Ok(()),
        ending => Err(format!("{ending:?} after {reads} reads\n{}", seen.stderr.text())),
    }
}

fn is_read_of_pipe(seen: &Observation, event: &Event) -> bool {
    let What::Called { call: Call::Read { object: Some(object), .. }, .. } = &event.what else { return false };
    seen.object(*object).kind == ObjectKind::Pipe
}

/// Traced in the best box and in one without namespaces, and from /proc alone.
fn ways(namespaces: bool) -> impl Iterator<Item = (bool, Option<Rung>)> {
    let all = [(true, None), (false, None), (true, Some(Rung::K))];
    all.into_iter().filter(move |(_, rung)| !namespaces || rung.is_none())
}
