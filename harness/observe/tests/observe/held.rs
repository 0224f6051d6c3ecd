//! A thread that is held goes on when the others can do no more, not when each of them happens to wait for a moment.

use libtest_mimic::Trial;
use observe::{Hold, Launch, Observer, On, Schedule, Side, Who};

use super::programs::Programs;

pub fn trial(observer: &Observer, programs: &Programs) -> Trial {
    let (observer, programs) = (observer.clone(), programs.clone());
    Trial::test("held::while_others_hand_bytes_to_each_other", move || Ok(outlasts_a_relay(&observer, &programs)?))
}

fn outlasts_a_relay(observer: &Observer, programs: &Programs) -> Result<(), String> {
    let second = Hold { who: Who::Nth(1), call: "write".into(), nth: 2, on: Some(On::Pipe), side: Side::Before };
    let launch = Launch { schedule: Schedule::Holds(vec![second]), ..programs.launch("behind_a_relay") };
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    match seen.stdout.text().trim() {
        "first relayed second" => Ok(()),
        other => Err(format!("{:?}: {other:?}\n{}", seen.ending, seen.stderr.text())),
    }
}
