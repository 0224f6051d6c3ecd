//! The rails at the left of a terminal's timeline: one a lane.

use super::Ink;
use super::rows::{Row, Turn};
use crate::timeline::model::Model;
use crate::timeline::readable::fit;

/// No more rails than this are drawn; later lanes are only spoken of.
const MOST_RAILS: usize = 12;

/// What a lane is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unborn,
    Runs,
    Waits,
    Stuck,
    Gone,
}

/// All rails.
pub(super) struct Rails {
    states: Vec<State>,
    names: Vec<(String, String)>,
    pitch: usize,
}

impl Rails {
    /// Rails on which nobody but the first has begun, in at most this many columns.
    pub fn new(model: &Model, room: usize) -> Rails {
        let pitch = if model.lanes.len() <= 6 && model.lanes.len() * 4 <= room { 4 } else { 2 };
        let shown = model.lanes.len().min(MOST_RAILS).min((room / pitch).max(1));
        let names = model.lanes.iter().take(shown).map(|l| (l.name.clone(), l.detail.clone())).collect();
        let began = |lane: &crate::timeline::lanes::Lane| lane.process.0 == 0 && lane.thread.is_none();
        let born_unseen = |index: usize| !model.flows.iter().any(|f| f.to_step.is_none() && f.to.0 == index);
        let states = model.lanes.iter().take(shown).enumerate();
        let states = states.map(|(i, l)| if began(l) || born_unseen(i) { State::Runs } else { State::Unborn });
        Rails { states: states.collect(), names, pitch }
    }

    /// Columns of all rails together.
    pub fn width(&self) -> usize {
        (self.states.len() * self.pitch).saturating_sub(self.pitch - 1).max(1)
    }

    /// The lines above the rails that say whose each is.
    pub fn names(&self, room: usize) -> Vec<(super::Line, (Ink, String))> {
        let lines = self.names.iter().enumerate().map(|(lane, (name, detail))| {
            let mut rails = Vec::new();
            for before in 0..lane {
                rails.push((Ink::Lane(before), "│".to_owned()));
                rails.push((Ink::Plain, " ".repeat(self.pitch - 1)));
            }
            let words = fit(&format!("┌ {name}  ({detail})"), room.saturating_sub(lane * self.pitch));
            (rails, (Ink::Lane(lane), words))
        });
        lines.collect()
    }

    /// The rails between two things that happen.
    pub fn plain(&self) -> super::Line {
        self.painted(&self.cells())
    }

    /// The rails at a row, which may change them.
    pub fn draw(&mut self, row: &Row) -> super::Line {
        if row.lane.is_none() {
            let cells: Vec<char> = self.cells().into_iter().map(|c| if c == ' ' { ' ' } else { '⋮' }).collect();
            return self.painted(&cells);
        }
        let mut cells = self.cells();
        if let Some((from, to)) = row.arrow.filter(|(f, t)| *f < self.states.len() && *t < self.states.len()) {
            self.arrow(&mut cells, from, to);
            if self.states[to] == State::Unborn {
                self.states[to] = State::Runs;
                cells[to * self.pitch] = '┐';
            }
        }
        if let Some(lane) = row.lane.filter(|lane| *lane < self.states.len()) {
            cells[lane * self.pitch] = row.sign;
            self.states[lane] = match (row.turn, self.states[lane]) {
                (Turn::Waits, _) if row.sign == '╳' => State::Stuck,
                (Turn::Waits, _) => State::Waits,
                (Turn::Ends, _) => State::Gone,
                (_, State::Unborn) | (Turn::GoesOn, _) => State::Runs,
                (Turn::None, state) => state,
            };
        }
        self.painted(&cells)
    }

    fn cells(&self) -> Vec<char> {
        let mut cells = vec![' '; self.width()];
        for (lane, state) in self.states.iter().enumerate() {
            cells[lane * self.pitch] = match state {
                State::Unborn | State::Gone => ' ',
                State::Runs => '│',
                State::Waits => '┊',
                State::Stuck => '╳',
            };
        }
        cells
    }

    fn arrow(&self, cells: &mut [char], from: usize, to: usize) {
        let (a, b) = (from * self.pitch, to * self.pitch);
        for cell in &mut cells[a.min(b) + 1..a.max(b)] {
            *cell = if *cell == ' ' { '─' } else { '┼' };
        }
        if a != b {
            let (tip, head) = if a < b { (b - 1, '▶') } else { (b + 1, '◀') };
            cells[tip] = head;
        }
        cells[a] = match (cells[a], a < b) {
            (' ', true) => '└',
            (' ', false) => '┘',
            (_, true) => '├',
            (_, false) => '┤',
        };
    }

    fn painted(&self, cells: &[char]) -> super::Line {
        let ink = |column: usize| Ink::Lane(column / self.pitch);
        cells.iter().enumerate().map(|(column, c)| (ink(column), c.to_string())).collect()
    }
}
