//! Programs that hang, each with what an explanation must say in its head, and programs that merely wait.

use std::time::Duration;

use observe::{Action, Deed, Ending, Exit, Launch, Observation, Stdin, Stdout, Trigger, Waiter};

use super::programs::{Programs, head, marked};

/// What the head of a hanging program says of it.
#[derive(Clone, Debug)]
pub struct Expected {
    file: String,
    kind: String,
    waits: String,
    object: Option<String>,
    culprit: Option<String>,
    says: Option<String>,
    /// Only time can tell: it is called at the deadline.
    pub at_deadline: bool,
    /// Without a trace only time can tell: a program that it runs might have set a timer.
    timers_unknown: bool,
    /// It runs on a terminal.
    terminal: bool,
    lines: Vec<u32>,
}

/// Long enough for whatever is not to be called at the deadline.
const PATIENCE: Duration = Duration::from_secs(10);
/// For programs that only time can tell.
const SHORT: Duration = Duration::from_millis(900);

/// A hang that can be proven is called this soon.
pub const PROMPT: Duration = Duration::from_millis(250);

impl Expected {
    pub fn read(programs: &Programs, name: &str) -> Expected {
        let text = programs.text(name);
        let optional = |key: &str| head(&text, key).map(str::to_owned);
        let required = |key: &str| optional(key).unwrap_or_else(|| panic!("{name}.rs does not say its {key}"));
        let mut lines = marked(&text, "// HERE");
        lines.extend(marked(&text, "// LINE"));
        for near in marked(&text, "// NEAR") {
            lines.extend(near.saturating_sub(2)..=near + 1);
        }
        Expected {
            file: format!("{name}.rs"),
            kind: required("kind"),
            waits: required("waits"),
            object: optional("object"),
            culprit: optional("culprit"),
            says: optional("says"),
            at_deadline: head(&text, "called") == Some("deadline"),
            timers_unknown: head(&text, "untraced") == Some("deadline"),
            terminal: head(&text, "terminal") == Some("yes"),
            lines,
        }
    }

    pub fn launch(&self, programs: &Programs, trace: bool) -> Launch {
        let mut launch = programs.launch(self.file.trim_end_matches(".rs"));
        launch.watch.trace = trace;
        launch.deadline = if self.at_deadline || !trace && self.timers_unknown { SHORT } else { PATIENCE };
        if self.terminal {
            (launch.stdin, launch.stdout) = (Stdin::Terminal, Stdout::Terminal);
        }
        launch
    }

    /// What is wrong with an explanation, if anything is.
    pub fn check(&self, seen: &Observation) -> Result<(), String> {
        let hang = seen.hang.as_ref().ok_or_else(|| format!("no hang: {:?}", seen.ending))?;
        let wrong = |what: &str| Err(format!("{}: {what}\n{hang:#?}", self.file));
        let ending = if self.at_deadline { Ending::Deadline } else { Ending::Deadlocked };
        if seen.ending != ending || hang.proven == self.at_deadline {
            return wrong(&format!("ended {:?}, proven {}", seen.ending, hang.proven));
        }
        if hang.kind != self.kind {
            return wrong(&format!("the kind is {}, not {}", hang.kind, self.kind));
        }
        let Some(heart) = hang.waiters.first() else { return wrong("nobody waits") };
        let name = seen.name_of(heart.process);
        if self.waits != "*" && self.waits != name {
            return wrong(&format!("{name} is named, not {}", self.waits));
        }
        let label = heart.object.map(|o| seen.object(o).label.clone());
        if self.object.is_some() && self.object != label {
            return wrong(&format!("the object is {label:?}, not {:?}", self.object));
        }
        if let Some(says) = &self.says
            && !hang.summary.contains(says.as_str())
            && !heart.waits.contains(says.as_str())
            && !hang.waiters.iter().any(|w| w.because.iter().any(|b| b.contains(says.as_str())))
        {
            return wrong(&format!("it does not say {says:?}"));
        }
        if self.culprit.as_ref().is_some_and(|c| !blamed(seen, heart, c)) {
            return wrong(&format!("the culprit is not {:?}", self.culprit));
        }
        self.check_line(heart).or_else(|text| wrong(&text))
    }

    /// As `check`, for what can be known without a trace.
    pub fn check_untraced(&self, seen: &Observation) -> Result<(), String> {
        let hang = seen.hang.as_ref().ok_or_else(|| format!("{}: no hang: {:?}", self.file, seen.ending))?;
        // Which sockets are a pair is only known from the call that made them.
        let kinds = [self.kind.as_str(), if self.file.contains("socket") { "waiting" } else { &self.kind }];
        let proven = !(self.at_deadline || self.timers_unknown);
        if hang.proven != proven || !kinds.contains(&hang.kind.as_str()) {
            return Err(format!("{}, untraced: not {}\n{hang:#?}", self.file, self.kind));
        }
        // Nor is it known who has waited longest.
        match hang.waiters.iter().any(|w| self.check_line(w).is_ok()) {
            true => Ok(()),
            false => Err(format!("{}, untraced: no waiter is at {:?}\n{hang:#?}", self.file, self.lines)),
        }
    }

    fn check_line(&self, heart: &Waiter) -> Result<(), String> {
        if self.lines.is_empty() || heart.source.is_none() && self.waits == "*" && !self.file.contains("pipes") {
            return Ok(());
        }
        match &heart.source {
            Some(source) if source.file.ends_with(&self.file) && self.lines.contains(&source.line) => Ok(()),
            source => Err(format!("the line is {source:?}, not one of {:?}", self.lines)),
        }
    }
}

/// `the child fd 4`; a star stands for any.
fn blamed(seen: &Observation, heart: &Waiter, culprit: &str) -> bool {
    let (who, fd) = culprit.rsplit_once(" fd ").expect("a culprit is a process and a descriptor");
    heart
        .culprits
        .iter()
        .any(|c| (who == "*" || seen.name_of(c.process) == who) && (fd == "*" || fd.parse() == Ok(c.fd)))
}

/// How long after the last of the waits began a hang was called that is proven.
pub fn latency(seen: &Observation) -> Option<Duration> {
    let hang = seen.hang.as_ref().filter(|hang| hang.proven)?;
    hang.waiters.iter().map(|w| w.since_ms).filter(|ms| *ms > 0).min().map(Duration::from_millis)
}

/// A launch of a program that merely waits, with the input that its head asks for.
pub fn waiting(programs: &Programs, name: &str) -> Launch {
    let mut launch = programs.launch(name);
    // However busy the machine is.
    launch.deadline = 6 * PATIENCE;
    if let Some(printed) = head(&programs.text(name), "stdin").and_then(|s| s.strip_prefix("after ")) {
        launch.stdin = Stdin::Open(Vec::new());
        launch.actions = vec![
            Action { when: Trigger::Printed(printed.into()), what: Deed::Feed(b"late".into()) },
            Action { when: Trigger::AfterPrevious, what: Deed::CloseStdin },
        ];
    }
    launch
}

/// A program that merely waits ended by itself.
pub fn check_waiting(name: &str, seen: &Observation) -> Result<(), String> {
    match seen.ending {
        Ending::Ended(Exit::Code(0)) => Ok(()),
        ending => Err(format!("{name}: {ending:?}\n{}\n{:#?}", seen.stderr.text(), seen.hang)),
    }
}
