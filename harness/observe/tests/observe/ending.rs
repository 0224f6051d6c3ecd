//! A process that has made its last call is there until its memory is given back.

use libtest_mimic::Trial;
use observe::{Ending, Exit, Observer};

use super::programs::Programs;

pub fn trial(observer: &Observer, programs: &Programs) -> Trial {
    let (observer, programs) = (observer.clone(), programs.clone());
    Trial::test("ending::takes_long_and_is_no_hang", move || Ok(takes_long(&observer, &programs)?))
}

fn takes_long(observer: &Observer, programs: &Programs) -> Result<(), String> {
    let seen = observer.run(&programs.launch("takes_long")).map_err(|e| e.to_string())?;
    let child_killed = seen.processes.get(1).is_some_and(|child| child.killed);
    if seen.ending == Ending::Ended(Exit::Code(0)) && child_killed {
        return Ok(());
    }
    Err(format!("{:?}, {:#?}\n{}", seen.ending, seen.hang, seen.stderr.text()))
}
