//! Which page has to go: clocks with one hand and two, and what others would do.
//!
//! usage: clock_hand FRAMES GAP TRACE
//!
//! The clocks know of each page only whether it was accessed since a hand came by,
//! as an operating system does from its page tables. FIFO does not even know that,
//! LRU knows every access, and OPT the future.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

/// What a policy came to.
struct Outcome {
    faults: usize,
    victims: Vec<u64>,
}

/// A page in a frame, and its accessed bit.
struct Frame {
    page: u64,
    accessed: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [frames, gap, trace] = arguments.as_slice() else {
        return usage();
    };
    let number = |word: &OsString| word.to_str()?.parse::<usize>().ok();
    let (Some(frames), Some(gap)) = (number(frames), number(gap)) else {
        return usage();
    };
    if gap == 0 || gap >= frames {
        return usage();
    }
    match run(frames, gap, Path::new(trace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(frames: usize, gap: usize, trace: &Path) -> Result<(), String> {
    let name = trace.display();
    let mut text = String::new();
    let mut file = File::open(trace).map_err(failed(format_args!("open {name}")))?;
    file.read_to_string(&mut text).map_err(failed(format_args!("read {name}")))?;
    let number = |(i, line): (usize, &str)| {
        line.parse::<u64>().map_err(|_| format!("{name}, line {}: {line:?} is no page", i + 1))
    };
    let pages: Vec<u64> = text.lines().enumerate().map(number).collect::<Result<_, _>>()?;
    let mut report = String::new();
    let clocks = [
        ("clock", clock(frames, None, &pages)),
        ("two-handed", clock(frames, Some(gap), &pages)),
        ("second-chance", second_chance(frames, &pages)),
    ];
    for (policy, outcome) in clocks {
        let victims: String = outcome.victims.iter().map(|page| format!(" {page}")).collect();
        report.push_str(&format!("{policy} {}:{victims}\n", outcome.faults));
    }
    let others = [("fifo", fifo(frames, &pages)), ("lru", lru(frames, &pages)), ("opt", opt(frames, &pages))];
    for (policy, faults) in others {
        report.push_str(&format!("{policy} {faults}\n"));
    }
    let mut stdout = io::stdout();
    stdout.write_all(report.as_bytes()).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// With a gap there is a second hand, so many frames ahead, which clears; without, the one hand clears what it spares.
fn clock(frames: usize, gap: Option<usize>, pages: &[u64]) -> Outcome {
    let mut outcome = Outcome { faults: 0, victims: Vec::new() };
    let mut circle: Vec<Frame> = Vec::new();
    let mut hand = 0;
    for page in pages {
        if let Some(frame) = circle.iter_mut().find(|frame| frame.page == *page) {
            frame.accessed = true;
            continue;
        }
        outcome.faults += 1;
        if circle.len() < frames {
            circle.push(Frame { page: *page, accessed: true });
            continue;
        }
        loop {
            let here = hand;
            hand = (hand + 1) % frames;
            if let Some(gap) = gap {
                circle[(here + gap) % frames].accessed = false;
            }
            if !circle[here].accessed {
                outcome.victims.push(circle[here].page);
                circle[here] = Frame { page: *page, accessed: true };
                break;
            }
            if gap.is_none() {
                circle[here].accessed = false;
            }
        }
    }
    outcome
}

fn second_chance(frames: usize, pages: &[u64]) -> Outcome {
    let mut outcome = Outcome { faults: 0, victims: Vec::new() };
    let mut queue: VecDeque<Frame> = VecDeque::new();
    for page in pages {
        if let Some(frame) = queue.iter_mut().find(|frame| frame.page == *page) {
            frame.accessed = true;
            continue;
        }
        outcome.faults += 1;
        while queue.len() == frames {
            let Some(first) = queue.pop_front() else { break };
            if first.accessed {
                queue.push_back(Frame { accessed: false, ..first });
            } else {
                outcome.victims.push(first.page);
            }
        }
        queue.push_back(Frame { page: *page, accessed: true });
    }
    outcome
}

fn fifo(frames: usize, pages: &[u64]) -> usize {
    let mut queue = VecDeque::new();
    let mut faults = 0;
    for page in pages {
        if !queue.contains(page) {
            faults += 1;
            if queue.len() == frames {
                queue.pop_front();
            }
            queue.push_back(*page);
        }
    }
    faults
}

/// The queue is in the order of the last use.
fn lru(frames: usize, pages: &[u64]) -> usize {
    let mut queue: VecDeque<u64> = VecDeque::new();
    let mut faults = 0;
    for page in pages {
        if let Some(place) = queue.iter().position(|resident| resident == page) {
            queue.remove(place);
        } else {
            faults += 1;
            if queue.len() == frames {
                queue.pop_front();
            }
        }
        queue.push_back(*page);
    }
    faults
}

/// The page goes that is used again last, or never.
fn opt(frames: usize, pages: &[u64]) -> usize {
    let mut resident: Vec<u64> = Vec::new();
    let mut faults = 0;
    for (now, page) in pages.iter().enumerate() {
        if resident.contains(page) {
            continue;
        }
        faults += 1;
        if resident.len() == frames {
            let next = |resident: u64| pages[now..].iter().position(|page| *page == resident).unwrap_or(usize::MAX);
            let victim = (0..frames).max_by_key(|frame| next(resident[*frame]));
            victim.map(|frame| resident.swap_remove(frame));
        }
        resident.push(*page);
    }
    faults
}

fn usage() -> ExitCode {
    complain("usage: clock_hand FRAMES GAP TRACE");
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
