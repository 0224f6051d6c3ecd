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

impl Grader {
    /// Grades them all, `jobs` at a time, and calls `on_done` with an item's index and verdict as each is finished.
    /// The verdicts come back in the items' order; once interrupted, the rest are harness faults that say so.
    pub fn grade_many(&self, jobs: usize, items: &[Item], on_done: &(dyn Fn(usize, &Verdict) + Sync)) -> Vec<Verdict> {
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
                        let verdict = self.grade_with(&item.exercise, &item.submission, workers);
                        on_done(index, &verdict);
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
