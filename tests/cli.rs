//! The program as a person or a script meets it: the real binary, its words, its files and its exit status.

#[path = "cli/accessible.rs"]
mod accessible;
#[path = "cli/book.rs"]
mod book;
#[path = "cli/classes.rs"]
mod classes;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/grading.rs"]
mod grading;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/killed.rs"]
mod killed;
#[path = "cli/learner.rs"]
mod learner;
#[path = "cli/program.rs"]
mod program;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/watching.rs"]
mod watching;
