//! `dev`: for those who make exercises, not for those who do them.

mod prove;

use std::fs;
use std::io::Write;

use anyhow::{Context, Result, anyhow};
use grade::State;
use observe::Tracing;

use crate::args::{Cli, DevCommand};
use crate::book;
use crate::commands::{demo, steady};
use crate::context;
use crate::exit::Exit;
use crate::files;
use crate::terminal;
use crate::timeline::{self, Caption};

/// Does what is asked.
pub fn dev(cli: &Cli, command: &DevCommand) -> Result<Exit> {
    match command {
        DevCommand::Pristine { check: true } => check_pristine(cli),
        DevCommand::Pristine { check: false } => pristine(cli),
        DevCommand::Pictures => pictures(cli),
        DevCommand::Prove(args) => prove::prove(cli, args),
        DevCommand::Steady(args) => steady::steady(cli, args),
    }
}

/// Every stub as it is now becomes the one that `reset` brings back.
fn pristine(cli: &Cli) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let mut out = anstream::stdout().lock();
    for (name, digest) in grade::digest_stubs(&suite).map_err(context::stop_grading)? {
        writeln!(out, "{digest}  {name}")?;
    }
    Ok(Exit::Done)
}

/// Every stub must be the one that `reset` brings back, or a fresh clone would count as begun.
fn check_pristine(cli: &Cli) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let stale: Vec<&str> = suite
        .exercises()
        .iter()
        .filter(|exercise| suite.state(exercise) != State::NotBegun)
        .map(|exercise| exercise.name)
        .collect();
    if stale.is_empty() {
        return Ok(Exit::Done);
    }
    anstream::eprintln!("Not as handed out: {}.", stale.join(", "));
    for line in terminal::suggestion("dev pristine", "make them so", terminal::width()) {
        anstream::eprintln!("{line}");
    }
    Ok(Exit::Failed)
}

/// Each picture named in a lesson is made anew from a run of the solution of that name.
fn pictures(cli: &Cli) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let grader = context::grader(&suite, None, None);
    let mut out = anstream::stdout().lock();
    for exercise in suite.exercises() {
        let lesson = exercise.lesson_path();
        let text = fs::read_to_string(&lesson).with_context(|| format!("cannot read {}", lesson.display()))?;
        let name = book::picture_of(exercise);
        if !text.contains(&format!("]({name})")) {
            continue;
        }
        let demo = grader.demo(exercise).map_err(context::stop_grading)?;
        if let Tracing::NotPermitted(why) = &demo.observation.tracing {
            return Err(anyhow!("{}: nothing to draw: {why}", exercise.name));
        }
        let caption = Caption { story: Vec::new(), ..demo::caption(exercise, &demo) };
        let path = lesson.with_file_name(name);
        files::write_whole(&path, timeline::svg(&demo.observation, &caption).as_bytes())?;
        writeln!(out, "{}", files::relative(&path).display())?;
    }
    Ok(Exit::Done)
}
