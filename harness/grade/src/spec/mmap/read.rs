//! `map_read`: the two ends of a mapped file.

use observe::{InputFile, On};

use super::mapping::{hard_output, mapped, read_only_open};
use crate::spec::Spec;
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Finding, Nonce, Plan, Run};

/// `map_read FILE`
pub(crate) fn map_read() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open or mmap is reported, and nothing is printed", reports),
            Check::outside("output", "the first byte, the last byte and the length are printed", output),
            Check::outside("empty", "a file without bytes is said to be empty", empty),
            Check::seen("mapped", "FILE is mapped, and its contents are never read", mapped),
            Check::seen("read-only-open", "FILE is opened for reading only", read_only_open),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| {
            let content = nonce.text(300);
            with_file(nonce, "a file", content)
        },
    }
}

fn with_file(nonce: &mut Nonce, name: &str, content: Vec<u8>) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let text = match (content.first(), content.last()) {
        (Some(first), Some(last)) => {
            format!("first: {}\nlast: {}\nbytes: {}\n", shown(*first), shown(*last), content.len())
        }
        _ => "empty\n".into(),
    };
    let plan = Plan::new(name).arg(file.clone()).file(InputFile::new(file, content)).prints(text);
    plan.judged_by(&["output", "mapped", "read-only-open"])
}

fn shown(byte: u8) -> String {
    if (b' '..=b'~').contains(&byte) { char::from(byte).into() } else { format!("\\x{byte:02x}") }
}

/// As many bytes, the ends of which cannot be printed.
fn unprintable(nonce: &mut Nonce, len: usize) -> Vec<u8> {
    let mut content = nonce.bytes(len);
    content[0] = nonce.pick(&[0x01, 0x07, 0x1b, 0x7f, 0x80]);
    content[len - 1] = nonce.pick(&[b'\n', 0x0c, 0x9d, 0xfe, 0xff]);
    content
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let len = nonce.number(40, 440) as usize;
    let content = nonce.sentence(len);
    let small = with_file(nonce, "a small file", content.into());
    let strange = unprintable(nonce, 3 * 4096 + 17);
    let pages = with_file(nonce, "bytes that cannot be printed", strange);
    let page = nonce.sentence(4096);
    let page = with_file(nonce, "exactly one page", page.into());
    let one = nonce.word(1);
    let one = with_file(nonce, "one byte", one.into());
    let edges = with_file(nonce, "the last and the first byte that can be printed", b"~ and ".to_vec());
    let empty = with_file(nonce, "an empty file", Vec::new()).judged_by(&["empty"]);
    let mut locked = small.again("a file that may only be read", &["read-only-open"]);
    locked.launch.files[0].mode = 0o444;
    let file = small.argument(0);
    let unmapped = small.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM).fault(failing(
        &["mmap"],
        Some(On::File(file.clone().into())),
        libc::ENOMEM,
    ));
    let missing = Plan::new("no such file").arg("missing.bin").reports(OPENS, Some("missing.bin"), libc::ENOENT);
    let hard = hard_output(&small);
    let mut plans = vec![small, pages, page, one, edges, empty, locked, missing, unmapped];
    plans.push(bad_usage("no arguments", &[]));
    plans.push(bad_usage("one too many", &["a.bin", "b.bin"]).file(InputFile::new("a.bin", "abc\n")));
    plans.extend(hard);
    plans
}

/// `empty`: a file without bytes is no error.
fn empty(run: &Run) -> Finding {
    output(run).map_err(|objection| {
        objection.amended(|failure| {
            failure.message.push_str(
                " The file has no bytes, and mmap refuses a length of 0 with EINVAL: look at the length first, and print `empty`.",
            );
        })
    })
}
