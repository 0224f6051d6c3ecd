//! The page: the picture, the story, what was printed and by whom, and everything that happened as a table.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use observe::{Observation, ProcessId};

use super::model::Model;
use super::output::{Part, parts};
use super::readable::{clock, count, duration, printable};
use super::scene::Scene;
use super::story::capital;
use super::told::Told;
use super::{hang, svg};

/// Rows of the table.
const MOST_ROWS: usize = 400;
/// A table longer than this is folded at first.
const FOLDED_FROM: usize = 60;
const STYLE: &str = include_str!("page.css");

/// What the page says besides the observation.
pub(super) struct Words<'a> {
    /// Heading.
    pub title: &'a str,
    /// The command line.
    pub command: &'a str,
    /// Sentences.
    pub story: &'a [String],
    /// Lines of text.
    pub drawing: &'a [String],
}

/// The whole page.
pub(super) fn page(obs: &Observation, model: &Model, scene: &Scene, words: &Words) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (words.title) }
                style { (PreEscaped(svg::STYLE)) (PreEscaped(STYLE)) }
            }
            body class="tl" {
                main {
                    header {
                        h1 { (words.title) }
                        @if !words.command.is_empty() { p class="command" { code { "$ " (words.command) } } }
                    }
                    (explained(obs, model))
                    (figure(model, scene, words))
                    (drawing(words.drawing))
                    (story(words.story))
                    (output(obs, model))
                    (table(obs, model))
                }
            }
        }
    }
}

fn figure(model: &Model, scene: &Scene, words: &Words) -> Markup {
    html! {
        figure {
            div class="scroll" tabindex="0" role="region" aria-label="Timeline; scrolls sideways" {
                div class="picture" { (svg::parts(scene, words.title, &words.story.join(" "))) }
            }
            figcaption {
                p {
                    "Time runs from left to right. Each bar is a process; hatched parts are waiting. "
                    @if !model.told.is_empty() { "Everything in the picture is also in the table below. " }
                    span class="narrow" { "Scroll it sideways to see the rest." }
                }
                @for note in &model.notes { p class="note" { (note) } }
            }
        }
    }
}

fn explained(obs: &Observation, model: &Model) -> Markup {
    let Some(why) = &obs.hang else { return html! {} };
    html! {
        section class="hang" aria-labelledby="why" {
            h2 id="why" { "Why it hangs" }
            p class="heart" { (capital(&printable(&why.summary))) }
            ul {
                @for (head, reasons) in hang::sentences(why, &model.names) {
                    li {
                        (head)
                        @if !reasons.is_empty() {
                            ul { @for reason in reasons { li { (capital(&reason)) } } }
                        }
                    }
                }
            }
        }
    }
}

fn drawing(lines: &[String]) -> Markup {
    if lines.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="drawing" {
            h2 id="drawing" { "What it is about" }
            div class="scroll" tabindex="0" role="region" aria-label="Drawing; scrolls sideways" {
                pre class="drawing" { (lines.join("\n")) }
            }
        }
    }
}

fn story(sentences: &[String]) -> Markup {
    html! {
        section aria-labelledby="story" {
            h2 id="story" { "What happens" }
            ol { @for sentence in sentences { li { (sentence) } } }
        }
    }
}

fn output(obs: &Observation, model: &Model) -> Markup {
    html! {
        section aria-labelledby="output" {
            h2 id="output" { "What it printed" }
            @for (stream, name, all) in [(1, "Standard output", &obs.stdout), (2, "Standard error", &obs.stderr)] {
                @if all.total > 0 {
                    @let (parts, cut) = parts(obs, stream);
                    h3 { (name) }
                    dl class="output" { @for part in &parts { (written(part, model)) } }
                    @if cut { p class="note" { "Only the beginning of " (count(all.total)) " bytes." } }
                }
            }
            @if obs.stdout.total + obs.stderr.total == 0 { p { "Nothing." } }
        }
    }
}

fn written(part: &Part, model: &Model) -> Markup {
    let (name, hue) = match part.author {
        Some(author) => (model.names.get(author.0 as usize).map_or("", String::as_str), hue(model, author)),
        None => ("output", "c5".into()),
    };
    html! {
        div class=(hue) {
            dt { (name) }
            dd { pre { (part.lines.join("\n")) } }
        }
    }
}

fn hue(model: &Model, process: ProcessId) -> String {
    let lane = model.lanes.iter().position(|l| l.process == process);
    format!("c{}", lane.map_or(5, |lane| lane % 6))
}

fn table(obs: &Observation, model: &Model) -> Markup {
    let rows: Vec<&Told> = model.told.iter().filter(|t| !t.startup).collect();
    if rows.is_empty() {
        return html! {};
    }
    let skipped = rows.len().saturating_sub(MOST_ROWS);
    let (first, last) = if skipped > 0 { (MOST_ROWS * 3 / 4, MOST_ROWS / 4) } else { (rows.len(), 0) };
    html! {
        section aria-labelledby="events" {
            h2 id="events" { "Everything in order" }
            details open[rows.len() <= FOLDED_FROM] {
                summary { (count(rows.len() as u64)) " events" }
                table {
                    caption class="unseen" { "All events in order of time" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } } }
                    tbody {
                        @for told in &rows[..first] { (row(obs, model, told)) }
                        @if skipped > 0 {
                            tr { td colspan="3" class="note" { "… " (count(skipped as u64)) " events left out here …" } }
                            @for told in &rows[rows.len() - last..] { (row(obs, model, told)) }
                        }
                    }
                }
            }
        }
    }
}

fn row(obs: &Observation, model: &Model, told: &Told) -> Markup {
    let event = &obs.events[told.event];
    let name = model.names.get(event.process.0 as usize).map_or("", String::as_str);
    let source = event.source.as_ref().map(|s| printable(&s.to_string()));
    html! {
        tr class=(if told.said.quiet { "quiet" } else { "" }) {
            td class="when" { (clock(told.from)) }
            td { span class={ "who " (hue(model, event.process)) } { (name) } }
            td class={ @if told.said.failed { "failed" } } {
                (told.said.sentence)
                @if told.for_ever { " " small { "waits for ever" } }
                @else if told.waited { " " small { "waited " (duration(told.to - told.from)) } }
                @if let Some(source) = source { " " code class="source" { (source) } }
            }
        }
    }
}
