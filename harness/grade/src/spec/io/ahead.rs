//! `read_ahead`: the next block is read while the last one is taken.

use std::time::Duration;

use observe::{Action, Call, Content, Deed, Event, InputFile, ObjectId, Observation, On, Trigger};

use crate::spec::Spec;
use crate::spec::common::calls::{READS, ROOT, WRITES, files, pipes, reads_of, writes_of};
use crate::spec::common::channels::ends_closed;
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted};
use crate::spec::common::{OPENS, output, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// How much of FILE may be in memory and not yet given to the command.
const MOST_AHEAD: u64 = 1 << 20;
/// What a write to a pipe moves when it is cut short: more than what fits whole or not at all (`PIPE_BUF`), as messages
/// of threads to each other do.
const MOST_AT_ONCE: u64 = 5000;
/// What the command does that takes nothing until it is told to.
const WAITS: &str = "read go < gate; exec cat";

/// `read_ahead FILE CMD [ARG…]`
pub(crate) fn read_ahead() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line without FILE and CMD is refused", usage),
            Check::outside("reports", "a failing call is reported with what it was for", reports),
            Check::outside("output", "the command gets FILE, whole and in order", output),
            Check::outside("status", "the program exits as the command does", output),
            Check::outside("reader-gone", "a command that wants no more is no error", output),
            Check::seen("overlapped", "the next block is read while the command takes the last", overlapped),
            Check::seen("bounded", "no more than 1 MiB is read ahead", bounded),
            Check::seen("ends-closed", "the command is told the end of FILE", ends_closed),
            Check::seen("reaped", "the command is waited for", reaped),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| fed("some blocks", nonce.bytes(200_000), &["cat"]).drawn(drawing),
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let to_cat = |nonce: &mut Nonce, name: &str, len| {
        let bytes = nonce.bytes(len);
        fed(name, bytes.clone(), &["cat"]).prints(bytes).judged_by(&["output", "ends-closed", "reaped"])
    };
    let small = to_cat(nonce, "a small file", 400);
    let blocks = to_cat(nonce, "many blocks", 300_000);
    let mut plans = vec![
        small.clone(),
        blocks.clone(),
        to_cat(nonce, "an empty file", 0),
        // More than may be read ahead, three times.
        waiting(nonce, "a command that does not read yet", 3 * MOST_AHEAD as usize + 77),
    ];
    let status = nonce.number(3, 99) as i32;
    let ends = |name: &str, script: &str| fed(name, small_bytes(&small), &["sh", "-c", script]).prints("");
    plans.push(
        ends("a command that fails", &format!("cat > /dev/null; exit {status}")).exits(status).judged_by(&["status"]),
    );
    let long = nonce.bytes(2 * MOST_AHEAD as usize);
    let first = long[..5].to_vec();
    let gone = fed("a command that reads little", long, &["head", "-c", "5"]).prints(first);
    plans.push(gone.judged_by(&["reader-gone", "reaped"]));
    let silent = ends("", "cat > /dev/null");
    let missing = Plan::new("no such file").arg("missing").arg("cat").reports(OPENS, Some("missing"), libc::ENOENT);
    let nobody = fed("no such command", b"abc\n".to_vec(), &["no-such-command"]);
    let unread = silent.again("read fails", &[]).reports(&["read"], Some("file"), libc::EIO);
    plans.extend([
        missing,
        nobody.reports(&["exec", "spawn", "run", "start", "command"], Some("no-such-command"), libc::ENOENT),
        unread.fault(failing(READS, Some(On::File("file".into())), libc::EIO)),
        bad_usage("no arguments", &[]),
        bad_usage("no command", &["file"]).file(InputFile::new("file", "abc\n")),
        cut(&small, &[On::File("file".into())], READS, "read", 1),
        cut(&blocks, &[On::Pipe], WRITES, "write", MOST_AT_ONCE),
        interrupted(&small, &[On::File("file".into()), On::Pipe]),
    ]);
    plans
}

fn fed(name: &str, bytes: Vec<u8>, command: &[&str]) -> Plan {
    let plan = Plan::new(name).arg("file").file(InputFile::new("file", bytes));
    let mut plan = command.iter().fold(plan, |plan, word| plan.arg(*word));
    // Or the command would look for its language's files first.
    plan.launch.env.push(("LC_ALL".into(), "C".into()));
    plan
}

fn small_bytes(plan: &Plan) -> Vec<u8> {
    plan.expect.stdout.clone().unwrap_or_default()
}

/// The command takes nothing until all that can be done without it is done.
fn waiting(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let bytes = nonce.bytes(len);
    let gate = InputFile { path: "gate".into(), content: Content::Fifo, mode: 0o600 };
    let open = Deed::WriteFifo { path: "gate".into(), bytes: b"go\n".to_vec() };
    let plan = fed(name, bytes.clone(), &["sh", "-c", WAITS]).prints(bytes).file(gate);
    let mut plan = plan.action(Action { when: Trigger::AllBlocked, what: open });
    // Megabytes through pipes, each call of it looked at.
    plan.launch.deadline = Duration::from_secs(60);
    plan.judged_by(&["output", "overlapped", "bounded", "ends-closed", "reaped"])
        .because("When the command does not read yet, and all else has come to rest")
}

