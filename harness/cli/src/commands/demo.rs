//! `demo`: the solution at work, told from what the kernel saw.

use std::io::Write;

use anyhow::Result;
use grade::{Demo, Exercise};

use crate::args::{Cli, DemoArgs};
use crate::commands::trace;
use crate::context;
use crate::exit::Exit;
use crate::files;
use crate::meter;
use crate::terminal;
use crate::timeline::{self, Caption};

/// Runs the solution once and shows it.
pub fn demo(cli: &Cli, args: &DemoArgs) -> Result<Exit> {
    for path in [&args.html, &args.svg].into_iter().flatten() {
        files::check_writable(path)?;
    }
    let suite = context::suite(cli)?;
    let exercise = suite.exercise(&args.exercise).map_err(context::stop_grading)?;
    let grader = context::grader(&suite, None, context::rung(args.boxed));
    let demo = meter::during(exercise.name, || grader.demo(exercise)).map_err(context::stop_grading)?;
    let caption = caption(exercise, &demo);
    trace::pictures(&demo.observation, &caption, args.html.as_deref(), args.svg.as_deref())?;
    write!(anstream::stdout().lock(), "{}", told(&demo, &caption, terminal::width()))?;
    Ok(Exit::Done)
}

/// What stands over the timeline of an exercise.
pub fn caption(exercise: &Exercise, demo: &Demo) -> Caption {
    let words: Vec<String> = demo.launch.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let command = format!("{} {}", exercise.name, words.join(" ")).trim().to_owned();
    Caption { title: exercise.title.to_owned(), command, story: demo.story.clone(), drawing: demo.drawing.clone() }
}

/// The timeline, the drawing and the story, as text.
pub fn told(demo: &Demo, caption: &Caption, width: usize) -> String {
    let mut text = timeline::text(&demo.observation, caption, width, terminal::colored());
    text.push('\n');
    for line in &caption.drawing {
        text.push_str(format!("  {line}").trim_end());
        text.push('\n');
    }
    if !caption.drawing.is_empty() {
        text.push('\n');
    }
    for (number, sentence) in (1..).zip(&caption.story) {
        for (i, line) in terminal::wrap(sentence, width.saturating_sub(5)).into_iter().enumerate() {
            text.push_str(&if i == 0 { format!("{number:3}. {line}\n") } else { format!("     {line}\n") });
        }
    }
    text
}
