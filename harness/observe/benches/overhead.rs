//! What observing costs: each way of running a program against the bare run, in alternating pairs. Where the kernel
//! itself takes most of it, what it takes from anybody stands beside it: the floor.
//!
//! `cargo bench -p observe --bench overhead [-- PAIRS]`

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeVal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use observe::{Ending, Exit, Launch, Observer};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// Names by which this executable does the work that is observed.
const COPY: &str = "--copy";
const FORK: &str = "--fork";
/// The floors: the same under a filter that lets everything pass, and under a tracer that only stops and goes on.
const FILTER: &str = "--filter";
const STOP: &str = "--stop";

/// Reads, and as many writes, …
const TRANSFERS: usize = 500_000;
/// … of a byte, in which a call is nearly all of the time, or of what programs that have much to move take.
const SIZES: [(&str, usize); 2] = [("a byte", 1), ("4 KiB", 4096)];
/// So many times as many, so that a launch hardly counts beside them.
const LONG: usize = 5;
/// The same where each is asked about.
const ASKED: usize = 25_000;
const CHILDREN: usize = 500;
/// Events whose source lines are found.
const EVENTS: usize = 20_000;

fn main() -> ExitCode {
    observe::supervise_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some(COPY) => {
            copy(arguments[1].parse().expect("a count"), arguments.get(2).map_or(1, |n| n.parse().expect("bytes")))
        }
        Some(FORK) => fork(),
        Some(FILTER) => return filtered(&arguments[1..]),
        Some(STOP) => stopped(&arguments[1..]),
        pairs => {
            let pairs = pairs.map_or(11, |text| text.parse().expect("how many pairs of runs"));
            return compare(pairs);
        }
    }
    ExitCode::SUCCESS
}

/// Reads so many bytes and writes them, over and over.
fn copy(count: usize, size: usize) {
    let zero = std::fs::File::open("/dev/zero").expect("/dev/zero");
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("/dev/null");
    let mut bytes = vec![0_u8; size];
    for _ in 0..count {
        nix::unistd::read(&zero, &mut bytes).expect("bytes");
        nix::unistd::write(&null, &bytes).expect("room");
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

/// A filter in which nothing but these calls does this.
fn filter(calls: &[libc::c_long], action: SeccompAction) -> BpfProgram {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64);
    filter.and_then(BpfProgram::try_from).expect("a filter")
}

/// Becomes the copying program under a filter by which no call of it ever stops.
fn filtered(arguments: &[String]) -> ExitCode {
    let filter = filter(&[libc::SYS_swapon], SeccompAction::Errno(libc::EPERM as u32));
    apply_filter(&filter).expect("a filter in place");
    let error = Command::new("/proc/self/exe").arg(COPY).args(arguments).exec();
    panic!("{error}");
}

/// Traces a program's transfers, or its children with their pipes, by the fewest stops and questions that tell each call
/// and its result.
fn stopped(arguments: &[String]) {
    let calls: &[libc::c_long] = match arguments[0].as_str() {
        COPY => &[libc::SYS_read, libc::SYS_write],
        _ => &[libc::SYS_pipe2, libc::SYS_clone, libc::SYS_close, libc::SYS_wait4, libc::SYS_exit_group],
    };
    let filter = filter(calls, SeccompAction::Trace(0));
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments);
    let prepare = move || {
        ptrace::traceme()?;
        apply_filter(&filter).map_err(|_| io::ErrorKind::PermissionDenied.into())
    };
    // SAFETY: between fork and exec it makes system calls alone.
    unsafe { command.pre_exec(prepare) };
    let program = Pid::from_raw(command.spawn().expect("a program").id().cast_signed());
    waitpid(program, None).expect("its exec");
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACESECCOMP
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK;
    ptrace::setoptions(program, options).expect("options");
    ptrace::cont(program, None).expect("it goes on");
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)).expect("a stop") {
            WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_SECCOMP) => {
                // The births and ends are reported, and to close a pipe does not fail.
                match call_information(pid).expect("a call") {
                    libc::SYS_clone | libc::SYS_close | libc::SYS_exit_group => ptrace::cont(pid, None),
                    _ => ptrace::syscall(pid, None),
                }
                .expect("it goes on");
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                ptrace::getevent(pid).expect("a child");
                ptrace::cont(pid, None).expect("it goes on");
            }
            WaitStatus::PtraceSyscall(pid) => {
                call_information(pid).expect("a result");
                ptrace::cont(pid, None).expect("it goes on");
            }
            WaitStatus::Stopped(pid, signal) => {
                // A child begins with a stop that is no signal of the program's.
                let signal = Some(signal).filter(|signal| *signal != Signal::SIGSTOP);
                ptrace::cont(pid, signal).expect("it goes on");
            }
            WaitStatus::Exited(pid, 0) if pid == program => break,
            WaitStatus::Exited(_, 0) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What a thread has stopped at: the number of a call, at its entry.
