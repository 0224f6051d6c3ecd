//! `map_cat`: a file to standard output from one mapping.

use observe::{Call, Content, Exit, InputFile, On, Stdout};

use super::mapping::{PAGE, hard_output, killed_by, mapped, mappings, wrong_call};
use crate::spec::Spec;
use crate::spec::common::calls::printed;
use crate::spec::common::endings::{ended, status};
use crate::spec::common::plans::{bad_usage, failing, unwritable_output};
use crate::spec::common::text::{complaints, panicked};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// Bytes of a large file.
const LARGE: u64 = 100 << 20;
/// Bytes that may come from elsewhere: the end of the file in a library's buffer.
const BUFFERED: u64 = 2 * PAGE;

/// `map_cat FILE`
pub(crate) fn map_cat() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open, mmap or write is reported", reports),
            Check::outside("output", "FILE is printed as it is", output),
            Check::outside("empty", "of an empty file nothing is printed, and that is no error", empty),
            Check::seen("mapped", "FILE is mapped, and its contents are never read", mapped),
            Check::seen("one-mapping", "one mapping holds the whole file", one_mapping),
            Check::seen("from-mapping", "what is written comes from the mapping itself", from_mapping),
            Check::outside("large", "a file of 100 MB comes out whole", large),
            Check::outside("reader-gone", "when nobody reads any more the program ends quietly", reader_gone),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| with_file(nonce, "a file", 10_000),
    }
}

fn with_file(nonce: &mut Nonce, name: &str, len: usize) -> Plan {
    let file = format!("{}.txt", nonce.word(6));
    let content = nonce.text(len);
    let plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file, content.clone())).prints(content);
    plan.judged_by(&["output", "mapped", "one-mapping"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(300, 600) as usize;
    let small = with_file(nonce, "a small file", len);
    let page = with_file(nonce, "exactly one page", PAGE as usize);
    let len = nonce.number(150_000, 250_000) as usize;
    let mut pages = with_file(nonce, "many pages", len);
    pages.checks.push("from-mapping");
    let empty = with_file(nonce, "an empty file", 0).judged_by(&["empty"]);
    let mut gone = with_file(nonce, "a reader that leaves", 1 << 20).judged_by(&["reader-gone"]);
    gone = gone.onto(Stdout::ClosesAfter(1000)).because("When the reader leaves after a thousand bytes");
    let file = small.argument(0);
    let unmapped = small.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    let unmapped = unmapped.fault(failing(&["mmap"], Some(On::File(file.into())), libc::ENOMEM));
    let missing = Plan::new("no such file").arg("missing.txt").reports(OPENS, Some("missing.txt"), libc::ENOENT);
    let full = unwritable_output(&small);
    let hard = hard_output(&small);
    let mut plans = vec![small, page, pages, empty, huge(nonce), gone, missing, unmapped, full];
    plans.push(bad_usage("no arguments", &[]));
    plans.push(bad_usage("one too many", &["a.txt", "b.txt"]).file(InputFile::new("a.txt", "abc\n")));
    plans.extend(hard);
    plans
}

/// A large file, most of it a hole, to another file.
fn huge(nonce: &mut Nonce) -> Plan {
    let at = nonce.number(1 << 20, 2 << 20);
    let content = Content::Sparse { len: LARGE, pieces: vec![(0, nonce.text(9000)), (at, nonce.text(9000))] };
    let file = format!("{}.bin", nonce.word(6));
    let plan = Plan::new("100 MB").arg(file.clone()).file(InputFile { path: file.into(), content, mode: 0o644 });
    plan.onto(Stdout::File { path: "copy.bin".into(), append: false }).judged_by(&["large"]).coarse()
}

/// `empty`: a file without bytes is no error.
fn empty(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        let advice = " The file has no bytes, and mmap refuses a length of 0 with EINVAL: look at the length first.";
        objection.amended(|failure| failure.message.push_str(advice))
    })
}

/// `one-mapping`: FILE is mapped once, from its beginning to its end.
fn one_mapping(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    let size = run.plan.expect.stdout.as_ref().map_or(0, Vec::len) as u64;
    match made.as_slice() {
        [] => Err(Objection::open(format!("{path} was not mapped"))),
        [one] if one.offset == 0 && one.len >= size => Ok(()),
        [one] => wrong_call(format!("Only {} of the {size} bytes of {path} are mapped.", one.len), Some(one.event)),
        [_, second, ..] => {
            wrong_call(format!("{path} is mapped {} times: map all of it, once.", made.len()), Some(second.event))
        }
    }
}

/// `from-mapping`: what write takes lies in a mapping of FILE.
fn from_mapping(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    if made.is_empty() {
        return Err(Objection::open(format!("{path} was not mapped")));
    }
    let inside = |address: u64| made.iter().any(|m| (m.start..m.start + m.len).contains(&address));
    let copied = printed(run).into_iter().filter(|t| match &t.event.what {
        observe::What::Called { call: Call::Write { address, .. }, .. } => !inside(*address),
        _ => false,
    });
    let copied: Vec<_> = copied.collect();
    let bytes: u64 = copied.iter().map(|t| t.bytes).sum();
    match copied.first() {
        Some(first) if bytes > BUFFERED => wrong_call(
            format!(
                "{bytes} bytes are written from a buffer, to which the program has copied them: write can take them from the mapping itself."
            ),
            Some(first.event),
        ),
        _ => Ok(()),
    }
}

/// `large`: the copy is as long as FILE, and begins with what FILE begins with.
fn large(run: &Run) -> Finding {
    ended(run)?;
    status(run)?;
    let wrong = |message: String| Failure::new(Reason::WrongOutput, message).found();
    let Some(copy) = run.seen.file("copy.bin") else { return wrong("Standard output, a file, is gone.".into()) };
    if copy.len != LARGE {
        return wrong(format!("Of {LARGE} bytes {} came out.", copy.len));
    }
    let Content::Sparse { pieces, .. } = &run.plan.launch.files[0].content else { return Ok(()) };
    let same = |(at, piece): &(u64, Vec<u8>)| copy.bytes.get(*at as usize..*at as usize + piece.len()) == Some(piece);
    match pieces.iter().find(|piece| !same(piece)) {
        None => Ok(()),
        Some((at, _)) => wrong(format!("What came out differs from FILE at byte {at} or soon after.")),
    }
}

/// `reader-gone`: killed by SIGPIPE or exit 0, and not a word.
fn reader_gone(run: &Run) -> Finding {
    let wrong = |message: &str| Failure::new(Reason::WrongStatus, message).evidences(complaints(run.seen)).found();
    if panicked(run.seen) {
        return wrong("The program panicked: write fails with EPIPE, and nobody looked for that.");
    }
    if killed_by(run, libc::SIGPIPE) {
        return Ok(());
    }
    ended(run)?;
    if !run.seen.stderr.bytes.is_empty() {
        return wrong("The program complains. Who has read enough may leave: end without a message.");
    }
    match run.seen.exit() {
        Some(Exit::Code(0)) => Ok(()),
        _ => wrong("The exit status is neither 0 nor that of SIGPIPE."),
    }
}
