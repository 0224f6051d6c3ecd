//! I/O strategies compared: workloads, proof of the page cache's state, paired
//! statistics, primitive costs and a model made of them.
//!
//! The crate knows nothing of exercises and prints nothing. [`compare`] takes a
//! [`Request`], tells how it gets on through a callback, and returns a
//! [`Report`]; [`claims::claims`] tries what textbooks say.
//!
//! The road: `request → subject → (cache state → strategy → trial → check)… →
//! statistics → model → findings → report`.

mod alarm;
mod cache;
pub mod claims;
mod comparison;
pub mod costs;
mod counters;
pub mod error;
mod findings;
pub mod fio;
pub mod folios;
pub mod format;
mod guard;
mod html;
pub mod machine;
mod memory;
mod model;
mod process;
pub mod report;
pub mod request;
mod run;
mod sample;
pub mod statistics;
mod strategy;
mod subject;
pub mod table;
#[cfg(test)]
mod trust;
mod workload;

pub use claims::{Claim, ClaimVerdict, ClaimsRequest, claims};
pub use error::BenchError;
pub use report::{Finding, ModelError, Report, ResultRow};
pub use request::{CacheChoice, CacheState, ExternalStrategy, Progress, Request, WorkloadName};
pub use run::compare;
pub use table::{ComparedReports, compare_reports};

/// A strategy as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyInfo {
    /// The name as it is typed.
    pub name: String,
    /// What it does, in a few words.
    pub what: String,
    /// Bytes asked for at a time, where it has such a size.
    pub block_bytes: Option<u64>,
    /// Whether it takes part in short runs too.
    pub core: bool,
}

/// Every workload, in the order in which reports show them.
pub fn workloads() -> &'static [WorkloadName] {
    &WorkloadName::ALL
}

/// The strategies of a workload; the first is the baseline.
pub fn strategies(workload: WorkloadName) -> Vec<StrategyInfo> {
    workload::strategies(workload)
        .into_iter()
        .map(|s| StrategyInfo {
            name: s.name,
            what: s.what,
            block_bytes: s.block_bytes,
            core: s.tier == strategy::Tier::Core,
        })
        .collect()
}
