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
    // Where there is no PID namespace, the numbers are the machine's: the order of birth stands for them.
    let numbers = if rung == Rung::F { vec![] } else { seen.processes.iter().map(|process| process.pid).collect() };
    Ok(transcript(&seen, &Numbers(numbers)))
}

/// Process ids that differ from run to run, in the order of birth.
struct Numbers(Vec<i32>);

impl Numbers {
    fn call(&self, pid: i64) -> String {
        let place = self.0.iter().position(|own| i64::from(*own) == pid);
        place.map_or_else(|| pid.to_string(), |n| format!("<{n}>"))
    }

    /// The program writes them in seven digits, which nothing else has; the kernel has them in paths below `/proc`.
    fn replace(&self, text: &str) -> String {
        self.0.iter().enumerate().fold(text.into(), |text: String, (n, pid)| {
            text.replace(&format!("{pid:07}"), &format!("<{n}>")).replace(&format!("/{pid}/"), &format!("/<{n}>/"))
        })
    }

    fn result(&self, call: &str, value: i64) -> String {
        match call {
            "clone" | "clone3" | "fork" | "vfork" | "getpid" | "getppid" | "gettid" | "wait4" => self.call(value),
            _ if value < NUMBERS => value.to_string(),
            _ => "an address".into(),
        }
    }
}

/// Everything but times, addresses and what is called to find out about them.
fn transcript(seen: &Observation, numbers: &Numbers) -> String {
    let said = numbers.replace(&format!("{}{}", seen.stdout.text(), seen.stderr.text()));
    let mut text = format!("{:?}\n{said}", seen.ending);
    for process in &seen.processes {
        let _ = writeln!(
            text,
            "pid {} of {:?}: {:?}, reaped {}",
            numbers.call(process.pid.into()),
            process.parent,
            process.exit,
            process.reaped
        );
    }
    for event in seen.events.iter().filter(|event| !event.startup) {
        let what = match &event.what {
            What::Called { sysno, result, .. } => {
                let result = result.map(|r| r.map(|value| numbers.result(sysno.name(), value)));
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
        let _ = writeln!(text, "{}", numbers.replace(&object.label));
    }
    for file in &seen.files {
        let content = numbers.replace(&String::from_utf8_lossy(&file.bytes));
        let _ = writeln!(text, "{} {:o} {content}", file.path.display(), file.mode);
    }
    text
}
