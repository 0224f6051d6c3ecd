//! `scan_number`, of `06_stdio`: when a number that comes in pieces is complete.

use std::time::Duration;

use observe::{Action, Call, Deed, Event, ObjectKind, On, Stdin, Trigger};

use crate::spec::Spec;
use crate::spec::common::calls::{INPUTS, READS, printed};
use crate::spec::common::endings::ended;
use crate::spec::common::plans::{bad_usage, cuts, failing, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, panicked, quoted};
use crate::spec::common::{output, reports, under_faults, usage_unless_ignored};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// `scan_number`
pub(crate) fn scan_number() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing read or write is reported", reports),
            Check::outside("output", "every number is printed on a line, the last one too", output),
            Check::seen(
                "as-they-come",
                "each number is printed when it is complete, not before and not later",
                as_they_come,
            ),
            Check::outside("overflow", "a number too large for 64 bits is an error", refused),
            Check::outside("no-number", "a word that is no number is an error", refused),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: step_by_step,
    }
}

fn given(name: &str, text: &str, numbers: &[i64]) -> Plan {
    let lines: String = numbers.iter().map(|n| format!("{n}\n")).collect();
    let mut plan = Plan::new(name).prints(lines).judged_by(&["output"]);
    plan.launch.stdin = Stdin::Bytes(text.into());
    plan
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let n: Vec<i64> = (0..6).map(|_| nonce.number(1, 900_000_000) as i64 - 450_000_000).collect();
    let text = format!("{} {}\n\n {}\t{}  {}\n{}", n[0], n[1], n[2], n[3], n[4], n[5]);
    let plain = given("numbers", &text, &n);
    let (low, high) = (i64::MIN, i64::MAX);
    let wrong = |name: &str, word: String, check| {
        let text = format!("{} {word} {}\n", n[0], n[1]);
        given(name, &text, &n[..1]).judged_by(&[check]).exits(1).at(Stage::Refusal)
    };
    let large = format!("{}{}", nonce.number(2, 9), nonce.number(1_000_000_000, 9_999_999_999) * 1_000_000_000);
    let mut plans = vec![
        plain.clone(),
        given("the largest and the smallest", &format!("{high} {low}\n"), &[high, low]),
        given("no numbers", " \n", &[]),
        step_by_step(nonce),
        wrong("a number too large", large, "overflow").because("When a number does not fit in 64 bits"),
        given("zeros before numbers", "007 010 0000000000000000000000000000042\n", &[7, 10, 42]),
        wrong("a number with something behind", format!("{}x", n[2].abs()), "no-number")
            .because("When a word begins as a number and is none"),
        wrong("a word", nonce.word(4), "no-number").because("When a word is no number"),
        unwritable_output(&plain),
        plain
            .again("read fails", &[])
            .reports(INPUTS, None, libc::EIO)
            .fault(failing(READS, Some(On::Stdin), libc::EIO))
            .because("When standard input cannot be read"),
        bad_usage("an argument", &["12"]),
    ];
    plans.extend(cuts(&plain, &[On::Stdin, On::Stdout]));
    plans.push(interrupted(&plain, &[On::Stdin, On::Stdout]));
    plans
}

/// The writer keeps its end open and sends a piece whenever everybody waits for it.
fn step_by_step(nonce: &mut Nonce) -> Plan {
    let n: Vec<i64> = (0..6).map(|_| nonce.number(1000, 9999) as i64).collect();
    let split = n[0].to_string();
    let last = n[5].to_string();
    let pieces = [
        split[..2].to_string(),
        format!("{} ", &split[2..]),
        format!("-{}\n", n[1]),
        format!("{}\t{} {}", n[2], n[3], &n[4].to_string()[..1]),
        format!("{} {}", &n[4].to_string()[1..], &last[..3]),
        last[3..].to_string(),
    ];
    let numbers = [n[0], -n[1], n[2], n[3], n[4], n[5]];
    let mut plan = given("a piece at a time", "", &numbers).judged_by(&["as-they-come"]);
    plan.launch.stdin = Stdin::Open(pieces[0].clone().into_bytes());
    for piece in &pieces[1..] {
        plan = plan.action(Action { when: Trigger::AllBlocked, what: Deed::Feed(piece.clone().into_bytes()) });
    }
    plan.action(Action { when: Trigger::AllBlocked, what: Deed::CloseStdin })
        .because("When the numbers come in pieces, each when the program waits for it")
}

