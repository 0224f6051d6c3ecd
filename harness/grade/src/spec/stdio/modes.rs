//! `stream_modes`: a stream of the learner's own, and every write that it makes.

use observe::{Exit, On, Stdin};

use crate::spec::Spec;
use crate::spec::common::calls::printed;
use crate::spec::common::endings::{ended, output, status};
use crate::spec::common::plans::{bad_usage, cuts, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, difference, quoted};
use crate::spec::common::{reports, under_faults, usage_unless_ignored};
use crate::{Check, Failure, Finding, Nonce, Plan, Reason, Run, Stage};

/// How much is kept before the script has said anything.
const FIRST: usize = 4096;
/// The largest buffer that a script may ask for.
const MOST: usize = 65_536;
/// A text that is longer than any page or block through which it might be passed on in pieces.
const LONG: usize = 5000;

/// `stream_modes`
pub(crate) fn stream_modes() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "an argument is refused by a usage line, or let be", usage_unless_ignored),
            Check::outside("reports", "a failing write is reported", reports),
            Check::outside("output", "all that was written comes out, in order, also without a close", output),
            Check::seen("none-mode", "without a buffer every text is one write", none_mode),
            Check::seen("full-mode", "texts that fit into N bytes together leave together", full_mode),
            Check::seen("large-write", "a text longer than N leaves undivided, after what was kept", large_write),
            Check::seen("line-mode", "lines leave when they end, and what follows them stays", line_mode),
            Check::seen("mode-switch", "a change of mode loses nothing: what was kept leaves first", mode_switch),
            Check::seen("flush", "flush and close make one write of what is kept, or none", flushed),
            Check::outside("bad-line", "a line that is no command is an error, and what was kept leaves", bad_line),
            Check::seen("short-io", "nothing is lost or doubled when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| all_modes(nonce),
    }
}

/// A launch with these commands as its script.
fn script(name: &str, check: &'static str, commands: &[String]) -> Plan {
    let text = commands.iter().map(|command| format!("{command}\n")).collect::<String>();
    let mut plan = Plan::new(name).prints(writes(&text).concat()).judged_by(&[check]);
    plan.launch.stdin = Stdin::Bytes(text.into_bytes());
    plan.launch.watch.transfer_bytes = 2 * LONG;
    plan
}

/// Texts of these lengths, each a command.
fn texts(nonce: &mut Nonce, lengths: &[usize]) -> Vec<String> {
    lengths.iter().map(|length| format!("write {}", nonce.word(*length))).collect()
}

fn command(line: &str) -> Vec<String> {
    vec![line.to_string()]
}

