//! The exercises, what each must show, and the verdict with its words.
//!
//! One road: [`Submission`] → [`Compiler`] → the [`Plan`]s of the exercise's specification → what
//! `observe` saw of each → [`Check`]s → [`Verdict`]. The crate prints nothing and knows no terminal.

#![warn(missing_docs)]

mod catalogue;
mod check;
mod compile;
mod demo;
mod error;
mod grader;
mod many;
mod nonce;
mod plan;
mod pristine;
mod rounds;
mod spec;
mod story;
mod submission;
mod suite;
pub mod verdict;
mod weigh;

pub use catalogue::{Exercise, Kind, Module};
pub use check::{Check, Failure, Finding, Objection, Run};
pub use compile::{Compiled, Compiler, Kept};
pub use demo::Demo;
pub use error::GradeError;
pub use grader::{Grader, Options};
pub use many::{Grading, Item};
pub use nonce::Nonce;
pub use plan::{Expect, Plan, Stage};
pub use pristine::{State, digest_stubs};
pub use submission::{Submission, Tree};
pub use suite::Suite;
pub use verdict::*;
