//! `address_split` and `page_math`: what can be said of addresses and tables without any memory.

use observe::{Observation, On};

use crate::spec::Spec;
use crate::spec::common::calls::WRITES;
use crate::spec::common::plans::{bad_usage, cut, interrupted, unwritable_output};
use crate::spec::common::{output, reports, under_faults, usage};
use crate::{Check, Nonce, Plan};

/// `address_split PAGE_BYTES ADDR…`
pub(crate) fn address_split() -> Spec {
    Spec {
        plans: split_plans,
        checks: vec![
            Check::outside("usage", "a page size that is no power of two, and what is no address, are refused", usage),
            Check::outside("reports", "a failing write is reported", reports),
            Check::outside("output", "addresses are split at pages of 4096 bytes", output),
            Check::outside("any-power", "they are split at pages of any power of two", output),
            Check::outside("whole-range", "addresses of all 64 bits are split", output),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when writes are interrupted", under_faults),
        ],
        demo: |nonce| {
            let address = nonce.bits() & 0xffff_ffff;
            split("a page and an offset", 4096, &[address], "output").drawn(split_drawing)
        },
    }
}

fn split_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut narrow = || nonce.bits() & 0xffff_ffff;
    let addresses = [narrow(), narrow() & !0xfff, narrow() | 0xfff, 0];
    let plain = split("pages of 4096 bytes", 4096, &addresses, "output");
    let wide = |nonce: &mut Nonce| [nonce.bits() >> 17, nonce.bits() >> 17];
    let power = 1 << nonce.pick(&[5, 9, 14, 16, 18]);
    let mut plans = vec![
        plain.clone(),
        split("pages of another size", power, &wide(nonce), "any-power"),
        split("pages of 2 MiB", 1 << 21, &wide(nonce), "any-power"),
        split("pages of 1 GiB", 1 << 30, &wide(nonce), "any-power"),
        split("pages of one byte", 1, &wide(nonce), "any-power"),
        split("pages of half of everything", 1 << 63, &[nonce.bits() | 1 << 63, 7], "any-power"),
        split("the highest addresses", 4096, &[u64::MAX, nonce.bits() | 1 << 63], "whole-range"),
        unwritable_output(&plain),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::Stdout]),
    ];
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("no address", &["4096"]),
        bad_usage("no power of two", &["3000", "0x1000"]),
        bad_usage("a multiple of 4096", &["12288", "0x1000"]),
        bad_usage("pages of no bytes", &["0", "0x1000"]),
        bad_usage("a page of 2^64 bytes", &["18446744073709551616", "0x1000"]),
        bad_usage("a page size in hexadecimal", &["0x1000", "0x1000"]),
        bad_usage("a word for an address", &["4096", "0xhere"]),
        bad_usage("an address without 0x", &["4096", "1000"]),
        bad_usage("an address with a sign", &["4096", "0x+10"]),
        bad_usage("an address of 68 bits", &["4096", "0x10000000000000000"]),
        bad_usage("a bad address behind a good one", &["4096", "0x1000", "page"]),
    ]);
    plans
}

fn split(name: &str, page: u64, addresses: &[u64], check: &'static str) -> Plan {
    let plan = Plan::new(name).arg(page.to_string()).judged_by(&[check]);
    let lines = addresses.iter().map(|a| format!("page {:#x} offset {:#x}\n", a / page, a % page));
    let text: String = lines.collect();
    addresses.iter().fold(plan, |plan, address| plan.arg(format!("{address:#x}"))).prints(text)
}

/// The address as bits, cut where the page's size cuts it.
fn split_drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default();
    let address = number(&plan.argument(1));
    let (page, offset) = (format!("{:020b}", address >> 12), format!("{:012b}", address & 0xfff));
    vec![
        "A page of 4096 bytes is 2^12 of them: the last 12 bits of an address say which, those before in which page."
            .to_string(),
        String::new(),
        format!("{address:#010x}  =  {page} {offset}"),
        format!("{:>15}{:-^20} {:-^12}", "", " page ", " offset "),
        format!("{:>15}{:^20} {:^12}", "", format!("{:#x}", address >> 12), format!("{:#x}", address & 0xfff)),
    ]
}

/// `page_math VA_BITS PAGE_BYTES ENTRY_BYTES [LEVEL_BITS…]`
pub(crate) fn page_math() -> Spec {
    Spec {
        plans: math_plans,
        checks: vec![
            Check::outside("usage", "numbers that make no sense together are refused", usage),
            Check::outside("reports", "a failing write is reported", reports),
            Check::outside("output", "it is right for 32 bits in pages of 4096 bytes", output),
            Check::outside("any-size", "it is right for other sizes of pages and entries", output),
            Check::outside("wide", "it is right up to 64 bits", output),
            Check::outside("root-takes-the-rest", "the root has the bits that fill no table", output),
            Check::outside("given-levels", "levels that are given are used", output),
            Check::outside("whole-pages", "a table that is smaller than a page takes a page", output),
            Check::seen("short-io", "it is right when writes are cut short", under_faults),
            Check::seen("eintr", "it is right when writes are interrupted", under_faults),
        ],
        demo: |_| math("a flat table and a tree", [32, 4096, 4], &[], "output").drawn(math_drawing),
    }
}

