//! `05_pipes`, `pipe_atomic`: many writers, one pipe, and no record with another's bytes in it.

use std::collections::{BTreeMap, BTreeSet};

use observe::{Effect, Ending, Exit, Fault, Nth, ObjectId, On, ProcessId, Schedule, Who};

use super::Spec;
use super::common::calls::{self, ROOT, joined, pipes, reads_of, writes_of};
use super::common::channels::ends_closed;
use super::common::endings::{ended, output};
use super::common::plans::{
    bad_usage, before_write, cut, failing, fault, first_pauses, interrupted, unwritable_output,
};
use super::common::text::{complaints, quoted};
use super::common::{FORKS, PIPES, reaped, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

/// What the kernel keeps together.
const PIPE_BUF: u64 = 4096;
/// Longer than any record, so that each is seen whole.
const SEEN: usize = 1 << 16;

/// `pipe_atomic W N`
pub(crate) fn pipe_atomic() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but W and N is refused", usage),
            Check::outside("reports", "a pipe, fork or write that fails is reported", reports),
            Check::outside("output", "every record is counted, and none is torn", output),
            Check::seen("one-pipe", "W children send N records each into one pipe", one_pipe),
            Check::seen("at-most-pipe-buf", "no write is longer than PIPE_BUF", at_most_pipe_buf),
            Check::seen("order", "no record is torn, whoever is held between two writes", untorn),
            Check::seen("tear-noticed", "a record that comes torn is not counted as whole", tear_noticed),
            Check::seen("ends-closed", "nobody waits for an end of file that an end left open keeps away", ends_closed),
            Check::seen("short-io", "it is right when lines come in pieces", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
            Check::seen("reaped", "every child is waited for", reaped),
        ],
        demo: |nonce| records("two records each", nonce.number(3, 4), 2),
    }
}

fn records(name: &str, writers: u64, each: u64) -> Plan {
    let mut plan = Plan::new(name)
        .arg(writers.to_string())
        .arg(each.to_string())
        .prints(format!("records {} torn 0\n", writers * each))
        .judged_by(&["output", "one-pipe", "at-most-pipe-buf", "ends-closed", "reaped"]);
    plan.launch.watch.transfer_bytes = SEEN;
    plan
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = records("some records", nonce.number(3, 5), nonce.number(10, 20));
    let fails = |name: &str, names, calls: &[&str], errno| {
        plain.again(name, &[]).reports(names, None, errno).fault(failing(calls, None, errno))
    };
    vec![
        plain.clone(),
        records("one record", 1, 1),
        records("as many writers as there may be", 26, 2),
        records("more than the pipe holds", 4, nonce.number(200, 250)),
        held(records("", 3, nonce.number(60, 70)).again("held between two writes", &["order", "reaped"])),
        plain
            .again("child first", &["output", "reaped"])
            .scheduled(Schedule::ChildFirst, "When every child runs first"),
        fails("pipe fails", PIPES, calls::PIPE_CALLS, libc::EMFILE),
        fails("fork fails", FORKS, calls::FORK_CALLS, libc::EAGAIN),
        unwritable_output(&plain),
        torn(&plain),
        bad_usage("no numbers", &[]),
        bad_usage("no N", &["3"]),
        bad_usage("three numbers", &["3", "4", "5"]),
        bad_usage("no number", &["3", "many"]),
        cut(&plain, &[On::Pipe], calls::READS, "read", 50),
        interrupted(&plain, &[On::Pipe]),
    ]
}

/// Every child makes its second write only when the others can do no more.
fn held(plan: Plan) -> Plan {
    let holds = before_write(Who::Descendants, 2);
    plan.scheduled(Schedule::Holds(holds.into()), "When each child is held between its first two writes")
}

/// The first child's first write takes a part only; the others begin then, and are done before the rest comes.
fn torn(plan: &Plan) -> Plan {
    let first = Who::Nth(1);
    let short = Fault { who: first, ..fault(calls::WRITES, Nth::Only(1), Some(On::Pipe), Effect::Short(5)) };
    let plan = plan.again("a torn record", &["tear-noticed"]).fault(short);
    let writers = plan.argument(0).parse().unwrap_or_default();
    plan.scheduled(first_pauses(writers), "When a record of the first child comes torn").at(Stage::Refusal)
}

/// The pipe that the records go through: the one to which children write most.
fn carrier(run: &Run) -> Result<ObjectId, Objection> {
    let sent = |pipe: ObjectId| -> u64 { from_children(run, pipe).map(|t| t.bytes).sum() };
    let most = pipes(run.seen).into_iter().map(|pipe| (sent(pipe), pipe)).max_by_key(|(bytes, _)| *bytes);
    match most {
        Some((bytes, pipe)) if bytes > 0 => Ok(pipe),
        _ => Err(Objection::open("no child wrote to a pipe")),
    }
}

fn from_children<'a>(run: &Run<'a>, pipe: ObjectId) -> impl Iterator<Item = calls::Transfer<'a>> {
    writes_of(run.seen, pipe).filter(|t| t.event.process != ROOT)
}

/// The numbers before the colons of a line that is a record: whose it is, and which. The rest is the program's own.
fn record(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.splitn(3, ':');
    let numbers = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().map(|_| numbers)
}

