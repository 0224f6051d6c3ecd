//! `buffer_sizes`: a copy, and how many calls it took.

use observe::{Call, Event, InputFile, ObjectId, On};

use crate::spec::Spec;
use crate::spec::common::calls::{OPENS, READS, WRITES, files, is_stdout};
use crate::spec::common::endings::{blame_fault, output};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unwritable_output};
use crate::spec::common::text::{complaints, quoted};
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// `buffer_sizes FILE BYTES`
pub(crate) fn buffer_sizes() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and BYTES is refused", usage),
            Check::outside("reports", "a failing open, read or write is reported", reports),
            Check::outside("output", "the file is copied", output),
            Check::seen("buffer-size", "each read asks for BYTES, and no write has more", buffer_size),
            Check::seen("counted", "the numbers are those of the kernel", counted),
            Check::seen("short-io", "copy and numbers are right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| copy(nonce, "five pieces", 5_000, 1_000),
    }
}

fn copy(nonce: &mut Nonce, name: &str, len: usize, bytes: usize) -> Plan {
    let path = format!("{}.txt", nonce.word(6));
    let content = if len > 0 { nonce.text(len) } else { Vec::new() };
    Plan::new(name)
        .arg(path.clone())
        .arg(bytes.to_string())
        .file(InputFile::new(path, content.clone()))
        .prints(content)
        .judged_by(&["output", "buffer-size", "counted"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let bytes = nonce.number(300, 900) as usize;
    let len = 8 * bytes + nonce.number(1, 299) as usize;
    let plain = copy(nonce, "a small buffer", len, bytes);
    let path = plain.argument(0);
    let few = nonce.number(100, 200) as usize;
    let mut plans = vec![
        plain.clone(),
        copy(nonce, "a buffer that divides the file", 6 * bytes, bytes),
        copy(nonce, "a buffer of one byte", few, 1),
        copy(nonce, "a buffer larger than the file", len, 100_000),
        copy(nonce, "the largest buffer", len, 1 << 20),
        copy(nonce, "a large file", 150_000, 20_000),
        copy(nonce, "an empty file", 0, bytes),
        Plan::new("no such file").arg("missing").arg("512").reports(OPENS, Some("missing"), libc::ENOENT),
        plain.again("read fails", &[]).reports(&["read", "copy"], Some(&path), libc::EIO).fault(failing(
            READS,
            Some(On::AnyFile),
            libc::EIO,
        )),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("no size", &["file"]),
        bad_usage("no number", &["file", "large"]),
        bad_usage("no buffer", &["file", "0"]),
        bad_usage("one too many", &["file", "512", "512"]),
        cut(&plain, &[On::AnyFile], READS, "read", 100),
        cut(&plain, &[On::Stdout], WRITES, "write", 70),
    ];
    plans.push(interrupted(&plain, &[On::AnyFile, On::Stdout]));
    plans
}

/// One call: its event, what it asked for, and what it came to.
struct Made<'a> {
    event: &'a Event,
    asked: u64,
    result: Result<i64, i32>,
}

/// The reads of FILE and the writes to standard output.
fn made<'a>(run: &Run<'a>) -> (Vec<Made<'a>>, Vec<Made<'a>>) {
    let file = files(run.seen, &run.plan.argument(0));
    let stdout = |o: &ObjectId| is_stdout(run, run.seen.object(*o));
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (_, event, call, result) in run.seen.calls() {
        let Some(result) = result else { continue };
        match call {
            Call::Read { object: Some(o), asked, .. } if file.contains(o) => {
                reads.push(Made { event, asked: *asked, result });
            }
            Call::Write { object: Some(o), asked, .. } if stdout(o) => {
                writes.push(Made { event, asked: *asked, result });
            }
            _ => {}
        }
    }
    (reads, writes)
}

/// `buffer-size`: a read asks for less only if that is all that is left.
fn buffer_size(run: &Run) -> Finding {
    let (reads, writes) = made(run);
    let bytes: u64 = run.plan.argument(1).parse().unwrap_or_default();
    let mut left = run.plan.expect.stdout.as_ref().map_or(0, |content| content.len() as u64);
    let wrong = |words: String| Failure::new(Reason::WrongCalls, words);
    if reads.is_empty() {
        let words = "FILE is never read: the copy is to go through a buffer of BYTES, read by read.";
        return wrong(words.into()).found();
    }
    for read in &reads {
        if read.asked > bytes || read.asked < bytes.min(left) {
            let words = format!(
                "A read asks for {} bytes, and the buffer is to be of {bytes}. A buffered reader passes a read that is larger than its buffer straight on, and a stream brings a size of its own: make the buffer yourself, and read into all of it.",
                read.asked
            );
            return wrong(words).at(read.event.source.as_ref()).found();
        }
        left = left.saturating_sub(read.result.unwrap_or(0).unsigned_abs());
    }
    let Some(large) = writes.iter().find(|write| write.asked > bytes) else { return Ok(()) };
    let words = format!("A write hands over {} bytes, more than the buffer of {bytes} holds.", large.asked);
    wrong(words).at(large.event.source.as_ref()).found()
}

/// The two numbers that the program says.
fn said(run: &Run) -> Result<[u64; 2], Objection> {
    let text = run.seen.stderr.text();
    let parsed = text.strip_suffix('\n').and_then(|line| {
        let (reads, writes) = line.strip_prefix("reads ")?.split_once(" writes ")?;
        Some([reads.parse().ok()?, writes.parse().ok()?])
    });
    parsed.ok_or_else(|| {
        let words = format!("Standard error got {}; one line `reads R writes W` is wanted.", quoted(text.as_bytes()));
        Failure::new(Reason::WrongOutput, words).into()
    })
}

/// `counted`: as many as the kernel has seen; of interrupted ones it may be said that nothing was done.
fn counted(run: &Run) -> Finding {
    output(run).map_err(|_| Objection::open("the file is not copied yet"))?;
    let (reads, writes) = made(run);
    for ((calls, said), what) in [reads, writes].iter().zip(said(run)?).zip(["read", "write"]) {
        let all = calls.len() as u64;
        let interrupted = calls.iter().filter(|call| call.result == Err(libc::EINTR)).count() as u64;
        if said == all || said == all - interrupted {
            continue;
        }
        let ended = what == "read" && said + 1 == all && calls.last().is_some_and(|call| call.result == Ok(0));
        let why = if ended {
            " The last one, which gives 0, is a call too: without it nobody knows that the file has ended."
        } else {
            " Count where the call is made, and not what you expect of it: a loop, a buffer or write_all may make more calls than one, or none."
        };
        let last = calls.last().and_then(|call| call.event.source.as_ref());
        let words = format!("The program says {what}s {said}, and the kernel has seen {all}.{why}");
        return Failure::new(Reason::WrongOutput, words).at(last).evidences(complaints(run.seen)).found();
    }
    Ok(())
}

/// `short-io`, `eintr`: both are right.
fn under_faults(run: &Run) -> Finding {
    output(run).and_then(|()| counted(run)).map_err(|o| o.amended(|failure| blame_fault(run, failure)))
}
