//! Progress on standard error: a bar on a terminal, plain lines on a dumb one, nothing elsewhere or for what is quick.

use std::io::IsTerminal;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// What takes less than this shows no progress.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Plain lines are at least this far apart.
const PACE: Duration = Duration::from_secs(5);

/// Does a piece of work that tells nothing of itself, and shows that it goes on.
pub fn during<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut meter = Meter::begin(what, 0);
            while wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                meter.say("");
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Shows how far a piece of work has come.
pub struct Meter {
    bar: Option<ProgressBar>,
    what: String,
    below: String,
    total: u64,
    done: u64,
    begun: Instant,
    said: Option<Instant>,
}

impl Meter {
    /// A piece of work of `total` steps; 0 where nobody knows how many.
    pub fn begin(what: &str, total: u64) -> Meter {
        let bar = terminal::watched().then(|| {
            let bar = ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::hidden());
            let form = if total > 0 {
                "{prefix} {bar:24} {pos}/{len} {wide_msg}"
            } else {
                "{prefix} {spinner} {elapsed} {wide_msg}"
            };
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.set_prefix(what.to_owned());
            bar
        });
        Meter { bar, what: what.to_owned(), below: String::new(), total, done: 0, begun: Instant::now(), said: None }
    }

    /// What is being done now.
    pub fn say(&mut self, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{message}{}", self.below));
                self.show();
            }
            None => self.line(message),
        }
    }

    /// What is to stand below the line from now on, no line wider than the terminal.
    pub fn below(&mut self, lines: &[String]) {
        let Some(bar) = &self.bar else { return };
        if self.below.is_empty()
            && let Ok(style) = ProgressStyle::with_template("{prefix} {spinner} {elapsed} {msg}")
        {
            bar.set_style(style);
        }
        self.below = lines.iter().map(|line| format!("\n{line}")).collect();
    }

    /// One more step is done.
    pub fn step(&mut self, message: &str) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
        self.say(message);
    }

    /// Takes the bar away while something is written to standard output.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Starts to draw once the work has taken long enough to wonder about.
    fn show(&mut self) {
        let Some(bar) = &self.bar else { return };
        if self.said.is_none() && self.begun.elapsed() >= PATIENCE {
            self.said = Some(Instant::now());
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
            bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    fn line(&mut self, message: &str) {
        let quiet = self.said.map_or(self.begun.elapsed() < PATIENCE, |at| at.elapsed() < PACE);
        if quiet || !std::io::stderr().is_terminal() {
            return;
        }
        self.said = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs();
        if self.total > 0 {
            anstream::eprintln!("{}: {}/{} after {seconds} s: {message}", self.what, self.done, self.total);
        } else {
            anstream::eprintln!("{}: {seconds} s {message}", self.what);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
