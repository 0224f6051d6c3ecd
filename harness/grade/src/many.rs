//! Many submissions at once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

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
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
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
