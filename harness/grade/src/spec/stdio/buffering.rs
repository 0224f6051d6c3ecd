//! `line_buffering`, of `06_stdio`: the sizes of writes on a terminal, a pipe and a file. The text of the lines is
//! the learner's own; only their number, and that they are short, is asked for. Interrupted writes are not tried: C's
//! own stdio gives up on them, and it is the model here.

use std::borrow::Cow;

use observe::{Ending, On, Stdout};

use crate::spec::Spec;
use crate::spec::common::calls::{WRITES, printed};
use crate::spec::common::endings::{blame_fault, ended, status};
use crate::spec::common::plans::{bad_usage, cut, unwritable_output};
use crate::spec::common::text::{difference, quoted};
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// The block of C's stdio on a pipe and on most files.
const BLOCK: u64 = 4096;
/// Longer lines are not short.
const LONGEST_LINE: usize = 100;

/// `line_buffering [-u] N`
pub(crate) fn line_buffering() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but one number, with or without -u, is refused", usage),
            Check::outside("reports", "a failing write is reported", reports),
            Check::outside("output", "N short lines come out, whatever they go to", output),
            Check::seen("terminal-lines", "on a terminal each line is one write", one_write_a_line),
            Check::seen("pipe-blocks", "on a pipe and in a file writes are of 4096 bytes, but for the last", blocks),
            Check::seen("unbuffered", "with -u each line is one write, also on a pipe", one_write_a_line),
            Check::seen("short-io", "nothing is lost or doubled when writes are cut short", same_text),
        ],
        demo: |nonce| lines("on a pipe", nonce.number(900, 1000)),
    }
}

fn lines(name: &str, n: u64) -> Plan {
    Plan::new(name).arg(n.to_string()).judged_by(&["output"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    // Even lines of one letter fill two blocks.
    let (few, many) = (nonce.number(12, 40), nonce.number(4200, 4800));
    let file = Stdout::File { path: "printed.txt".into(), append: false };
    let short = lines("few lines on a pipe", few).judged_by(&["output", "pipe-blocks"]);
    let long = lines("many lines on a pipe", many).judged_by(&["output", "pipe-blocks"]);
    let mut unbuffered =
        Plan::new("unbuffered on a pipe").arg("-u").arg(few.to_string()).judged_by(&["output", "unbuffered"]);
    unbuffered.or_else = Some(vec![few.to_string().into(), "-u".into()]);
    let mut plans = vec![
        short.clone(),
        long.clone(),
        lines("many lines in a file", many).onto(file).judged_by(&["output", "pipe-blocks"]),
        lines("on a terminal", few).onto(Stdout::Terminal).judged_by(&["output", "terminal-lines"]),
        unbuffered,
        unwritable_output(&short),
        bad_usage("no arguments", &[]),
        bad_usage("no number", &["ten"]),
        bad_usage("two numbers", &["3", "4"]),
        bad_usage("only the flag", &["-u"]),
    ];
    for (plan, bytes) in [(&short, 3), (&long, 1000)] {
        plans.push(cut(plan, &[On::Stdout], WRITES, "write", bytes));
    }
    plans
}

/// What came out, with the terminal's line ends made plain again.
fn text<'a>(run: &Run<'a>) -> Cow<'a, [u8]> {
    text_of(run.seen, &run.plan.launch.stdout)
}

fn text_of<'a>(seen: &'a observe::Observation, stdout: &Stdout) -> Cow<'a, [u8]> {
    match stdout {
        Stdout::File { path, .. } => {
            let left = seen.files.iter().find(|f| f.path == *path);
            left.map_or(Cow::Borrowed(&[]), |f| Cow::Borrowed(&f.bytes))
        }
        Stdout::Terminal => {
            let bytes = &seen.stdout.bytes;
            let plain = |i: usize, byte: &u8| *byte != b'\r' || bytes.get(i + 1) != Some(&b'\n');
            Cow::Owned(bytes.iter().enumerate().filter(|(i, b)| plain(*i, b)).map(|(_, b)| *b).collect())
        }
        _ => Cow::Borrowed(&seen.stdout.bytes),
    }
}

fn number(run: &Run) -> usize {
    (0..2).find_map(|n| run.plan.argument(n).parse().ok()).unwrap_or(0)
}

