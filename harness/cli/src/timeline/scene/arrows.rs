//! Arrows: what passes from lane to lane.

use std::time::Duration;

use super::bars::hue;
use super::{BAR, Scene, Shape, Sheet};
use crate::timeline::flows::Passing;
use crate::timeline::layout::ROW;
use crate::timeline::model::Flow;

/// More arrows than this are not drawn.
const MOST_ARROWS: usize = 300;
/// Height of an arrow's head.
const HEAD: f64 = 8.0;

/// The course of an arrow: straight past the labels of its own lane, then a bend, then its head.
struct Course {
    x1: f64,
    y1: f64,
    past: f64,
    bends: (f64, f64),
    x2: f64,
    base: f64,
    tip: f64,
}

impl Scene {
    pub(super) fn arrows(&mut self, sheet: &Sheet) {
        for flow in sheet.model.flows.iter().take(MOST_ARROWS) {
            self.arrow(sheet, flow);
        }
    }

    /// Several messages that are drawn as one are a band between the first and the last of them.
    fn arrow(&mut self, sheet: &Sheet, flow: &Flow) {
        let hue = hue(flow.from.0);
        let first = course(sheet, flow, (flow.from.1, flow.to.1));
        let last = flow.last.map(|times| course(sheet, flow, times));
        if let Some(last) = &last {
            let band = format!("{}H{:.1}{}z", first.forth(), last.x2, last.back());
            self.push(1, format!("band {hue}"), Shape::Path(band)).title = Some(title(flow));
        }
        for course in std::iter::once(&first).chain(&last) {
            self.push(1, format!("{} {hue}", class(flow.what)), Shape::Path(course.forth())).title = Some(title(flow));
            let Course { x2, base, tip, .. } = course;
            let head = format!("M{x2:.1} {tip:.1}L{:.1} {base:.1}H{:.1}z", x2 - 4.5, x2 + 4.5);
            self.push(4, format!("head {hue}"), Shape::Path(head));
        }
    }
}

impl Course {
    fn forth(&self) -> String {
        let Course { x1, y1, past, bends, x2, base, .. } = self;
        format!("M{x1:.1} {y1:.1}V{past:.1}C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {base:.1}", bends.0, bends.1)
    }

    fn back(&self) -> String {
        let Course { x1, y1, past, bends, x2, .. } = self;
        format!("C{x2:.1} {:.1} {x1:.1} {:.1} {x1:.1} {past:.1}V{y1:.1}", bends.1, bends.0)
    }
}

fn course(sheet: &Sheet, flow: &Flow, (from, to): (Duration, Duration)) -> Course {
    let (x1, x2) = (sheet.x(from), sheet.x(to));
    let (top1, top2) = (sheet.places[flow.from.0].bar, sheet.places[flow.to.0].bar);
    let (y1, tip, up) = match flow.from.0.cmp(&flow.to.0) {
        std::cmp::Ordering::Less => (top1 + BAR, top2 - 1.0, false),
        std::cmp::Ordering::Greater => (top1, top2 + BAR + 1.0, true),
        std::cmp::Ordering::Equal => (top1 + BAR, top1 + BAR + 1.0, true),
    };
    let base = if up { tip + HEAD } else { tip - HEAD };
    if flow.from.0 == flow.to.0 {
        return Course { x1, y1, past: y1, bends: (y1 + 24.0, base + 16.0), x2, base, tip };
    }
    let past = past_labels(sheet, flow.from.0, y1, base);
    let reach = (base - past) * 0.6;
    Course { x1, y1, past, bends: (past + reach, base - reach), x2, base, tip }
}

/// How far an arrow runs straight, past the labels of its own lane, before it bends.
fn past_labels(sheet: &Sheet, lane: usize, y1: f64, base: f64) -> f64 {
    let place = sheet.places[lane];
    if base > y1 {
        (place.strips - 6.0).min((base - 34.0).max(y1))
    } else {
        (place.bar - 8.0 - place.above as f64 * ROW).max((base + 34.0).min(y1))
    }
}

fn class(what: Passing) -> &'static str {
    match what {
        Passing::Bytes => "flow bytes",
        Passing::Fork | Passing::End => "flow kin",
        Passing::Signal | Passing::Wake => "flow signal",
        Passing::LastWriter => "flow last",
    }
}

fn title(flow: &Flow) -> String {
    match flow.what {
        Passing::Bytes => format!("{} through {}", flow.load, flow.through),
        Passing::Fork => "a new process begins".into(),
        Passing::End => "its end is told to the one that waits".into(),
        Passing::Signal => "a signal".into(),
        Passing::Wake => "a wake-up".into(),
        Passing::LastWriter => format!("the last write end of {} is gone: end-of-file", flow.through),
    }
}
