//! `trace`: what a program did, as a timeline.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use observe::{Launch, Observation, Tracing};

use crate::args::TraceArgs;
use crate::context;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::programs;
use crate::terminal;
use crate::timeline::{self, Caption};

/// Runs the command under the observer and shows what it did.
pub fn trace(args: &TraceArgs) -> Result<Exit> {
    for path in [&args.html, &args.svg, &args.json].into_iter().flatten() {
        files::check_writable(path)?;
    }
    let mut launch = launch(&args.command)?;
    launch.deadline = args.deadline;
    launch.turns = true;
    let seen = context::observer().run(&launch).map_err(context::stop)?;
    let command = args.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let caption = Caption { title: command.clone(), command, ..Caption::default() };
    pictures(&seen, &caption, args.html.as_deref(), args.svg.as_deref())?;
    if let Some(path) = &args.json {
        files::write_whole(path, &serde_json::to_vec(&seen)?)?;
        anstream::eprintln!("Written: {}", path.display());
    }
    let mut out = anstream::stdout().lock();
    write!(out, "{}", timeline::text(&seen, &caption, terminal::width(), terminal::colored()))?;
    if let Tracing::NotPermitted(why) = &seen.tracing {
        anstream::eprintln!(
            "Its system calls could not be seen: {why}. `{} doctor` says what would help.",
            terminal::invocation()
        );
    }
    Ok(Exit::Done)
}

/// The launch of a command found in `PATH`, in the current directory and with the caller's rights.
pub fn launch(command: &[OsString]) -> Result<Launch> {
    let [program, args @ ..] = command else {
        return Err(Stop::input("no command given"));
    };
    let shown = program.to_string_lossy();
    let path = programs::in_path(program).ok_or_else(|| Stop::input(format!("{shown}: no such program in PATH")))?;
    let path = path.canonicalize().map_err(|error| Stop::input(format!("{shown}: {}", files::reason(&error))))?;
    if !path.is_file() {
        return Err(Stop::input(format!("{shown}: is not a program")));
    }
    let mut launch = Launch::new(path);
    launch.name = shown.into_owned();
    launch.args = args.to_vec();
    launch.here = true;
    Ok(launch)
}

/// Writes the pictures that were asked for.
pub fn pictures(seen: &Observation, caption: &Caption, html: Option<&Path>, svg: Option<&Path>) -> Result<()> {
    if let Some(path) = svg {
        files::write_whole(path, timeline::svg(seen, caption).as_bytes())?;
        anstream::eprintln!("Written: {}", path.display());
    }
    if let Some(path) = html {
        files::write_whole(path, timeline::html(seen, caption).as_bytes())?;
        anstream::eprintln!("Written: {}", path.display());
    }
    Ok(())
}
