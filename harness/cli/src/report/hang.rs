//! A hang in words.

use observe::{Hang, Observation, ProcessId, Waiter};

use crate::terminal::{BAD, DIM, HEAD, Styled};

/// A hang, heart first, a line each. `name` says how to call a process.
pub fn lines(hang: &Hang, name: &dyn Fn(ProcessId) -> String) -> Vec<String> {
    titled(hang, name, &|waiter| format!("{}, pid {}", name(waiter.process), waiter.pid))
}

/// The same with names that say the process's number already.
pub fn numbered_lines(hang: &Hang, name: &dyn Fn(ProcessId) -> String) -> Vec<String> {
    titled(hang, name, &|waiter| name(waiter.process))
}

fn titled(hang: &Hang, name: &dyn Fn(ProcessId) -> String, title: &dyn Fn(&Waiter) -> String) -> Vec<String> {
    let mut lines = vec![Styled(BAD, &hang.summary).to_string()];
    for waiter in &hang.waiters {
        lines.push(String::new());
        lines.push(head(waiter, &title(waiter)));
        lines.extend(waiter.because.iter().map(|why| format!("    {why}")));
        for culprit in &waiter.culprits {
            let made = culprit.made_at.as_ref().map(|line| format!(", made at {line}")).unwrap_or_default();
            lines.push(format!("    {} holds fd {}{made}", name(culprit.process), culprit.fd));
        }
    }
    if !hang.proven {
        lines.push(String::new());
        lines.push(
            Styled(DIM, "Something outside could still end this wait; nothing did in the time given.").to_string(),
        );
    }
    lines
}

fn head(waiter: &Waiter, title: &str) -> String {
    let place = waiter.source.as_ref().map(|line| format!(" at {line}")).unwrap_or_default();
    let since = match waiter.since_ms {
        0 => String::new(),
        ms => Styled(DIM, format!(" (for {:.1} s)", ms as f64 / 1000.0)).to_string(),
    };
    format!("{} {}{place}{since}", Styled(HEAD, format!("{title}:")), waiter.waits)
}

/// How the processes of an observation are called.
pub fn namer(seen: &Observation) -> impl Fn(ProcessId) -> String {
    |process| {
        if (process.0 as usize) < seen.processes.len() {
            seen.name_of(process)
        } else {
            format!("process {}", process.0)
        }
    }
}
