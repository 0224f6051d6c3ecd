//! One event in words.

use std::time::Duration;

use observe::ObjectId;

/// What kind of thing happened: decides how it is marked and what it is grouped with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::timeline) enum Kind {
    /// `main` began.
    Begin,
    /// An object or a descriptor came to be.
    Make,
    /// A descriptor was closed.
    Close,
    /// Bytes came in.
    Read,
    /// A read told that no more bytes will ever come.
    EndOfFile,
    /// Bytes went out.
    Write,
    /// Bytes went to standard output, standard error or the terminal.
    Print,
    /// A process or thread was made.
    Fork,
    /// It became another program.
    Exec,
    /// It waited for a child.
    Reap,
    /// It waited for something else: a time, a signal, a word of memory.
    Wait,
    /// It sent a signal, or woke somebody.
    Send,
    /// A signal came.
    Signal,
    /// It ended.
    Exit,
    /// Mappings.
    Memory,
    /// Names and contents of files.
    File,
    /// Anything else.
    Other,
}

/// Bytes that a call moved between its process and an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::timeline) struct Moved {
    /// The object.
    pub object: ObjectId,
    /// How many.
    pub bytes: u64,
}

/// One event in words.
#[derive(Clone, Debug)]
pub(in crate::timeline) struct Said {
    /// What kind of thing.
    pub kind: Kind,
    /// "writes 9 bytes to pipe A: "Hi Child!"".
    pub sentence: String,
    /// "writes 9 B".
    pub brief: String,
    /// Where bytes went or came from: " to pipe A".
    pub place: String,
    /// What a call that can block does meanwhile: "waits for bytes in pipe A".
    pub waits: Option<String>,
    /// A call that took longer than this has waited, even if nothing else tells so.
    pub patience: Duration,
    /// Housekeeping, which only the full table shows.
    pub quiet: bool,
    /// It failed.
    pub failed: bool,
    /// Bytes taken from an object.
    pub taken: Option<Moved>,
    /// Bytes given to an object.
    pub given: Option<Moved>,
    /// What several of its kind do, where each names another object: "sets handlers for signals".
    pub plural: &'static str,
    /// What it was about, for grouping.
    pub object: Option<ObjectId>,
}

impl Said {
    pub(super) fn new(kind: Kind, brief: impl Into<String>, sentence: impl Into<String>) -> Said {
        Said {
            kind,
            sentence: sentence.into(),
            brief: brief.into(),
            place: String::new(),
            waits: None,
            patience: Duration::from_micros(300),
            quiet: false,
            failed: false,
            taken: None,
            given: None,
            plural: "",
            object: None,
        }
    }

    pub(super) fn same(kind: Kind, words: impl Into<String>) -> Said {
        let words = words.into();
        Said::new(kind, words.clone(), words)
    }

    pub(super) fn quiet(mut self) -> Said {
        self.quiet = true;
        self
    }

    pub(super) fn about(mut self, object: Option<ObjectId>) -> Said {
        self.object = object;
        self
    }

    pub(super) fn waits(mut self, what: impl Into<String>) -> Said {
        self.waits = Some(format!("waits {}", what.into()));
        self
    }
}
