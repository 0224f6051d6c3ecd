//! Timelines: pictures of an observation, as pure functions of it.
//!
//! `observation → told (events in words) → model (lanes, steps, flows) → svg · html · text`. Nothing here runs,
//! writes or decides anything; a picture never fails, whatever the program did.

mod axis;
mod flows;
mod grouping;
mod hang;
mod html;
mod lanes;
mod layout;
mod limit;
mod mappings;
mod model;
mod output;
mod readable;
#[cfg(test)]
pub(crate) mod samples;
mod scene;
mod snapshots;
mod story;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod told;
mod words;

use observe::Observation;

use model::{Model, model};
use readable::printable;
use scene::{Frame, Scene};

/// What is said about a picture.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// What it shows, in a few words.
    pub title: String,
    /// The command line as one would type it.
    pub command: String,
    /// What happens, a sentence each; where there is none, the picture tells its own.
    pub story: Vec<String>,
    /// What it is about, drawn in lines of text.
    pub drawing: Vec<String>,
}

/// The picture to scale, alone: one lane a process, time from left to right.
pub fn svg(obs: &Observation, caption: &Caption) -> String {
    let model = model(obs);
    let said = Said::new(obs, &model, caption);
    let mut below = said.story.clone();
    below.extend(model.notes.iter().cloned());
    let frame = Frame { title: &said.title, command: &said.command, drawing: &caption.drawing, below: &below };
    let scene = Scene::new(&model, &hang::guilty(obs, &model.lanes), Some(frame));
    svg::whole(&scene, &said.title, &said.story.join(" ")).into_string()
}

/// One page that needs nothing else: the picture, the story, the output with its authors, and all events as a table.
pub fn html(obs: &Observation, caption: &Caption) -> String {
    let model = model(obs);
    let said = Said::new(obs, &model, caption);
    let scene = Scene::new(&model, &hang::guilty(obs, &model.lanes), None);
    let drawing = &caption.drawing;
    let words = html::Words { title: &said.title, command: &said.command, story: &said.story, drawing };
    html::page(obs, &model, &scene, &words).into_string()
}

/// The timeline for a terminal of this many columns: a rail a process, time downwards.
pub fn text(obs: &Observation, caption: &Caption, width: usize, colour: bool) -> String {
    let model = model(obs);
    let said = Said::new(obs, &model, caption);
    text::timeline(obs, &model, (&said.title, &said.command), width, colour)
}

/// A caption that can be shown anywhere.
struct Said {
    title: String,
    command: String,
    story: Vec<String>,
}

impl Said {
    fn new(obs: &Observation, model: &Model, caption: &Caption) -> Said {
        let story = match caption.story.as_slice() {
            [] => story::story(obs, model),
            story => story.iter().map(|s| printable(s)).collect(),
        };
        let (title, command) = (printable(&caption.title), printable(&caption.command));
        let command = if command == title { String::new() } else { command };
        Said { title, command, story }
    }
}
