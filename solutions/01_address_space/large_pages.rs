//! The same walk on small pages and on large ones: what they cost to get, and what a step takes.
//!
//! usage: large_pages MIB STEPS
//!
//! See madvise(2), MADV_HUGEPAGE and MADV_NOHUGEPAGE; the kernel's transhuge.rst.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fmt};

use memmap2::{Advice, MmapMut};
use nix::sys::resource::{UsageWho, getrusage};

const SMALL: usize = 4 << 10;
const LARGE: usize = 2 << 20;
/// Bytes of a line of the processor's cache, and how many of them a small page has.
const LINE: usize = 64;
const LINES: usize = SMALL / LINE;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let numbers: Option<Vec<usize>> = arguments.iter().map(|argument| argument.to_str()?.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[mib, steps]) if mib > 0 && mib % 2 == 0 && steps > 0 => match run(mib, steps) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                complain(&message);
                ExitCode::FAILURE
            }
        },
        _ => usage(),
    }
}

fn run(mib: usize, steps: usize) -> Result<(), String> {
    let length = mib.checked_mul(1 << 20).ok_or_else(|| format!("mmap {mib} MiB: more than there are addresses"))?;
    let mut text = String::new();
    for (name, advice) in [("4 KiB", Advice::NoHugePage), ("2 MiB", Advice::HugePage)] {
        // A large page begins at a multiple of its size, so that many are sure to fit into a little more.
        let mut mapping =
            MmapMut::map_anon(length.saturating_add(LARGE)).map_err(failed(format_args!("mmap {mib} MiB")))?;
        mapping.advise(advice).map_err(failed(format_args!("madvise {mib} MiB")))?;
        let start = mapping.as_ptr().align_offset(LARGE);
        let memory = &mut mapping[start..start + length];

        let before = minor_faults()?;
        fill(memory);
        let faults = minor_faults()? - before;
        let (sum, time) = walk(memory, steps);
        let nanoseconds = time.as_secs_f64() * 1e9 / steps as f64;
        text += &format!("{name}: faults {faults} sum {sum} {nanoseconds:.1} ns a step\n");
    }
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Where the number is that belongs to the small page with this number: not at the same offset in each, or not the
/// TLB would be measured but the sets of a cache.
fn place(page: usize) -> usize {
    page * SMALL + page % LINES * LINE
}

fn fill(memory: &mut [u8]) {
    for page in 0..memory.len() / SMALL {
        memory[place(page)..][..8].copy_from_slice(&(page as u64).to_ne_bytes());
    }
}

/// A walk whose next step depends on what the last one found.
fn walk(memory: &[u8], steps: usize) -> (u64, Duration) {
    let pages = memory.len() / SMALL;
    let (mut x, mut sum) = (1_u64, 0_u64);
    let begin = Instant::now();
    for _ in 0..steps {
        let place = place((x >> 33) as usize % pages);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&memory[place..place + 8]);
        let found = u64::from_ne_bytes(bytes);
        sum = sum.wrapping_add(found);
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407).wrapping_add(found);
    }
    (sum, begin.elapsed())
}

/// Faults of this process so far that needed no device.
fn minor_faults() -> Result<i64, String> {
    getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.minor_page_faults()).map_err(failed("getrusage"))
}

fn usage() -> ExitCode {
    complain("usage: large_pages MIB STEPS");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
