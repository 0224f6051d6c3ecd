//! What the specifications share: ways to run a program, and checks that read the same for every exercise.

pub(super) mod calls;
pub(super) mod channels;
pub(super) mod endings;
pub(super) mod ends;
pub(super) mod family;
pub(super) mod plans;
pub(super) mod refusals;
pub(super) mod text;

pub(super) use calls::{FORKS, MAPS, OPENS, PIPES};
pub(super) use endings::{order, output, under_faults};
pub(super) use family::{child_prints, reaped};
pub(super) use refusals::{reports, usage, usage_unless_ignored};
