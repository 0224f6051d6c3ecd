//! The mutants that may live, each with the reason: `fixtures/mutants.toml`.

use std::path::Path;

use grade::Exercise;
use serde::Deserialize;

use super::make::Mutant;

/// One that no check need catch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivor {
    /// None if several solutions have the function.
    exercise: Option<String>,
    /// The line that it begins on.
    on: String,
    was: String,
    became: String,
    /// Why it is as good as the solution, or what no check looks at.
    because: String,
}

/// All of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// As good as the solution.
    #[serde(default)]
    equivalent: Vec<Survivor>,
    /// Worse, and let through.
    #[serde(default)]
    unchecked: Vec<Survivor>,
}

/// What is known of a mutant before it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As good as the solution: there is nothing to catch.
    Equivalent,
    /// Worse, and let through by the checks that there are.
    Unchecked,
}

impl Known {
    /// Reads the list.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn read(root: &Path) -> Result<Known, String> {
        let path = root.join("fixtures/mutants.toml");
        let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let known: Known = toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        if let Some(survivor) = known.all().find(|survivor| survivor.because.trim().is_empty()) {
            return Err(format!("{}: no reason given for {}", path.display(), survivor.told()));
        }
        Ok(known)
    }

    fn all(&self) -> impl Iterator<Item = &Survivor> {
        self.equivalent.iter().chain(&self.unchecked)
    }

    /// What is known of this mutant.
    pub fn standing(&self, exercise: &Exercise, mutant: &Mutant) -> Option<Standing> {
        let among = |list: &[Survivor]| list.iter().any(|survivor| survivor.is(exercise, mutant));
        if among(&self.equivalent) {
            Some(Standing::Equivalent)
        } else {
            among(&self.unchecked).then_some(Standing::Unchecked)
        }
    }

    /// Those that are no longer made: the solution has changed.
    pub fn stale(&self, made: &[(Exercise, Mutant)]) -> Vec<String> {
        let gone = |survivor: &&Survivor| !made.iter().any(|(exercise, mutant)| survivor.is(exercise, mutant));
        self.all().filter(gone).map(Survivor::told).collect()
    }
}

impl Survivor {
    fn is(&self, exercise: &Exercise, mutant: &Mutant) -> bool {
        self.exercise.as_deref().is_none_or(|name| name == exercise.name)
            && self.on == mutant.on
            && self.was == mutant.was
            && self.became == mutant.became
    }

    fn told(&self) -> String {
        format!("{}: `{}` made `{}`", self.exercise.as_deref().unwrap_or("several"), self.was, self.became)
    }
}
