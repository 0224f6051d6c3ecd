//! `word_count`: every byte looked at, read in blocks or in a mapping.

use observe::{InputFile, On};

use crate::spec::Spec;
use crate::spec::common::calls::{READS, Transfer, files, reads_of};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unwritable_output};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::spec::copying::mapping;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// Bytes of the smallest and the largest block.
const SMALLEST: u64 = 4 << 10;
const LARGEST: u64 = 1 << 20;
/// Reads that may be beyond what the blocks need: at the end, and at a beginning that feels its way.
const FEW: u64 = 8;
const WHITE: &[u8] = b" \t\n\x0b\x0c\r";

/// `word_count FILE [--mmap]`
pub(crate) fn word_count() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE and perhaps --mmap is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("output", "lines, words and bytes are counted, of any bytes", output),
            Check::seen("by-read", "without --mmap the contents are read", by_read),
            Check::seen("in-blocks", "they are read in blocks of 4 KiB to 1 MiB", in_blocks),
            Check::seen("mapped", "with --mmap the file is mapped, and its contents are never read", mapped),
            Check::seen("short-io", "it is right when reads are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| {
            let text = nonce.text(2000);
            both("some text", &text)[0].clone()
        },
    }
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let text = nonce.text(3000);
    let mut plans = both("some text", &text).to_vec();
    let length = nonce.number(3000, 5000) as usize;
    plans.extend(both("bytes of every value", &scattered(nonce, length, 4)));
    plans.extend(both("nothing", b""));
    let page = [scattered(nonce, 4095, 9), b"x".to_vec()].concat();
    plans.extend(both("a page, without a newline at its end", &page));
    plans.extend(both("long words", &scattered(nonce, 400_000, 7919)));
    plans.extend(both("2 MiB and more", &scattered(nonce, (2 << 20) + 5000, 50_021)));
    let [read, mapped] = both("", &scattered(nonce, 400, 5));
    let file = read.argument(0);
    let missing = Plan::new("no such file").arg("missing").reports(OPENS, Some("missing"), libc::ENOENT);
    let unread = read.again("read fails", &[]).reports(&["read"], Some(&file), libc::EIO);
    let unmapped = mapped.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM);
    plans.extend([
        missing,
        unread.fault(failing(READS, Some(On::File(file.clone().into())), libc::EIO)),
        unmapped.fault(failing(&["mmap"], Some(On::File(file.into())), libc::ENOMEM)),
        unwritable_output(&read),
        bad_usage("no arguments", &[]),
        bad_usage("another option", &["a", "--map"]).file(InputFile::new("a", "abc\n")),
        bad_usage("two files", &["a", "b"]).file(InputFile::new("a", "abc\n")),
        cut(&read, &[On::AnyFile], READS, "read", 1),
        interrupted(&read, &[On::AnyFile]),
    ]);
    plans
}

/// Bytes of every value, with white space at one of about `apart` of them.
fn scattered(nonce: &mut Nonce, len: usize, apart: u64) -> Vec<u8> {
    let mut bytes = nonce.bytes(len);
    for byte in &mut bytes {
        if WHITE.contains(byte) {
            *byte = b'w';
        }
    }
    let mut at = nonce.number(0, apart) as usize;
    while at < len {
        bytes[at] = nonce.pick(WHITE);
        at += nonce.number(1, 2 * apart) as usize;
    }
    bytes
}

/// The same file read and mapped.
fn both(name: &str, bytes: &[u8]) -> [Plan; 2] {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let words = bytes.split(|byte| WHITE.contains(byte)).filter(|word| !word.is_empty()).count();
    let plan = Plan::new(name).arg("text").file(InputFile::new("text", bytes));
    let plan = plan.prints(format!("{lines} {words} {}\n", bytes.len()));
    let mapped = plan.again(&format!("{name}, mapped"), &["output", "mapped"]).arg("--mmap");
    [plan.judged_by(&["output", "by-read", "in-blocks"]), mapped]
}

fn source_len(run: &Run) -> u64 {
    match &run.plan.launch.files[0].content {
        observe::Content::Bytes(bytes) => bytes.len() as u64,
        _ => 0,
    }
}

fn reads<'a>(run: &Run<'a>) -> Vec<Transfer<'a>> {
    let objects = files(run.seen, &run.plan.argument(0));
    objects.into_iter().flat_map(|object| reads_of(run.seen, object)).collect()
}

fn wrong(words: String) -> Failure {
    Failure::new(Reason::WrongCalls, words)
}

/// `by-read`: as many bytes as the file has came by read.
fn by_read(run: &Run) -> Finding {
    let (file, len) = (run.plan.argument(0), source_len(run));
    if let Some(event) = mapping(run, &files(run.seen, &file)) {
        return wrong(format!("{file} is mapped: without --mmap it is to be read.")).at(event.source.as_ref()).found();
    }
    match reads(run).iter().map(|read| read.bytes).sum::<u64>() {
        bytes if bytes >= len => Ok(()),
        _ if run.seen.exit().is_none() => Err(Objection::open("the program came to no end")),
        bytes => wrong(format!("Only {bytes} of the {len} bytes of {file} were read.")).found(),
    }
}

/// `in-blocks`: neither many calls nor one that wants everything.
fn in_blocks(run: &Run) -> Finding {
    let reads = reads(run);
    let (len, calls) = (source_len(run), reads.len() as u64);
    let asked = |read: &&Transfer| matches!(&read.event.what, observe::What::Called { call: observe::Call::Read { asked, .. }, .. } if *asked > LARGEST);
    if let Some(read) = reads.iter().find(asked) {
        let words = "The whole file is to come with one read: a buffer of that size is memory that is faulted in page by page and used once. One block, used again, stays in the processor's cache.";
        return wrong(words.into()).at(read.event.source.as_ref()).found();
    }
    if calls > len / SMALLEST + FEW {
        let words = format!(
            "{calls} reads for {len} bytes, {} bytes each: the calls cost more than the bytes. With blocks of 64 KiB they cost next to nothing.",
            len / calls
        );
        return wrong(words).at(reads.first().and_then(|read| read.event.source.as_ref())).found();
    }
    Ok(())
}

/// `mapped`: the file is mapped, and nothing of it is read.
fn mapped(run: &Run) -> Finding {
    let file = run.plan.argument(0);
    if let Some(read) = reads(run).into_iter().find(|read| read.bytes > 0) {
        let words = format!("{file} is read ({} bytes at once): with --mmap it is to be mapped.", read.bytes);
        return wrong(words).at(read.event.source.as_ref()).found();
    }
    match mapping(run, &files(run.seen, &file)) {
        Some(_) => Ok(()),
        None if source_len(run) == 0 => Err(Objection::open("there is nothing to map")),
        None if run.seen.exit().is_some() => wrong(format!("{file} is never mapped.")).found(),
        None => Err(Objection::open("the program came to no end")),
    }
}
