//! A thread that is held goes on when the others can do no more, not when each of them happens to wait for a moment.

use std::process::{Child, Command};
use std::time::Duration;

use libtest_mimic::Trial;
use observe::{Hold, Launch, Observer, On, Schedule, Who};

use super::programs::Programs;

const RELAY: &str = "behind_a_relay";
const RIVAL: &str = "busy_session";

/// Keeps the first processor busy for its life.
struct Rival(Child);

impl Rival {
    fn of(launch: &Launch) -> Rival {
        Rival(Command::new(&launch.program).args(&launch.args).spawn().expect("it was compiled"))
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn trials(observer: &Observer, programs: &Programs) -> Vec<Trial> {
    let with = |test: fn(&Observer, &Programs) -> Result<(), String>| {
        let (observer, programs) = (observer.clone(), programs.clone());
        move || Ok(test(&observer, &programs)?)
    };
    vec![
        Trial::test("held::while_others_hand_bytes_to_each_other", with(outlasts_a_relay)),
        Trial::test("held::while_others_have_a_part_of_a_processor", with(outlasts_a_slow_relay)),
        Trial::test("held::last_of_three_whoever_came_first", with(goes_on_last)),
    ]
}

fn outlasts_a_relay(observer: &Observer, programs: &Programs) -> Result<(), String> {
    outlasts(observer, programs.launch(RELAY))
}

/// Some three seconds of work take twice as long there as a hold lasts that nothing excuses, and one of the two who
/// share it has ended before the other has come to its end.
fn outlasts_a_slow_relay(observer: &Observer, programs: &Programs) -> Result<(), String> {
    let _rivals: Vec<Rival> = (0..3).map(|_| Rival::of(&programs.launch(RIVAL))).collect();
    let mut launch = programs.launch(RELAY);
    launch.args.push("140".into());
    launch.deadline = Duration::from_secs(30);
    outlasts(observer, launch)
}

/// Each child in turn is the one to go on last.
fn goes_on_last(observer: &Observer, programs: &Programs) -> Result<(), String> {
    for (child, word) in [(1, "first"), (2, "second"), (3, "third")] {
        let hold = |nth| Hold { last: nth == child, ..Hold::new(Who::Nth(nth), "write", 1).on(On::Pipe) };
        let mut launch = programs.launch("three_writers");
        launch.schedule = Schedule::Holds((1..=3).map(hold).collect());
        let seen = observer.run(&launch).map_err(|e| e.to_string())?;
        let said = seen.stdout.text();
        if said.split_whitespace().count() != 3 || said.split_whitespace().last() != Some(word) {
            return Err(format!("{word} is to be the last of {said:?}, {:?}\n{}", seen.ending, seen.stderr.text()));
        }
    }
    Ok(())
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
