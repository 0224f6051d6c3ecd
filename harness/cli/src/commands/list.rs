//! `list`: the exercises by module, with their state.

use std::io::Write;

use anyhow::Result;
use grade::{Exercise, State, Suite};
use serde_json::{Value, json};

use crate::args::{Cli, ListArgs};
use crate::context;
use crate::exit::Exit;
use crate::progress::{Progress, Standing};
use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled, TYPE};

/// Shows all of them.
pub fn list(cli: &Cli, args: &ListArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let progress = Progress::load(suite.root());
    let mut out = anstream::stdout().lock();
    if args.json {
        let exercises: Vec<Value> =
            suite.exercises().iter().map(|exercise| entry(exercise, standing(&suite, &progress, exercise))).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "schema": 1, "exercises": exercises }))?)?;
        return Ok(Exit::Done);
    }
    let standings: Vec<Option<Standing>> =
        suite.exercises().iter().map(|exercise| standing(&suite, &progress, exercise)).collect();
    let rows: Vec<Vec<String>> = suite
        .exercises()
        .iter()
        .zip(&standings)
        .map(|(exercise, standing)| {
            vec![
                format!("  {}", mark(*standing)),
                exercise.name.to_owned(),
                words(*standing),
                exercise.title.to_owned(),
            ]
        })
        .collect();
    let mut module = "";
    for (exercise, line) in suite.exercises().iter().zip(terminal::table(&rows, &[])) {
        if exercise.module.folder != module {
            module = exercise.module.folder;
            writeln!(out, "{} {}", Styled(HEAD, exercise.module.title), Styled(DIM, format!("(exercises/{module})")))?;
        }
        writeln!(out, "{line}")?;
    }
    let passed = standings.iter().filter(|standing| **standing == Some(Standing::Passed)).count();
    writeln!(out, "\n{passed} of {} passed.", standings.len())?;
    let next = suite.exercises().iter().zip(&standings).find(|(_, standing)| **standing != Some(Standing::Passed));
    if let Some((exercise, _)) = next {
        let command = Styled(TYPE, format!("{} run {}", terminal::invocation(), exercise.name));
        writeln!(out, "Next: edit {}, then {command}", short_path(&suite, exercise))?;
    }
    Ok(Exit::Done)
}

/// The learner's file as it is written in the suite's directory.
pub fn short_path(suite: &Suite, exercise: &Exercise) -> String {
    let path = exercise.stub_path();
    path.strip_prefix(suite.root()).unwrap_or(&path).display().to_string()
}

/// Where the learner stands; `None` where the file is gone.
pub fn standing(suite: &Suite, progress: &Progress, exercise: &Exercise) -> Option<Standing> {
    let state = suite.state(exercise);
    if state == State::Missing {
        return None;
    }
    let source = std::fs::read(exercise.stub_path()).unwrap_or_default();
    Some(progress.standing(exercise.name, state == State::NotBegun, &source))
}

fn mark(standing: Option<Standing>) -> String {
    match standing {
        None => Styled(BAD, "!").to_string(),
        Some(Standing::NotBegun) => Styled(DIM, "·").to_string(),
        Some(Standing::InProgress) => Styled(CARE, "~").to_string(),
        Some(Standing::Passed) => Styled(GOOD, "✓").to_string(),
        Some(Standing::ChangedSince) => Styled(CARE, "?").to_string(),
    }
}

fn words(standing: Option<Standing>) -> String {
    standing.map_or("the file is gone", Standing::words).to_owned()
}

fn entry(exercise: &Exercise, standing: Option<Standing>) -> Value {
    json!({
        "name": exercise.name,
        "module": exercise.module.short,
        "folder": exercise.module.folder,
        "path": exercise.relative_path(),
        "title": exercise.title,
        "kind": exercise.kind,
        "usage": exercise.usage,
        "state": standing.map_or(Value::from("missing"), |standing| json!(standing)),
    })
}
