//! `dev prove`: the long proofs. `cargo test` has a short form of each; these take their time and print figures.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use strsim::jaro_winkler;

use crate::args::{Cli, ProveArgs};
use crate::context;
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::terminal;

/// A proof is a test or a benchmark of the workspace, run at length.
struct Proof {
    name: &'static str,
    shows: &'static str,
    cargo: &'static [&'static str],
    /// After the `--`.
    own: &'static [&'static str],
}

/// Quick ones first.
const PROOFS: &[Proof] = &[
    Proof {
        name: "box",
        shows: "what a box costs to set up and take down, and how soon a killed launch is gone",
        cargo: &["bench", "-p", "observe", "--bench", "box"],
        own: &[],
    },
    Proof {
        name: "overhead",
        shows: "what being observed costs a program, beside strace where it is installed",
        cargo: &["bench", "-p", "observe", "--bench", "overhead"],
        own: &[],
    },
    Proof {
        name: "trust",
        shows: "how often the comparer finds a difference that is there, and one that is not",
        cargo: &["test", "--release", "-p", "bench", "--lib", "trust"],
        own: &["--ignored", "--nocapture", "--test-threads", "1"],
    },
    Proof {
        name: "machine",
        shows: "more than 100,000 accesses through random tables, of the software MMU and of KVM's: both say the same",
        cargo: &["test", "--release", "-p", "machine", "--test", "agree"],
        own: &["--ignored", "--nocapture", "--test-threads", "1"],
    },
    Proof {
        name: "steady",
        shows: "every solution graded 200 times with all processors busy: no verdict differs",
        cargo: &["run", "--release", "--quiet", "-p", "syslings"],
        own: &["dev", "steady", "--runs", "200", "--load"],
    },
    Proof {
        name: "class",
        shows: "1,000 submissions graded on one processor and on two: how much faster, and in how much memory",
        cargo: &["test", "--release", "-p", "tests", "--test", "measuring", "thousand"],
        own: &["--ignored", "--nocapture", "--test-threads", "1"],
    },
    Proof {
        name: "killed",
        shows: "a grading run killed with SIGKILL at 100 moments, on every rung: nothing is left after a second",
        cargo: &["test", "--release", "-p", "tests", "--test", "cli", "killed"],
        own: &["--ignored", "--nocapture", "--test-threads", "1"],
    },
    Proof {
        name: "mutants",
        shows: "how many machine-made mistakes in the solutions are caught",
        cargo: &["test", "--release", "-p", "tests", "--test", "mutants"],
        own: &["--all"],
    },
    Proof {
        name: "hangs",
        shows: "every hang diagnosed right 50 times, and no alarm in 10,000 runs of programs that merely wait",
        cargo: &["bench", "-p", "observe", "--bench", "hangs"],
        own: &["--runs", "50", "--waiting", "10000"],
    },
    Proof {
        name: "hostile",
        shows: "hostile programs on every rung, alone and 50 at once, and the harness killed: nothing is left",
        cargo: &["test", "--release", "-p", "observe", "--test", "hostile"],
        own: &["--long"],
    },
];

/// Makes the proofs that are asked for, or all, one after another.
pub fn prove(cli: &Cli, args: &ProveArgs) -> Result<Exit> {
    if args.list {
        return list();
    }
    let suite = context::suite(cli)?;
    let proofs = chosen(&args.names)?;
    let mut out = anstream::stdout();
    let mut failed = Vec::new();
    for proof in &proofs {
        writeln!(out, "{}: {}", proof.name, proof.shows)?;
        if !make(proof, suite.root(), &args.options)? {
            failed.push(proof.name);
        }
        interrupt::check()?;
    }
    if failed.is_empty() {
        return Ok(Exit::Done);
    }
    writeln!(out, "Did not hold: {}.", failed.join(", "))?;
    Ok(Exit::Failed)
}

fn list() -> Result<Exit> {
    let mut out = anstream::stdout().lock();
    for proof in PROOFS {
        for (n, line) in terminal::wrap(proof.shows, terminal::width().saturating_sub(10)).iter().enumerate() {
            writeln!(out, "{:9} {line}", if n == 0 { proof.name } else { "" })?;
        }
    }
    Ok(Exit::Done)
}

fn chosen(names: &[String]) -> Result<Vec<&'static Proof>> {
    if names.is_empty() {
        return Ok(PROOFS.iter().collect());
    }
    names.iter().map(|name| PROOFS.iter().find(|proof| proof.name == name).ok_or_else(|| unknown(name))).collect()
}

fn unknown(name: &str) -> anyhow::Error {
    let near =
        PROOFS.iter().map(|proof| proof.name).max_by(|a, b| jaro_winkler(name, a).total_cmp(&jaro_winkler(name, b)));
    let near = near.filter(|near| jaro_winkler(name, near) > 0.75).map(|near| format!(" Did you mean `{near}`?"));
    Stop::input(format!("there is no proof `{name}`.{} `dev prove --list` names them all.", near.unwrap_or_default()))
}

/// Whether the proof held.
fn make(proof: &Proof, root: &Path, options: &[OsString]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let own = if options.is_empty() { proof.own.iter().map(OsString::from).collect() } else { options.to_vec() };
    let status = Command::new(cargo).current_dir(root).args(proof.cargo).arg("--").args(own).status();
    Ok(status.context("cargo cannot be run")?.success())
}
