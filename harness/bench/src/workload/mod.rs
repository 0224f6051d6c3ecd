//! A workload: what is to be done, on what, and how its result is checked.

pub mod file;
pub mod many;
pub mod talk;

use crate::cache::Residency;
use crate::error::BenchError;
use crate::request::{CacheState, WorkloadName};
use crate::strategy::{Strategy, Task, Work, copy, ipc, pipe, random, rescan, scan, share, small, update, write};
use crate::subject::Subject;

/// Where the trials of one comparison take place.
pub trait Arena {
    /// What a strategy is given.
    fn task(&self) -> Task<'_>;

    /// Bytes that one trial handles.
    fn bytes(&self) -> u64;

    /// Operations of one trial, where those count and not the bytes.
    fn operations(&self) -> Option<u64> {
        None
    }

    /// Brings about the state that a trial starts from, and proves it. The
    /// inner error is why this trial cannot be.
    ///
    /// # Errors
    /// What ends the whole comparison, such as a file that changed.
    fn ready(&mut self, cache: CacheState) -> Result<Result<Option<Residency>, String>, BenchError>;

    /// Checks the bytes of a run, outside its timed part. The inner error says
    /// what is wrong with them, the value is the checksum.
    ///
    /// # Errors
    /// What ends the whole comparison.
    fn verify(&mut self, work: &Work) -> Result<Result<u64, String>, BenchError>;

    /// Takes away what a run left.
    fn settle(&mut self);

    /// The file that is worked on.
    fn file(&self) -> Option<&Subject>;

    /// The file whose change would make the figures worthless.
    fn subject(&self) -> Option<&Subject>;
}

/// The strategies of a workload, baseline first.
pub(crate) fn strategies(workload: WorkloadName) -> Vec<Strategy> {
    match workload {
        WorkloadName::Scan | WorkloadName::Shape => scan::strategies(),
        WorkloadName::Rescan => rescan::strategies(),
        WorkloadName::Random => random::strategies(),
        WorkloadName::Copy => copy::strategies(),
        WorkloadName::Update => update::update_strategies(),
        WorkloadName::Records => update::record_strategies(),
        WorkloadName::Write => write::strategies(),
        WorkloadName::Share => share::strategies(share::PROCESSES[0]),
        WorkloadName::Small => small::strategies(),
        WorkloadName::Pipe => pipe::strategies(),
        WorkloadName::Ipc => {
            let mut all = ipc::round_trips();
            let others = ipc::one_way().into_iter().filter(|one| !all.iter().any(|other| other.name == one.name));
            let others: Vec<Strategy> = others.collect();
            all.extend(others);
            all
        }
    }
}