fn all_modes(nonce: &mut Nonce) -> Plan {
    let mut word = |length: u64| nonce.word(length as usize);
    let [a, b, c, d] = [3, 4, 5, 6].map(&mut word);
    let commands = [
        "full 8".into(),
        format!("write {a}"),
        format!("write {c}"),
        format!("write {d}"),
        "line".into(),
        format!("write {b}"),
        format!("write {a}\\n{c}"),
        "none".into(),
        format!("write {d}"),
        "full 8".into(),
        format!("write {b}"),
    ];
    script("every mode, and no close", "output", &commands)
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mixed = all_modes(nonce);
    let close = || command("close");
    let blank = command(&format!("write {}  ", nonce.word(3)));
    let none = [command("none"), texts(nonce, &[4, 1, 7]), blank, close()].concat();
    let full = [command("full 16"), texts(nonce, &[5, 7, 6, 10, 1, 16, 3, 13]), close()].concat();
    let first = [texts(nonce, &[2000, 2000, 96, 1]), close()].concat();
    let large = [command("full 16"), texts(nonce, &[40]), texts(nonce, &[3, 50, 2, 17, LONG]), close()].concat();
    let small_lines = [command("full 4"), command("line"), texts(nonce, &[6, 9]), command("write \\nab"), close()];
    let [a, b, c] = [4, 6, 3].map(|length| nonce.word(length));
    let line: Vec<String> = ["line", &format!("write {a}"), &format!("write {b}\\n{c}"), "write \\n"]
        .into_iter()
        .chain([&*format!("write {a}\\n{b}\\n{c}"), &format!("write {b}\\n"), &format!("write {a}"), "close"])
        .map(str::to_string)
        .collect();
    let turns = [command("full 32"), texts(nonce, &[5]), command("line"), texts(nonce, &[4]), command("none")];
    let turned = [texts(nonce, &[3]), command("full 8"), texts(nonce, &[2]), command("full 16"), texts(nonce, &[6])];
    let switch = [turns.concat(), turned.concat(), close()].concat();
    let flush = [
        [texts(nonce, &[5, 3]), command("flush"), command("flush"), texts(nonce, &[4])].concat(),
        [command("line"), command("flush"), texts(nonce, &[6]), close(), texts(nonce, &[7])].concat(),
    ];
    let wrong = [texts(nonce, &[5]), command(&format!("wrote {}", nonce.word(4))), texts(nonce, &[6])].concat();
    let sizeless = [texts(nonce, &[5]), command("full of it"), texts(nonce, &[6])].concat();
    let too_large = [texts(nonce, &[5]), command("full 65537"), texts(nonce, &[6])].concat();
    let empty = [texts(nonce, &[5]), command(""), texts(nonce, &[6])].concat();
    let edges = [command("full 1"), texts(nonce, &[1, 1, 3]), command("full 65536"), texts(nonce, &[3, 5]), close()];
    // Each has one write to make, and no later one by which a failure of the first would show.
    let lost = |name: &str, commands: &[&str]| {
        let commands: Vec<String> = commands.iter().map(|command| command.to_string()).collect();
        let full = unwritable_output(&script("", "reports", &commands));
        Plan { name: name.into(), ..full }
    };
    let mut plans = vec![
        mixed.clone(),
        script("the smallest and the largest buffer", "full-mode", &edges.concat()),
        lost("no space at a change of mode", &["write kept", "line"]),
        lost("no space at the end of a line", &["line", "write ended\\n"]),
        script("no buffer", "none-mode", &none),
        script("a buffer of 16", "full-mode", &full),
        script("the first buffer", "full-mode", &first),
        script("long texts", "large-write", &large),
        script("lines", "line-mode", &line),
        script("lines after a small buffer", "line-mode", &small_lines.concat()),
        script("changes of mode", "mode-switch", &switch),
        script("flushes", "flush", &flush.concat()),
        script("an unknown command", "bad-line", &wrong).exits(1).at(Stage::Refusal),
        script("no size", "bad-line", &sizeless).exits(1).at(Stage::Refusal),
        script("a size too large", "bad-line", &too_large).exits(1).at(Stage::Refusal),
        script("an empty line", "bad-line", &empty).exits(1).at(Stage::Refusal),
        unwritable_output(&mixed),
        bad_usage("an argument", &["full"]),
    ];
    plans.extend(cuts(&mixed, &[On::Stdin, On::Stdout]));
    plans.push(interrupted(&mixed, &[On::Stdin, On::Stdout]));
    plans
}

/// What leaves the stream under a script, write by write.
fn writes(script: &str) -> Vec<Vec<u8>> {
    let (mut leaves, mut kept) = (Vec::new(), String::new());
    let (mut size, mut lines) = (FIRST, false);
    for line in script.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let text = rest.replace("\\n", "\n");
        match (word, rest.parse()) {
            ("write", _) if lines => {
                kept.push_str(&text);
                let end = kept.rfind('\n').map_or(0, |newline| newline + 1);
                leaves.push(kept.drain(..end).collect());
            }
            ("write", _) => {
                if kept.len() + text.len() > size {
                    leaves.push(std::mem::take(&mut kept));
                }
                kept.push_str(&text);
                if kept.len() > size {
                    leaves.push(std::mem::take(&mut kept));
                }
            }
            ("full", Ok(number)) if (1..=MOST).contains(&number) => {
                leaves.push(std::mem::take(&mut kept));
                (size, lines) = (number, false);
            }
            ("line" | "none" | "flush", _) => {
                leaves.push(std::mem::take(&mut kept));
                (size, lines) = match word {
                    "flush" => (size, lines),
                    _ => (0, word == "line"),
                };
            }
            _ => break,
        }
    }
    leaves.push(kept);
    leaves.into_iter().filter(|piece: &String| !piece.is_empty()).map(String::into_bytes).collect()
}

