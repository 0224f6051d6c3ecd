//! A program that the machine does not let run is neither said to spin nor held to its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use observe::{Ending, Launch, Observer};

use super::programs::Programs;

/// Where sessions share the processor in equal parts, a low priority is low within its own session only (sched(7)).
const BY_SESSION: &str = "/proc/sys/kernel/sched_autogroup_enabled";
const DEADLINE: Duration = Duration::from_millis(500);
/// Threads of a common priority that leave a low one next to nothing.
const HOGS: usize = 8;

/// The test, left out where nobody can be starved.
pub fn trial(observer: &Observer, programs: &Programs) -> Trial {
    let by_session = std::fs::read_to_string(BY_SESSION).is_ok_and(|text| text.trim() != "0");
    if by_session {
        eprintln!("starved: {BY_SESSION} is on, so that no program can be kept from running");
    }
    let (observer, programs) = (observer.clone(), programs.clone());
    let trial = Trial::test("starved::is_not_spinning", move || Ok(is_not_spinning(&observer, &programs)?));
    trial.with_ignored_flag(by_session)
}

fn is_not_spinning(observer: &Observer, programs: &Programs) -> Result<(), String> {
    let _hog = Hog::on_the_first_processor(HOGS);
    for trace in [true, false] {
        let mut launch = Launch { deadline: DEADLINE, ..programs.launch("at_a_low_priority") };
        launch.watch.trace = trace;
        let seen = observer.run(&launch).map_err(|e| e.to_string())?;
        let kind = seen.hang.as_ref().map(|hang| hang.kind.as_str());
        if seen.ending != Ending::Deadline || kind != Some("starved") {
            return Err(format!("traced {trace}: {:?}, {:#?}\n{}", seen.ending, seen.hang, seen.stderr.text()));
        }
        if seen.starved < DEADLINE / 2 || seen.wall < DEADLINE + DEADLINE / 2 {
            return Err(format!("traced {trace}: starved for {:?} of {:?}", seen.starved, seen.wall));
        }
    }
    Ok(())
}

/// Keeps the first processor busy for its life.
pub struct Hog {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hog {
    pub fn on_the_first_processor(threads: usize) -> Hog {
        let ended = Arc::new(AtomicBool::new(false));
        let spin = || {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let mut first = CpuSet::new();
                first
                    .set(0)
                    .and_then(|()| sched_setaffinity(Pid::from_raw(0), &first))
                    .expect("there is a processor 0");
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let threads = (0..threads).map(|_| spin()).collect();
        Hog { ended, threads }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
