//! The labels of steps and messages: what each says, and on which side of its lane it stands.

use super::bars::inside;
use super::{BAR, Scene, Shape, Sheet, TEXT};
use crate::timeline::flows::Passing;
use crate::timeline::layout::{Flag, ROW, mono_width, place, text_width};
use crate::timeline::model::{Model, Step};
use crate::timeline::readable::{duration, fit};
use crate::timeline::words::{Kind, exit_words};

/// A label of a lane is no longer than this.
const MOST_CELLS: usize = 58;

/// A label and where it belongs.
pub(super) struct Label {
    lane: usize,
    above: bool,
    class: &'static str,
    text: String,
    /// Those with smaller figures are placed first.
    rank: u8,
    flag: Flag,
}

/// Wide enough that most labels find a place.
pub(super) fn plot_width(model: &Model) -> f64 {
    let most =
        (0..model.lanes.len()).map(|lane| model.steps.iter().filter(|s| s.lane == lane).count()).max().unwrap_or(0);
    (most as f64 * 44.0).clamp(900.0, 2600.0)
}

/// Something passes from this lane to itself.
pub(super) fn has_loop(model: &Model, lane: usize) -> bool {
    model.flows.iter().any(|f| f.from.0 == lane && f.to.0 == lane)
}

/// The labels of all lanes, none placed yet.
pub(super) fn all(sheet: &Sheet) -> Vec<Label> {
    let steps = sheet.model.steps.iter().enumerate();
    let mut labels: Vec<Label> = steps.flat_map(|(index, step)| of_step(sheet, index, step)).collect();
    labels.extend((0..sheet.model.lanes.len()).filter_map(|lane| end(sheet, lane)));
    labels
}

/// The end of a lane whose process was not seen to end by itself.
fn end(sheet: &Sheet, index: usize) -> Option<Label> {
    let lane = &sheet.model.lanes[index];
    if lane.thread.is_some() || sheet.model.steps.iter().any(|s| s.lane == index && s.kind == Kind::Exit) {
        return None;
    }
    let text = lane.exit.map_or("is stopped from outside".into(), exit_words);
    let flag = Flag::new(sheet.x(lane.to), text_width(&text, TEXT));
    Some(Label { lane: index, above: true, class: "soft halo", text, rank: 1, flag })
}

fn of_step(sheet: &Sheet, index: usize, step: &Step) -> Vec<Label> {
    let mut labels = Vec::new();
    let own = |text: String, class, above, rank, x: f64| Label {
        lane: step.lane,
        above,
        class,
        flag: Flag::new(x, if class == "tag mono" { mono_width(&text, TEXT) + 6.0 } else { text_width(&text, TEXT) }),
        text,
        rank,
    };
    let waits = step.waiting.as_ref();
    let single_wait = waits.is_some() && step.count == 1;
    if let Some(waiting) = waits.filter(|_| single_wait && inside(sheet, step).is_none()) {
        let time = duration(waiting.total());
        let (words, rank) = match waiting.for_ever {
            true => (format!("{} · {time}", waiting.what), 0),
            false => (format!("{} {time}", waiting.what.split(' ').next().unwrap_or("waits")), 6),
        };
        let wide = sheet.x(step.to) - sheet.x(step.from) > 6.0;
        labels.extend(
            (wide || waiting.for_ever)
                .then(|| own(fit(&words, MOST_CELLS), "soft halo", false, rank, sheet.x(step.from))),
        );
    }
    if waits.is_some_and(|w| w.for_ever) || step.kind == Kind::Begin {
        return labels;
    }
    let x = sheet.x(if single_wait { step.to } else { step.from });
    let received = sheet.model.flows.iter().any(|f| f.to_step == Some(index) && f.what == Passing::Bytes);
    let place = if received { "" } else { &step.place };
    let text = fit(&format!("{}{place}", step.brief), MOST_CELLS);
    let sent = sheet.model.flows.iter().find(|f| f.from_step == index && f.what == Passing::Bytes);
    labels.push(match (step.kind, sent) {
        (_, Some(flow)) => {
            let text = fit(&format!("{} {} → {}", verb(step), flow.load, flow.through), MOST_CELLS);
            own(text, "halo message", flow.to.0 < step.lane, 2, x)
        }
        (Kind::Print, None) if step.count == 1 => own(text, "tag mono", true, 1, x),
        (Kind::Fork, None) => own(text, "halo", !leads_down(sheet.model, index), 3, x),
        (Kind::Exit, None) => own(text, if step.failed { "halo strong" } else { "halo" }, true, 1, x),
        (Kind::Signal | Kind::EndOfFile | Kind::Exec | Kind::Send, None) => own(text, "halo", true, 3, x),
        (Kind::Read, None) => own(text, "soft halo", true, 7, x),
        (Kind::Close, None) => own(text, "soft halo", true, 8, x),
        (_, None) if step.failed => own(text, "halo strong", true, 2, x),
        (_, None) => own(text, "halo", true, 5, x),
    });
    labels
}

fn verb(step: &Step) -> &'static str {
    match step.kind {
        Kind::Write | Kind::Print => "writes",
        _ => "sends",
    }
}

fn leads_down(model: &Model, step: usize) -> bool {
    model.flows.iter().any(|f| f.from_step == step && f.to.0 > f.from.0)
}

/// Places the labels of one lane; the rows that they take above and below it.
pub(super) fn place_lane(labels: &mut [Label], lane: usize) -> (usize, usize) {
    let mut rows = |above: bool| {
        let own: Vec<usize> =
            (0..labels.len()).filter(|i| labels[*i].lane == lane && labels[*i].above == above).collect();
        let mut flags: Vec<Flag> = own.iter().map(|i| labels[*i].flag.clone()).collect();
        let mut order: Vec<usize> = (0..own.len()).collect();
        order.sort_by_key(|i| labels[own[*i]].rank);
        let rows = place(&mut flags, &order);
        for (index, flag) in own.into_iter().zip(flags) {
            labels[index].flag = flag;
        }
        rows
    };
    (rows(true), rows(false))
}

impl Scene {
    pub(super) fn labels(&mut self, sheet: &Sheet, labels: &[Label]) {
        for label in labels {
            let Some(row) = label.flag.row else { continue };
            let place = sheet.places[label.lane];
            let bar = place.bar;
            let loop_room = if has_loop(sheet.model, label.lane) { 14.0 } else { 0.0 };
            let base = if label.above {
                bar - 8.0 - row as f64 * ROW
            } else {
                bar + BAR + 4.0 + loop_room + (row as f64 + 0.75) * ROW
            };
            let x = label.flag.x;
            let leader = if label.above {
                format!("M{x:.1} {bar:.1}V{:.1}", base - 10.0)
            } else {
                format!("M{x:.1} {:.1}V{:.1}", bar + BAR, base + 2.0)
            };
            self.push(4, "leader", Shape::Path(leader));
            if label.class == "tag mono" {
                let width = mono_width(&label.text, TEXT) + 8.0;
                self.push(5, "tag-box", Shape::Rect(x, base - 12.0, width, 16.0, 3.0));
                self.text(6, label.class, (x + 4.0, base), TEXT, &label.text);
            } else {
                self.text(6, label.class, (x + 4.0, base), TEXT, &label.text);
            }
        }
    }
}
