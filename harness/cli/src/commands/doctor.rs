//! `doctor`: what this machine offers, and what each missing thing costs.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use observe::{Launch, Tracing};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::machine::Machine;
use crate::probes::{self, Offer};
use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled, TYPE};

/// Everything that `doctor` finds out.
#[derive(Serialize)]
struct Diagnosis {
    schema: u32,
    suite: &'static str,
    machine: Machine,
    /// The rung that launches use, from a launch that was made; or why none can be made.
    rung: Option<String>,
    tracing: Option<bool>,
    launch_error: Option<String>,
    offers: Vec<Offer>,
}

/// Finds out and tells.
pub fn doctor(args: &DoctorArgs) -> Result<Exit> {
    let trial = trial_launch();
    let diagnosis = Diagnosis {
        schema: 1,
        suite: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        rung: trial.as_ref().ok().map(|(rung, _)| rung.clone()),
        tracing: trial.as_ref().ok().map(|(_, traced)| *traced),
        launch_error: trial.err(),
        offers: probes::all(),
    };
    crate::interrupt::check()?;
    let mut out = anstream::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&diagnosis)?)?;
    } else {
        tell(&mut out, &diagnosis)?;
    }
    Ok(if diagnosis.launch_error.is_some() { Exit::Harness } else { Exit::Done })
}

/// The rung and the tracing that a launch gets, found out by making one.
fn trial_launch() -> Result<(String, bool), String> {
    let mut launch = Launch::new(std::env::current_exe().map_err(|e| e.to_string())?);
    launch.args = vec!["--version".into()];
    launch.deadline = Duration::from_secs(5);
    let seen = crate::context::observer().run(&launch).map_err(|e| e.to_string())?;
    Ok((seen.rung.to_string(), seen.tracing == Tracing::On))
}

fn tell(out: &mut impl Write, diagnosis: &Diagnosis) -> Result<()> {
    let machine = &diagnosis.machine;
    writeln!(
        out,
        "{} on {}, {} processor{}, {} of memory, {}",
        machine.kernel,
        machine.architecture,
        machine.cores,
        if machine.cores == 1 { "" } else { "s" },
        bench::format::bytes(machine.memory_bytes),
        if machine.root { "as root" } else { "as an ordinary user" }
    )?;
    match (&diagnosis.rung, &diagnosis.launch_error) {
        (Some(rung), _) => {
            let traced = if diagnosis.tracing == Some(true) { "traced" } else { "not traced" };
            writeln!(out, "Launches run on rung {rung}, {traced}.")?;
        }
        (None, error) => {
            let why = error.as_deref().unwrap_or("unknown");
            writeln!(out, "{} {why}", Styled(BAD, "No program can be launched here:"))?;
        }
    }
    writeln!(out)?;
    let name_width = diagnosis.offers.iter().map(|offer| offer.id.len()).max().unwrap_or(0);
    for offer in &diagnosis.offers {
        let mark = if offer.available { Styled(GOOD, "yes") } else { Styled(CARE, "no ") };
        let room = terminal::width().saturating_sub(name_width + 7);
        let found = terminal::cut(&offer.found, room);
        writeln!(
            out,
            "{mark}  {}{}  {}",
            Styled(HEAD, offer.id),
            " ".repeat(name_width - offer.id.len()),
            Styled(DIM, found)
        )?;
        if !offer.available {
            for line in terminal::wrap(&format!("without it: {}", offer.costs), room) {
                writeln!(out, "     {:name_width$}  {line}", "")?;
            }
            for (i, line) in terminal::wrap(&format!("to get it: {}", offer.remedy), room).iter().enumerate() {
                let style = if i == 0 { TYPE } else { DIM };
                writeln!(out, "     {:name_width$}  {}", "", Styled(style, line))?;
            }
        }
    }
    Ok(())
}
