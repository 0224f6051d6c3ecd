//! How much of a mapped file is in memory: what was touched, and not much more.
//!
//! usage: map_lazy FILE PAGE…
//!
//! Maps FILE, loads a byte of each PAGE, and prints how many KiB of the mapping
//! were resident before and after, as /proc/self/smaps tells.
//!
//! See mmap(2), proc_pid_smaps(5).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::Mmap;

const PAGE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path, pages @ ..] = arguments.as_slice() else {
        return usage();
    };
    let Some(pages) = pages.iter().map(|page| number(page)).collect::<Option<Vec<usize>>>() else {
        return usage();
    };
    if pages.is_empty() {
        return usage();
    }
    match run(Path::new(path), &pages) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path, pages: &[usize]) -> Result<(), String> {
    let name = path.display();
    let file = File::open(path).map_err(failed(format!("open {name}")))?;
    // SAFETY: only read. If somebody truncates FILE meanwhile the kernel ends
    // this process by SIGBUS.
    let mapping = unsafe { Mmap::map(&file) }.map_err(failed(format!("mmap {name}")))?;

    let before = resident(&mapping)?;
    for page in pages {
        let byte = page.checked_mul(PAGE).and_then(|start| mapping.get(start));
        let byte = byte.ok_or_else(|| format!("{name}: there is no page {page}"))?;
        // SAFETY: a byte of the mapping. Volatile, for nobody uses what it is.
        unsafe { (&raw const *byte).read_volatile() };
    }
    let after = resident(&mapping)?;
    print(format!("resident before: {before} after: {after}\n").as_bytes())
}

/// KiB of this mapping that have their place in this process's page table.
fn resident(mapping: &[u8]) -> Result<u64, String> {
    let smaps = fs::read_to_string("/proc/self/smaps").map_err(failed("read /proc/self/smaps"))?;
    let first = format!("{:x}-", mapping.as_ptr().addr());
    let region = smaps.lines().skip_while(|line| !line.starts_with(&first));
    let line = region.skip(1).find_map(|line| line.strip_prefix("Rss:"));
    let size = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    size.ok_or_else(|| "read /proc/self/smaps: the mapping is not in it".into())
}

fn number(argument: &OsStr) -> Option<usize> {
    argument.to_str()?.parse().ok()
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: map_lazy FILE PAGE…");
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
