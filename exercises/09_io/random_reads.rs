//! random_reads FILE SEED N [--mmap]
//!
//! Look at N blocks of 4 KiB here and there in FILE, and print the exclusive or of
//! all their 64-bit little-endian words, in 16 hexadecimal digits.
//!
//! The n-th block is the n-th number that SEED gives (`Numbers`, below), modulo the
//! number of whole blocks in FILE; the rest behind them is not used. A FILE without
//! one whole block is an error.
//!
//! Without --mmap read those blocks and nothing else, with pread. With --mmap map
//! FILE, read nothing, and tell the kernel with MADV_RANDOM that you jump: it
//! would else fetch much around each page that it has to get from the device.
//!
//! Why: each way has its price for a jump, a call or a fault; and reading ahead,
//! which helps so much in order, is waste here (65 bytes fetched for each one used).
//!
//! Read: pread(2); mmap(2); madvise(2), MADV_RANDOM.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (path, seed, count, mapped) = match arguments.as_slice() {
        [path, seed, count] => (path, number(seed), number(count), false),
        [path, seed, count, flag] if flag == "--mmap" => (path, number(seed), number(count), true),
        _ => return usage(),
    };
    let (Some(seed), Some(count)) = (seed, count) else {
        return usage();
    };
    match checksum(Path::new(path), seed, count, mapped) {
        Ok(sum) => {
            println!("{sum:016x}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn number(argument: &OsString) -> Option<u64> {
    argument.to_str()?.parse().ok()
}

/// The numbers that a seed gives (SplitMix64).
struct Numbers(u64);

impl Iterator for Numbers {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(z ^ (z >> 31))
    }
}

fn checksum(path: &Path, seed: u64, count: u64, mapped: bool) -> Result<u64, String> {
    // TODO: open FILE. How many whole blocks does it have?
    // TODO: read, or look in the mapping at, the blocks that the seed gives.
    let _ = (path, Numbers(seed).take(count as usize), mapped);
    Err("not written yet".into())
}

fn usage() -> ExitCode {
    complain("usage: random_reads FILE SEED N [--mmap]");
    ExitCode::from(2)
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
