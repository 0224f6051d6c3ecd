//! large_pages MIB STEPS
//!
//! Get MIB MiB of memory (an even number) in pages of 4 KiB, and as much in pages of
//! 2 MiB. Walk through both in the same way, and tell of each how many minor faults it
//! cost to fill, what the walk found, and how long a step took:
//!
//!     $ large_pages 64 1000000
//!     4 KiB: faults 16384 sum 8189246117 24.3 ns a step
//!     2 MiB: faults 32 sum 8189246117 9.8 ns a step
//!
//! Say to the kernel which you want before you touch the memory: madvise with
//! MADV_NOHUGEPAGE, and with MADV_HUGEPAGE. A large page begins at a multiple of 2 MiB.
//!
//! To fill: there are N = MIB * 256 pieces of 4 KiB. In piece i store the number i, as
//! u64, at byte 64 * (i mod 64) of the piece. Count the faults of that alone.
//! To walk: x = 1 and sum = 0. In each step look up the number v that is stored in piece
//! (x >> 33) mod N; add v to sum; x becomes x * 6364136223846793005 +
//! 1442695040888963407 + v. All of it in u64, modulo 2⁶⁴.
//!
//! Why: a TLB has as many entries for large pages as for small ones, and each reaches
//! 512 times as far; and one fault brings what else takes 512.
//!
//! Read: madvise(2); getrusage(2); Documentation/admin-guide/mm/transhuge.rst.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

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
    // TODO: for both sizes: map, advise, fill and count the faults, walk and take the time.
    let _ = (mib, steps);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: large_pages MIB STEPS");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
