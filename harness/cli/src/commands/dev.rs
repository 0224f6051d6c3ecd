//! `dev`: for those who make exercises, not for those who do them.

use std::io::Write;

use anyhow::Result;
use grade::State;

use crate::args::{Cli, DevCommand};
use crate::context;
use crate::exit::Exit;
use crate::terminal;

/// Does what is asked.
pub fn dev(cli: &Cli, command: DevCommand) -> Result<Exit> {
    match command {
        DevCommand::Pristine { check: true } => check_pristine(cli),
        DevCommand::Pristine { check: false } => pristine(cli),
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
