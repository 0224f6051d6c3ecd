//! Lanes: the bar of each process, its waiting, its marks, and the strips below it.

use super::{BAR, GUTTER, Scene, Shape, Sheet, TEXT};
use crate::timeline::layout::text_width;
use crate::timeline::model::{Step, Waiting};
use crate::timeline::readable::{duration, fit, fit_middle};
use crate::timeline::words::Kind;

/// Spans of waiting that one group draws; more are drawn as one.
const MOST_SPANS: usize = 40;

impl Scene {
    pub(super) fn lanes(&mut self, sheet: &Sheet) {
        for lane in 0..sheet.model.lanes.len() {
            self.lane(sheet, lane);
            self.strips(sheet, lane);
        }
        for step in &sheet.model.steps {
            self.step(sheet, step);
        }
    }

    fn lane(&mut self, sheet: &Sheet, index: usize) {
        let (lane, place) = (&sheet.model.lanes[index], sheet.places[index]);
        let (from, to) = (sheet.x(lane.from), sheet.x(lane.to));
        let hue = hue(index);
        let bar = Shape::Rect(from, place.bar, (to - from).max(3.0), BAR, 4.0);
        self.push(2, "paper", bar.clone());
        self.push(2, format!("bar {hue}"), bar).title = Some(format!("{}, {}", lane.name, lane.detail));
        for (begin, end) in &lane.loading {
            let (x, width) = (sheet.x(*begin), sheet.x(*end) - sheet.x(*begin));
            let shape = Shape::Rect(x, place.bar, width.max(0.0), BAR, 4.0);
            self.push(2, "loading", shape).title = Some(format!("starts up: {}", duration(*end - *begin)));
            if width > text_width("starts up", 11.0) + 10.0 {
                self.plated("soft", (x + 8.0, place.bar + 17.0), 11.0, "starts up");
            }
        }
        let swatch = Shape::Rect(10.0, place.bar + 3.0, 6.0, BAR - 6.0, 2.0);
        self.push(6, format!("swatch {hue}"), swatch).gutter = true;
        let room = ((GUTTER - 30.0) / (TEXT * 0.7)) as usize;
        let name = fit_middle(&lane.name, room);
        self.text(6, "name", (22.0, place.bar + 11.0), 13.0, &name).gutter = true;
        let detail = fit(&lane.detail, room + 3);
        self.text(6, "soft", (22.0, place.bar + 25.0), 11.0, &detail).gutter = true;
    }

    fn step(&mut self, sheet: &Sheet, step: &Step) {
        let (from, to) = (sheet.x(step.from), sheet.x(step.to));
        let top = sheet.places[step.lane].bar;
        let hue = hue(step.lane);
        if step.count > 1 {
            let shape = Shape::Rect(from, top, (to - from).max(3.0), BAR, 2.0);
            self.push(3, format!("group {hue}"), shape).title = Some(step.sentence.clone());
        }
        if let Some(waiting) = &step.waiting {
            self.waiting(sheet, step, waiting);
        }
        let at = match (&step.waiting, step.count) {
            (Some(w), 1) if w.for_ever => return,
            (Some(_), 1) => to,
            _ => from,
        };
        let middle = top + BAR / 2.0;
        let (class, path) = mark(step, at, middle);
        self.push(5, format!("{class} {hue}"), Shape::Path(path)).title = Some(title(step));
    }

    fn waiting(&mut self, sheet: &Sheet, step: &Step, waiting: &Waiting) {
        let top = sheet.places[step.lane].bar;
        let class = if waiting.for_ever { "stuck" } else { "wait" };
        let whole = [(step.from, step.to)];
        let spans = if waiting.spans.len() > MOST_SPANS { &whole[..] } else { &waiting.spans[..] };
        let words = format!("{}: {}", waiting.what, duration(waiting.total()));
        for (from, to) in spans {
            let (x, width) = (sheet.x(*from), sheet.x(*to) - sheet.x(*from));
            let shape = Shape::Rect(x, top + 1.5, width.max(2.0), BAR - 3.0, 2.0);
            self.push(3, class, shape).title = Some(words.clone());
        }
        if let Some((x, text)) = inside(sheet, step) {
            let class = if waiting.for_ever { "stuck-text name" } else { "" };
            self.plated(class, (x, top + 17.0), 11.5, &text);
        }
    }

