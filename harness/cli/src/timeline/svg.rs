//! The picture as SVG.

use maud::{Markup, PreEscaped, html};

use super::scene::{GUTTER, Item, Scene, Shape};

/// The style of the picture, by the reader's choice of light or dark. Colours are those of Okabe and Ito, which
/// people with any kind of colour vision can tell apart; none carries a meaning alone.
pub(super) const STYLE: &str = include_str!("timeline.css");

/// A picture that stands alone, with a title and a description for those who do not see it.
pub(super) fn whole(scene: &Scene, title: &str, description: &str) -> Markup {
    html! {
        svg xmlns="http://www.w3.org/2000/svg" class="tl tl-alone" role="img" aria-label=(title)
            width=(rounded(scene.width)) height=(rounded(scene.height))
            viewBox=(format!("0 0 {} {}", rounded(scene.width), rounded(scene.height))) {
            title { (title) }
            desc { (description) }
            style { (PreEscaped(STYLE)) }
            (patterns())
            rect class="paper" width="100%" height="100%" {}
            @for item in &scene.items { (drawn(item)) }
        }
    }
}

/// The picture for a page that has the style: the names in a column that stays in view, the rest beside it.
pub(super) fn parts(scene: &Scene, title: &str, description: &str) -> Markup {
    let (width, height) = (scene.width - GUTTER, rounded(scene.height));
    html! {
        svg xmlns="http://www.w3.org/2000/svg" class="tl tl-names" aria-hidden="true" preserveAspectRatio="xMinYMin slice" width=(GUTTER) height=(height)
            viewBox=(format!("0 0 {GUTTER} {height}")) {
            rect class="paper" width="100%" height="100%" {}
            @for item in scene.items.iter().filter(|i| i.gutter) { (drawn(item)) }
        }
        svg xmlns="http://www.w3.org/2000/svg" class="tl" role="img" aria-label=(title)
            width=(rounded(width)) height=(height) viewBox=(format!("{GUTTER} 0 {} {height}", rounded(width))) {
            title { (title) }
            desc { (description) }
            (patterns())
            @for item in scene.items.iter().filter(|i| !i.gutter) { (drawn(item)) }
        }
    }
}

fn rounded(value: f64) -> f64 {
    value.ceil()
}

/// Hatchings, so that waiting and blame are seen without colour.
fn patterns() -> Markup {
    html! {
        defs {
            pattern id="tl-wait" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect class="paper" width="6" height="6" {}
                path class="hatch" d="M0 0V6" {}
            }
            pattern id="tl-stuck" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect class="paper" width="7" height="7" {}
                path class="hatch-stuck" d="M0 0V7M0 0H7" {}
            }
            pattern id="tl-loading" width="5" height="5" patternUnits="userSpaceOnUse" {
                path class="hatch" d="M1 1h1.2" {}
            }
        }
    }
}

fn drawn(item: &Item) -> Markup {
    let title = html! { @if let Some(title) = &item.title { title { (title) } } };
    let one = |value: f64| format!("{value:.1}");
    html! {
        @match &item.shape {
            Shape::Rect(x, y, width, height, radius) => {
                rect class=(item.class) x=(one(*x)) y=(one(*y)) width=(one(*width)) height=(one(*height)) rx=(radius) { (title) }
            }
            Shape::Path(path) => { path class=(item.class) d=(path) { (title) } }
            Shape::Text { x, y, size, content, .. } => {
                text class=(item.class) x=(one(*x)) y=(one(*y)) font-size=(size) xml:space=[columns(content)] { (content) (title) }
            }
        }
    }
}

/// Spaces are kept where they put signs under each other.
fn columns(content: &str) -> Option<&'static str> {
    (content.starts_with(' ') || content.contains("  ")).then_some("preserve")
}
