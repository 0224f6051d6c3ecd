//! Why a program hangs: who waits for what, and why nobody ends it.

use serde::{Deserialize, Serialize};

use crate::observation::{ObjectId, ProcessId, SourceLine};

/// A program that came to no end, explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hang {
    /// The wait-for graph proves that nothing in the launch can end it.
    pub proven: bool,
    /// What kind of hang it is, in a word that stays the same: `end-of-file-never-comes`, `pipe-full`,
    /// `fifo-no-peer`, `waits-for-child`, `futex`, `spinning`, `starved`, `stopped`, `missing-page`, `sleeping`, `waiting`.
    pub kind: String,
    /// One plain sentence: the heart of it.
    pub summary: String,
    /// Each thread that waits or spins.
    pub waiters: Vec<Waiter>,
}

/// One thread that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiter {
    /// Which process.
    pub process: ProcessId,
    /// Process id as the program sees it.
    pub pid: i32,
    /// "waits in read() on pipe A (fd 3) for bytes or end-of-file".
    pub waits: String,
    /// Who could end the wait, and why they do not; one sentence each.
    pub because: Vec<String>,
    /// On what.
    pub object: Option<ObjectId>,
    /// The call it is in, if it is in one.
    pub call: Option<String>,
    /// Where in the program's source.
    pub source: Option<SourceLine>,
    /// Uses the processor instead of blocking.
    pub spinning: bool,
    /// Milliseconds for which it had waited when it was looked at.
    pub since_ms: u64,
    /// Descriptors that keep the wait from ending: process, descriptor, and where it was opened or inherited.
    pub culprits: Vec<Culprit>,
}

/// A descriptor that keeps a wait from ending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Culprit {
    /// Who holds it.
    pub process: ProcessId,
    /// Which.
    pub fd: i32,
    /// Where it was made.
    pub made_at: Option<SourceLine>,
}
