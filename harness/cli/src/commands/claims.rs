//! `claims`: what the textbooks say, tried on this machine.

use std::io::Write;

use anyhow::Result;
use bench::Progress;
use bench::claims::{Claim, ClaimVerdict, ClaimsRequest};

use crate::args::ClaimsArgs;
use crate::commands::bench::stop;
use crate::exit::Exit;
use crate::files;
use crate::interrupt;
use crate::meter::Meter;
use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled};

/// Tries all claims and tells which hold.
pub fn claims(args: &ClaimsArgs) -> Result<Exit> {
    if let Some(path) = &args.json {
        files::check_writable(path)?;
    }
    let request = ClaimsRequest { interrupted: interrupt::flag(), ..ClaimsRequest::default() };
    let mut meter = Meter::begin("trying claims", 0);
    let mut on = |progress: Progress<'_>| match progress {
        Progress::Phase { what } => meter.say(what),
        Progress::Claim(claim) => meter.say(&claim.id),
        _ => {}
    };
    let claims = bench::claims::claims(&request, &mut on).map_err(stop)?;
    drop(meter);
    if let Some(path) = &args.json {
        files::write_whole(path, &serde_json::to_vec_pretty(&claims)?)?;
        anstream::eprintln!("Written: {}", path.display());
    }
    let mut out = anstream::stdout().lock();
    for claim in &claims {
        for line in lines(claim, terminal::width()) {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "{}", totals(&claims))?;
    Ok(if interrupt::asked() { Exit::Interrupted } else { Exit::Done })
}

fn lines(claim: &Claim, width: usize) -> Vec<String> {
    let (word, style) = match claim.verdict {
        ClaimVerdict::Holds => ("holds    ", GOOD),
        ClaimVerdict::Fails => ("fails    ", BAD),
        ClaimVerdict::Undecided => ("undecided", CARE),
        ClaimVerdict::Skipped => ("skipped  ", DIM),
    };
    let room = width.saturating_sub(11);
    let head =
        format!("{}  {}  {}", Styled(style, word), Styled(HEAD, &claim.id), Styled(DIM, format!("({})", claim.source)));
    let mut lines = vec![head];
    lines.extend(
        terminal::wrap(&format!("\u{201c}{}\u{201d}", claim.claim), room)
            .into_iter()
            .map(|line| format!("           {line}")),
    );
    lines.extend(terminal::wrap(&claim.why, room).into_iter().map(|line| format!("           {line}")));
    lines.push(String::new());
    lines
}

fn totals(claims: &[Claim]) -> String {
    let count = |verdict| claims.iter().filter(|claim| claim.verdict == verdict).count();
    format!(
        "{} claims: {} hold, {} fail, {} undecided, {} skipped.",
        claims.len(),
        count(ClaimVerdict::Holds),
        count(ClaimVerdict::Fails),
        count(ClaimVerdict::Undecided),
        count(ClaimVerdict::Skipped)
    )
}
