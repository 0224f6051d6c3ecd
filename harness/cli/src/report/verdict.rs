//! One verdict for the person who wrote the program: what is wrong, what shows it, what to do next.

use std::path::{Path, PathBuf};

use grade::{CheckOutcome, CheckResult, Outcome, Source, Verdict};

use crate::files;
use crate::report::summary;
use crate::terminal::{self, BAD, CARE, DIM, GOOD, HEAD, Styled, TYPE};

/// Lines that fit on a screen of 24 with the shell's prompt.
pub const SCREENFUL: usize = 22;
/// Rows of one line, unless it is verbose.
const MOST_ROWS: usize = 3;

/// How a verdict is shown.
pub struct View<'a> {
    /// The directory to which sources are relative.
    pub base: &'a Path,
    /// Columns.
    pub width: usize,
    /// Lines that it may take, unless it is verbose.
    pub height: usize,
    /// Everything, however long.
    pub verbose: bool,
    /// Whether keys are answered while it is read, one of which shows a hint.
    pub keys: bool,
    /// What is typed after the program's name to grade this submission: `run pipe_hello --solution`.
    pub command: String,
}

impl View<'_> {
    /// The verdict, a line each.
    pub fn lines(&self, verdict: &Verdict) -> Vec<String> {
        let (mut body, next) = match verdict.outcome {
            Outcome::Failed => (self.failed(verdict), self.next(verdict)),
            Outcome::CompileError => (self.compile_error(verdict), Vec::new()),
            Outcome::Passed => (self.passed(verdict), Vec::new()),
            Outcome::NotBegun => (vec![self.head(verdict, "nobody has begun it yet")], self.begin(verdict)),
            Outcome::Skipped => (self.skipped(verdict), self.typed("doctor", "what would help")),
            Outcome::HarnessFault => (self.harness_fault(verdict), self.typed("doctor", "what this machine offers")),
        };
        body.extend(self.lower_rung(verdict));
        if !self.verbose {
            let below: usize = next.iter().map(|line| self.rows(line)).sum();
            body = self.shortened(&body, self.height.saturating_sub(below + 1));
        }
        if !next.is_empty() {
            body.push(String::new());
            body.extend(next);
        }
        body
    }

    /// Rows of the screen that a line takes: one too long for it goes on in the next.
    fn rows(&self, line: &str) -> usize {
        terminal::columns(line).div_ceil(self.width).max(1)
    }

    /// As much as so many rows take, and how much more there is.
    fn shortened(&self, body: &[String], room: usize) -> Vec<String> {
        let lines: Vec<String> = body.iter().flat_map(|text| text.split('\n')).map(|line| self.bounded(line)).collect();
        if lines.iter().map(|line| self.rows(line)).sum::<usize>() <= room {
            return lines;
        }
        let mut left = room.saturating_sub(1);
        let fits = |line: &&String| {
            let rows = self.rows(line);
            let fits = rows <= left;
            left = left.saturating_sub(rows);
            fits
        };
        let mut kept: Vec<String> = lines.iter().take_while(fits).cloned().collect();
        let more = lines.len() - kept.len();
        kept.push(Styled(DIM, format!("  … {more} more lines with --verbose")).to_string());
        kept
    }

    /// A line without an end must not take the place of all others.
    fn bounded(&self, line: &str) -> String {
        let most = MOST_ROWS * self.width;
        if terminal::columns(line) <= most {
            return line.to_owned();
        }
        terminal::cut(&anstream::adapter::strip_str(line).to_string(), most)
    }

    /// The box, where it is not the best one that there is.
    fn lower_rung(&self, verdict: &Verdict) -> Vec<String> {
        let rung = verdict.rung.iter().filter(|rung| self.verbose || !rung.starts_with('F'));
        let text = rung.map(|rung| format!("run on rung {rung}"));
        text.flat_map(|text| terminal::wrap(&text, self.width)).map(|line| Styled(DIM, line).to_string()).collect()
    }

    /// `pipe_hello failed: …`, wrapped.
    fn head(&self, verdict: &Verdict, words: &str) -> String {
        let outcome = summary::outcome_words(verdict.outcome);
        let plain = format!("{} {outcome}: {words}", verdict.exercise);
        let wrapped = terminal::wrap(&plain, self.width).join("\n");
        let style = match verdict.outcome {
            Outcome::Passed => GOOD.bold(),
            Outcome::Skipped | Outcome::NotBegun => CARE,
            _ => BAD,
        };
        let split = (verdict.exercise.len() + 1 + outcome.len()).min(wrapped.len());
        match (wrapped.get(..split), wrapped.get(split..)) {
            (Some(front), Some(rest)) => format!("{}{rest}", Styled(style, front)),
            _ => wrapped,
        }
    }

    fn failed(&self, verdict: &Verdict) -> Vec<String> {
        let failed: Vec<&CheckResult> =
            verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Failed).collect();
        let Some(lead) = summary::lead(verdict) else {
            return vec![self.head(verdict, "no check says why")];
        };
        let mut lines: Vec<String> = self.head(verdict, &lead.message).lines().map(str::to_owned).collect();
        lines.extend(self.evidence(lead));
        let others: Vec<&CheckResult> = failed
            .into_iter()
            .filter(|check| check.id != lead.id && (self.verbose || !summary::both_hung(check, lead)))
            .collect();
        if !others.is_empty() {
            lines.push(String::new());
            for check in others {
                let text = format!("also {}: {}", check.id, check.message);
                if self.verbose {
                    lines.extend(terminal::wrap(&text, self.width));
                    lines.extend(self.evidence(check));
                } else {
                    lines.push(terminal::cut(text.lines().next().unwrap_or_default(), self.width));
                }
            }
        }
        lines.extend(self.others(verdict));
        lines
    }

    /// Where, and what was seen.
    fn evidence(&self, check: &CheckResult) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(source) = &check.source {
            lines.extend(self.excerpt(source));
        }
        for line in check.evidence.iter().flat_map(|evidence| evidence.lines()) {
            let indent = 2 + line.chars().take_while(|c| *c == ' ').count();
            if terminal::columns(line) + 2 <= self.width {
                lines.push(format!("  {line}"));
                continue;
            }
            for (n, part) in terminal::wrap(line, self.width.saturating_sub(indent + 2)).into_iter().enumerate() {
                lines.push(format!("{:1$}{part}", "", if n == 0 { indent } else { indent + 2 }));
            }
        }
        lines
    }

    /// The line of source with a mark under it.
    fn excerpt(&self, source: &Source) -> Vec<String> {
        let place = format!("{}:{}", files::relative(&source.file).display(), source.line);
        let gutter = source.line.to_string().len();
        let mut lines = vec![format!("{:gutter$}{} {place}", "", Styled(DIM, "-->"))];
        let path: PathBuf = self.base.join(&source.file);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(line) = text.lines().nth(source.line.saturating_sub(1) as usize) {
            let line = terminal::cut(line.replace('\t', "    ").trim_end(), self.width.saturating_sub(gutter + 3));
            let indent = line.chars().take_while(|c| *c == ' ').count();
            let mark = "^".repeat(line.trim().chars().count().max(1));
            lines.push(format!("{} {line}", Styled(DIM, format!("{} |", source.line))));
            lines.push(format!("{:gutter$} {} {:indent$}{}", "", Styled(DIM, "|"), "", Styled(BAD, mark)));
        }
        lines
    }

    /// The checks that did not fail, in one line; each by itself if asked.
    fn others(&self, verdict: &Verdict) -> Vec<String> {
        let count = |outcome| verdict.checks.iter().filter(|check| check.outcome == outcome).count();
        let mut lines = Vec::new();
        if self.verbose {
            lines.push(String::new());
            for check in &verdict.checks {
                let (mark, style) = match check.outcome {
                    CheckOutcome::Passed => ("holds      ", GOOD),
                    CheckOutcome::Failed => ("fails      ", BAD),
                    CheckOutcome::Skipped => ("skipped    ", CARE),
                    CheckOutcome::NotReached => ("not reached", DIM),
                };
                lines.push(format!("  {}  {}: {}", Styled(style, mark), Styled(HEAD, &check.id), check.title));
            }
        }
        if let Some(skipped) = verdict.checks.iter().find(|check| check.outcome == CheckOutcome::Skipped) {
            let words = format!(
                "{} of {} checks skipped: {}",
                count(CheckOutcome::Skipped),
                verdict.checks.len(),
                skipped.message
            );
            lines.extend(terminal::wrap(&words, self.width).into_iter().map(|line| Styled(CARE, line).to_string()));
        }
        lines
    }

    fn passed(&self, verdict: &Verdict) -> Vec<String> {
        let words = format!(
            "{} checks hold, in {} launches, {:.2} s",
            verdict.checks.iter().filter(|check| check.outcome == CheckOutcome::Passed).count(),
            verdict.runs,
            verdict.wall_ms as f64 / 1000.0
        );
        let mut lines = vec![self.head(verdict, &words)];
        lines.extend(self.others(verdict));
        lines
    }

    fn compile_error(&self, verdict: &Verdict) -> Vec<String> {
        let mut lines = vec![self.head(verdict, "this is why")];
        if let Some(message) = &verdict.message {
            lines.extend(message.trim_end().lines().map(str::to_owned));
        }
        lines
    }

    fn skipped(&self, verdict: &Verdict) -> Vec<String> {
        let why = verdict.checks.first().map_or("nothing could be checked here", |check| check.message.as_str());
        let mut lines = vec![self.head(verdict, why)];
        if self.verbose {
            lines.extend(self.others(verdict));
        }
        lines
    }

    fn harness_fault(&self, verdict: &Verdict) -> Vec<String> {
        let mut lines = vec![self.head(verdict, "this says nothing of your program")];
        if let Some(message) = &verdict.message {
            lines.extend(message.trim_end().lines().map(str::to_owned));
        }
        lines
    }

    fn begin(&self, verdict: &Verdict) -> Vec<String> {
        self.hint(verdict, "where to begin")
    }

    fn next(&self, verdict: &Verdict) -> Vec<String> {
        let mut lines = self.hint(verdict, "if you are stuck");
        if let Some(plan) = summary::lead(verdict).and_then(|check| check.plan.as_ref()) {
            let command = format!("{} --replay {}", self.command, plan.replay);
            lines.extend(self.typed(&command, &format!("this launch again ({})", plan.name)));
        }
        lines
    }

    fn hint(&self, verdict: &Verdict, what: &str) -> Vec<String> {
        if self.keys {
            return vec![format!("  {}  {}", Styled(TYPE, "h"), Styled(DIM, format!("a hint, {what}")))];
        }
        self.typed(&format!("hint {}", verdict.exercise), what)
    }

    fn typed(&self, command: &str, what: &str) -> Vec<String> {
        terminal::suggestion(command, what, self.width)
    }
}