/// `output`: N lines, none empty, none long, the last one ended.
fn output(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let (text, n) = (text(run), number(run));
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).found();
    let place = match run.plan.launch.stdout {
        Stdout::Terminal => "the terminal",
        Stdout::File { .. } => "the file",
        _ => "the pipe",
    };
    if text.is_empty() {
        return wrong(format!("Nothing came out on {place}: what is in the buffer at the end must still be written."));
    }
    let Some(whole) = text.strip_suffix(b"\n") else {
        let last = text.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        return wrong(format!(
            "The last line on {place} is not ended: it is {}. Is the last part of the buffer lost?",
            quoted(last)
        ));
    };
    let lines: Vec<&[u8]> = whole.split(|b| *b == b'\n').collect();
    if lines.len() != n {
        return wrong(format!("{} lines came out on {place} instead of {n}.", lines.len()));
    }
    match lines.iter().find(|line| line.is_empty() || line.len() > LONGEST_LINE) {
        Some([]) => wrong(format!("There is an empty line on {place}.")),
        Some(long) => wrong(format!("A line of {} bytes is not short: {LONGEST_LINE} are the most.", long.len())),
        None => Ok(()),
    }
}

/// The sizes of the writes, as evidence.
fn sizes(run: &Run) -> String {
    let all: Vec<u64> = printed(run).iter().map(|t| t.bytes).collect();
    let first: Vec<String> = all.iter().take(12).map(u64::to_string).collect();
    let more = if all.len() > 12 { format!(" … ({} writes)", all.len()) } else { String::new() };
    format!("bytes of each write: {}{more}", first.join(" "))
}

/// `terminal-lines`, `unbuffered`: every write is one line, whole.
fn one_write_a_line(run: &Run) -> Finding {
    let writes: Vec<_> = printed(run).into_iter().filter(|t| t.bytes > 0).collect();
    let n = number(run);
    let whole = |data: &[u8]| data.ends_with(b"\n") && data.iter().filter(|b| **b == b'\n').count() == 1;
    let Some(odd) = writes.iter().find(|t| !whole(t.data)) else {
        return match writes.len() {
            0 => Err(Objection::open("nothing was written")),
            _ if !matches!(run.seen.ending, Ending::Ended(_)) => Err(Objection::open("the program came to no end")),
            made if made == n => Ok(()),
            made => {
                let words = format!("{made} writes were made for {n} lines.");
                Failure::new(Reason::WrongCalls, words).evidence(sizes(run)).found()
            }
        };
    };
    let place = match run.plan.launch.stdout {
        Stdout::Terminal => "On a terminal",
        _ => "With -u, also on a pipe,",
    };
    let several = odd.data.iter().filter(|b| **b == b'\n').count() > 1;
    let what = match several {
        true => "several lines leave in one write",
        false => "a line does not leave whole in one write",
    };
    let advice = match (&run.plan.launch.stdout, several) {
        (Stdout::Terminal, true) => {
            " Ask whether standard output (not standard input) is a terminal, and write each line as it ends."
        }
        (_, true) => " Unbuffered means a write for each print.",
        (_, false) => " A line and its newline belong in one write.",
    };
    let words = format!("{place} each line is to be one write, but {what}: {}.{advice}", quoted(odd.data));
    Failure::new(Reason::WrongCalls, words).at(odd.event.source.as_ref()).evidence(sizes(run)).found()
}

/// `pipe-blocks`: writes of exactly 4096 bytes, then what is left.
fn blocks(run: &Run) -> Finding {
    let writes: Vec<_> = printed(run).into_iter().filter(|t| t.bytes > 0).collect();
    let Some((last, full)) = writes.split_last() else { return Err(Objection::open("nothing was written")) };
    if !matches!(run.seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let odd = full.iter().position(|t| t.bytes != BLOCK).or((last.bytes > BLOCK).then_some(full.len()));
    let Some(at) = odd else { return Ok(()) };
    let place = if matches!(run.plan.launch.stdout, Stdout::File { .. }) { "a file" } else { "a pipe" };
    let odd = writes[at];
    let one_line = odd.data.ends_with(b"\n") && odd.data.iter().filter(|b| **b == b'\n').count() == 1;
    let words = if one_line {
        format!(
            "To {place} each line is written by itself, as Rust's own stdout does. Keep the text until {BLOCK} bytes are together."
        )
    } else {
        let which = if at == full.len() { "The last write".to_string() } else { format!("Write {}", at + 1) };
        format!(
            "{which} to {place} is of {} bytes: each is to be of exactly {BLOCK}, cutting a line in two where the block ends, and only the last may be shorter.",
            odd.bytes
        )
    };
    Failure::new(Reason::WrongCalls, words).at(odd.event.source.as_ref()).evidence(sizes(run)).found()
}

/// `short-io`: the same text as without the faults.
fn same_text(run: &Run) -> Finding {
    ended(run)?;
    status(run).and_then(|()| as_without(run)).map_err(|o| o.amended(|failure| blame_fault(run, failure)))
}

fn as_without(run: &Run) -> Finding {
    let Some(baseline) = run.baseline else { return Ok(()) };
    let (wanted, got) = (text_of(baseline, &Stdout::Pipe), text(run));
    if wanted == got {
        return Ok(());
    }
    Failure::new(Reason::WrongOutput, format!("The program {}.", difference(&wanted, &got))).found()
}
