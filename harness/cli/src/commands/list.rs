//! `list`: the exercises by module, with their state.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use grade::{Exercise, State, Suite};
use serde_json::{Value, json};

use crate::args::{Cli, ListArgs, StateName};
use crate::context;
use crate::exit::Exit;
use crate::progress::{Progress, Standing};
use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled, TYPE};

/// Shows those asked for.
pub fn list(cli: &Cli, args: &ListArgs) -> Result<Exit> {
    let suite = context::suite(cli)?;
    let progress = Progress::load(suite.root());
    let mut out = anstream::stdout().lock();
    let all: Vec<(&Exercise, Option<Standing>)> =
        suite.exercises().iter().map(|exercise| (exercise, standing(&suite, &progress, exercise))).collect();
    let shown: Vec<(&Exercise, Option<Standing>)> =
        all.iter().filter(|(exercise, standing)| is_meant(args, exercise, *standing)).copied().collect();
    if args.json {
        let exercises: Vec<Value> = shown.iter().map(|(exercise, standing)| entry(exercise, *standing)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "schema": 1, "exercises": exercises }))?)?;
        return Ok(Exit::Done);
    }
    let row = |(exercise, standing): &(&Exercise, Option<Standing>)| {
        let mark = format!("  {}", mark(*standing));
        vec![mark, exercise.name.to_owned(), words(*standing)]
    };
    let rows = terminal::table(&shown.iter().map(row).collect::<Vec<_>>(), &[]);
    let before_title = rows.iter().map(|line| terminal::columns(line)).max().unwrap_or(0) + 2;
    // Who reads from a pipe has no width.
    let room =
        if io::stdout().is_terminal() { terminal::width().saturating_sub(before_title).max(12) } else { usize::MAX };
    let mut module = "";
    for ((exercise, _), line) in shown.iter().zip(rows) {
        if exercise.module.folder != module {
            module = exercise.module.folder;
            writeln!(out, "{} {}", Styled(HEAD, exercise.module.title), Styled(DIM, format!("(exercises/{module})")))?;
        }
        let pad = " ".repeat(before_title - terminal::columns(&line));
        let title = terminal::wrap(exercise.title, room).join(&format!("\n{:before_title$}", ""));
        writeln!(out, "{line}{pad}{title}")?;
    }
    if shown.is_empty() {
        writeln!(out, "None of {} exercises is like that.", all.len())?;
    }
    let passed = all.iter().filter(|(_, standing)| *standing == Some(Standing::Passed)).count();
    writeln!(out, "\n{passed} of {} passed.", all.len())?;
    let next = all.iter().find(|(_, standing)| *standing != Some(Standing::Passed));
    if let Some((exercise, _)) = next {
        let command = Styled(TYPE, format!("{} run {}", terminal::invocation(), exercise.name));
        writeln!(out, "Next: edit {}, then {command}", short_path(&suite, exercise))?;
    }
    Ok(Exit::Done)
}

fn is_meant(args: &ListArgs, exercise: &Exercise, standing: Option<Standing>) -> bool {
    let passed = standing == Some(Standing::Passed);
    let begun = matches!(standing, Some(Standing::InProgress | Standing::ChangedSince));
    let state = match args.state {
        None => true,
        Some(StateName::Open) => !passed,
        Some(StateName::NotBegun) => !passed && !begun,
        Some(StateName::InProgress) => begun,
        Some(StateName::Passed) => passed,
    };
    let text = args.text.as_deref().unwrap_or_default().to_lowercase();
    let module = exercise.module;
    let has = |words: &str| words.to_lowercase().contains(&text);
    state && [exercise.name, module.folder, module.title, exercise.title].into_iter().any(has)
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
    let style = match standing {
        None => BAD,
        Some(Standing::NotBegun) => DIM,
        Some(Standing::InProgress | Standing::ChangedSince) => CARE,
        Some(Standing::Passed) => GOOD,
    };
    Styled(style, sign(standing)).to_string()
}

/// Where the learner stands, in one character.
pub fn sign(standing: Option<Standing>) -> char {
    match standing {
        None => '!',
        Some(Standing::NotBegun) => '·',
        Some(Standing::InProgress) => '~',
        Some(Standing::Passed) => '✓',
        Some(Standing::ChangedSince) => '?',
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
