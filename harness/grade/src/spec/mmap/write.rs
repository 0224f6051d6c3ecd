//! `map_write`: ten numbers in a file that no call wrote.

use observe::{Call, InputFile, On};

use super::mapping::{contains, hard_output, mappings, sized, wrong_call};
use super::shared::shared_mapping;
use crate::spec::Spec;
use crate::spec::common::calls::{SIZE_CALLS, SIZES, files, writes_of};
use crate::spec::common::plans::{bad_usage, failing};
use crate::spec::common::{MAPS, OPENS, output, reports, under_faults, usage};
use crate::{Check, Finding, Nonce, Objection, Plan, Run};

/// `map_write FILE`
pub(crate) fn map_write() -> Spec {
    Spec {
        plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but FILE is refused", usage),
            Check::outside("reports", "a failing open, ftruncate or mmap is reported, and nothing is printed", reports),
            Check::outside("sized", "FILE has its length before it is touched", sized),
            Check::seen("read-write-open", "FILE is opened for reading and writing", read_write_open),
            Check::outside("output", "the file's bytes are printed, 16 a line", output),
            Check::outside("file-written", "FILE holds the ten numbers and nothing else", file_written),
            Check::seen("shared-mapping", "FILE is mapped, writable and shared", shared_mapping),
            Check::seen("no-write-call", "no number reaches FILE but by a store to memory", no_write_call),
            Check::seen("unmapped", "what was mapped is unmapped", unmapped),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| to_file(nonce, "a new file"),
    }
}

fn numbers() -> Vec<u8> {
    let mut numbers = [0_i32; 10];
    numbers[0] = 0x1234_5678;
    numbers[1] = 0xdead_c0de_u32.cast_signed();
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

fn hexdump(bytes: &[u8]) -> String {
    let line = |(row, line): (usize, &[u8])| {
        let bytes: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:04x}:{bytes}\n", 16 * row)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

fn to_file(nonce: &mut Nonce, name: &str) -> Plan {
    let file = format!("{}.bin", nonce.word(6));
    let plan = Plan::new(name).arg(file).prints(hexdump(&numbers()));
    plan.judged_by(&[
        "sized",
        "read-write-open",
        "output",
        "file-written",
        "shared-mapping",
        "no-write-call",
        "unmapped",
    ])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let new = to_file(nonce, "a new file");
    let file = new.argument(0);
    let mut there = |name: &str, len: usize| {
        let plan = to_file(nonce, name);
        let file = InputFile::new(plan.argument(0), nonce.text(len));
        plan.file(file)
    };
    let (long, short) = (there("a longer file is there", 5000), there("a shorter file is there", 13));
    let unmapped = new.again("mmap fails", &[]).reports(MAPS, Some(&file), libc::ENOMEM).fault(failing(
        &["mmap"],
        Some(On::File(file.clone().into())),
        libc::ENOMEM,
    ));
    let sizeless = new.again("ftruncate fails", &[]).reports(SIZES, Some(&file), libc::ENOSPC).fault(failing(
        SIZE_CALLS,
        Some(On::File(file.clone().into())),
        libc::ENOSPC,
    ));
    let nowhere = Plan::new("no such directory").arg("missing/f.bin");
    let nowhere = nowhere.reports(OPENS, Some("missing/f.bin"), libc::ENOENT);
    let hard = hard_output(&new);
    let mut plans = vec![new, long, short, nowhere, sizeless, unmapped];
    plans.push(bad_usage("no arguments", &[]));
    plans.push(bad_usage("one too many", &["a.bin", "b.bin"]));
    plans.extend(hard);
    plans
}

/// `read-write-open`: no mapping is refused because FILE is opened for writing only, or for reading only.
fn read_write_open(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let refused = run
        .seen
        .calls()
        .find(|(_, _, call, result)| matches!(call, Call::Mmap { fd: 0.., .. }) && *result == Some(Err(libc::EACCES)));
    match refused {
        Some((_, event, ..)) if run.seen.exit() != Some(observe::Exit::Code(0)) => wrong_call(
            format!(
                "mmap of {path} is refused with EACCES: a shared mapping that is written asks for a file opened O_RDWR, for no processor can store to a page that it may not read."
            ),
            Some(event),
        ),
        _ => Ok(()),
    }
}

/// `file-written`: FILE has the forty bytes.
fn file_written(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let private = mappings(run, &path).iter().any(|m| !m.is_shared() && m.writable);
    let why = match run.seen.file(&path) {
        Some(left) if left.len == 41 => {
            "whoever seeks to 40 and writes a byte there makes the 41st; ftruncate to 40 instead"
        }
        Some(left) if left.len == 40 && private => {
            "a store to a MAP_PRIVATE mapping stays with the process that made it; map it MAP_SHARED"
        }
        _ => "it must be exactly the ten numbers, whatever it held before; cut it to 40 bytes and store all ten",
    };
    contains(run, &path, &numbers(), why)
}

/// `no-write-call`: nothing but zeros, which give the file its length, is written to FILE by a call.
fn no_write_call(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let written = files(run.seen, &path)
        .into_iter()
        .find_map(|o| writes_of(run.seen, o).find(|t| !t.inside && t.data.iter().any(|byte| *byte != 0)));
    match written {
        Some(transfer) => wrong_call(
            format!("The numbers are written to {path} by a call. A shared mapping needs none: store them in memory."),
            Some(transfer.event),
        ),
        None => Ok(()),
    }
}

/// `unmapped`: each shared mapping of FILE is given back, where it is then.
fn unmapped(run: &Run) -> Finding {
    let path = run.plan.argument(0);
    let made = mappings(run, &path);
    if made.is_empty() {
        return Err(Objection::open("nothing was mapped"));
    }
    for mapping in made.iter().filter(|m| m.is_shared()) {
        let mut start = mapping.start;
        let mut gone = false;
        for (index, _, call, value) in run.seen.successes() {
            match call {
                _ if index <= mapping.index => {}
                Call::Mremap { address, .. } if *address == start => start = value as u64,
                Call::Munmap { address, len, .. } if (*address..address + len).contains(&start) => gone = true,
                _ => {}
            }
        }
        if !gone {
            let words = format!("{path} is mapped and never unmapped: give the addresses back with munmap.");
            return wrong_call(words, Some(mapping.event));
        }
    }
    Ok(())
}
