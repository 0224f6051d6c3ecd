//! What page tables cost, before there are any.
//!
//! usage: page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]
//!
//! 2⁶⁴ bytes is the one size here that 64 bits cannot hold, so sizes are kept as
//! powers: the pages are 2^(bits of the page number), and no power that is
//! needed exceeds 2⁶³.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

struct Scheme {
    page_bytes: u64,
    entry_bytes: u64,
    /// Bits of the page number.
    number_bits: u32,
    /// Of each level's index, from the root on.
    levels: Vec<u32>,
}

fn main() -> ExitCode {
    let numbers: Option<Vec<u64>> = env::args_os().skip(1).map(|word| word.to_str()?.parse().ok()).collect();
    let Some(scheme) = numbers.as_deref().and_then(parse) else {
        return usage();
    };
    match run(&scheme) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn parse(numbers: &[u64]) -> Option<Scheme> {
    let [va_bits, page_bytes, entry_bytes, levels @ ..] = numbers else { return None };
    let sizes = page_bytes.is_power_of_two() && entry_bytes.is_power_of_two() && entry_bytes < page_bytes;
    let va_bits = u32::try_from(*va_bits).ok().filter(|bits| sizes && *bits <= 64)?;
    let number_bits = va_bits.checked_sub(page_bytes.trailing_zeros()).filter(|bits| *bits > 0)?;
    let levels = match levels {
        [] => natural_levels(number_bits, (page_bytes / entry_bytes).trailing_zeros()),
        given => given_levels(number_bits, given)?,
    };
    Some(Scheme { page_bytes: *page_bytes, entry_bytes: *entry_bytes, number_bits, levels })
}

/// Every table fills a page, but for the root, which takes what is left.
fn natural_levels(number_bits: u32, full: u32) -> Vec<u32> {
    let rest = number_bits % full;
    let root = if rest > 0 { vec![rest] } else { vec![] };
    [root, vec![full; (number_bits / full) as usize]].concat()
}

fn given_levels(number_bits: u32, given: &[u64]) -> Option<Vec<u32>> {
    let levels: Vec<u32> =
        given.iter().map(|bits| u32::try_from(*bits).ok().filter(|bits| *bits > 0)).collect::<Option<_>>()?;
    let sum: u64 = levels.iter().map(|bits| u64::from(*bits)).sum();
    (sum == u64::from(number_bits)).then_some(levels)
}

fn run(scheme: &Scheme) -> Result<(), String> {
    let pages = 1_u64 << scheme.number_bits;
    let flat = pages * scheme.entry_bytes;
    let widths: Vec<String> = scheme.levels.iter().map(u32::to_string).collect();
    let least = least(scheme);
    let text = format!("pages {pages}\nflat {flat} bytes\nlevels {}\nleast {least} bytes\n", widths.join(" "));
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Tables for the lowest page and the highest: they have the root in common, and nothing else. Each takes whole pages.
fn least(scheme: &Scheme) -> u128 {
    let bytes = |bits: &u32| u128::from((scheme.entry_bytes << bits).next_multiple_of(scheme.page_bytes));
    let below: u128 = scheme.levels.iter().skip(1).map(bytes).sum();
    scheme.levels.first().map_or(0, bytes) + 2 * below
}

fn usage() -> ExitCode {
    complain("usage: page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]");
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
