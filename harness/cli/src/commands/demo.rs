//! `demo`: the solution at work, told from what the kernel saw.

use std::io::Write;

use anyhow::Result;

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
    let grader = context::grader(&suite, None);
    let demo = meter::during(exercise.name, || grader.demo(exercise)).map_err(context::stop_grading)?;
    let words: Vec<String> = demo.launch.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let command = format!("{} {}", exercise.name, words.join(" ")).trim().to_owned();
    let caption = Caption { title: exercise.title.to_owned(), command, story: demo.story };
    trace::pictures(&demo.observation, &caption, args.html.as_deref(), args.svg.as_deref())?;
    let mut out = anstream::stdout().lock();
    write!(out, "{}", timeline::text(&demo.observation, &caption, terminal::width(), terminal::colored()))?;
    writeln!(out)?;
    for (number, sentence) in (1..).zip(&caption.story) {
        for (i, line) in terminal::wrap(sentence, terminal::width().saturating_sub(5)).into_iter().enumerate() {
            if i == 0 { writeln!(out, "{number:3}. {line}")? } else { writeln!(out, "     {line}")? }
        }
    }
    Ok(Exit::Done)
}
