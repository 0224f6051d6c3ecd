//! Pages of the mappings, cell by cell, at first and at last: below the lanes, since no scale of time is in them.

use observe::Page;

use super::bars::hue;
use super::{GUTTER, Scene, Shape, Sheet, TEXT};
use crate::timeline::mappings::{Look, Mapping};
use crate::timeline::readable::{count, fit};

/// More mappings than this are not drawn.
const MOST: usize = 8;
/// Cells side by side.
const ACROSS: usize = 16;
/// From one cell to the next, and from one line of cells to the next.
const STEP: (f64, f64) = (18.0, 22.0);
/// A cell.
const CELL: (f64, f64) = (16.0, 16.0);
/// A cell that is wide enough for the number of its frame, where there are few.
const WIDE: f64 = 64.0;
/// From the cells at first to those at last.
const COLUMN: f64 = ACROSS as f64 * STEP.0 + 32.0;

/// The mappings whose pages were looked at.
fn looked_at<'a>(sheet: &'a Sheet) -> impl Iterator<Item = &'a Mapping> {
    sheet.model.mappings.iter().filter(|m| m.pages.iter().any(Option::is_some))
}

/// All pages that are drawn.
fn drawn<'a>(sheet: &'a Sheet) -> impl Iterator<Item = &'a Page> {
    looked_at(sheet).take(MOST).flat_map(|m| m.pages.iter().flatten()).flat_map(|look| &look.pages.cells)
}

/// The signs in use, each with what it means.
pub(super) fn signs(sheet: &Sheet) -> Vec<(&'static str, &'static str)> {
    let any = |which: fn(&Page) -> bool| drawn(sheet).any(which);
    let all = [
        (any(|p| !p.present), "page absent", "page without memory: faults when touched"),
        (any(|p| p.present && !p.own), "page present", "page of a file or of shared memory"),
        (any(|p| p.own), "page own", "private page, no file's"),
        (any(|p| p.dirty == Some(true)), "dirty", "dirty: written to"),
        (any(|p| p.elsewhere), "elsewhere", "another process has it, too"),
        (any(|p| p.frame.is_some()), "mono frame", "number of its frame of memory"),
    ];
    all.into_iter().filter(|(used, ..)| *used).map(|(_, class, words)| (class, words)).collect()
}

impl Scene {
    /// Draws them from `top` on and returns where they end.
    pub(super) fn pages(&mut self, sheet: &Sheet, top: f64) -> f64 {
        let all = looked_at(sheet).count();
        if all == 0 {
            return top;
        }
        let mut y = top + 20.0;
        self.text(6, "name", (GUTTER, y), 13.0, "Pages, at first and at last");
        y += 8.0;
        for mapping in looked_at(sheet).take(MOST) {
            y = self.pages_of(sheet, mapping, y + 14.0);
        }
        if all > MOST {
            y += 16.0;
            self.text(6, "soft", (GUTTER, y), 11.0, &format!("and those of {} more mappings", all - MOST));
        }
        y + 6.0
    }

    fn pages_of(&mut self, sheet: &Sheet, mapping: &Mapping, top: f64) -> f64 {
        let lane = &sheet.model.lanes[mapping.lane];
        let swatch = Shape::Rect(10.0, top - 10.0, 6.0, 12.0 + STEP.1, 2.0);
        self.push(6, format!("swatch {}", hue(mapping.lane)), swatch).gutter = true;
        self.text(6, "name", (22.0, top), 12.0, &fit(&lane.name, 14)).gutter = true;
        self.text(6, "", (GUTTER, top), TEXT, &mapping.label);
        let mut bottom = top;
        for (column, look) in mapping.pages.iter().enumerate() {
            let Some(look) = look else { continue };
            let x = GUTTER + column as f64 * COLUMN;
            bottom = bottom.max(self.look(look, x, top));
        }
        if mapping.pages.iter().all(Option::is_some) {
            let (x, y) = (GUTTER + COLUMN - 22.0, top + 18.0 + CELL.1 / 2.0);
            self.push(6, "pages-arrow", Shape::Path(format!("M{x:.1} {y:.1}h10m-4 -4l4 4l-4 4")));
        }
        bottom
    }

    /// One moment: how many are present, in words, and the cells below. Returns where they end.
    fn look(&mut self, look: &Look, x: f64, top: f64) -> f64 {
        let (pages, cells) = (&look.pages, &look.pages.cells);
        let words = format!("{}: {} of {} present", look.when, count(pages.present), count(pages.total));
        let words = match pages.per_cell {
            0 | 1 => words,
            n => format!("{words}, {} a cell", count(n)),
        };
        self.text(6, "soft", (x, top + 14.0), 11.0, &words);
        let few = cells.len() as f64 * (WIDE + 2.0) <= ACROSS as f64 * STEP.0;
        let numbered = few && cells.iter().any(|p| p.frame.is_some());
        let (across, step, width) = if numbered { (cells.len(), WIDE + 2.0, WIDE) } else { (ACROSS, STEP.0, CELL.0) };
        let mut bottom = top;
        for (index, page) in cells.iter().enumerate() {
            let at = (x + (index % across) as f64 * step, top + 19.0 + (index / across) as f64 * STEP.1);
            self.cell(page, at, width, numbered);
            bottom = at.1 + STEP.1;
        }
        bottom
    }

    fn cell(&mut self, page: &Page, (x, y): (f64, f64), width: f64, numbered: bool) {
        let class = match page {
            Page { present: false, .. } => "page absent",
            Page { own: true, .. } => "page own",
            _ => "page present",
        };
        let title = title(page);
        self.push(2, class, Shape::Rect(x + 1.0, y, width - 2.0, CELL.1, 2.0)).title = Some(title.clone());
        if page.dirty == Some(true) {
            self.push(4, "dirty", Shape::Path(format!("M{:.1} {y:.1}h-9l9 9z", x + width - 1.0)));
        }
        if page.elsewhere {
            self.push(
                4,
                "elsewhere",
                Shape::Path(format!("M{:.1} {:.1}h{:.1}", x + 1.0, y + CELL.1 + 2.5, width - 2.0)),
            );
        }
        if let Some(frame) = page.frame.filter(|_| numbered) {
            self.text(5, "mono frame", (x + 4.0, y + 12.0), 10.5, &format!("{frame:x}")).title = Some(title);
        }
    }
}

/// A page in words.
fn title(page: &Page) -> String {
    if !page.present {
        return "not present".into();
    }
    let mut words = vec![if page.own { "private, no file's" } else { "of a file or of shared memory" }.to_owned()];
    words.extend(page.dirty.map(|dirty| if dirty { "dirty" } else { "clean" }.to_owned()));
    words.extend(page.elsewhere.then(|| "another process has it, too".to_owned()));
    words.extend(page.frame.map(|frame| format!("in frame {frame:#x}")));
    words.join(", ")
}