/// The lines that a child sent into the pipe, as if it had been alone.
fn sent_by<'a>(run: &Run<'a>, pipe: ObjectId, child: ProcessId) -> Vec<Vec<u8>> {
    let bytes = joined(from_children(run, pipe).filter(|t| t.event.process == child));
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn children(run: &Run) -> impl Iterator<Item = ProcessId> {
    (1..run.seen.processes.len() as u32).map(ProcessId)
}

/// `one-pipe`: the lines that the children wrote are the records that were wanted, each once.
fn one_pipe(run: &Run) -> Finding {
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    if !matches!(run.seen.ending, Ending::Ended(_)) {
        return Err(Objection::open("the program came to no end"));
    }
    let [writers, each] = [0, 1].map(|n| run.plan.argument(n).parse::<usize>().unwrap_or_default());
    let Ok(pipe) = carrier(run) else {
        return wrong("No child wrote anything to a pipe: fork W children, and let each send its own records.".into())
            .found();
    };
    let (mut came, mut senders) = (BTreeMap::<u64, BTreeSet<u64>>::new(), 0);
    for child in children(run) {
        let lines = sent_by(run, pipe, child);
        senders += usize::from(!lines.is_empty());
        for line in lines {
            let Some((id, number)) = line.strip_suffix(b"\n").and_then(record) else {
                let words = format!("{} is no record: one is a line `ID:SEQ:…`, both of them numbers.", quoted(&line));
                return wrong(words).found();
            };
            if !came.entry(id).or_default().insert(number) {
                return wrong(format!("Record {number} of child {id} was sent twice.")).found();
            }
        }
    }
    let label = &run.seen.object(pipe).label;
    if senders < writers {
        return wrong(format!("{senders} children sent the records of {writers}.")).found();
    }
    if came.len() != writers {
        return wrong(format!("The records in {label} have {} IDs: {writers} are wanted.", came.len())).found();
    }
    match came.iter().find(|(_, numbers)| numbers.len() != each) {
        Some((id, numbers)) => {
            let words = format!("Child {id} sent {} records into {label}: {each} are wanted.", numbers.len());
            wrong(words).found()
        }
        None => Ok(()),
    }
}

/// `at-most-pipe-buf`: of each write by itself.
fn at_most_pipe_buf(run: &Run) -> Finding {
    let pipe = carrier(run)?;
    let Some(long) = from_children(run, pipe).find(|t| t.bytes > PIPE_BUF) else { return Ok(()) };
    let words = format!(
        "A child hands over {} bytes in one write. The kernel keeps together what is at most PIPE_BUF ({PIPE_BUF}); of more it takes what fits, and another child's bytes may come before the rest.",
        long.bytes
    );
    Failure::new(Reason::WrongCalls, words).at(long.event.source.as_ref()).found()
}

/// `order`: a record in two writes is torn when others write between them.
fn untorn(run: &Run) -> Finding {
    let Err(objection) = output(run) else { return Ok(()) };
    let part = from_children(run, carrier(run)?).find(|t| !t.data.ends_with(b"\n"));
    let Some(part) = part.filter(|_| ended(run).is_ok()) else { return Err(objection) };
    let words = format!(
        "A record is torn: a child writes a part of it, {}, and another child writes before the rest comes. One record must be one write, or nobody else may write between its parts.",
        quoted(part.data)
    );
    Failure::new(Reason::Race, words).at(part.event.source.as_ref()).evidences(complaints(run.seen)).found()
}

/// `tear-noticed`: what is said of a stream that has, or has not, a torn record in it. A line is whole if a child sent
/// it so; how many pieces a torn one counts for is the program's own.
fn tear_noticed(run: &Run) -> Finding {
    if run.seen.faults_hit.iter().all(|hits| *hits == 0) {
        return Err(Objection::open("the first child wrote to no pipe"));
    }
    ended(run)?;
    let pipe = carrier(run)?;
    let sent: BTreeSet<Vec<u8>> = children(run).flat_map(|child| sent_by(run, pipe, child)).collect();
    let stream = joined(reads_of(run.seen, pipe).filter(|t| t.event.process == ROOT));
    let whole = stream.split_inclusive(|byte| *byte == b'\n').filter(|line| sent.contains(*line)).count();
    let lines = stream.split_inclusive(|byte| *byte == b'\n').count();
    let said = counts(&run.seen.stdout.text());
    let refused = run.seen.exit() == Some(Exit::Code(1)) && run.seen.stdout.bytes.is_empty();
    match said {
        // Who takes a short write for an error has noticed it too.
        _ if whole < lines && refused && !complaints(run.seen).is_empty() => Ok(()),
        Some((records, torn)) if records == whole && (torn > 0) == (whole < lines) => Ok(()),
        _ => {
            let words = format!(
                "What came has {lines} lines, of which {whole} are records as a child sent them; so `records {whole} torn …` is wanted, and {} was printed. Check each line: its numbers, and that there is nothing of another's in it.",
                quoted(&run.seen.stdout.bytes)
            );
            let line = calls::injected(run.seen).next().and_then(|event| event.source.as_ref());
            Failure::new(Reason::WrongOutput, words).at(line).evidences(complaints(run.seen)).found()
        }
    }
}

/// The two numbers of `records R torn T`.
fn counts(text: &str) -> Option<(usize, usize)> {
    let (records, torn) = text.trim_end().strip_prefix("records ")?.split_once(" torn ")?;
    Some((records.parse().ok()?, torn.parse().ok()?))
}
