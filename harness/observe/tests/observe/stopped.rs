//! Of a program that had to be stopped only the beginning is kept.

use std::time::Duration;

use libtest_mimic::Trial;
use observe::{Ending, Launch, Observer};

const KEPT: usize = 20_000;

pub fn trial(observer: &Observer) -> Trial {
    let observer = observer.clone();
    Trial::test("stopped::tells_its_beginning", move || Ok(tells_its_beginning(&observer)?))
}

fn tells_its_beginning(observer: &Observer) -> Result<(), String> {
    let mut launch = Launch { deadline: Duration::from_secs(4), ..Launch::new("/bin/sh") };
    launch.args = ["-c", "while :; do true < missing; done 2> /dev/null"].map(Into::into).into();
    launch.watch.sources = false;
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    // How many there are in that time is the machine's affair.
    if seen.ending == Ending::Deadline && seen.events.len() <= KEPT && seen.truncated == (seen.events.len() == KEPT) {
        return Ok(());
    }
    Err(format!("{:?}, {} events, truncated {}", seen.ending, seen.events.len(), seen.truncated))
}
