//! What the body of the window shows.

use ansi_to_tui::IntoText;
use ratatui::text::{Line, Text};

use crate::terminal;

/// Something to read, longer than the window perhaps.
pub(super) struct Pane {
    pub(super) title: String,
    lines: Vec<Line<'static>>,
    /// Lines that are out of sight above.
    pub(super) above: usize,
}

impl Pane {
    /// Of lines with styles as `anstream` takes them.
    pub(super) fn new(title: impl Into<String>, text: &str) -> Pane {
        let plain = || text.split('\n').map(|line| Line::from(line.to_owned())).collect();
        let text = if terminal::colored() { text.into_text().ok() } else { None };
        let lines = text.map_or_else(plain, |text: Text| text.lines);
        Pane { title: title.into(), lines, above: 0 }
    }

    /// The lines in sight in a window of this height.
    pub(super) fn in_sight(&self, height: usize) -> Vec<Line<'static>> {
        self.lines.iter().skip(self.above).take(height).cloned().collect()
    }

    /// Lines that are out of sight below.
    pub(super) fn below(&self, height: usize) -> usize {
        self.lines.len().saturating_sub(self.above + height)
    }

    /// Scrolls by so many lines, not beyond the ends.
    pub(super) fn scroll(&mut self, by: isize, height: usize) {
        let most = self.lines.len().saturating_sub(height);
        self.above = self.above.saturating_add_signed(by).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_scrolls_no_further_than_its_ends() {
        let mut pane = Pane::new("ten", &(1..=10).map(|n| n.to_string()).collect::<Vec<_>>().join("\n"));
        assert_eq!(pane.below(4), 6);
        pane.scroll(100, 4);
        assert_eq!((pane.above, pane.below(4)), (6, 0));
        assert_eq!(pane.in_sight(4)[3].to_string(), "10");
        pane.scroll(-100, 4);
        assert_eq!(pane.above, 0);
    }
}
