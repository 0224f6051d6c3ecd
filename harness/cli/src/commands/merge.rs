//! `merge`: the reports of shards as one.

use std::collections::btree_map::{BTreeMap, Entry};

use anyhow::Result;
use grade::Verdict;

use crate::args::MergeArgs;
use crate::commands::grade::{exit_of, write_report};
use crate::exit::{Exit, Stop};
use crate::files;
use crate::report::json::Report;

/// Joins the reports; the same submission in two of them is taken once, if they agree on it.
pub fn merge(args: &MergeArgs) -> Result<Exit> {
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let mut joined: Option<Report> = None;
    let mut verdicts: BTreeMap<(String, String), Verdict> = BTreeMap::new();
    for path in &args.reports {
        let mut report = Report::read(path)?;
        for verdict in std::mem::take(&mut report.verdicts) {
            match verdicts.entry((verdict.submission.clone(), verdict.exercise.clone())) {
                Entry::Vacant(place) => {
                    place.insert(verdict);
                }
                Entry::Occupied(there) if there.get().outcome == verdict.outcome => {}
                Entry::Occupied(_) => {
                    return Err(Stop::input(format!(
                        "{}: {} of {} has another verdict in an earlier report",
                        path.display(),
                        verdict.exercise,
                        verdict.submission
                    )));
                }
            }
        }
        match &joined {
            None => joined = Some(report),
            Some(first) if first.suite == report.suite => {}
            Some(first) => {
                return Err(Stop::input(format!(
                    "{}: was made by version {}, the first report by {}",
                    path.display(),
                    report.suite,
                    first.suite
                )));
            }
        }
    }
    let mut report = joined.ok_or_else(|| Stop::input("no report given"))?;
    report.verdicts = verdicts.into_values().collect();
    write_report(&report, args.format, true, args.output.as_deref())?;
    Ok(exit_of(&report.verdicts))
}
