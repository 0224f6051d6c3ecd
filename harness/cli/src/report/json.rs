//! The report that other programs read, as the contract words it.

use std::path::Path;

use anyhow::Result;
use grade::Verdict;
use serde::{Deserialize, Serialize};

use crate::exit::Stop;
use crate::files;
use crate::machine::Machine;

/// The form's number; a reader that knows another one must not guess.
const SCHEMA: u32 = 1;

/// Verdicts with where they were made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report<V = Vec<Verdict>> {
    /// The form's number.
    pub schema: u32,
    /// The suite's version.
    pub suite: String,
    /// Where.
    pub machine: Machine,
    /// One a submission.
    pub verdicts: V,
}

impl<V> Report<V> {
    /// Verdicts made here and now.
    pub fn here(verdicts: V) -> Report<V> {
        Report { schema: SCHEMA, suite: env!("CARGO_PKG_VERSION").to_owned(), machine: Machine::here(), verdicts }
    }

    /// The same with other verdicts.
    pub fn with<W>(self, verdicts: W) -> Report<W> {
        Report { schema: self.schema, suite: self.suite, machine: self.machine, verdicts }
    }
}

impl Report {
    /// A report from a file.
    pub fn read(path: &Path) -> Result<Report> {
        files::check_readable(path)?;
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|e| Stop::input(format!("{shown}: {}", files::reason(&e))))?;
        let report: Report =
            serde_json::from_slice(&bytes).map_err(|e| Stop::input(format!("{shown}: is no report of grade: {e}")))?;
        if report.schema == SCHEMA {
            Ok(report)
        } else {
            Err(Stop::input(format!("{shown}: has schema {}, this program knows {SCHEMA}", report.schema)))
        }
    }
}
