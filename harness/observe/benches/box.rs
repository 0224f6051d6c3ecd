//! What a box costs: a launch from call to answer, and from its program's end (or its killing) until nothing is left.
//!
//! `cargo bench -p observe --bench box [-- LAUNCHES]`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use observe::{Launch, Observer, Rung};

const LAUNCHES: usize = 300;

fn main() {
    observe::supervise_if_asked();
    let launches = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(LAUNCHES);
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("box");
    std::fs::create_dir_all(&place).expect("a directory for the programs");
    let nothing = compile(&place, "nothing", "fn main() {}");
    let hog = "fn main() { let m = vec![1_u8; 64 << 20]; std::hint::black_box(&m); loop { std::thread::park(); } }";
    let hog = compile(&place, "hog", hog);
    let plain = sorted((0..launches).map(|_| timed(|| drop(std::process::Command::new(&nothing).status()))));
    println!("fork, exec and wait without a box: {}", figures(&plain));
    for report in observe::probe() {
        if report.available {
            costs(report.rung, &nothing, &hog, launches);
        } else {
            println!("rung {}: {}", report.rung, report.why);
        }
    }
}

fn costs(rung: Rung, nothing: &Path, hog: &Path, launches: usize) {
    let observer = Observer::new();
    let run = |program: &Path, trace: bool, deadline: Duration| {
        let mut launch = Launch::new(program);
        launch.rung = Some(rung);
        launch.watch.trace = trace;
        launch.watch.early_hang = false;
        launch.deadline = deadline;
        let begin = Instant::now();
        let seen = observer.run(&launch).expect("the box can be made");
        (begin.elapsed(), seen.wall)
    };
    let long = Duration::from_secs(10);
    for (how, trace) in [("untraced", false), ("traced", true)] {
        if trace && rung == Rung::L {
            continue;
        }
        let all: Vec<(Duration, Duration)> = (0..launches).map(|_| run(nothing, trace, long)).collect();
        println!("rung {rung}, {how}: whole launch {}", figures(&sorted(all.iter().map(|(whole, _)| *whole))));
        let around = sorted(all.iter().map(|(whole, wall)| whole.saturating_sub(*wall)));
        println!("rung {rung}, {how}: set-up and tear-down {}", figures(&around));
    }
    let deadline = Duration::from_millis(60);
    let killed = sorted((0..launches / 3).map(|_| run(hog, false, deadline).0.saturating_sub(deadline)));
    println!("rung {rung}: a program of 64 MiB, killed: set-up, kill and tear-down {}", figures(&killed));
}

fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times
}

fn figures(times: &[Duration]) -> String {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!("median {:.2} ms, least {:.2} ms, p99 {:.2} ms", at(0.5), at(0.0), at(0.99))
}

fn compile(place: &Path, name: &str, code: &str) -> PathBuf {
    let (source, program) = (place.join(format!("{name}.rs")), place.join(name));
    std::fs::write(&source, code).expect("the program's source can be written");
    let status = std::process::Command::new("rustc").args(["-O", "-o"]).arg(&program).arg(&source).status();
    assert!(status.expect("rustc can be run").success(), "{name} does not compile");
    program
}