#[cfg(test)]
mod tests {
    use grade::{PlanRef, Reason};

    use super::*;

    fn check(id: usize, outcome: CheckOutcome, text: &str, evidence: usize) -> CheckResult {
        CheckResult {
            id: format!("check-{id}"),
            title: text.to_owned(),
            outcome,
            reason: Some(Reason::WrongOutput),
            message: text.to_owned(),
            evidence: vec![text.to_owned(); evidence],
            source: Some(Source { file: file!().into(), line: line!() }),
            plan: Some(PlanRef { name: text.chars().take(30).collect(), replay: format!("{id}-0123456789abcdef") }),
        }
    }

    fn verdict(outcome: Outcome, checks: Vec<CheckResult>, message: Option<String>) -> Verdict {
        let (runs, wall_ms, cpu_ms) = (30, 1500, 1200);
        let rung = Some("K, for there is no rung F: namespaces: operation not permitted".to_owned());
        Verdict {
            exercise: "pipe_hello".to_owned(),
            submission: "exercises".to_owned(),
            outcome,
            checks,
            runs,
            wall_ms,
            cpu_ms,
            partial: true,
            message,
            rung,
        }
    }

    fn verdicts() -> Vec<Verdict> {
        let texts = ["short".to_owned(), "of words ".repeat(40), "word".repeat(200), "lines\n".repeat(30)];
        let mut all = Vec::new();
        for text in texts {
            for evidence in [0, 3, 30] {
                for (failed, skipped) in [(1, 0), (2, 5), (12, 1)] {
                    let failing = (0..failed).map(|id| check(id, CheckOutcome::Failed, &text, evidence));
                    let other = (0..skipped).map(|id| check(100 + id, CheckOutcome::Skipped, &text, 0));
                    all.push(verdict(Outcome::Failed, failing.chain(other).collect(), None));
                }
            }
            let open = vec![check(1, CheckOutcome::Skipped, &text, 0)];
            all.push(verdict(Outcome::Skipped, open.clone(), None));
            all.push(verdict(Outcome::Passed, open, None));
            for outcome in [Outcome::CompileError, Outcome::HarnessFault] {
                all.push(verdict(outcome, Vec::new(), Some(text.repeat(5))));
            }
        }
        all
    }

    /// However much there is to say of a program.
    #[test]
    fn a_verdict_takes_at_most_a_screenful_and_begins_with_what_is_wrong() {
        for verdict in verdicts() {
            for (width, verbose) in [(80, false), (40, false), (120, false), (80, true)] {
                let command = "run pipe_hello --file class/ann/pipe_hello.rs --rung K".to_owned();
                let view = View { base: Path::new(""), width, height: SCREENFUL, verbose, keys: false, command };
                let lines = view.lines(&verdict);
                let rows: usize = lines.iter().map(|line| view.rows(line)).sum();
                assert!(verbose || rows <= SCREENFUL, "{rows} rows of {width}:\n{}", lines.join("\n"));
                let first = anstream::adapter::strip_str(&lines[0]).to_string();
                let expected = format!("pipe_hello {}", summary::outcome_words(verdict.outcome));
                assert!(first.starts_with(&expected), "{first}");
                let more = lines.iter().any(|line| line.contains("more lines with --verbose"));
                assert!(!(verbose && more), "{}", lines.join("\n"));
            }
        }
    }
}
