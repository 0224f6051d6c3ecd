//! Many submissions at once.

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
    /// Grades them all, `jobs` at a time, and tells `tell` as each is begun and finished. The verdicts come back in the
    /// items' order; once interrupted, the rest are harness faults that say so.
    pub fn grade_many(&self, jobs: usize, items: &[Item], tell: &(dyn Fn(Grading) + Sync)) -> Vec<Verdict> {
        let jobs = jobs.clamp(1, items.len().max(1));
        let workers = if jobs > 1 { 1 } else { self.options().workers };
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(items.len()));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::SeqCst);
                        let Some(item) = items.get(index) else { break };
                        tell(Grading::Begun(index));
                        let verdict = self.grade_with(&item.exercise, &item.submission, workers);
                        tell(Grading::Done(index, &verdict));
                        done.lock().unwrap_or_else(|p| p.into_inner()).push((index, verdict));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_else(|p| p.into_inner());
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, verdict)| verdict).collect()
    }
}
