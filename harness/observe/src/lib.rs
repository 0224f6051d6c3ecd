//! Runs a program in a box and records what the kernel saw it do.
//!
//! A [`Launch`] goes in, an [`Observation`] comes out. The crate knows nothing of exercises.
//!
//! A program that uses [`run`] must call [`supervise_if_asked`] first thing in its `main`: launches are
//! supervised by copies of the calling executable, one thread each, so that nothing between a `fork` and an
//! `exec` ever happens in a process with other threads, and so that a launch outlives neither its supervisor
//! nor its caller.

#![warn(missing_docs)]

mod arch;
pub mod calls;
mod decode;
pub mod hang;
mod interpreter;
mod memory;
mod objects;
pub mod observation;
mod observer;
mod pages;
pub mod plan;
mod probe;
mod process_files;
mod supervisor;
mod symbols;
mod waits;

pub use calls::{Call, Sysno};
pub use hang::{Culprit, Hang, Waiter};
pub use observation::{
    Access, Descriptor, Descriptors, Disposition, Ending, Event, Exit, FileKind, FileLeft, Object, ObjectId,
    ObjectKind, Observation, Output, Page, Pages, Process, ProcessId, Snapshot, SourceLine, Stack, Tracing, What,
};
pub use observer::{Observer, explain, supervise_if_asked};
pub use plan::{
    Action, Content, Deed, Effect, Fault, Hold, InputFile, Launch, Limits, Nth, On, Rung, Schedule, Side, Stdin,
    Stdout, Trigger, Watch, Who,
};
pub use probe::{RungReport, kvm_refusal, probe};

/// Why there is no observation. But for [`ObserveError::Interpreter`] this is never a property of the program.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The program cannot be run at all.
    #[error("cannot run {path}: {reason}")]
    Program {
        /// The executable.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// The kernel does not start the executable, which names an interpreter that the harness itself does without.
    #[error("the kernel cannot start a program whose interpreter (section .interp) is `{interpreter}`: {reason}")]
    Interpreter {
        /// As named, with nothing in it that a terminal would obey.
        interpreter: String,
        /// The kernel's words.
        reason: String,
    },
    /// No box can be made on this machine (or the rung asked for cannot).
    #[error("no box: {0}")]
    NoBox(String),
    /// The supervisor died or spoke nonsense.
    #[error("the supervisor failed: {0}")]
    Supervisor(String),
    /// The caller asked for the launch to be given up.
    #[error("interrupted")]
    Interrupted,
}
