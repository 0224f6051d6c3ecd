//! `doctor`: what this machine offers, and what each missing thing costs.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use observe::{Launch, Rung, RungReport, Tracing};
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
    /// Every rung of the ladder, tried, best first.
    rungs: Vec<RungReport>,
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
        rungs: observe::probe(),
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
    tell_rungs(out, &diagnosis.rungs)?;
    writeln!(out)?;
    let name_width = diagnosis.offers.iter().map(|offer| offer.id.len()).max().unwrap_or(0);
    for offer in &diagnosis.offers {
        let mark = if offer.available { Styled(GOOD, "yes") } else { Styled(CARE, "no ") };
        let room = terminal::width().saturating_sub(name_width + 7);
        write!(out, "{mark}  {}", Styled(HEAD, offer.id))?;
        let mut indent = name_width - offer.id.len();
        for line in terminal::wrap(&offer.found, room) {
            writeln!(out, "{:indent$}  {}", "", Styled(DIM, line))?;
            indent = name_width + 5;
        }
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

/// The ladder: what each rung contains, and the best one's layers that this machine lacks.
fn tell_rungs(out: &mut impl Write, rungs: &[RungReport]) -> Result<()> {
    const MARGIN: usize = 8;
    let room = terminal::width().saturating_sub(MARGIN);
    let used = rungs.iter().find(|report| report.available).map(|report| report.rung);
    writeln!(out, "{}", Styled(HEAD, "The ladder of boxes, best first (--rung forces one):"))?;
    for report in rungs {
        let mark = if report.available { Styled(GOOD, "yes") } else { Styled(CARE, "no ") };
        let mut lines = vec![report.rung.to_string()];
        lines.extend(terminal::wrap(&report.why, room));
        if !report.available {
            lines.extend(terminal::wrap(&format!("to get it: {}", remedy(report.rung)), room));
        } else if Some(report.rung) == used {
            let missing = report.layers.iter().filter(|(_, holds, _)| !holds);
            let text = missing.map(|(name, _, without)| format!("without {name}: {without}"));
            lines.extend(text.flat_map(|text| terminal::wrap(&text, room)));
        }
        for (i, line) in lines.iter().enumerate() {
            if i == 0 {
                writeln!(out, "{mark}  {}", Styled(HEAD, line))?
            } else {
                writeln!(out, "        {}", Styled(DIM, line))?
            }
        }
    }
    Ok(())
}

fn remedy(rung: Rung) -> &'static str {
    match rung {
        Rung::F => probes::USER_NAMESPACES,
        Rung::K => probes::PTRACE,
        Rung::L => probes::LANDLOCK,
    }
}
