//! `hint`: from the concept to the place, one step at a time.

use std::io::Write;

use anyhow::Result;

use crate::args::{Cli, HintArgs};
use crate::context;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::terminal::{self, DIM, HEAD, Styled, TYPE};

/// What each step is.
const STEPS: [&str; 3] = ["the concept", "the place", "nearly the code"];

/// Shows one hint, the first if none is asked for.
pub fn hint(cli: &Cli, args: &HintArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let exercise = suite.exercise(&args.exercise).map_err(context::stop_grading)?;
    let hints = exercise.hints().map_err(context::stop_grading)?;
    let step = usize::from(args.step.unwrap_or(1));
    let Some(words) = hints.get(step - 1) else {
        return Err(Stop::input(format!("{} has {} hints", exercise.name, hints.len())));
    };
    let mut out = anstream::stdout().lock();
    let what = STEPS.get(step - 1).copied().unwrap_or("more");
    writeln!(
        out,
        "{} {}",
        Styled(HEAD, exercise.name),
        Styled(DIM, format!("hint {step} of {}: {what}", hints.len()))
    )?;
    for line in terminal::wrap(words.trim(), terminal::width()) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    let next = if step < hints.len() {
        terminal::suggestion(&format!("hint {} {}", exercise.name, step + 1), "the next hint", terminal::width())
    } else {
        terminal::suggestion(&format!("demo {}", exercise.name), "the solution at work", terminal::width())
    };
    for line in next {
        writeln!(out, "{line}")?;
    }
    let lesson = exercise.lesson_path();
    if lesson.exists() {
        writeln!(out, "  {}  {}", Styled(TYPE, files::relative(&lesson).display()), Styled(DIM, "the lesson"))?;
    }
    Ok(Exit::Done)
}
