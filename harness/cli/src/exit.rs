//! How a command ends: exit statuses, and errors that know theirs.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All passed, or done.
    Done,
    /// Something graded failed.
    Failed,
    /// The command line or an input is at fault.
    Input,
    /// The harness failed, or could not do what it was asked.
    Harness,
    /// Ended by Ctrl-C or SIGTERM.
    Interrupted,
}

impl Exit {
    /// The number that a shell sees.
    pub fn status(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Input => 2,
            Exit::Harness => 3,
            Exit::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.status())
    }
}

/// An error that says whose fault it is; any other error is the harness's.
#[derive(Debug)]
pub enum Stop {
    /// The command line or an input is at fault.
    Input(String),
    /// Interrupted.
    Interrupted,
}

impl Stop {
    /// An input is at fault, in these words.
    pub fn input(words: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Stop::Input(words.into()))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Input(words) => f.write_str(words),
            Stop::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Stop {}

/// The exit of a command that ended with this error.
pub fn of_error(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        match cause.downcast_ref::<Stop>() {
            Some(Stop::Input(_)) => return Exit::Input,
            Some(Stop::Interrupted) => return Exit::Interrupted,
            None => {}
        }
    }
    Exit::Harness
}

/// Whether the reader of standard output went away (`| head`): an end like any other, not an error.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_status_is_found_through_context() {
        let error = Err::<(), _>(Stop::input("no such file")).context("cannot grade").unwrap_err();
        assert_eq!(of_error(&error), Exit::Input);
        assert_eq!(of_error(&anyhow::anyhow!("broken")), Exit::Harness);
    }

    #[test]
    fn a_closed_output_is_told_from_other_errors() {
        let closed: anyhow::Error = io::Error::from(io::ErrorKind::BrokenPipe).into();
        assert!(is_closed_output(&closed));
        assert!(!is_closed_output(&anyhow::anyhow!("broken")));
    }
}
