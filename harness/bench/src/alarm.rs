//! The end of the time given: what is under way then is broken off.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// How often the caller's flag is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Work on more bytes than this is broken off when the budget is spent. A file
/// of so few is read in no time, unless the machine is very busy: then a little
/// more time is the better answer.
const MODEST: u64 = 256 << 20;

/// That little more.
const GRACE: Duration = Duration::from_secs(60);

/// Until when work on so many bytes may go on that has a budget until `end`.
pub fn limit(end: Instant, size: u64) -> Instant {
    if size > MODEST { end } else { end + GRACE }
}

/// A flag that work looks at: it goes up when the caller's does, or when the
/// time is over.
#[derive(Debug)]
pub struct Alarm {
    flag: Arc<AtomicBool>,
    until: Instant,
    watcher: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Alarm {
    /// Begins to watch the caller's flag and the clock.
    pub fn set(asked: &Arc<AtomicBool>, until: Instant) -> Self {
        let flag = Arc::new(AtomicBool::new(asked.load(Ordering::Relaxed)));
        let (end, ended) = mpsc::channel();
        let (asked, raised) = (Arc::clone(asked), Arc::clone(&flag));
        let watcher = std::thread::spawn(move || {
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                if asked.load(Ordering::Relaxed) || Instant::now() >= until {
                    raised.store(true, Ordering::Relaxed);
                }
            }
        });
        Self { flag, until, watcher: Some((end, watcher)) }
    }

    /// The flag.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    /// What a long piece of work looks at.
    pub fn pace(&self) -> Pace<'_> {
        Pace { flag: &self.flag, until: Some(self.until) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((end, watcher)) = self.watcher.take() {
            drop(end);
            // It only sleeps and looks, and cannot panic.
            let _ = watcher.join();
        }
    }
}

/// Whether a piece of work on many bytes should go on: nobody wants it to stop,
/// and it gets through in time.
#[derive(Debug, Clone, Copy)]
pub struct Pace<'a> {
    flag: &'a AtomicBool,
    until: Option<Instant>,
}

impl<'a> From<&'a AtomicBool> for Pace<'a> {
    fn from(flag: &'a AtomicBool) -> Self {
        Self { flag, until: None }
    }
}

/// Work must have gone on for so long before its end is foretold.
const TELLING: Duration = Duration::from_millis(500);

impl Pace<'_> {
    /// Fails when an operation that began at `began` and has `done` so many of
    /// `all` its bytes should end, or will not end in time.
    ///
    /// # Errors
    /// [`BenchError::Interrupted`] and [`BenchError::TooLong`].
    pub fn go_on(
        &self,
        operation: &'static str,
        path: &Path,
        began: Instant,
        (done, all): (u64, u64),
    ) -> Result<(), BenchError> {
        if self.flag.load(Ordering::Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let Some(until) = self.until else { return Ok(()) };
        let spent = began.elapsed();
        if spent < TELLING || done == 0 {
            return Ok(());
        }
        let takes = spent.mul_f64(all as f64 / done as f64);
        let given = until.saturating_duration_since(began);
        if takes <= given {
            return Ok(());
        }
        Err(BenchError::TooLong { operation, path: path.to_owned(), size: all, takes, given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_up_when_the_time_is_over_or_the_caller_asks() {
        let calm = Arc::new(AtomicBool::new(false));
        let over = Alarm::set(&calm, Instant::now());
        let asked = Arc::new(AtomicBool::new(false));
        let far = Alarm::set(&asked, Instant::now() + Duration::from_secs(3600));
        assert!(!far.flag().load(Ordering::Relaxed));
        asked.store(true, Ordering::Relaxed);
        while !(over.flag().load(Ordering::Relaxed) && far.flag().load(Ordering::Relaxed)) {
            std::thread::sleep(LOOK / 10);
        }
        assert!(!calm.load(Ordering::Relaxed), "the caller's own flag is the caller's");
    }

    #[test]
    fn work_that_will_not_end_in_time_is_told_so_while_it_runs() {
        let calm = AtomicBool::new(false);
        let began = Instant::now() - Duration::from_secs(1);
        let pace = Pace { flag: &calm, until: Some(began + Duration::from_secs(10)) };
        let read = |pace: Pace<'_>, done: u64, all: u64| pace.go_on("read", Path::new("data"), began, (done, all));
        read(pace, 500, 1000).unwrap();
        let message = read(pace, 1 << 30, 30 << 30).unwrap_err().to_string();
        assert!(message.starts_with("data: to read all its 30 GiB once takes about 3"), "{message}");
        assert!(message.ends_with("10 s are left of the budget"), "{message}");
        read(Pace::from(&calm), 1, 1 << 60).unwrap();
    }
}