/// The writes are exactly those that are wanted; if not, `advice` says what is to be thought of.
fn exactly(run: &Run, advice: &str) -> Finding {
    ended(run)?;
    status(run)?;
    let Stdin::Bytes(script) = &run.plan.launch.stdin else { return Ok(()) };
    let wanted = writes(&String::from_utf8_lossy(script));
    let all = printed(run);
    let made: Vec<&[u8]> = all.iter().map(|t| t.data).collect();
    if made == wanted {
        return Ok(());
    }
    let at = made.iter().zip(&wanted).take_while(|(made, wanted)| **made == wanted.as_slice()).count();
    let listed = |pieces: Vec<&[u8]>| pieces.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
    let words = if made.concat() == wanted.concat() {
        let [is, should] = [made.get(at).copied(), wanted.get(at).map(Vec::as_slice)].map(|piece| match piece {
            Some(bytes) => quoted(bytes),
            None => "nothing more".into(),
        });
        format!("Write {} is of {is}, where {should} was to leave. {advice}", at + 1)
    } else {
        format!("The stream {}. {advice}", difference(&wanted.concat(), &made.concat()))
    };
    Failure::new(Reason::WrongCalls, words)
        .at(all.get(at).or(all.last()).and_then(|t| t.event.source.as_ref()))
        .evidence(format!("script: {}", quoted(script)))
        .evidence(format!("writes made:   {}", listed(made)))
        .evidence(format!("writes wanted: {}", listed(wanted.iter().map(Vec::as_slice).collect())))
        .evidences(complaints(run.seen))
        .found()
}

fn none_mode(run: &Run) -> Finding {
    exactly(
        run,
        "In mode `none` each text leaves at once, in one write to the descriptor itself: io::stdout() has a buffer of its own.",
    )
}

fn full_mode(run: &Run) -> Finding {
    exactly(
        run,
        "In mode `full N` a text is kept if it fits beside what is kept; if not, what is kept leaves, and the text is kept whole.",
    )
}

fn large_write(run: &Run) -> Finding {
    exactly(
        run,
        "A text longer than the buffer is not divided to pass through it: what is kept leaves first, and then the text, in one write.",
    )
}

fn line_mode(run: &Run) -> Finding {
    exactly(
        run,
        "In mode `line` what is kept and the text leave in one write, up to the last newline; what comes after it is kept.",
    )
}

fn mode_switch(run: &Run) -> Finding {
    exactly(run, "A change of mode is a flush: what was kept in the old mode leaves before anything of the new one.")
}

fn flushed(run: &Run) -> Finding {
    exactly(
        run,
        "`flush` and `close` make one write of what is kept, and none of nothing; behind `close` comes nothing.",
    )
}

/// `bad-line`: told with its number, and nothing of what came before is lost.
fn bad_line(run: &Run) -> Finding {
    ended(run)?;
    let said = run.seen.stderr.text();
    let wrong = |reason, words: String| Failure::new(reason, words).evidences(complaints(run.seen)).found();
    if run.seen.exit() != Some(Exit::Code(1)) {
        let words = "Line 2 of the script is no command: an error with exit status 1 is wanted.";
        return wrong(Reason::WrongStatus, words.into());
    }
    if !said.to_lowercase().contains("line 2") {
        return wrong(
            Reason::WrongOutput,
            "Line 2 of the script is no command, and standard error does not say so.".into(),
        );
    }
    output(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_comes_to_these_writes() {
        let leaves = |script: &str| -> Vec<String> {
            writes(script).into_iter().map(|piece| String::from_utf8(piece).unwrap()).collect()
        };
        assert_eq!(leaves("full 8\nwrite abc\nwrite defghi\nline\nwrite j\\nk\n"), ["abc", "defghi", "j\n", "k"]);
        assert_eq!(leaves("full 4\nwrite ab\nwrite cd\nwrite e\nwrite fghij\n"), ["abcd", "e", "fghij"]);
        assert_eq!(leaves("line\nwrite a\nwrite b\\nc\\nd\nflush\nflush\nwrite e\n"), ["ab\nc\n", "d", "e"]);
        assert_eq!(leaves("none\nwrite a\nwrite b\nfull 9\nwrite c\nclose\nwrite d\n"), ["a", "b", "c"]);
        assert_eq!(leaves("write a\nwrite b\nno such thing\nwrite c\n"), ["ab"]);
    }
}
