//! `syslings`: the commands, the terminal, the reports. What a program did is seen by `observe`, whether it
//! was right is said by `grade`, what it costs by `bench`; here it is shown.

mod args;
mod book;
mod commands;
mod context;
mod exit;
mod files;
mod heap;
mod input;
mod interrupt;
mod journal;
mod live;
mod machine;
mod meter;
mod probes;
mod programs;
mod progress;
mod quantities;
mod report;
mod saves;
mod screen;
mod submissions;
mod terminal;
mod timeline;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let cli = Cli::parse();
    terminal::choose_color(cli.color);
    let ended = interrupt::listen().and_then(|()| obey(&cli));
    screen::restore();
    match ended {
        _ if interrupt::asked() => say("Interrupted.", Exit::Interrupted),
        Ok(exit) => exit.into(),
        Err(error) if exit::is_closed_output(&error) => Exit::Done.into(),
        Err(error) => match exit::of_error(&error) {
            exit @ Exit::Interrupted => say("Interrupted.", exit),
            exit => say(&format!("{} {error:#}", terminal::Styled(terminal::BAD, "syslings:")), exit),
        },
    }
}

/// Says a last word. The terminal may be gone by now, with nobody to hear it.
fn say(words: &str, exit: Exit) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "{words}");
    exit.into()
}

fn obey(cli: &Cli) -> Result<Exit> {
    match &cli.command {
        Command::Tour(args) => commands::tour::tour(cli, args),
        Command::List(args) => commands::list::list(cli, args),
        Command::Run(args) => commands::run::run(cli, args),
        Command::Watch(args) => commands::watch::watch(cli, args),
        Command::Hint(args) => commands::hint::hint(cli, args),
        Command::Reset(args) => commands::reset::reset(cli, args),
        Command::Demo(args) => commands::demo::demo(cli, args),
        Command::Book(args) => commands::book::book(cli, args),
        Command::Grade(args) => commands::grade::grade(cli, args),
        Command::Merge(args) => commands::merge::merge(args),
        Command::Bench(args) => commands::bench::bench(args),
        Command::Claims(args) => commands::claims::claims(args),
        Command::Trace(args) => commands::trace::trace(args),
        Command::Why(args) => commands::why::why(args),
        Command::Dev(command) => commands::dev::dev(cli, command),
        Command::Doctor(args) => commands::doctor::doctor(args),
        Command::Completions { shell } => commands::generated::completions(*shell),
        Command::Man => commands::generated::man(),
    }
}