/// What was sent, up to the end of each piece.
fn prefixes(plan: &Plan) -> Vec<Vec<u8>> {
    let Stdin::Open(first) = &plan.launch.stdin else { return Vec::new() };
    let mut all = vec![first.clone()];
    for action in &plan.launch.actions {
        if let (Deed::Feed(bytes), Some(last)) = (&action.what, all.last()) {
            all.push([last.as_slice(), bytes].concat());
        }
    }
    all
}

/// The lines of the numbers that are complete in it.
fn complete(text: &[u8]) -> Vec<u8> {
    let end = text.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
    let words = text[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.flat_map(|word| [word, b"\n"].concat()).collect()
}

/// Reads of standard input that brought something or the end: the event, and how many bytes had come before.
fn reads<'a>(run: &Run<'a>) -> Vec<(&'a Event, usize)> {
    let mut came = 0;
    let input = run.seen.successes().filter_map(|(_, event, call, value)| match call {
        Call::Read { object: Some(o), .. } if run.seen.object(*o).kind == ObjectKind::Standard(0) => {
            Some((event, value.max(0) as usize))
        }
        _ => None,
    });
    input
        .map(|(event, bytes)| {
            came += bytes;
            (event, came - bytes)
        })
        .collect()
}

/// `as-they-come`: whenever the program has read all that was sent and waits for more, exactly the numbers that are
/// complete have been printed.
fn as_they_come(run: &Run) -> Finding {
    let all = printed(run);
    let out_before = |end: Duration| -> Vec<u8> {
        all.iter().filter(|t| t.event.at < end).flat_map(|t| t.data.iter().copied()).collect()
    };
    let mut looked = false;
    for prefix in prefixes(run.plan) {
        let Some((event, _)) = reads(run).into_iter().find(|(_, came)| *came == prefix.len()) else { continue };
        let (wanted, got) = (complete(&prefix), out_before(event.until));
        looked = true;
        if wanted == got {
            continue;
        }
        let words = if wanted.starts_with(&got) {
            let missing = wanted[got.len()..].split(|b| *b == b'\n').next().unwrap_or_default();
            format!(
                "After {} had come the program went on to wait for input without having printed {}: it is complete once the byte after it is there, a blank as well as a newline. Print it then; whoever writes may be waiting for it.",
                quoted(&prefix),
                String::from_utf8_lossy(missing)
            )
        } else {
            format!(
                "After {} had come the program had printed {} instead of {}: the last digits read are not a number before the byte after them has come. Keep them until it has.",
                quoted(&prefix),
                quoted(&got),
                quoted(&wanted)
            )
        };
        return Failure::new(Reason::WrongOutput, words).at(event.source.as_ref()).found();
    }
    ended(run)?;
    if !looked {
        return Err(Objection::open("the program read nothing from standard input"));
    }
    output(run)
}

/// What a scanf takes from the bad word before it stops at what makes it bad.
fn begun(run: &Run) -> Vec<u8> {
    let Stdin::Bytes(text) = &run.plan.launch.stdin else { return Vec::new() };
    let word = text.split(u8::is_ascii_whitespace).nth(1).unwrap_or_default();
    let end = word.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or_default();
    [&word[..end], b"\n"].concat()
}

/// `overflow`, `no-number`: the numbers before the bad one are printed, and then an error.
fn refused(run: &Run) -> Finding {
    ended(run)?;
    let wrong = |reason, words: String| Failure::new(reason, words).evidences(complaints(run.seen)).found();
    let advice = "Say on standard error, in one line, that it is no number of 64 bits, and exit with 1.";
    if panicked(run.seen) {
        return wrong(Reason::WrongStatus, format!("The program panicked. {advice}"));
    }
    let expected = run.plan.expect.stdout.as_deref().unwrap_or_default();
    let got = &run.seen.stdout.bytes;
    let more = got.strip_prefix(expected).filter(|more| !more.is_empty() && **more != begun(run));
    if let Some(more) = more {
        let words = if more.iter().any(u8::is_ascii_alphabetic) {
            format!("Standard output got {}, which is no number: what is wrong is not for it.", quoted(more))
        } else {
            format!("The program goes on and prints {}, as if the input had been right.", quoted(more))
        };
        return wrong(Reason::WrongOutput, format!("{words} {advice}"));
    }
    if !got.starts_with(expected) {
        return wrong(
            Reason::WrongOutput,
            format!(
                "The program printed {} instead of {}, the numbers before the bad one.",
                quoted(got),
                quoted(expected)
            ),
        );
    }
    if run.seen.exit() != Some(observe::Exit::Code(1)) {
        return wrong(Reason::WrongStatus, format!("The exit status is not 1. {advice}"));
    }
    if run.seen.stderr.text().trim().is_empty() {
        return wrong(Reason::WrongOutput, format!("Standard error says nothing. {advice}"));
    }
    Ok(())
}