fn call_information(pid: Pid) -> nix::Result<libc::c_long> {
    // SAFETY: all zeros is a valid value.
    let mut information: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let (len, into) = (size_of_val(&information), std::ptr::from_mut(&mut information));
    // SAFETY: the kernel writes at most as many bytes as it is told there are.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid.as_raw(), len, into) })?;
    // SAFETY: the number of a call lies at the same place for both kinds of entry, and any bytes are a number.
    Ok(unsafe { information.u.entry.nr } as libc::c_long)
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

/// The same observed, from asking for the launch to having what was seen; by a supervisor that has run one before, as for
/// every launch of a harness but the first.
fn observed(arguments: &[&str], ask: impl Fn(&mut Launch)) -> Cost {
    let mut launch = Launch::new(std::env::current_exe().expect("this executable"));
    launch.args = arguments.iter().map(Into::into).collect();
    launch.limits.processes = 2 * CHILDREN as u64;
    launch.deadline = Duration::from_secs(120);
    launch.watch.sources = false;
    launch.watch.transfers = false;
    ask(&mut launch);
    let run = |observer: &Observer, launch: &Launch| {
        let seen = observer.run(launch).expect("a launch");
        assert_eq!(seen.ending, Ending::Ended(Exit::Code(0)));
    };
    let mut first = launch.clone();
    first.args = [COPY, "0"].map(Into::into).into();
    let mut wall = 0.0;
    let whole = Cost::of(|| {
        // A supervisor of its own: when it has ended, its processor time can be known, with its beginning and its first
        // launch.
        let observer = Observer::new();
        run(&observer, &first);
        let begin = Instant::now();
        run(&observer, &launch);
        wall = begin.elapsed().as_secs_f64();
    });
    Cost { wall, ..whole }
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
    let shown = |[low, middle, high]: [f64; 3]| format!("{middle:.3} ({low:.3} to {high:.3})");
    let told = |what: &str, [wall, cpu]: [[f64; 3]; 2]| {
        println!("{what}: {}, by processor time {}", shown(wall), shown(cpu));
    };
    let mut report = |what: &str, figures: [[f64; 3]; 2], target: &str, good: &dyn Fn(f64) -> bool| {
        let reached = good(figures[0][1]);
        met &= reached;
        told(what, figures);
        println!("    {target}: {}", if reached { "met" } else { "missed" });
    };
    let ratio = |a: f64, b: f64| a / b;
    println!("The median, and the half in the middle, of {count} alternating pairs.");

    let transfers = TRANSFERS.to_string();
    for (name, size) in SIZES {
        let whole = [COPY, &transfers, &size.to_string()];
        let r = pairs(count, || observed(&whole, |_| {}), || bare(&whole), ratio);
        let what = format!("a million reads and writes of {name}, not asked about: to bare");
        report(&what, r, "at most 1.15", &|r| r <= 1.15);
        let r = pairs(count, || bare(&[FILTER, whole[1], whole[2]]), || bare(&whole), ratio);
        told("    floor: a filter that lets everything pass, without a tracer: to bare", r);
        let long = [COPY, &(LONG * TRANSFERS).to_string(), whole[2]];
        let r = pairs(count, || observed(&long, |_| {}), || bare(&[FILTER, long[1], long[2]]), ratio);
        let what = format!("{LONG} million of them, not asked about: to the floor");
        report(&what, r, "at most 1.02, what 1.15 leaves to a filter that costs 1.13", &|r| r <= 1.02);
    }
    let whole = [COPY, &transfers];

    // Without a box: what keeps a program in costs the same whether or not anybody looks.
    let looked_at = |l: &mut Launch| (l.watch.trace, l.here) = (false, true);
    let r = pairs(count, || observed(&whole, looked_at), || bare(&whole), ratio);
    report("those of a byte, watched through /proc alone: to bare", r, "at most 1.05", &|r| r <= 1.05);

    let forks = [FORK];
    let r = pairs(count, || observed(&forks, |l| l.turns = true), || bare(&forks), ratio);
    report("500 children over pipes, as `trace` runs them: to bare", r, "at most 2.0", &|r| r <= 2.0);
    let r = pairs(count, || observed(&forks, |_| {}), || bare(&forks), ratio);
    told("    as gradings run them, which do not take turns on one processor: to bare", r);
    let r = pairs(count, || bare(&[STOP, FORK]), || bare(&forks), ratio);
    told("    floor: a tracer that only stops and goes on: to bare", r);

    let asked = [COPY, &ASKED.to_string()];
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok() {
        let ours = || observed(&asked, |l| l.watch.transfers = true);
        let r = pairs(count, || straced("read,write", &asked), ours, ratio);
        report("50,000 reads and writes, asked about: strace's time to ours", r, "at least 2", &|r| r >= 2.0);
        let least = || bare(&[STOP, COPY, asked[1]]);
        let r = pairs(count, || straced("read,write", &asked), least, ratio);
        told("    floor: strace's time to that of a tracer that only stops and goes on", r);
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