    /// Text that must be read on a hatched ground.
    pub(super) fn plated(&mut self, class: &str, (x, y): (f64, f64), size: f64, text: &str) {
        let item = self.text(6, class, (x, y), size, text);
        let Shape::Text { width, .. } = item.shape else { return };
        self.push(4, "plate", Shape::Rect(x - 3.0, y - size + 0.5, width + 6.0, size + 2.5, 3.0));
    }
}

/// The words that fit into the shading of a wait, and where they begin.
pub(super) fn inside(sheet: &Sheet, step: &Step) -> Option<(f64, String)> {
    let waiting = step.waiting.as_ref()?;
    let (from, to) = waiting.spans.iter().max_by_key(|(from, to)| *to - *from)?;
    let x = sheet.x(*from) + 7.0;
    let room = sheet.x(*to) - x - 9.0;
    let time = duration(waiting.total());
    let verb = waiting.what.split(' ').next().unwrap_or("waits");
    let choices = match (waiting.for_ever, step.count) {
        (true, _) => [format!("{} — for ever", waiting.what), waiting.what.clone(), format!("{verb} for ever")],
        (false, 1) => [format!("{} · {time}", waiting.what), format!("{verb} {time}"), time],
        _ => return None,
    };
    let weight = if waiting.for_ever { 1.12 } else { 1.0 };
    let fits = |text: &String| text_width(text, 11.5) * weight <= room;
    choices.into_iter().find(fits).map(|text| (x, text))
}

/// The class of a lane's colour.
pub(super) fn hue(lane: usize) -> String {
    format!("c{}", lane % 6)
}

fn title(step: &Step) -> String {
    match &step.waiting {
        Some(waiting) => format!("{} (waited {})", step.sentence, duration(waiting.total())),
        None => step.sentence.clone(),
    }
}

/// Each kind of step has a shape of its own, so that colour is never needed to tell them apart.
fn mark(step: &Step, x: f64, y: f64) -> (&'static str, String) {
    let half = BAR / 2.0;
    match step.kind {
        _ if step.failed && step.kind != Kind::Exit => {
            ("cross", format!("M{:.1} {:.1}l8 8m0 -8l-8 8", x - 4.0, y - 4.0))
        }
        Kind::Exit => ("end", format!("M{x:.1} {:.1}v{:.1}", y - half - 3.0, BAR + 6.0)),
        Kind::Begin => ("end thin", format!("M{x:.1} {:.1}v{BAR:.1}", y - half)),
        Kind::Fork => ("mark", format!("M{x:.1} {:.1}l6 6l-6 6l-6 -6z", y - 6.0)),
        Kind::Exec => ("mark", format!("M{:.1} {:.1}h9v10h-9z", x - 4.5, y - 5.0)),
        Kind::Signal => ("mark bolt", format!("M{:.1} {:.1}l-5 9h4l-3 8l9 -11h-4l3 -6z", x + 1.0, y - 9.0)),
        Kind::Write | Kind::Print => ("mark", format!("M{:.1} {:.1}h10l-5 8z", x - 5.0, y - 4.0)),
        Kind::Read => ("mark", format!("M{:.1} {:.1}h10l-5 -8z", x - 5.0, y + 4.0)),
        Kind::EndOfFile => ("ring", format!("M{:.1} {y:.1}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0m1.5 3.5l7 -7", x - 5.0)),
        Kind::Close => ("ring", format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", x - 4.0)),
        _ => ("mark", format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", x - 4.0)),
    }
}
