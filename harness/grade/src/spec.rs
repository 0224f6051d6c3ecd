//! What is run for each exercise and what must be seen, a file a module.

pub(crate) mod address_space;
pub(crate) mod allocator;
mod common;
mod copying;
pub(crate) mod cow_pages;
pub(crate) mod fifos;
pub(crate) mod fork;
pub(crate) mod fork_copy;
pub(crate) mod fork_exec;
pub(crate) mod fork_offset;
pub(crate) mod fork_reap;
pub(crate) mod io;
pub(crate) mod mmap;
pub(crate) mod pipes;
pub(crate) mod pipes_atomic;
pub(crate) mod pipes_count;
pub(crate) mod pipes_full;
pub(crate) mod pipes_line;
pub(crate) mod pipes_partial;
pub(crate) mod pipes_poll;
pub(crate) mod pipes_reply;
pub(crate) mod pipes_splice;
pub(crate) mod quit_flag;
pub(crate) mod robust_mutex;
pub(crate) mod shared_counter;
pub(crate) mod shared_flag;
pub(crate) mod shared_ring;
pub(crate) mod shm_pair;
pub(crate) mod signals;
pub(crate) mod stdio;
#[cfg(test)]
mod tests;

use crate::{Check, Nonce, Plan};

/// One exercise's specification.
pub(crate) struct Spec {
    /// What is run, in this order within a stage. The first plain plan is the baseline.
    pub plans: fn(&mut Nonce) -> Vec<Plan>,
    /// What must be seen, in the order in which a verdict tells it.
    pub checks: Vec<Check>,
    /// One representative run.
    pub demo: fn(&mut Nonce) -> Plan,
}
