//! The long proof: every hanging program many times, and thousands of runs of programs that merely wait, with the
//! processors busy. Prints what was not explained as it should be, and how soon each hang was called.
//!
//! `cargo bench -p observe --bench hangs [-- [--runs 50] [--waiting 10000] [--load 2] [--jobs 8] [NAME]]`

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use observe::{Launch, Observer, Rung};

#[path = "../tests/observe/hangs.rs"]
mod hangs;
#[path = "../tests/observe/programs.rs"]
mod programs;

use programs::Programs;

/// What is asked for on the command line.
#[derive(Debug)]
struct Wanted {
    runs: usize,
    waiting: usize,
    load: usize,
    jobs: usize,
    name: String,
}

impl Wanted {
    fn read() -> Wanted {
        let mut wanted = Wanted { runs: 50, waiting: 10_000, load: 2, jobs: 8, name: String::new() };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let number = match word.as_str() {
                "--runs" => &mut wanted.runs,
                "--waiting" => &mut wanted.waiting,
                "--load" => &mut wanted.load,
                "--jobs" => &mut wanted.jobs,
                _ => {
                    wanted.name = word;
                    continue;
                }
            };
            *number = words.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word} takes a number"));
        }
        wanted
    }
}

/// Traced in the best box, from /proc alone, traced without namespaces: one run after the other.
fn way(n: usize, namespaces: bool) -> (bool, Option<Rung>) {
    match n % 3 {
        0 => (true, None),
        1 => (false, None),
        _ => (true, Some(Rung::K).filter(|_| !namespaces)),
    }
}

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let wanted = Wanted::read();
    let observer = Observer::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..wanted.load {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop()
                }
            });
        }
        let wrong = hanging(&observer, &wanted) + waiting(&observer, &wanted);
        over.store(true, Ordering::Relaxed);
        ExitCode::from(u8::from(wrong > 0))
    })
}

/// Does each of these jobs once, several at a time.
fn each<J: Sync>(jobs: &[J], at_a_time: usize, act: impl Fn(&J) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(job);
                }
            });
        }
    });
}

/// How many runs were not explained as they should be.
fn hanging(observer: &Observer, wanted: &Wanted) -> usize {
    let programs = Programs::compile(&programs::root().join("fixtures/hangs"));
    let wanted_here = |name: &&String| name.contains(&wanted.name) && programs.can_run(name);
    let names: Vec<&String> = programs.names.iter().filter(wanted_here).collect();
    let jobs: Vec<(usize, &String)> = (0..wanted.runs).flat_map(|n| names.iter().map(move |name| (n, *name))).collect();
    let wrong = AtomicUsize::new(0);
    let called: Mutex<Vec<Duration>> = Mutex::default();
    let begin = Instant::now();
    each(&jobs, wanted.jobs, |(n, name)| {
        let expected = hangs::Expected::read(&programs, name);
        let (trace, rung) = way(*n, programs.needs_namespaces(name));
        let launch = Launch { rung, ..expected.launch(&programs, trace) };
        let outcome = observer.run(&launch).map_err(|e| e.to_string()).and_then(|seen| {
            called.lock().expect("no panic").extend(hangs::latency(&seen));
            if trace { expected.check(&seen) } else { expected.check_untraced(&seen) }
        });
        if let Err(text) = outcome {
            wrong.fetch_add(1, Ordering::Relaxed);
            println!("run {n} of {name}, traced: {trace}, rung: {rung:?}: {text}");
        }
    });
    let wrong = wrong.into_inner();
    println!("{} hanging programs, {} runs in {:.0?}: {wrong} wrong", names.len(), jobs.len(), begin.elapsed());
    let mut all = called.into_inner().expect("no panic");
    all.sort();
    if let Some(longest) = all.last() {
        let part = |percent: usize| all[(all.len() - 1) * percent / 100];
        let late = all.iter().filter(|took| **took > hangs::PROMPT).count();
        println!(
            "called after the last wait began: median {:?}, 99 of 100 within {:?}, longest {longest:?}; {late} of {} late",
            part(50),
            part(99),
            all.len()
        );
    }
    wrong
}

/// How many runs did not end by themselves.
fn waiting(observer: &Observer, wanted: &Wanted) -> usize {
    let programs = Programs::compile(&programs::root().join("fixtures/waiting"));
    let wanted_here = |name: &&String| name.contains(&wanted.name) && programs.can_run(name);
    let names: Vec<&String> = programs.names.iter().filter(wanted_here).collect();
    let jobs: Vec<(usize, &String)> = (0..)
        .flat_map(|n| names.iter().map(move |name| (n, *name)))
        .take(wanted.waiting * names.len().min(1))
        .collect();
    let wrong = AtomicUsize::new(0);
    let begin = Instant::now();
    each(&jobs, wanted.jobs, |(n, name)| {
        let (trace, rung) = way(*n, programs.needs_namespaces(name));
        let mut launch = Launch { rung, ..hangs::waiting(&programs, name) };
        launch.watch.trace = trace;
        let outcome = observer.run(&launch).map_err(|e| e.to_string());
        if let Err(text) = outcome.and_then(|seen| hangs::check_waiting(name, &seen)) {
            wrong.fetch_add(1, Ordering::Relaxed);
            println!("run {n} of {name}, traced: {trace}, rung: {rung:?}: {text}");
        }
    });
    let wrong = wrong.into_inner();
    println!("{} waiting programs, {} runs in {:.0?}: {wrong} wrong", names.len(), jobs.len(), begin.elapsed());
    wrong
}