fn math_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = math("32 bits", [32, 4096, 4], &[], "output");
    let page_bits = nonce.pick(&[13, 14, 16]);
    let levels = nonce.number(1, 2) as u32;
    // Tables that fill their pages at every level, of 8-byte entries.
    let full = math("other sizes", [page_bits + levels * (page_bits - 3), 1 << page_bits, 8], &[], "any-size");
    let first = nonce.number(10, 14);
    let rest = nonce.pick(&[45, 50, 52, 53]);
    let mut plans = vec![
        plain.clone(),
        full,
        math("small pages", [23, 512, 4], &[], "any-size"),
        math("two pages", [13, 4096, 8], &[], "any-size"),
        math("48 bits", [48, 4096, 8], &[], "wide"),
        math("64 bits", [64, 4096, 8], &[9, 9, 9, 9, 8, 8], "wide"),
        math("64 bits in pages of two bytes", [64, 2, 1], &[], "wide"),
        math("64 bits without being told the levels", [64, 4096, 8], &[], "root-takes-the-rest"),
        math("bits that fill no table", [rest, 4096, 8], &[], "root-takes-the-rest"),
        math("one bit that fills no table", [49, 4096, 8], &[], "root-takes-the-rest"),
        math("given levels", [32, 4096, 4], &[first as u32, 20 - first as u32], "given-levels"),
        math("one level", [32, 4096, 4], &[20], "given-levels"),
        math("a level of one bit", [32, 4096, 4], &[1, 19], "given-levels"),
        math("three levels", [32, 4096, 4], &[2, 9, 9], "whole-pages"),
        math("large pages", [48, 1 << 21, 8], &[], "whole-pages"),
        unwritable_output(&plain),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::Stdout]),
    ];
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("two numbers", &["32", "4096"]),
        bad_usage("65 bits", &["65", "4096", "8"]),
        bad_usage("a page of 3000 bytes", &["32", "3000", "4"]),
        bad_usage("an entry of 3 bytes", &["32", "4096", "3"]),
        bad_usage("an entry as large as a page", &["32", "4096", "4096"]),
        bad_usage("an entry of no bytes", &["32", "4096", "0"]),
        bad_usage("no page number", &["12", "4096", "4"]),
        bad_usage("fewer bits than an offset has", &["10", "4096", "4"]),
        bad_usage("levels that are too few", &["32", "4096", "4", "10"]),
        bad_usage("levels that are too many", &["32", "4096", "4", "10", "11"]),
        bad_usage("a level of no bits", &["32", "4096", "4", "20", "0"]),
        bad_usage("a word", &["32", "4096", "four"]),
    ]);
    plans
}

/// What tables of these sizes come to.
struct Tables {
    pages: u64,
    flat: u128,
    levels: Vec<u32>,
    least: u128,
}

impl Tables {
    fn of([va_bits, page, entry]: [u32; 3], given: &[u32]) -> Tables {
        let number_bits = va_bits - page.trailing_zeros();
        let full = (page / entry).trailing_zeros();
        let mut levels = given.to_vec();
        let mut left = if given.is_empty() { number_bits } else { 0 };
        while left > 0 {
            levels.insert(0, left.min(full));
            left -= left.min(full);
        }
        let table = |bits: &u32| (u128::from(entry) << bits).max(page.into());
        let least = table(&levels[0]) + 2 * levels[1..].iter().map(table).sum::<u128>();
        Tables { pages: 1 << number_bits, flat: u128::from(entry) << number_bits, levels, least }
    }
}

fn math(name: &str, sizes: [u32; 3], given: &[u32], check: &'static str) -> Plan {
    let tables = Tables::of(sizes, given);
    let widths: Vec<String> = tables.levels.iter().map(u32::to_string).collect();
    let lines = [
        format!("pages {}\n", tables.pages),
        format!("flat {} bytes\n", tables.flat),
        format!("levels {}\n", widths.join(" ")),
        format!("least {} bytes\n", tables.least),
    ];
    let arguments = sizes.iter().chain(given);
    let plan = arguments.fold(Plan::new(name), |plan, number| plan.arg(number.to_string()));
    plan.prints(lines.concat()).judged_by(&[check])
}

/// One flat table beside a tree of two levels.
fn math_drawing(_: &Plan, _: &Observation) -> Vec<String> {
    let lines = [
        "flat                         two levels",
        "entry 0       → code         root: entry 0    → table: entry 0    → code",
        "entry 1       (nothing)            entry 1             …",
        "…             (nothing)            … (nothing, and no table)",
        "entry 1048575 → stack              entry 1023 → table: entry 1023 → stack",
        "",
        "4194304 bytes                3 tables of 4096 bytes = 12288 bytes",
    ];
    lines.map(str::to_string).to_vec()
}
