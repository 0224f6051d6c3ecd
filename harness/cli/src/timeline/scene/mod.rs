//! The picture as shapes with places: what the SVG draws, and what tests measure.

mod arrows;
mod bars;
mod frame;
mod labels;
mod pages;
mod strips;

use super::axis::Axis;
use super::hang::Guilty;
use super::layout::ROW;
use super::model::Model;

/// Width of the column with the lanes' names.
pub(super) const GUTTER: f64 = 140.0;
/// A picture is to be no wider than this, unless it has very much to say.
const PAGE: f64 = 1200.0;
/// The lanes are never drawn narrower than this.
const LEAST: f64 = 640.0;
/// Height of a lane's bar.
pub(super) const BAR: f64 = 26.0;
/// Height of a bar that shows a mapping or a guilty descriptor.
pub(super) const STRIP: f64 = 18.0;
/// Size of most text.
pub(super) const TEXT: f64 = 12.0;

/// One thing to draw.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Drawn in order of layers.
    pub layer: u8,
    /// It belongs to the column of names, which stays in view when the picture is scrolled.
    pub gutter: bool,
    /// Classes of the style sheet.
    pub class: String,
    /// Shown when pointed at.
    pub title: Option<String>,
    /// What.
    pub shape: Shape,
}

/// Kinds of thing to draw.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A rectangle: x, y, width, height, radius of its corners.
    Rect(f64, f64, f64, f64, f64),
    /// A path in SVG's own words.
    Path(String),
    /// A line of text.
    Text {
        /// Left edge.
        x: f64,
        /// Base line.
        y: f64,
        /// An upper bound of its width.
        width: f64,
        /// Size of its typeface.
        size: f64,
        /// What it says.
        content: String,
    },
}

/// The whole picture.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    /// Everything to draw.
    pub items: Vec<Item>,
    /// Total width, the column of names included.
    pub width: f64,
    /// Total height.
    pub height: f64,
}

/// Where the bands of one lane lie, from top to bottom.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Top of the bar.
    bar: f64,
    /// Rows of labels above the bar.
    above: usize,
    /// Top of the first strip below the labels that are below the bar.
    strips: f64,
}

/// Everything that is needed to place things.
struct Sheet<'a> {
    model: &'a Model,
    axis: Axis,
    guilty: &'a [Guilty],
    places: Vec<Place>,
}

impl Sheet<'_> {
    fn x(&self, t: std::time::Duration) -> f64 {
        GUTTER + self.axis.x(t)
    }
}

/// What a standalone picture says above and below the lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// Above.
    pub title: &'a str,
    /// Above, below the title.
    pub command: &'a str,
    /// Below: what it is about, in lines of text.
    pub drawing: &'a [String],
    /// Below that: sentences, each a paragraph.
    pub below: &'a [String],
}

impl Scene {
    /// Lays out a model; with a frame where the picture stands alone.
    pub fn new(model: &Model, guilty: &[Guilty], frame: Option<Frame>) -> Scene {
        let wanted = labels::plot_width(model);
        let scene = Scene::of_width(model, guilty, frame, wanted);
        let excess = scene.width - PAGE.max(wanted);
        if excess <= 0.0 {
            return scene;
        }
        Scene::of_width(model, guilty, frame, (wanted - excess).max(LEAST))
    }

    fn of_width(model: &Model, guilty: &[Guilty], frame: Option<Frame>, width: f64) -> Scene {
        let mut sheet = Sheet { model, axis: Axis::new(model, width), guilty, places: Vec::new() };
        let mut scene = Scene::default();
        let mut y = frame.map_or(8.0, |f| scene.head(f));
        let axis_top = y;
        y += frame::AXIS;
        let mut flags = labels::all(&sheet);
        for lane in 0..model.lanes.len() {
            let (above, below) = labels::place_lane(&mut flags, lane);
            let bar = y + above as f64 * ROW + 8.0;
            let strips = bar + BAR + 6.0 + below as f64 * ROW + if labels::has_loop(model, lane) { 14.0 } else { 0.0 };
            sheet.places.push(Place { bar, above, strips });
            y = strips + strips::count(&sheet, lane) as f64 * STRIP + 12.0;
        }
        scene.lanes(&sheet);
        scene.arrows(&sheet);
        scene.labels(&sheet, &flags);
        let lanes_end = y;
        y = scene.pages(&sheet, y);
        scene.width = scene.right_edge().max(frame.map_or(0.0, frame::drawn_to)) + 14.0;
        scene.axis(&sheet, axis_top, lanes_end);
        y = scene.legend(&sheet, y + 8.0);
        scene.height = frame.map_or(y, |f| scene.foot(f, y)) + 8.0;
        scene.items.sort_by_key(|item| item.layer);
        scene
    }

    fn push(&mut self, layer: u8, class: impl Into<String>, shape: Shape) -> &mut Item {
        self.items.push(Item { layer, gutter: false, class: class.into(), title: None, shape });
        let last = self.items.len() - 1;
        &mut self.items[last]
    }

    fn text(&mut self, layer: u8, class: impl Into<String>, (x, y): (f64, f64), size: f64, content: &str) -> &mut Item {
        let class = class.into();
        let width = if class.contains("mono") {
            super::layout::mono_width(content, size)
        } else {
            super::layout::text_width(content, size) * if class.contains("name") { 1.12 } else { 1.0 }
        };
        self.push(layer, class, Shape::Text { x, y, width, size, content: content.to_owned() })
    }

    fn right_edge(&self) -> f64 {
        let edges = self.items.iter().map(|item| match &item.shape {
            Shape::Rect(x, _, width, ..) => x + width,
            Shape::Text { x, width, .. } => x + width,
            Shape::Path(_) => 0.0,
        });
        edges.fold(GUTTER + 400.0, f64::max)
    }
}
