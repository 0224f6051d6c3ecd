//! The table of a grading under way: what is being graded since when, and how the others came out.

use std::collections::BTreeMap;
use std::time::Duration;

use grade::{Item, Outcome, Verdict};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::meter::{Meter, PATIENCE};
use crate::report::summary;
use crate::terminal::{self, Styled};

/// Redrawings in a second.
const PACE_HZ: u8 = 8;
const TICK: Duration = Duration::from_millis(200);

/// Drawn on a terminal, and nowhere else; a few plain lines on a dumb one.
pub struct Live {
    drawn: Option<Drawn>,
    plain: Meter,
}

struct Drawn {
    all: MultiProgress,
    total: ProgressBar,
    rows: BTreeMap<usize, ProgressBar>,
    outcomes: BTreeMap<&'static str, (Outcome, usize)>,
    shown: bool,
}

impl Live {
    /// A grading of so many, some of which are known already.
    pub fn begin(total: usize, known: usize) -> Live {
        let drawn = terminal::watched().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
            let bar = all.add(ProgressBar::new(total as u64).with_position(known as u64));
            bar.set_style(style("grading {bar:24} {pos}/{len}  {wide_msg}"));
            Drawn { all, total: bar, rows: BTreeMap::new(), outcomes: BTreeMap::new(), shown: false }
        });
        Live { drawn, plain: Meter::begin("grading", total as u64) }
    }

    /// This one has been begun.
    pub fn begun(&mut self, index: usize, item: &Item) {
        let Some(drawn) = &mut self.drawn else { return };
        let row = drawn.all.add(ProgressBar::new_spinner());
        row.set_style(style("  {spinner} {elapsed:>4} {wide_msg}"));
        row.set_message(terminal::visible(name(item).as_bytes()));
        row.enable_steady_tick(TICK);
        drawn.rows.insert(index, row);
        drawn.show();
    }

    /// This one has its verdict.
    pub fn done(&mut self, index: usize, verdict: &Verdict) {
        let Some(drawn) = &mut self.drawn else {
            self.plain.step(&format!("{} {}", verdict.exercise, summary::outcome_words(verdict.outcome)));
            return;
        };
        if let Some(row) = drawn.rows.remove(&index) {
            row.finish_and_clear();
            drawn.all.remove(&row);
        }
        let words = summary::outcome_words(verdict.outcome);
        drawn.outcomes.entry(words).or_insert((verdict.outcome, 0)).1 += 1;
        let totals: Vec<String> = drawn
            .outcomes
            .iter()
            .map(|(words, (outcome, count))| Styled(summary::style(*outcome), format!("{count} {words}")).to_string())
            .collect();
        drawn.total.set_message(totals.join(", "));
        drawn.total.inc(1);
        drawn.show();
    }
}

impl Drawn {
    /// Begins to draw once it has taken long enough to wonder about.
    fn show(&mut self) {
        if !self.shown && self.total.elapsed() >= PATIENCE {
            self.shown = true;
            self.all.set_draw_target(ProgressDrawTarget::stderr_with_hz(PACE_HZ));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(drawn) = &self.drawn {
            for row in drawn.rows.values() {
                row.finish_and_clear();
            }
            drawn.total.finish_and_clear();
        }
    }
}

fn name(item: &Item) -> String {
    let label = item.submission.label();
    if label.contains(item.exercise.name) { label } else { format!("{label} {}", item.exercise.name) }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
