//! Reads blocks of a file all over it, by pread or in a mapping.
//!
//! usage: random_reads FILE SEED N [--mmap]
//!
//! Prints the exclusive or of the 64-bit words of N blocks of 4 KiB, which SEED chooses.
//!
//! See pread(2), mmap(2), madvise(2) (MADV_RANDOM).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use memmap2::{Advice, Mmap};

const BLOCK_BYTES: usize = 4096;

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
    match checksum(Path::new(path), seed, count, mapped).and_then(print) {
        Ok(()) => ExitCode::SUCCESS,
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
    let file = File::open(path).map_err(failed(format!("open {}", path.display())))?;
    let length = file.metadata().map_err(failed(format!("fstat {}", path.display())))?.len();
    let blocks = length / BLOCK_BYTES as u64;
    if blocks == 0 {
        return Err(format!("read {}: the file has less than one block", path.display()));
    }
    let chosen = Numbers(seed).take(count as usize).map(|number| number % blocks);
    if mapped { in_mapping(&file, path, chosen) } else { by_pread(&file, path, chosen) }
}

fn by_pread(file: &File, path: &Path, chosen: impl Iterator<Item = u64>) -> Result<u64, String> {
    let mut block = [0; BLOCK_BYTES];
    let mut sum = 0;
    for number in chosen {
        file.read_exact_at(&mut block, number * BLOCK_BYTES as u64)
            .map_err(failed(format!("pread {}", path.display())))?;
        sum ^= xor(&block);
    }
    Ok(sum)
}

fn in_mapping(file: &File, path: &Path, chosen: impl Iterator<Item = u64>) -> Result<u64, String> {
    // SAFETY: the bytes are only looked at, so it does no harm if another program changes them meanwhile; if one cuts
    // the file short, a load ends this program by SIGBUS.
    let mapping = unsafe { Mmap::map(file) }.map_err(failed(format!("mmap {}", path.display())))?;
    mapping.advise(Advice::Random).map_err(failed(format!("madvise {}", path.display())))?;
    Ok(chosen.fold(0, |sum, number| sum ^ xor(&mapping[number as usize * BLOCK_BYTES..][..BLOCK_BYTES])))
}

/// The exclusive or of a block's little-endian words.
fn xor(block: &[u8]) -> u64 {
    let (words, _) = block.as_chunks();
    words.iter().fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
}

fn print(sum: u64) -> Result<(), String> {
    let line = format!("{sum:016x}\n");
    io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()).map_err(failed("write standard output"))
}

fn usage() -> ExitCode {
    complain("usage: random_reads FILE SEED N [--mmap]");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed(call: impl fmt::Display) -> impl FnOnce(io::Error) -> String {
    move |error| {
        let error = error.to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
