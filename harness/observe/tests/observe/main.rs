//! What the observer says of small programs whose doings are known. The programs are real, and so are their boxes.

mod hangs;
mod programs;

use libtest_mimic::{Arguments, Trial};
use observe::{Launch, Observer, Rung};
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
    let arguments = Arguments::from_args();
    let bench = Bench {
        observer: Observer::new(),
        hangs: Programs::compile(&programs::root().join("fixtures/hangs")),
        waiting: Programs::compile(&programs::root().join("fixtures/waiting")),
    };
    let mut trials = Vec::new();
    for name in bench.hangs.names.clone() {
        let with = bench.clone();
        trials.push(Trial::test(format!("hangs::{name}_is_explained"), move || Ok(explained(&with, &name)?)));
    }
    for name in bench.waiting.names.clone() {
        let with = bench.clone();
        trials.push(Trial::test(format!("waiting::{name}_is_no_hang"), move || Ok(waits(&with, &name)?)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn explained(bench: &Bench, name: &str) -> Result<(), String> {
    let expected = hangs::Expected::read(&bench.hangs, name);
    for (trace, rung) in ways(bench.hangs.needs_namespaces(name)) {
        let launch = Launch { rung, ..expected.launch(&bench.hangs, trace) };
        let seen = bench.observer.run(&launch).map_err(|e| e.to_string())?;
        match trace {
            true => expected.check(&seen)?,
            false => expected.check_untraced(&seen)?,
        }
    }
    Ok(())
}

fn waits(bench: &Bench, name: &str) -> Result<(), String> {
    for (trace, rung) in ways(bench.waiting.needs_namespaces(name)) {
        let mut launch = Launch { rung, ..hangs::waiting(&bench.waiting, name) };
        launch.watch.trace = trace;
        let seen = bench.observer.run(&launch).map_err(|e| e.to_string())?;
        hangs::check_waiting(name, &seen)?;
    }
    Ok(())
}

/// Traced in the best box and in one without namespaces, and from /proc alone.
fn ways(namespaces: bool) -> impl Iterator<Item = (bool, Option<Rung>)> {
    let all = [(true, None), (false, None), (true, Some(Rung::K))];
    all.into_iter().filter(move |(_, rung)| !namespaces || rung.is_none())
}
