//! One launch of a hostile program, and everything that is wrong with how it went.

use std::time::{Duration, Instant};

use observe::{Call, Ending, Exit, Observation, Observer, Rung, What};

use super::corpus::{Corpus, Program};
use super::leftovers;

/// What a launch may take beyond its deadline; on a machine under load the harness's own threads are late too.
const AFTER_DEADLINE: Duration = Duration::from_millis(500);
const LOAD: Duration = Duration::from_secs(2);

/// Bytes of paths that may be kept of one launch; a program names files faster than anybody reads what is sent of it.
const NAMED: usize = 2 << 20;

/// How it went.
pub struct Outcome {
    pub complaints: Vec<String>,
    /// How long after its deadline nothing of it was left, if it came to that.
    pub late: Duration,
    /// How long after its deadline the caller had what was seen: on a machine under load it has to wait for a processor
    /// too, as it has before the program starts.
    pub returned: Duration,
    pub name: String,
}

/// Runs a program and judges everything; where it is cut short, all but what it is reported as. At full size it may do
/// what takes seconds.
pub fn run(
    corpus: &Corpus,
    observer: &Observer,
    program: &Program,
    rung: Rung,
    cut: Option<Duration>,
    full: bool,
) -> Outcome {
    let name = program.name.clone();
    let mark = leftovers::fresh_mark();
    let mut launch = corpus.launch(program, rung, &mark);
    if full {
        corpus.enlarge(program, &mut launch);
    }
    launch.deadline = cut.unwrap_or(launch.deadline);
    let begin = Instant::now();
    let seen = match observer.run(&launch) {
        Ok(seen) => seen,
        Err(error) => {
            return Outcome {
                complaints: vec![error.to_string()],
                late: Duration::ZERO,
                returned: Duration::ZERO,
                name,
            };
        }
    };
    let took = begin.elapsed();
    let ends_by = launch.deadline + seen.starved;
    let (late, returned) = (seen.gone.saturating_sub(ends_by), took.saturating_sub(ends_by));
    let mut complaints = Vec::new();
    let expected = program.expected(rung);
    if cut.is_none() && !is(&seen, expected) {
        complaints.push(format!("expected {expected}; {}", described(&seen)));
    }
    if returned > AFTER_DEADLINE + LOAD {
        complaints.push(format!("took {took:?}, gone after {:?}, with a deadline of {ends_by:?}", seen.gone));
    }
    let kept = [&seen.stdout, &seen.stderr].map(|o| o.bytes.len() + o.tail.len()).into_iter().max().unwrap_or(0);
    if kept > 2 * launch.output_limit {
        complaints.push(format!("{kept} bytes of output were kept"));
    }
    let named = named(&seen);
    if named > NAMED {
        complaints.push(format!("{named} bytes of paths were kept"));
    }
    if std::fs::read_to_string(corpus.victim.join("keep")).ok().as_deref() != Some("kept") {
        complaints.push("a link was followed: the victim's file is gone or changed".into());
    }
    complaints.extend(leftovers::processes(&mark));
    Outcome { complaints, late, returned, name }
}

/// Bytes of the paths in what was seen to be opened.
fn named(seen: &Observation) -> usize {
    let path = |what: &What| match what {
        What::Called { call: Call::Open { path, .. }, .. } => path.as_os_str().len(),
        _ => 0,
    };
    seen.events.iter().map(|event| path(&event.what)).sum()
}

fn is(seen: &Observation, expected: &str) -> bool {
    match expected.split_once(' ').unwrap_or((expected, "")) {
        ("flooded", _) => seen.ending == Ending::Flooded,
        ("hung", _) => matches!(seen.ending, Ending::Deadline | Ending::Deadlocked) && seen.over_limit.is_none(),
        // Without a tracer it is chance whether the limit is seen to be passed, or the program is told before.
        ("over_limit", "or refused") => seen.over_limit.is_some() || seen.ending == Ending::Ended(Exit::Code(1)),
        ("over_limit", _) => seen.over_limit.is_some(),
        // Those that hop fast enough are too many before the program has ended.
        ("leaked", "or over_limit") if seen.over_limit.is_some() => true,
        ("leaked", _) => seen.ending == Ending::Ended(Exit::Code(0)) && !seen.survivors.is_empty(),
        ("forbidden", _) => {
            let said = [&seen.stdout, &seen.stderr].iter().any(|o| o.text().starts_with("forbidden"));
            seen.ending == Ending::Ended(Exit::Code(0)) && said
        }
        ("ended", "SIGBUS") => seen.ending == Ending::Ended(Exit::Signal(libc::SIGBUS)),
        ("ended", "SIGABRT") => seen.ending == Ending::Ended(Exit::Signal(libc::SIGABRT)),
        ("ended", code) => code.parse().is_ok_and(|code| seen.ending == Ending::Ended(Exit::Code(code))),
        _ => false,
    }
}

fn described(seen: &Observation) -> String {
    let Observation { ending, over_limit, survivors, wall, hang, .. } = seen;
    let hang = hang.as_ref().map_or("", |h| &h.summary);
    let cut = |text: String| text.chars().take(300).collect::<String>();
    format!(
        "{ending:?}, over limit {over_limit:?}, {} survivors, {wall:?}\n{hang}\nout: {}\nerr: {}",
        survivors.len(),
        cut(seen.stdout.text()),
        cut(seen.stderr.text())
    )
}
