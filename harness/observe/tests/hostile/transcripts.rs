//! What is seen of a program that does the same each time is the same each time, byte for byte.

use std::fmt::Write;

use observe::{Observation, Observer, Rung, Schedule, What};

use super::corpus::{Corpus, Program};
use super::{leftovers, letter};

/// The program that is run.
const NAME: &str = "family";
/// Larger results are addresses.
const NUMBERS: i64 = 1 << 20;

/// Runs the program so often; what was wrong.
pub fn compare(corpus: &Corpus, observer: &Observer, rung: Rung, runs: usize) -> Result<(), String> {
    let program = corpus.programs.iter().find(|p| p.name == NAME).ok_or("the program is gone")?;
    let first = one(corpus, observer, program, rung)?;
    for run in 1..runs {
        let other = one(corpus, observer, program, rung)?;
        if other != first {
            let differs = first.lines().zip(other.lines()).find(|(a, b)| a != b);
            return Err(format!("rung {}, run {run} differs: {differs:?}", letter(rung)));
        }
    }
    Ok(())
}

fn one(corpus: &Corpus, observer: &Observer, program: &Program, rung: Rung) -> Result<String, String> {
    let mut launch = corpus.launch(program, rung, &leftovers::fresh_mark());
    launch.schedule = Schedule::ChildFirst;
    let seen = observer.run(&launch).map_err(|e| e.to_string())?;
    let text = transcript(&seen);
    // Where there is no PID namespace, the numbers are the machine's: they stand for the order of birth.
    Ok(if rung == Rung::F { text } else { renumbered(text, &seen) })
}

/// Everything but times, addresses and what is called to find out about them.
fn transcript(seen: &Observation) -> String {
    let mut text = format!("{:?}\n{}{}", seen.ending, seen.stdout.text(), seen.stderr.text());
    for process in &seen.processes {
        let _ = writeln!(
            text,
            "pid {} of {:?}: {:?}, reaped {}",
            process.pid, process.parent, process.exit, process.reaped
        );
    }
    for event in seen.events.iter().filter(|event| !event.startup) {
        let what = match &event.what {
            What::Called { sysno, result, .. } => {
                let result = result.map(|r| r.map(|value| if value < NUMBERS { value } else { NUMBERS }));
                format!("{} = {result:?}", sysno.name())
            }
            What::Forked { child, .. } => format!("forked {child:?}"),
            What::Executed { open, .. } => format!("executed with {open:?}"),
            What::Signalled { signal, sender, .. } => format!("signal {signal} of {sender:?}"),
            What::HandlerReturned => "handler returned".into(),
            What::MainBegan => "main".into(),
            What::Exited { exit, .. } => format!("exited {exit:?}"),
        };
        let _ = writeln!(text, "{:?} {what}", event.process);
    }
    for object in &seen.objects {
        let _ = writeln!(text, "{}", object.label);
    }
    for file in &seen.files {
        let _ = writeln!(text, "{} {:o} {}", file.path.display(), file.mode, String::from_utf8_lossy(&file.bytes));
    }
    text
}

fn renumbered(text: String, seen: &Observation) -> String {
    // The parent of the program itself is the guardian, whom it does not know.
    let number = |n: usize| format!("<{n}>");
    seen.processes
        .iter()
        .enumerate()
        .fold(text, |text, (n, process)| text.replace(&process.pid.to_string(), &number(n)))
}
