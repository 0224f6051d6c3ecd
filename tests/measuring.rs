//! The measuring commands, one at a time and with no other test beside them: a machine that does two things at once
//! measures neither.

#[path = "cli/accessible.rs"]
mod accessible;
#[path = "cli/comparing.rs"]
mod comparing;
#[path = "cli/program.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod program;
#[path = "cli/thousand.rs"]
mod thousand;
