//! What observing costs: each way of running a program against the bare run, in alternating pairs.
//!
//! `cargo bench -p observe --bench overhead [-- PAIRS]`

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use observe::{Ending, Exit, Launch, Observer};

/// Names by which this executable does the work that is observed.
const COPY: &str = "--copy";
const FORK: &str = "--fork";

/// One-byte reads, and as many writes.
const TRANSFERS: usize = 500_000;
/// The same where each is asked about.
const ASKED: usize = 25_000;
const CHILDREN: usize = 500;
/// Events whose source lines are found.
const EVENTS: usize = 20_000;

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some(COPY) => copy(arguments[1].parse().expect("a count")),
        Some(FORK) => fork(),
        pairs => {
            let pairs = pairs.map_or(11, |text| text.parse().expect("how many pairs of runs"));
            return compare(pairs);
        }
    }
    ExitCode::SUCCESS
}

/// Reads a byte and writes it, over and over.
fn copy(count: usize) {
    let zero = std::fs::File::open("/dev/zero").expect("/dev/zero");
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("/dev/null");
    let mut byte = [0_u8];
    for _ in 0..count {
        nix::unistd::read(&zero, &mut byte).expect("a byte");
        nix::unistd::write(&null, &byte).expect("room");
    }
}

/// Children that each send a byte over a pipe of their own.
fn fork() {
    for _ in 0..CHILDREN {
        let (input, output) = nix::unistd::pipe().expect("a pipe");
        // SAFETY: the program has one thread.
        match unsafe { nix::unistd::fork() }.expect("a child") {
            nix::unistd::ForkResult::Child => {
                drop(input);
                nix::unistd::write(&output, b"x").expect("room");
                // SAFETY: nothing is left to be done.
                unsafe { libc::_exit(0) };
            }
            nix::unistd::ForkResult::Parent { child } => {
                drop(output);
                nix::unistd::read(&input, &mut [0]).expect("a byte");
                nix::sys::wait::waitpid(child, None).expect("its end");
            }
        }
    }
}

/// A program, run by itself.
fn bare(arguments: &[&str]) -> Cost {
    timed(Command::new("/proc/self/exe").args(arguments))
}

/// The same under strace, which writes what it is asked about to a file.
fn straced(calls: &str, arguments: &[&str]) -> Cost {
    let own = std::env::current_exe().expect("this executable");
    let file = std::env::temp_dir().join(format!("overhead.{}", std::process::id()));
    let took = timed(
        Command::new("strace")
            .args(["-f", "--seccomp-bpf", "-e", &format!("trace={calls}"), "-o"])
            .arg(&file)
            .arg(own)
            .args(arguments),
    );
    std::fs::remove_file(&file).expect("strace has written");
    took
}

fn timed(command: &mut Command) -> Cost {
    Cost::of(|| {
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("it runs");
        assert!(status.success());
    })
}

/// Seconds by the clock, and of processor time in all processes.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl Cost {
    fn of(act: impl FnOnce()) -> Cost {
        let (begin, before) = (Instant::now(), used());
        act();
        Cost { wall: begin.elapsed().as_secs_f64(), cpu: used() - before }
    }
}

/// Processor time of all processes that have ended and were waited for.
fn used() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("own usage");
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// The same observed, from asking for the launch to having what was seen.
fn observed(arguments: &[&str], ask: impl Fn(&mut Launch)) -> Cost {
    let mut launch = Launch::new(std::env::current_exe().expect("this executable"));
    launch.args = arguments.iter().map(Into::into).collect();
    launch.limits.processes = 2 * CHILDREN as u64;
    launch.deadline = Duration::from_secs(120);
    launch.watch.sources = false;
    launch.watch.transfers = false;
    ask(&mut launch);
    Cost::of(|| {
        // A supervisor of its own: when it has ended, its processor time can be known.
        let seen = Observer::new().run(&launch).expect("a launch");
        assert_eq!(seen.ending, Ending::Ended(Exit::Code(0)));
    })
}

/// The median of some figures, and the half in the middle.
fn middle(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[figures.len() / 4], figures[figures.len() / 2], figures[figures.len() * 3 / 4]]
}

/// Alternating pairs, after one that is not counted: a figure from each by the clock, and by processor time.
fn pairs(
    count: usize,
    mut one: impl FnMut() -> Cost,
    mut other: impl FnMut() -> Cost,
    figure: impl Fn(f64, f64) -> f64,
) -> [[f64; 3]; 2] {
    let costs: Vec<(Cost, Cost)> = (0..=count)
        .map(|n| {
            // Each of the two is the first one in half of the pairs.
            if n % 2 == 0 {
                let a = one();
                (a, other())
            } else {
                let b = other();
                (one(), b)
            }
        })
        .skip(1)
        .collect();
    [
        middle(costs.iter().map(|(a, b)| figure(a.wall, b.wall)).collect()),
        middle(costs.iter().map(|(a, b)| figure(a.cpu, b.cpu)).collect()),
    ]
}

fn compare(count: usize) -> ExitCode {
    let mut met = true;
    let mut report = |what: &str, [wall, cpu]: [[f64; 3]; 2], target: &str, good: &dyn Fn(f64) -> bool| {
        met &= good(wall[1]);
        let verdict = if good(wall[1]) { "met" } else { "missed" };
        let shown = |[low, middle, high]: [f64; 3]| format!("{middle:.3} ({low:.3} to {high:.3})");
        println!("{what}: {}, by processor time {}; {target}: {verdict}", shown(wall), shown(cpu));
    };
    let ratio = |a: f64, b: f64| a / b;
    println!("The median, and the half in the middle, of {count} alternating pairs.");

    let whole = [COPY, &TRANSFERS.to_string()];
    let r = pairs(count, || observed(&whole, |_| {}), || bare(&whole), ratio);
    report("a million reads and writes, not asked about: to bare", r, "at most 1.15", &|r| r <= 1.15);

    // Without a box: what keeps a program in costs the same whether or not anybody looks.
    let looked_at = |l: &mut Launch| (l.watch.trace, l.here) = (false, true);
    let r = pairs(count, || observed(&whole, looked_at), || bare(&whole), ratio);
    report("the same, watched through /proc alone: to bare", r, "at most 1.05", &|r| r <= 1.05);

    let forks = [FORK];
    let r = pairs(count, || observed(&forks, |_| {}), || bare(&forks), ratio);
    report("500 children over pipes: to bare", r, "at most 2.0", &|r| r <= 2.0);

    let asked = [COPY, &ASKED.to_string()];
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok() {
        let ours = || observed(&asked, |l| l.watch.transfers = true);
        let r = pairs(count, || straced("read,write", &asked), ours, ratio);
        report("50,000 reads and writes, asked about: strace's time to ours", r, "at least 2", &|r| r >= 2.0);
    } else {
        println!("strace is not installed (`apt install strace`): not compared with it");
    }

    let lines = [COPY, &(EVENTS / 2).to_string()];
    let with = |sources: bool| {
        observed(&lines, |l| {
            l.watch.transfers = true;
            l.watch.sources = sources;
        })
    };
    let each = |with: f64, without: f64| (with - without) / EVENTS as f64 * 1e6;
    let r = pairs(count, || with(true), || with(false), each);
    report("the source line of an event, in microseconds", r, "at most 5", &|r| r <= 5.0);
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
