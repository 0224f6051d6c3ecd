//! Bad usage and failing calls: refused in the way that every program here refuses.

use std::io;

use observe::Exit;

use super::calls::injected;
use super::endings::{command_line, ended};
use super::text::{complaints, panicked, quoted};
use crate::weigh::in_context;
use crate::{Failure, Finding, Objection, Reason, Run};

/// `usage`: bad usage is answered by a usage line on standard error and exit status 2.
pub fn usage(run: &Run) -> Finding {
    ended(run)?;
    let wrong = |reason, message: String| {
        Failure::new(reason, message).evidence(command_line(run)).evidences(complaints(run.seen)).found()
    };
    let how = format!("{}, print a line that begins with `usage:` on standard error and exit with 2.", said(run));
    if panicked(run.seen) {
        return wrong(Reason::WrongStatus, format!("The program panicked. {how}"));
    }
    if !run.seen.stdout.bytes.is_empty() {
        return wrong(Reason::WrongOutput, format!("Standard output got {}. {how}", quoted(&run.seen.stdout.bytes)));
    }
    if !run.seen.stderr.text().to_lowercase().contains("usage") {
        return wrong(Reason::WrongOutput, format!("There is no usage line. {how}"));
    }
    match run.seen.exit() {
        Some(Exit::Code(2)) => Ok(()),
        Some(Exit::Code(code)) => wrong(Reason::WrongStatus, format!("The exit status is {code}. {how}")),
        _ => ended(run),
    }
}

/// `usage` of a program that has no arguments: it may refuse one, or do its work without a look at it.
pub fn usage_unless_ignored(run: &Run) -> Finding {
    let says_usage = run.seen.stdout.text().to_lowercase().contains("usage");
    let at_work = matches!(run.seen.exit(), Some(Exit::Code(0) | Exit::Signal(libc::SIGPIPE)));
    if at_work && !says_usage && run.seen.stderr.bytes.is_empty() { Ok(()) } else { usage(run) }
}

fn said(run: &Run) -> String {
    match command_line(run).strip_prefix("run: ") {
        Some(words) => format!("With the arguments `{words}`"),
        None => "Without arguments".into(),
    }
}

/// `reports`: a failing call is named on standard error, in one line with the object and the reason; exit status 1.
pub fn reports(run: &Run) -> Finding {
    let expect = &run.plan.expect;
    let faulted = !run.plan.launch.faults.is_empty();
    if faulted && run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open(format!("the program made no such call ({})", run.plan.name)));
    }
    if expect.anyones {
        return told_by_anyone(run);
    }
    ended(run)?;
    let reason = if faulted { Reason::FaultNotHandled } else { Reason::WrongOutput };
    let wrong = |message: String| {
        let failed = injected(run.seen).next().and_then(|e| e.source.as_ref());
        let message = if run.plan.circumstance.is_empty() { in_context(&refused(run), &message) } else { message };
        let failure = Failure::new(reason, format!("{message} {}", wanted(run))).at(failed);
        failure.evidence(command_line(run)).evidences(complaints(run.seen)).found()
    };
    if panicked(run.seen) {
        return wrong("The program panicked.".into());
    }
    let stderr = run.seen.stderr.text();
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    let [line] = lines.as_slice() else {
        return wrong(match lines.len() {
            0 => "Standard error says nothing.".into(),
            n => format!("Standard error has {n} lines instead of one."),
        });
    };
    if let Some(lacking) = lacking(run, line) {
        return wrong(format!("The message `{}` does not name {lacking}.", line.trim()));
    }
    if run.seen.exit() != Some(Exit::Code(1)) {
        let code = run.seen.exit();
        return wrong(format!("The exit status is {} instead of 1.", spelled(code)));
    }
    match &expect.stdout {
        Some(expected) if *expected != run.seen.stdout.bytes => {
            wrong(format!("Standard output got {}, which passes for a result.", quoted(&run.seen.stdout.bytes)))
        }
        _ => Ok(()),
    }
}

/// `reports` of a call that may be a child's: somebody says so, in a line of his own, or the result is right all the
/// same.
fn told_by_anyone(run: &Run) -> Finding {
    let expect = &run.plan.expect;
    // A pipe that nobody reads any more may end its writer.
    if run.seen.exit() != Some(Exit::Signal(libc::SIGPIPE)) {
        ended(run)?;
    }
    let failed = injected(run.seen).next().and_then(|e| e.source.as_ref());
    let wrong = |message: &str| {
        let wanted = format!("One line is wanted, like `{}: {}`.", failing_call(run), described(expect.errno));
        let failure = Failure::new(Reason::FaultNotHandled, format!("{message} {wanted}")).at(failed);
        failure.evidence(command_line(run)).evidences(complaints(run.seen)).found()
    };
    let stderr = run.seen.stderr.text();
    if panicked(run.seen) {
        wrong("The program panicked.")
    } else if expect.stdout.as_ref() == Some(&run.seen.stdout.bytes) {
        Ok(())
    } else if stderr.lines().any(|line| lacking(run, line).is_none()) {
        match run.seen.exit() {
            Some(Exit::Code(0)) if expect.status != 0 => {
                wrong("It failed, and yet the exit status is 0: whoever started it takes it for done.")
            }
            _ => Ok(()),
        }
    } else if stderr.trim().is_empty() {
        wrong("Standard error says nothing.")
    } else {
        wrong("No line on standard error names the call and the reason.")
    }
}

fn spelled(exit: Option<Exit>) -> String {
    match exit {
        Some(Exit::Code(code)) => code.to_string(),
        Some(Exit::Signal(signal)) => super::text::signal_name(signal),
        None => "unknown".into(),
    }
}

/// `When open missing.txt fails`.
fn refused(run: &Run) -> String {
    format!("When {} fails", failing_call(run))
}

fn wanted(run: &Run) -> String {
    let reason = described(run.plan.expect.errno);
    format!("One line is wanted, like `{}: {reason}`, and exit status 1.", failing_call(run))
}

fn failing_call(run: &Run) -> String {
    let expect = &run.plan.expect;
    let object = expect.object.as_ref().map(|o| format!(" {o}")).unwrap_or_default();
    format!("{}{object}", expect.calls.first().copied().unwrap_or("the call"))
}

/// What a good message would have and this one has not.
fn lacking(run: &Run, line: &str) -> Option<String> {
    let expect = &run.plan.expect;
    let line = line.to_lowercase();
    let has = |word: &str| line.contains(&word.to_lowercase());
    if !expect.calls.iter().any(|call| has(call)) {
        return Some(format!("the call (like {})", expect.calls.first().copied().unwrap_or_default()));
    }
    if let Some(object) = expect.object.as_ref().filter(|object| !has(object)) {
        return Some(format!("the object ({object})"));
    }
    if !gives_reason(&line, expect.errno) {
        return Some(format!("the reason ({})", described(expect.errno)));
    }
    None
}

/// Whether a message gives the reason, in whatever words.
pub fn gives_reason(line: &str, errno: i32) -> bool {
    let line = line.to_lowercase();
    reasons(errno).iter().any(|reason| line.contains(&reason.to_lowercase()))
}

/// The errno's text in the C library's words.
pub fn described(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_string()
}

/// The ways in which libraries put an errno into words.
fn reasons(errno: i32) -> Vec<String> {
    let known = nix::errno::Errno::from_raw(errno);
    let kind = io::Error::from_raw_os_error(errno).kind();
    let mut reasons = vec![described(errno), known.desc().into(), format!("{known:?}"), format!("os error {errno}")];
    if kind.to_string() != "uncategorized error" {
        reasons.push(kind.to_string());
    }
    reasons
}
