//! `merge`: the reports of shards as one.

use std::collections::btree_map::{BTreeMap, Entry};

use anyhow::Result;
use grade::Outcome;

use crate::args::MergeArgs;
use crate::commands::grade::write_report;
use crate::exit::{Exit, Stop};
use crate::files;
use crate::journal::{Journal, Verdicts};
use crate::report::json::Report;

/// Joins the reports; the same submission in two of them is taken once, if they agree on it.
pub fn merge(args: &MergeArgs) -> Result<Exit> {
    if let Some(path) = &args.output {
        files::check_writable(path)?;
    }
    let mut joined: Option<Report<()>> = None;
    let mut journal = Journal::nameless();
    let mut outcomes: BTreeMap<(String, String), Outcome> = BTreeMap::new();
    for path in &args.reports {
        let mut report = Report::read(path)?;
        for verdict in std::mem::take(&mut report.verdicts) {
            match outcomes.entry((verdict.submission.clone(), verdict.exercise.clone())) {
                Entry::Vacant(place) => {
                    journal.add(&key(place.key()), &verdict)?;
                    place.insert(verdict.outcome);
                }
                Entry::Occupied(there) if *there.get() == verdict.outcome => {}
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
            None => joined = Some(report.with(())),
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
    let report = joined.ok_or_else(|| Stop::input("no report given"))?;
    let keys: Vec<String> = outcomes.keys().map(key).collect();
    write_report(&report.with(Verdicts::new(&journal, &keys)), args.format, true, args.output.as_deref())
}

fn key((submission, exercise): &(String, String)) -> String {
    format!("{submission}\0{exercise}")
}
