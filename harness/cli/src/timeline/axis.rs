//! From time to paper: to scale, except that long stretches in which nothing happens are cut short and marked.

use std::time::Duration;

use super::model::Model;
use super::readable::tick;

/// Width of a stretch that was cut short.
const BREAK: f64 = 56.0;
/// Width of a stretch in which somebody waits for ever, or does the same again and again: it must be seen.
const WIDE_BREAK: f64 = 250.0;
/// Width of a stretch in which a program starts up.
const STARTS_UP: f64 = 84.0;
/// No more stretches than this are cut short.
const MOST_BREAKS: usize = 8;
/// An idle stretch is cut short when it would take more than this part of the width.
const TOO_WIDE: f64 = 0.33;

/// The axis of a picture.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pieces: Vec<Piece>,
}

/// A stretch of time and where it lies on the paper.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Its beginning.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
    /// Where it begins.
    pub x: f64,
    /// How wide it is.
    pub width: f64,
    /// It is cut short.
    pub cut: bool,
}

impl Axis {
    /// An axis of this width for the times of a model.
    pub fn new(model: &Model, width: f64) -> Axis {
        let times = times(model);
        let gaps: Vec<(Duration, Duration)> = times.windows(2).map(|w| (w[0], w[1])).collect();
        let breadth = |gap: &(Duration, Duration)| match gap {
            gap if lively(model, *gap) => WIDE_BREAK,
            gap if loads(model, *gap) => STARTS_UP,
            _ => BREAK,
        };
        let dull: Vec<bool> = gaps.iter().map(|gap| loads(model, *gap)).collect();
        let cut = cut(&gaps, &dull, width);
        let cuts: f64 = gaps.iter().zip(&cut).filter(|(_, c)| **c).map(|(g, _)| breadth(g)).sum();
        let busy: f64 = gaps.iter().zip(&cut).filter(|(_, c)| !**c).map(|(g, _)| seconds(*g)).sum();
        let scale = if busy > 0.0 { (width - cuts) / busy } else { 0.0 };
        let mut x = 0.0;
        let mut pieces: Vec<Piece> = Vec::new();
        for (gap, cut) in gaps.into_iter().zip(cut) {
            let width = if cut { breadth(&gap) } else { seconds(gap) * scale };
            match pieces.last_mut().filter(|last| !last.cut && !cut) {
                Some(last) => (last.to, last.width) = (gap.1, last.width + width),
                None => pieces.push(Piece { from: gap.0, to: gap.1, x, width, cut }),
            }
            x += width;
        }
        Axis { pieces }
    }

    /// Where this moment lies.
    pub fn x(&self, t: Duration) -> f64 {
        let Some(first) = self.pieces.first() else { return 0.0 };
        if t <= first.from {
            return first.x;
        }
        let piece = self.pieces.iter().find(|p| t <= p.to).or(self.pieces.last());
        piece.map_or(0.0, |p| {
            let whole = seconds((p.from, p.to));
            let part = if whole > 0.0 { seconds((p.from, t.min(p.to))) / whole } else { 0.0 };
            p.x + p.width * part
        })
    }

    /// The stretches that are cut short.
    pub fn breaks(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().filter(|p| p.cut)
    }

    /// Round times at a distance of at least `room`, none inside a cut, each with its place and its words.
    pub fn ticks(&self, room: f64) -> Vec<(f64, String)> {
        let scale = self.pieces.iter().filter(|p| !p.cut && p.to > p.from).map(|p| p.width / seconds((p.from, p.to)));
        let Some(scale) = scale.reduce(f64::max).filter(|s| *s > 0.0) else { return Vec::new() };
        let step = round_up(room / scale);
        let mut ticks: Vec<(f64, String)> = Vec::new();
        for piece in self.pieces.iter().filter(|p| !p.cut) {
            let first = (piece.from.as_secs_f64() / step).ceil() as u64;
            for n in (first..).take(200) {
                let at = Duration::from_secs_f64(n as f64 * step);
                if at > piece.to {
                    break;
                }
                let x = self.x(at);
                if ticks.last().is_none_or(|(last, _)| x - last >= room) {
                    ticks.push((x, tick(at, Duration::from_secs_f64(step))));
                }
            }
        }
        ticks
    }
}

fn seconds((from, to): (Duration, Duration)) -> f64 {
    to.saturating_sub(from).as_secs_f64()
}

/// The next of 1, 2, 5, 10, … of a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|m| *m >= value * 0.999).unwrap_or(10.0 * power)
}

/// All moments at which something in the picture begins or ends.
fn times(model: &Model) -> Vec<Duration> {
    let lanes =
        model.lanes.iter().flat_map(|l| [l.from, l.to].into_iter().chain(l.loading.iter().flat_map(|(a, b)| [*a, *b])));
    let steps = model.steps.iter().flat_map(|s| [s.from, s.to]);
    let maps = model.mappings.iter().flat_map(|m| [m.from, m.to]);
    let mut times: Vec<Duration> = lanes.chain(steps).chain(maps).chain([Duration::ZERO, model.end]).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// The first program starts up in this stretch, and nobody else is there.
fn loads(model: &Model, (from, to): (Duration, Duration)) -> bool {
    let first = model.lanes.first().and_then(|lane| lane.loading.first());
    first.is_some_and(|(begin, end)| *begin <= from && *end >= to && *end - *begin > Duration::from_micros(100))
}

/// Somebody waits for ever in this stretch, or repeats himself.
fn lively(model: &Model, (from, to): (Duration, Duration)) -> bool {
    model.steps.iter().any(|s| {
        let repeats = s.count > 1 && s.from <= from && s.to >= to;
        repeats || (to == model.end && s.waiting.as_ref().is_some_and(|w| w.for_ever))
    })
}

/// Cuts the widest stretch again and again, until none takes too much of the width.
fn cut(gaps: &[(Duration, Duration)], dull: &[bool], width: f64) -> Vec<bool> {
    let mut cut = dull.to_vec();
    for cuts in 0..MOST_BREAKS {
        let open = || (0..gaps.len()).filter(|i| !cut[*i]);
        let busy: f64 = open().map(|i| seconds(gaps[i])).sum();
        let Some(widest) = open().max_by(|a, b| seconds(gaps[*a]).total_cmp(&seconds(gaps[*b]))) else { break };
        let room = width - BREAK * cuts as f64;
        let drawn = seconds(gaps[widest]) / busy.max(f64::MIN_POSITIVE) * room;
        if drawn < (width * TOO_WIDE).max(BREAK * 1.6) || open().count() < 3 {
            break;
        }
        cut[widest] = true;
    }
    cut
}
