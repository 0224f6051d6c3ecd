//! What a TLB remembers: a model that counts its hits, and the real one by its times.
//!
//! usage: tlb_reach model SETS WAYS TRACE
//!        tlb_reach measure PAGES
//!
//! The model looks pages up in sets of WAYS entries each, of which the one that was
//! not used for the longest time goes. The measurement follows a chain of addresses
//! with one stop on each page.
//!
//! See the lesson, "What is remembered".

use std::ffi::OsString;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, fmt};

use memmap2::MmapMut;
use nix::unistd::{SysconfVar, sysconf};

const PAGE_BITS: u32 = 12;
const LINE: usize = 64;
/// Accesses for each figure.
const STEPS: usize = 50_000;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok().filter(|number| *number > 0);
    let result = match arguments.as_slice() {
        [mode, sets, ways, trace] if mode == "model" => match (number(sets), number(ways)) {
            (Some(sets), Some(ways)) if sets.is_power_of_two() => model(sets, ways, Path::new(trace)),
            _ => return usage(),
        },
        [mode, pages] if mode == "measure" => match number(pages) {
            Some(pages) if pages.is_power_of_two() => measure(pages),
            _ => return usage(),
        },
        _ => return usage(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn model(sets: usize, ways: usize, trace: &Path) -> Result<(), String> {
    let name = trace.display();
    let mut text = String::new();
    let mut file = File::open(trace).map_err(failed(format_args!("open {name}")))?;
    file.read_to_string(&mut text).map_err(failed(format_args!("read {name}")))?;

    let mut tlb = Tlb::new(sets, ways);
    let (mut accesses, mut hits) = (0, 0);
    for (number, line) in text.lines().enumerate() {
        if line == "flush" {
            tlb.flush();
            continue;
        }
        let address = address(line).ok_or_else(|| format!("{name}: line {}: `{line}` is no address", number + 1))?;
        accesses += 1;
        hits += usize::from(tlb.look_up(address >> PAGE_BITS));
    }
    let reach = ((sets * ways) as u64) << PAGE_BITS;
    print(&format!("reach {reach} bytes\naccesses {accesses}\nhits {hits}\nmisses {}\n", accesses - hits))
}

/// `0x` and up to 16 digits.
fn address(line: &str) -> Option<u64> {
    let digits = line.strip_prefix("0x")?;
    // from_str_radix would take a sign.
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all_digits.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Which pages are remembered, in each set the one used last at the end.
struct Tlb {
    sets: Vec<Vec<u64>>,
    ways: usize,
}

impl Tlb {
    fn new(sets: usize, ways: usize) -> Tlb {
        Tlb { sets: vec![Vec::new(); sets], ways }
    }

    fn flush(&mut self) {
        self.sets.iter_mut().for_each(Vec::clear);
    }

    /// Whether the page was there; it is from now on.
    fn look_up(&mut self, page: u64) -> bool {
        let number = page as usize & (self.sets.len() - 1);
        let set = &mut self.sets[number];
        let found = set.iter().position(|entry| *entry == page);
        match found {
            Some(place) => {
                set.remove(place);
            }
            None if set.len() == self.ways => {
                set.remove(0);
            }
            None => {}
        }
        set.push(page);
        found.is_some()
    }
}

fn measure(most: usize) -> Result<(), String> {
    let page = page_size()?;
    let length = most.checked_mul(page).ok_or("mmap memory: too many pages")?;
    let mut memory = MmapMut::map_anon(length).map_err(failed("mmap memory"))?;
    // A kernel that knows no large pages has none to refuse.
    let _ = memory.advise(memmap2::Advice::NoHugePage);

    let mut text = String::new();
    let mut knees = Vec::new();
    let mut before = f64::INFINITY;
    let mut pages = 1;
    while pages <= most {
        lay_chain(&mut memory, pages, page);
        let nanoseconds = walk(&memory, pages);
        text += &format!("pages {pages}: {nanoseconds:.2} ns\n");
        if nanoseconds >= 1.5 * before {
            knees.push(pages.to_string());
        }
        before = nanoseconds;
        pages *= 2;
    }
    let knees = if knees.is_empty() { "none".into() } else { knees.join(" ") };
    print(&(text + &format!("knees: {knees}\n")))
}

/// A chain through this many pages: each stop holds where the next one is. The order is one that no prefetcher guesses,
/// and the stops lie in different cache lines of their pages, so that not the cache's sets are what is measured.
fn lay_chain(memory: &mut [u8], pages: usize, page: usize) {
    let stop = |number: usize| number * page + number * LINE % page;
    let mut order: Vec<usize> = (0..pages).collect();
    let mut random = 1_u64;
    for last in (1..pages).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (random >> 33) as usize % (last + 1));
    }
    for (number, from) in order.iter().enumerate() {
        let to = stop(order[(number + 1) % pages]);
        memory[stop(*from)..][..size_of::<usize>()].copy_from_slice(&to.to_ne_bytes());
    }
}

/// Nanoseconds an access, once everything has been there.
fn walk(memory: &[u8], pages: usize) -> f64 {
    let follow = |mut at: usize, steps: usize| {
        for _ in 0..steps {
            let mut next = [0; size_of::<usize>()];
            next.copy_from_slice(&memory[at..at + size_of::<usize>()]);
            at = usize::from_ne_bytes(next);
        }
        at
    };
    let at = follow(0, pages);
    let begin = Instant::now();
    black_box(follow(at, STEPS));
    // The figure that is printed is the one that is compared.
    (begin.elapsed().as_secs_f64() * 1e9 / STEPS as f64 * 100.0).round() / 100.0
}

fn page_size() -> Result<usize, String> {
    let size = sysconf(SysconfVar::PAGE_SIZE).map_err(failed("sysconf"))?;
    size.and_then(|size| usize::try_from(size).ok()).ok_or_else(|| "sysconf: no page size".into())
}

fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: tlb_reach model SETS WAYS TRACE | tlb_reach measure PAGES");
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
