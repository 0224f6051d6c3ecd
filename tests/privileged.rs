//! What no box shows, for in a box nobody is privileged: the numbers of frames. Where they can be known the solution,
//! which is trusted, is run outside of it, and judged by the same checks.

use std::fs::File;
use std::os::unix::fs::FileExt;

use grade::{Exercise, Grader, Run, Submission, Tree};
use libtest_mimic::Failed;
use observe::{Launch, Observation, Observer};

/// Whether the kernel tells this process in which frame a page of its own is.
pub fn frames_have_numbers() -> bool {
    let touched = [0_u8; 8];
    let mut entry = touched;
    let at = touched.as_ptr().addr() as u64 / 4096 * 8;
    let read = File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entry, at));
    read.is_ok() && u64::from_ne_bytes(entry) << 9 != 0
}

/// The solution prints numbers, and is right; and is wrong if a page stays in its frame.
pub fn numbers_of_frames_are_judged(grader: &Grader, exercise: &Exercise) -> Result<(), Failed> {
    let compiled = grader.compiler().compile(exercise, &Submission::Tree(Tree::Solutions))?;
    let plan = exercise.plans(1).swap_remove(0);
    let launch = Launch { program: compiled.program.to_path_buf(), here: true, ..plan.launch.clone() };
    let mut seen = Observer::new().run(&launch)?;
    let judged = |seen: &Observation| {
        let run = Run { plan: &plan, seen, baseline: None, sometimes_right: true };
        let mut checks = exercise.checks().into_iter().filter(|check| ["output", "frames"].contains(&check.id));
        checks.try_for_each(|check| (check.judge)(&run))
    };
    let text = seen.stdout.text();
    judged(&seen).map_err(|objection| format!("{objection:?}"))?;
    let moved = text.lines().find_map(|line| line.split_once(": ")?.1.split_once(" became "));
    let (before, after) = moved.filter(|(before, _)| before.starts_with("0x")).ok_or("there are no numbers")?;
    seen.stdout.bytes = text.replace(after, before).into_bytes();
    match judged(&seen) {
        Err(_) => Ok(()),
        Ok(()) => Err("a page that was written and stayed in its frame is right".into()),
    }
}
