//! What stands around the lanes: the axis, the legend, and for a picture that stands alone a head and a foot.

use super::{Frame, GUTTER, Scene, Shape, Sheet, TEXT};
use crate::timeline::flows::Passing;
use crate::timeline::layout::{mono_width, text_width};
use crate::timeline::model::Model;
use crate::timeline::readable::{duration, fit, fit_middle};
use crate::timeline::words::Kind;

/// Height of the axis.
pub(super) const AXIS: f64 = 40.0;
/// Where heads and feet begin.
const LEFT: f64 = 14.0;
/// Height of a line of a drawing.
const DRAWN: f64 = 16.0;

impl Scene {
    pub(super) fn head(&mut self, frame: Frame) -> f64 {
        self.text(6, "name", (LEFT, 28.0), 17.0, &fit(frame.title, 70));
        if frame.command.is_empty() {
            return 42.0;
        }
        self.text(6, "mono soft", (LEFT, 48.0), TEXT, &format!("$ {}", fit_middle(frame.command, 110)));
        64.0
    }

    pub(super) fn axis(&mut self, sheet: &Sheet, top: f64, bottom: f64) {
        for piece in sheet.axis.breaks() {
            let x = GUTTER + piece.x;
            self.push(0, "cut", Shape::Rect(x, top + 14.0, piece.width, bottom - top - 14.0, 0.0)).title =
                Some(format!("{} left out here: nothing new happens", duration(piece.to - piece.from)));
            let zigzag = format!("M{:.1} {:.1}l4 -8l6 8l6 -8l6 8l6 -8l4 8", x + piece.width / 2.0 - 16.0, top + 34.0);
            self.push(6, "zigzag", Shape::Path(zigzag));
            let words = format!("+{}", duration(piece.to - piece.from));
            let left = x + (piece.width - text_width(&words, 11.0)) / 2.0;
            self.text(6, "soft", (left, top + 11.0), 11.0, &words);
        }
        let taken: Vec<(f64, f64)> =
            sheet.axis.breaks().map(|p| (GUTTER + p.x - 4.0, GUTTER + p.x + p.width + 4.0)).collect();
        for (x, words) in sheet.axis.ticks(80.0) {
            let x = GUTTER + x;
            self.push(0, "tick", Shape::Path(format!("M{x:.1} {:.1}V{bottom:.1}", top + 18.0)));
            let width = text_width(&words, 11.0);
            let inside = x + width + 6.0 < self.width;
            if inside && taken.iter().all(|(from, to)| x + width + 3.0 < *from || x - 3.0 > *to) {
                self.text(6, "soft", (x + 3.0, top + 24.0), 11.0, &words);
            }
        }
    }

    /// A line that explains the signs which this picture uses.
    pub(super) fn legend(&mut self, sheet: &Sheet, top: f64) -> f64 {
        let (mut x, mut y) = (GUTTER, top + 14.0);
        for (class, words) in signs(sheet).into_iter().chain(super::pages::signs(sheet)) {
            let width = text_width(words, 11.0) + 52.0;
            if x + width > self.width.max(600.0) {
                (x, y) = (GUTTER, y + 20.0);
            }
            if class.ends_with("frame") {
                self.text(6, class, (x, y), 10.5, "1a2b");
            } else {
                self.push(6, class, sign(class, x, y));
            }
            self.text(6, "soft", (x + 32.0, y), 11.0, words);
            x += width;
        }
        y + 10.0
    }

    /// Lines of text in which every sign has its place, on a ground of their own.
    fn drawing(&mut self, lines: &[String], top: f64) -> f64 {
        if lines.is_empty() {
            return top;
        }
        let height = lines.len() as f64 * DRAWN + 16.0;
        self.push(0, "cut", Shape::Rect(LEFT, top, self.width - 2.0 * LEFT, height, 4.0));
        for (n, line) in (1..).zip(lines).filter(|(_, line)| !line.is_empty()) {
            self.text(6, "mono", (LEFT + 10.0, top + f64::from(n) * DRAWN + 4.0), TEXT, line);
        }
        top + height + 6.0
    }

    pub(super) fn foot(&mut self, frame: Frame, top: f64) -> f64 {
        let mut y = self.drawing(frame.drawing, top + 8.0);
        for paragraph in frame.below {
            for line in wrap(paragraph, self.width - 40.0) {
                y += 18.0;
                self.text(6, "plain", (LEFT, y), 13.0, &line);
            }
            y += 6.0;
        }
        y + 6.0
    }
}

/// The right edge of a frame's drawing.
pub(super) fn drawn_to(frame: Frame) -> f64 {
    frame.drawing.iter().map(|line| 2.0 * LEFT + mono_width(line, TEXT)).fold(0.0, f64::max)
}

/// The signs in use, each with what it means.
fn signs(sheet: &Sheet) -> Vec<(&'static str, &'static str)> {
    let model = sheet.model;
    let flows = |what: Passing| model.flows.iter().any(|f| f.what == what);
    let waits = |ever: bool| model.steps.iter().filter_map(|s| s.waiting.as_ref()).any(|w| w.for_ever == ever);
    let maps = |shared: bool| model.mappings.iter().any(|m| m.shared == shared);
    let all = [
        (waits(false), "wait", "waits"),
        (waits(true), "stuck", "waits for ever"),
        (model.lanes.iter().any(|l| !l.loading.is_empty()), "loading", "starts up (not drawn in detail)"),
        (flows(Passing::Bytes), "flow bytes c0", "bytes on their way"),
        (flows(Passing::Fork), "flow kin c0", "begins, or its end is noticed"),
        (flows(Passing::LastWriter), "flow last c0", "last write end gone"),
        (flows(Passing::Signal) || flows(Passing::Wake), "flow signal c0", "signal or wake-up"),
        (prints(model), "tag-box", "printed"),
        (maps(true), "map shared", "shared mapping"),
        (maps(false), "map private", "private mapping"),
        (!sheet.guilty.is_empty(), "guilty", "keeps others waiting"),
        (sheet.axis.breaks().next().is_some(), "zigzag", "time left out"),
    ];
    all.into_iter().filter(|(used, ..)| *used).map(|(_, class, words)| (class, words)).collect()
}

fn prints(model: &Model) -> bool {
    model.steps.iter().any(|s| s.kind == Kind::Print && s.count == 1)
}

fn sign(class: &str, x: f64, y: f64) -> Shape {
    if class.starts_with("flow") {
        Shape::Path(format!("M{x:.1} {:.1}h26", y - 4.0))
    } else if class == "zigzag" {
        Shape::Path(format!("M{x:.1} {:.1}l4 -8l6 8l6 -8l6 8l4 -8", y))
    } else if class == "dirty" {
        Shape::Path(format!("M{:.1} {:.1}h-9l9 9z", x + 26.0, y - 9.0))
    } else if class == "elsewhere" {
        Shape::Path(format!("M{x:.1} {:.1}h26", y - 3.0))
    } else {
        Shape::Rect(x, y - 10.0, 26.0, 12.0, 2.0)
    }
}

/// Breaks a sentence into lines of at most this width.
fn wrap(text: &str, width: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word = fit(word, (width / mono_width("m", 13.0) * 0.6).max(12.0) as usize);
        let last = lines.len() - 1;
        let longer = if lines[last].is_empty() { word.clone() } else { format!("{} {word}", lines[last]) };
        if text_width(&longer, 13.0) <= width || lines[last].is_empty() {
            lines[last] = longer;
        } else {
            lines.push(word);
        }
    }
    lines
}
