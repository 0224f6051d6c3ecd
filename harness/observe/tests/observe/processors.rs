//! That a launch and its tracer keep to one processor is nothing that a program can find out.

use std::process::Command;

use libtest_mimic::Trial;
use observe::{Ending, Exit, Observer, Rung};

use super::programs::Programs;

const PROGRAM: &str = "asks_whenever_it_can";

/// When and how it asks.
const WAYS: [&str; 7] =
    ["by_call", "by_proc", "in_a_child", "in_a_child_by_proc", "in_threads", "having_chosen", "after_much_work"];

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
    let traced = [(true, None, false), (true, Some(Rung::K), false), (true, None, true)];
    for (trace, rung, here) in traced.into_iter().chain([(false, None, false)]) {
        (launch.watch.trace, launch.rung, launch.here) = (trace, rung, here);
        let seen = observer.run(&launch).map_err(|e| e.to_string())?;
        let said = seen.stdout.text();
        if seen.ending != Ending::Ended(Exit::Code(0)) || expected.is_empty() || said != expected {
            let (ending, stderr) = (&seen.ending, seen.stderr.text());
            let how = format!("{way}, traced {trace}, {rung:?}, here {here}: {ending:?}");
            return Err(format!("{how}\n{said}{stderr}instead of\n{expected}"));
        }
    }
    Ok(())
}
