//! That a launch and its tracer keep to one processor is nothing that a program can find out.

use std::process::Command;

use libtest_mimic::Trial;
use observe::{Ending, Exit, Observer, Rung};

use super::programs::Programs;

const PROGRAM: &str = "asks_whenever_it_can";

/// When and how it asks.
const WAYS: [&str; 8] = [
    "by_call",
    "by_proc",
    "in_a_child",
    "in_a_child_by_proc",
    "in_threads",
    "having_chosen",
    "after_much_work",
    "side_by_side",
];

pub fn trial(observer: &Observer, programs: &Programs) -> Trial {
    let (observer, programs) = (observer.clone(), programs.clone());
    Trial::test("processors::are_those_of_a_program_by_itself", move || {
        Ok(WAYS.iter().try_for_each(|way| are_its_own(&observer, &programs, way))?)
    })
}

fn are_its_own(observer: &Observer, programs: &Programs, way: &str) -> Result<(), String> {
    let mut launch = programs.launch(PROGRAM);
    launch.args.push(way.into());
    let alone = Command::new(&launch.program).args(&launch.args).output().map_err(|e| e.to_string())?;
    let expected = String::from_utf8_lossy(&alone.stdout);
    let traced = [(None, false, false), (Some(Rung::K), false, false), (None, true, false), (None, true, true)];
    let ways = traced.map(|(rung, here, turns)| (true, rung, here, turns));
    for (trace, rung, here, turns) in ways.into_iter().chain([(false, None, false, false)]) {
        (launch.watch.trace, launch.rung, launch.here, launch.turns) = (trace, rung, here, turns);
        let seen = observer.run(&launch).map_err(|e| e.to_string())?;
        let said = seen.stdout.text();
        if seen.ending != Ending::Ended(Exit::Code(0)) || expected.is_empty() || said != expected {
            let (ending, stderr) = (&seen.ending, seen.stderr.text());
            let how = format!("{way}, traced {trace}, {rung:?}, here {here}, turns {turns}: {ending:?}");
            return Err(format!("{how}\n{said}{stderr}instead of\n{expected}"));
        }
    }
    Ok(())
}
