//! Whom a box lets make virtual machines: the launches that ask for it, and no others, on every rung that there is.

use libtest_mimic::Trial;
use observe::{Launch, Observer, kvm_refusal, probe};

/// The test.
pub fn trial(observer: &Observer) -> Trial {
    let observer = observer.clone();
    Trial::test("kvm::only_who_asks_for_it_finds_it", move || Ok(only_who_asks_for_it_finds_it(&observer)?))
}

/// Tries each rung, with and without asking.
fn only_who_asks_for_it_finds_it(observer: &Observer) -> Result<(), String> {
    for rung in probe().into_iter().filter(|report| report.available).map(|report| report.rung) {
        for asks in [true, false] {
            let mut launch = Launch::new("/bin/sh");
            launch.args = ["-c", "exec 3<>/dev/kvm && echo found"].map(Into::into).into();
            launch.rung = Some(rung);
            launch.kvm = asks;
            let seen = observer.run(&launch).map_err(|e| e.to_string())?;
            let found = seen.stdout.text().ends_with("found\n");
            if found != (asks && kvm_refusal().is_none()) {
                let (found, stderr) = (if found { "found" } else { "not found" }, seen.stderr.text());
                return Err(format!("rung {rung}, asked for: {asks}: it is {found}\n{stderr}"));
            }
        }
    }
    Ok(())
}
