//! One file a command.

pub mod bench;
pub mod book;
pub mod claims;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod generated;
pub mod grade;
pub mod hint;
pub mod list;
pub mod merge;
pub mod reset;
pub mod run;
pub mod steady;
pub mod tour;
pub mod trace;
pub mod watch;
pub mod why;
