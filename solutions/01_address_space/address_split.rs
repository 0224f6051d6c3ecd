//! The two parts of an address: which page, and where in it.
//!
//! usage: address_split PAGE_BYTES ADDR…
//!
//! Because a page's size is a power of two, the parts are the upper and the
//! lower bits of the address; nothing has to be divided.

use std::io::{self, Write};
use std::process::ExitCode;
use std::{env, fmt};

fn main() -> ExitCode {
    let arguments: Option<Vec<String>> = env::args_os().skip(1).map(|word| word.into_string().ok()).collect();
    let Some((page_bytes, addresses)) = arguments.as_deref().and_then(parse) else {
        return usage();
    };
    match run(page_bytes, &addresses) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// The page size and the addresses, if all of them are what they should be.
fn parse(arguments: &[String]) -> Option<(u64, Vec<u64>)> {
    let (page_bytes, addresses) = arguments.split_first()?;
    let page_bytes: u64 = page_bytes.parse().ok().filter(|bytes: &u64| bytes.is_power_of_two())?;
    let addresses: Vec<u64> = addresses.iter().map(|text| hexadecimal(text)).collect::<Option<_>>()?;
    (!addresses.is_empty()).then_some((page_bytes, addresses))
}

fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u64::from_str_radix(digits, 16).ok()
}

fn run(page_bytes: u64, addresses: &[u64]) -> Result<(), String> {
    let mut text = String::new();
    for address in addresses {
        let page = address >> page_bytes.trailing_zeros();
        let offset = address & (page_bytes - 1);
        text.push_str(&format!("page {page:#x} offset {offset:#x}\n"));
    }
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: address_split PAGE_BYTES ADDR…");
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
