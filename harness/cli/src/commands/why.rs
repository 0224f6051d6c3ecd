//! `why`: who waits for what, and why nobody ends it.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, anyhow};
use observe::{Ending, Exit as ProgramExit, Observation, ProcessId};

use crate::args::WhyArgs;
use crate::commands::trace;
use crate::context;
use crate::exit::{Exit, Stop};
use crate::report::hang;

/// Explains a running process, or starts a command and explains it if it comes to no end.
pub fn why(args: &WhyArgs) -> Result<Exit> {
    match args.pid {
        Some(pid) => of_process(pid),
        None => of_command(args),
    }
}

fn of_command(args: &WhyArgs) -> Result<Exit> {
    let mut launch = trace::launch(&args.command)?;
    launch.deadline = args.after;
    let seen = context::observer().run(&launch).map_err(context::stop)?;
    let mut out = anstream::stdout().lock();
    match &seen.hang {
        Some(found) => {
            for line in hang::lines(found, &hang::namer(&seen)) {
                writeln!(out, "{line}")?;
            }
        }
        None => writeln!(out, "{}", no_hang(&seen))?,
    }
    Ok(Exit::Done)
}

fn no_hang(seen: &Observation) -> String {
    let seconds = seen.wall.as_secs_f64();
    match seen.ending {
        Ending::Ended(ProgramExit::Code(status)) => {
            format!("It does not hang: it ended by itself with status {status} after {seconds:.2} s.")
        }
        Ending::Ended(ProgramExit::Signal(signal)) => {
            format!("It does not hang: {} ended it after {seconds:.2} s.", signal_name(signal))
        }
        Ending::Flooded => format!("It does not hang: it wrote without end, and was stopped after {seconds:.2} s."),
        Ending::OverLimit => {
            let limit = seen.over_limit.as_deref().unwrap_or("ran into a limit of its box");
            format!("It does not hang: it {limit}, and was stopped after {seconds:.2} s.")
        }
        Ending::Deadline | Ending::Deadlocked => {
            format!("It had not ended after {seconds:.2} s, and what it waits for could not be read.")
        }
    }
}

/// `SIGPIPE`, or `signal 42` where the number has no name.
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

fn of_process(pid: i32) -> Result<Exit> {
    let proc = format!("/proc/{pid}");
    if pid <= 0 || !Path::new(&proc).exists() {
        return Err(Stop::input(format!("{pid}: no such process")));
    }
    let (found, names) = observe::explain(pid).map_err(|why| anyhow!("{pid}: {why}"))?;
    let name = |process: ProcessId| names.get(process.0 as usize).cloned().unwrap_or_else(|| "a process".into());
    let mut out = anstream::stdout().lock();
    for line in hang::numbered_lines(&found, &name) {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Done)
}
