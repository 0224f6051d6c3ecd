//! Which rung a launch takes. The best one that the machine has; and none at all where hostile programs could reach
//! the user's files, unless the caller insists on a rung.

use std::sync::OnceLock;

use super::boxes::Trouble;
use super::confine::Landlock;
use super::tracing_permitted;
use crate::plan::{Launch, Rung};

/// Why this machine has no rung F, once that is known.
static NO_NAMESPACES: OnceLock<String> = OnceLock::new();

/// A rung, and why it is no better one.
pub(super) type Choice = (Rung, Option<String>);

/// Where to begin.
pub(super) fn first(launch: &Launch) -> Result<Choice, String> {
    match (launch.rung, launch.here, NO_NAMESPACES.get()) {
        (_, true, _) | (None, false, None) => Ok((Rung::F, None)),
        (Some(Rung::K), ..) => match tracing_permitted() {
            Ok(()) => Ok((Rung::K, None)),
            Err(why) => Err(format!("rung K needs ptrace: {why}")),
        },
        (Some(rung), ..) => Ok((rung, None)),
        (None, false, Some(why)) => below(why),
    }
}

/// Where to go on after this trouble.
pub(super) fn after(trouble: Trouble, launch: &Launch, failed: Rung) -> Result<Choice, Trouble> {
    match trouble {
        Trouble::Rung(why) if failed == Rung::F && launch.rung.is_none() && !launch.here => {
            Ok(below(NO_NAMESPACES.get_or_init(|| why))?)
        }
        other => Err(other),
    }
}

/// The rungs without namespaces.
fn below(why_not_f: &str) -> Result<Choice, String> {
    let no_f = format!("no rung F: {why_not_f}");
    if !Landlock::of_this_kernel().files() {
        return Err(format!(
            "{no_f}; and the kernel has no Landlock, without which a program on rung K or L could read and change all of the user's files: allow user namespaces, or choose rung K or L by name for programs that you trust"
        ));
    }
    match tracing_permitted() {
        Ok(()) => Ok((Rung::K, Some(no_f))),
        Err(why_not_k) => Ok((Rung::L, Some(format!("{no_f}; no rung K: {why_not_k}")))),
    }
}
