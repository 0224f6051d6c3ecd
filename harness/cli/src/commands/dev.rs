//! `dev`: for those who make exercises, not for those who do them.

mod prove;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use grade::{Exercise, State, Suite};
use observe::Tracing;

use crate::args::{Cli, DevCommand};
use crate::book;
use crate::commands::{demo, steady};
use crate::context;
use crate::exit::{Exit, Stop};
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
        DevCommand::Class { directory, submissions } => class(cli, directory, *submissions),
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
        if let Some(why) = &demo.lacks {
            return Err(anyhow!("{}: nothing to draw: {why}", exercise.name));
        }
        let caption = Caption { story: Vec::new(), ..demo::caption(exercise, &demo) };
        let path = lesson.with_file_name(name);
        files::write_whole(&path, timeline::svg(&demo.observation, &caption).as_bytes())?;
        writeln!(out, "{}", files::relative(&path).display())?;
    }
    Ok(Exit::Done)
}

/// Programs of one person.
const PORTFOLIO: usize = 10;

/// Answers to all exercises in turn: the solutions and what lies under `fixtures`, right and wrong. Each ends in a
/// comment of its own, so that each has to be compiled.
fn class(cli: &Cli, directory: &Path, submissions: usize) -> Result<Exit> {
    let suite = context::suite(cli)?;
    fs::create_dir_all(directory)
        .map_err(|e| Stop::input(format!("{}: {}", directory.display(), files::reason(&e))))?;
    if fs::read_dir(directory)?.next().is_some() {
        return Err(Stop::input(format!("{}: holds something already", directory.display())));
    }
    let answers: Vec<Vec<PathBuf>> = suite.exercises().iter().map(|exercise| answers(&suite, exercise)).collect();
    for number in 0..submissions {
        let which = number % answers.len();
        let (exercise, answers) = (&suite.exercises()[which], &answers[which]);
        let answer = &answers[number / suite.exercises().len() % answers.len()];
        let person = directory.join(format!("person-{:04}", number / PORTFOLIO + 1));
        fs::create_dir_all(&person)?;
        let text = fs::read_to_string(answer).with_context(|| format!("cannot read {}", answer.display()))?;
        let kind = answer.extension().unwrap_or_default();
        let path = person.join(exercise.name).with_extension(kind);
        fs::write(&path, format!("{text}\n// {number}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Done)
}

fn answers(suite: &Suite, exercise: &Exercise) -> Vec<PathBuf> {
    let on_file = |kind: &str| {
        let directory = suite.root().join("fixtures/submissions").join(kind).join(exercise.name);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    [vec![exercise.solution_path()], on_file("right"), on_file("wrong")].concat()
}
