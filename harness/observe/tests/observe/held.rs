//! A thread that is held goes on when the others can do no more, not when each of them happens to wait for a moment.

use std::time::Duration;

use libtest_mimic::Trial;
use observe::{Hold, Launch, Observer, On, Schedule, Who};

use super::programs::Programs;
use super::starved::Hog;

const RELAY: &str = "behind_a_relay";

pub fn trials(observer: &Observer, programs: &Programs) -> Vec<Trial> {
    let with = |test: fn(&Observer, &Programs) -> Result<(), String>| {
        let (observer, programs) = (observer.clone(), programs.clone());
        move || Ok(test(&observer, &programs)?)
    };
    vec![
        Trial::test("held::while_others_hand_bytes_to_each_other", with(outlasts_a_relay)),
        Trial::test("held::while_others_have_a_part_of_a_processor", with(outlasts_a_slow_relay)),
    ]
}

fn outlasts_a_relay(observer: &Observer, programs: &Programs) -> Result<(), String> {
    outlasts(observer, programs.launch(RELAY))
}

/// Some three seconds of work take longer there than a hold lasts that nothing excuses.
fn outlasts_a_slow_relay(observer: &Observer, programs: &Programs) -> Result<(), String> {
    let _hog = Hog::on_the_first_processor(3);
    let mut launch = programs.launch(RELAY);
    launch.args.push("140".into());
    launch.deadline = Duration::from_secs(30);
    outlasts(observer, launch)
}

fn outlasts(observer: &Observer, mut launch: Launch) -> Result<(), String> {
    let second = Hold::new(Who::Nth(1), "write", 2).on(On::Pipe);
    launch.schedule = Schedule::Holds(vec![second]);
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    match seen.stdout.text().trim() {
        "first relayed second" => Ok(()),
        other => Err(format!("{:?} after {:?}: {other:?}\n{}", seen.ending, seen.wall, seen.stderr.text())),
    }
}
