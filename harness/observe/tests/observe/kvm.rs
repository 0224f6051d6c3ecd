//! Whom a box lets make virtual machines: the launches that ask for it, and no others, on every rung that there is.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use libtest_mimic::Trial;
use observe::{Launch, Observer, probe};

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
            if found != (asks && can_be_had()) {
                let (found, stderr) = (if found { "found" } else { "not found" }, seen.stderr.text());
                return Err(format!("rung {rung}, asked for: {asks}: it is {found}\n{stderr}"));
            }
        }
    }
    Ok(())
}

/// Whether an ordinary user could open the device: this one, or whom root becomes, who has the device's group.
fn can_be_had() -> bool {
    let may = |device: fs::Metadata| {
        let group = device.mode() & 0o060 == 0o060 && device.gid() != 0;
        !nix::unistd::geteuid().is_root() || group || device.mode() & 0o006 == 0o006
    };
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    opened.and_then(|device| device.metadata()).is_ok_and(may)
}