/// When the command begins to read: how much had come from FILE, how much of that had been given to the pipe or was
/// about to be, and the write that waited.
struct Rest<'a> {
    read: u64,
    given: u64,
    write: Option<&'a Event>,
}

fn at_rest<'a>(run: &Run<'a>) -> Result<Rest<'a>, Objection> {
    let seen = run.seen;
    let sent =
        |pipe: &ObjectId| -> u64 { writes_of(seen, *pipe).filter(|t| t.event.process == ROOT).map(|t| t.bytes).sum() };
    let pipe = pipes(seen).into_iter().max_by_key(sent).filter(|pipe| sent(pipe) > 0);
    let Some(pipe) = pipe else {
        return Err(match seen.exit() {
            Some(_) => wrong("Nothing is written to a pipe: the command's standard input is to be one.".into()).into(),
            None => Objection::open("the program came to no end"),
        });
    };
    let taken = seen.calls().find(|(_, event, call, _)| {
        event.process != ROOT && matches!(call, Call::Read { object: Some(object), .. } if *object == pipe)
    });
    let Some((_, taken, ..)) = taken else { return Err(Objection::open("the command never read")) };
    let sources = files(seen, &run.plan.argument(0));
    let read = sources.iter().flat_map(|o| reads_of(seen, *o)).filter(|t| t.event.until <= taken.at).map(|t| t.bytes);
    let mut rest = Rest { read: read.sum(), given: 0, write: None };
    for (_, event, call, result) in seen.calls().filter(|(_, event, ..)| event.at <= taken.at) {
        let asked = match call {
            Call::Write { object: Some(object), asked, .. } if *object == pipe => *asked,
            Call::Move { to: Some(to), asked, .. } if *to == pipe => *asked,
            _ => continue,
        };
        match result {
            Some(Ok(bytes)) if event.until <= taken.at => rest.given += bytes as u64,
            Some(Err(_)) if event.until <= taken.at => {}
            _ => (rest.given, rest.write) = (rest.given + asked, Some(event)),
        }
    }
    Ok(rest)
}

fn wrong(words: String) -> Failure {
    Failure::new(Reason::WrongCalls, words)
}

/// `overlapped`: while a write waits, the block after it has been read.
fn overlapped(run: &Run) -> Finding {
    let rest = at_rest(run)?;
    if rest.read > rest.given {
        return Ok(());
    }
    let words = format!(
        "The program waits for the command to take what was read, and reads nothing meanwhile: {} bytes of FILE have been read, and all of them given to the pipe. Let a thread read the next block into another buffer.",
        rest.read
    );
    wrong(words).at(rest.write.and_then(|event| event.source.as_ref())).found()
}

/// `bounded`: not much more has been read than that.
fn bounded(run: &Run) -> Finding {
    let rest = at_rest(run)?;
    let ahead = rest.read.saturating_sub(rest.given);
    if ahead <= MOST_AHEAD {
        return Ok(());
    }
    let sources = files(run.seen, &run.plan.argument(0));
    let largest = sources.iter().flat_map(|o| reads_of(run.seen, *o)).max_by_key(|read| read.bytes);
    let words = format!(
        "{ahead} bytes of FILE are in memory that the command has not been given yet: a larger FILE would need as much more. Give a buffer back to the reader only when it has been written."
    );
    wrong(words).at(largest.and_then(|read| read.event.source.as_ref())).found()
}

/// Bytes that one sign of the drawing stands for.
const SIGN: u64 = 16 << 10;

/// How much of FILE was in memory and not yet given to the command, each time that this changed.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let sources = files(seen, &plan.argument(0));
    let reads = sources.iter().flat_map(|object| reads_of(seen, *object)).map(|t| (t.event.until, t.bytes, true));
    let pipes = pipes(seen);
    let sent = pipes.iter().flat_map(|pipe| writes_of(seen, *pipe)).filter(|t| t.event.process == ROOT);
    let mut moves: Vec<_> = reads.chain(sent.map(|t| (t.event.until, t.bytes, false))).filter(|m| m.1 > 0).collect();
    moves.sort_by_key(|(when, ..)| *when);
    let mut lines = vec!["read ahead: in memory, and not yet given to the command".to_owned()];
    let mut ahead = 0u64;
    for (_, bytes, is_read) in moves {
        ahead = if is_read { ahead + bytes } else { ahead.saturating_sub(bytes) };
        let (verb, bar) = (if is_read { "reads" } else { "gives" }, "█".repeat(ahead.div_ceil(SIGN) as usize));
        lines.push(format!("  {verb} {bytes:>6} bytes  {bar:<16}  {ahead} bytes ahead").trim_end().to_owned());
    }
    lines
}
