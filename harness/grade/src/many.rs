//! Many submissions at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::{Exercise, Grader, Submission, Verdict};

/// One submission for one exercise.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which exercise.
    pub exercise: Exercise,
    /// Whose answer.
    pub submission: Submission,
}

/// How the grading of many goes on. Items are told by their index.
#[derive(Clone, Copy, Debug)]
pub enum Grading<'a> {
    /// One was begun.
    Begun(usize),
    /// One was finished.
    Done(usize, &'a Verdict),
}

impl Grader {
    /// As [`Grader::grade_each`]; the verdicts come back in the items' order.
    pub fn grade_many(&self, jobs: usize, items: &[Item], tell: &(dyn Fn(Grading) + Sync)) -> Vec<Verdict> {
        let done = Mutex::new(BTreeMap::new());
        self.grade_each(jobs, items, &|grading| {
            tell(grading);
            if let Grading::Done(index, verdict) = grading {
                done.lock().unwrap_or_else(|p| p.into_inner()).insert(index, verdict.clone());
            }
        });
        done.into_inner().unwrap_or_else(|p| p.into_inner()).into_values().collect()
    }

    /// Grades them all, `jobs` at a time, and tells `tell` as each is begun and finished; nothing is kept of one that is
    /// done. Once interrupted, the rest are harness faults that say so.
    pub fn grade_each(&self, jobs: usize, items: &[Item], tell: &(dyn Fn(Grading) + Sync)) {
        let jobs = jobs.clamp(1, items.len().max(1));
        let workers = if jobs > 1 { 1 } else { self.options().workers };
        let next = AtomicUsize::new(0);
        let processors = to_fill(jobs);
        std::thread::scope(|scope| {
            for worker in 0..jobs {
                let (next, processors) = (&next, &processors);
                scope.spawn(move || {
                    if let Some(processor) = processors.get(worker % processors.len().max(1)) {
                        // Where it may not be had, it is only slower.
                        let _ = sched_setaffinity(Pid::from_raw(0), processor);
                    }
                    loop {
                        let index = next.fetch_add(1, Ordering::SeqCst);
                        let Some(item) = items.get(index) else { break };
                        tell(Grading::Begun(index));
                        let verdict = self.grade_with(&item.exercise, &item.submission, workers);
                        tell(Grading::Done(index, &verdict));
                    }
                });
            }
        });
    }
}

/// The processors one by one, if so many workers fill them all: each worker then keeps to one, with all that it starts. A
/// program and its tracer wake each other at every call, and on two processors each time out of one's sleep: a quarter
/// more time for the same class. Where there are more processors than workers, the kernel knows better which are free.
fn to_fill(jobs: usize) -> Vec<CpuSet> {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let each: Vec<usize> = (0..CpuSet::count()).filter(|n| all.is_set(*n) == Ok(true)).collect();
    if jobs == 1 || jobs < each.len() {
        return Vec::new();
    }
    let alone = |n: &usize| {
        let mut one = CpuSet::new();
        one.set(*n).ok().map(|()| one)
    };
    each.iter().filter_map(alone).collect()
}
