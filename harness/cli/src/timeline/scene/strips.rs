//! The strips below a lane: what its process has mapped, and descriptors that keep others waiting.

use super::{GUTTER, STRIP, Scene, Shape, Sheet};
use crate::timeline::mappings::{MOST_MAPPINGS, Mapping};

/// How many strips a lane has below it.
pub(super) fn count(sheet: &Sheet, lane: usize) -> usize {
    let guilty = sheet.guilty.iter().filter(|g| g.lane == lane).count();
    own(sheet, lane).len().min(MOST_MAPPINGS + 1) + guilty.min(MOST_MAPPINGS)
}

fn own<'a>(sheet: &'a Sheet, lane: usize) -> Vec<&'a Mapping> {
    sheet.model.mappings.iter().filter(|m| m.lane == lane).collect()
}

/// The drawn mappings of a lane, each with the top of its strip.
fn drawn<'a>(sheet: &'a Sheet, lane: usize) -> impl Iterator<Item = (f64, &'a Mapping)> {
    let top = sheet.places[lane].strips;
    own(sheet, lane).into_iter().take(MOST_MAPPINGS).enumerate().map(move |(i, m)| (top + i as f64 * STRIP, m))
}

impl Scene {
    pub(super) fn strips(&mut self, sheet: &Sheet, lane: usize) {
        let mut y = sheet.places[lane].strips;
        for (top, mapping) in drawn(sheet, lane) {
            let (from, to) = (sheet.x(mapping.from), sheet.x(mapping.to));
            let class = if mapping.shared { "map shared" } else { "map private" };
            let shape = Shape::Rect(from, top + 3.0, (to - from).max(3.0), STRIP - 6.0, 2.0);
            self.push(2, class, shape).title = Some(mapping.label.clone());
            self.text(5, "small halo", (from + 5.0, top + 13.0), 11.0, &mapping.label);
            self.link(sheet, top, mapping);
            y = top + STRIP;
        }
        let own = own(sheet, lane);
        if own.len() > MOST_MAPPINGS {
            let x = GUTTER + 5.0;
            self.text(5, "soft", (x, y + 13.0), 11.0, &format!("and {} more mappings", own.len() - MOST_MAPPINGS));
            y += STRIP;
        }
        let end = sheet.x(sheet.model.lanes[lane].to);
        for guilty in sheet.guilty.iter().filter(|g| g.lane == lane).take(MOST_MAPPINGS) {
            let from = sheet.x(guilty.from);
            self.push(2, "guilty", Shape::Rect(from, y + 2.0, (end - from).max(3.0), STRIP - 4.0, 2.0)).title =
                Some(guilty.label.clone());
            self.plated("stuck-text name", (from + 7.0, y + 13.0), 11.5, &guilty.label);
            y += STRIP;
        }
    }

    /// A line to the nearest earlier lane that shares the memory: a store in one is seen in the other.
    fn link(&mut self, sheet: &Sheet, top: f64, mapping: &Mapping) {
        let same = |other: &&(f64, &Mapping)| {
            other.1.object == mapping.object && other.1.from < mapping.to && mapping.from < other.1.to
        };
        let above = (0..mapping.lane).rev().flat_map(|lane| drawn(sheet, lane)).collect::<Vec<_>>();
        let Some((from, other)) = above.iter().find(same).filter(|_| mapping.shared && mapping.object.is_some()) else {
            return;
        };
        let x = sheet.x(mapping.to.min(other.to)) - 9.0;
        let line = format!("M{x:.1} {:.1}V{:.1}", from + STRIP - 3.0, top + 3.0);
        self.push(1, "shared-link", Shape::Path(line)).title =
            Some("one memory: a store in one is seen in the other".into());
    }
}
