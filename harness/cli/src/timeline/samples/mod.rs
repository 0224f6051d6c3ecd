//! Observations made by hand, as the observer would make them: what the pictures are tested with.

mod builder;
mod hangs;
mod pipes;
mod shared;

use observe::{Observation, Tracing};

use super::Caption;
pub(super) use builder::Scenario;

/// All samples, each with a name.
pub(crate) fn all() -> Vec<(&'static str, Observation, Caption)> {
    vec![
        ("hello", pipes::hello(), caption("A message through a pipe", "pipe_hello 'Hi Child!'")),
        ("eof_hang", hangs::own_write_end(), caption("The child that never leaves its loop", "pipe_eof 'Hi Child!'")),
        ("shared", shared::counter(), caption("Parent and child share a page", "shared_anon 19 23")),
        ("mapped_file", shared::file(), caption("A file in memory", "map_write numbers.bin")),
        ("sigpipe", pipes::sigpipe(), caption("Nobody is listening", "sigpipe_handler")),
        (
            "pipeline",
            pipes::pipeline(),
            caption("Five processes in a line", "cat words | tr a-z A-Z | sort | uniq -c | head -3"),
        ),
        ("fifo_hang", hangs::fifo_without_peer(), caption("A FIFO that nobody opens to read", "fifo_hello log hi")),
        ("deadlock", hangs::both_pipes_full(), caption("Both pipes are full", "pipe_reply")),
        ("many", pipes::many(2_500), caption("Five thousand calls", "pipe_flood")),
        ("varied", pipes::varied(1_200), caption("Many calls, no two alike", "pipe_varied")),
        ("family", pipes::family(500), caption("Five hundred children", "fork_reap 500")),
        (
            "nasty",
            pipes::nasty(),
            caption("Names & bytes <that> break \u{1} things\u{202e}", "cat '\u{7}]]><!-- \u{fffe}'"),
        ),
        ("untraced", untraced(), caption("Without a trace", "pipe_hello 'Hi Child!'")),
        ("one", pipes::alone(), caption("One process", "true")),
    ]
}

fn caption(title: &str, command: &str) -> Caption {
    Caption { title: title.into(), command: command.into(), ..Caption::default() }
}

/// A run of which no system call was seen.
fn untraced() -> Observation {
    let mut obs = pipes::hello();
    obs.events.clear();
    obs.objects.clear();
    obs.tracing = Tracing::NotPermitted("ptrace: Operation not permitted".into());
    obs
}
