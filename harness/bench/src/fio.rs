//! The check against fio: the same file, cached, the same calls of the same
//! size, turn by turn, and each time the bytes a second over ours.
//!
//! fio's engines do not look at the bytes, so neither do the twins here: what
//! is compared is the cost of moving them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cache;
use crate::error::BenchError;
use crate::format::{nanoseconds, significant};
use crate::memory::{Buffer, Mapping, page_size};
use crate::statistics::{Estimate, FEWEST, Random, estimate};
use crate::strategy::scan::pread_some;
use crate::strategy::{Fault, Task, call, uring};
use crate::subject::{Subject, digest_of};

/// Rounds of each engine and block size.
const ROUNDS: usize = 9;

/// fio tells its time in whole milliseconds, the rest cut off, so a run must
/// have many.
const RUN_NS: f64 = 3e8;

/// Reads in flight for io_uring.
const DEPTH: usize = 8;

/// What is run of fio, and of the twin.
const JOBS: [(Engine, usize); 6] = [
    (Engine::Psync, 4 << 10),
    (Engine::Psync, 64 << 10),
    (Engine::Psync, 256 << 10),
    (Engine::Psync, 1 << 20),
    (Engine::Mmap, 64 << 10),
    (Engine::Uring, 64 << 10),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Psync,
    Mmap,
    Uring,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Psync => "psync",
            Self::Mmap => "mmap",
            Self::Uring => "io_uring",
        }
    }

    /// What a reader must know of the engine before comparing it with anything.
    fn known(self) -> &'static str {
        match self {
            Self::Psync => "its psync never looks at the bytes",
            Self::Mmap => "its mmap copies out of a mapping that it makes anew each pass",
            Self::Uring => "its io_uring keeps books on every request",
        }
    }
}

/// fio and the twin, at one engine and block size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FioCheck {
    /// fio's name of its engine.
    pub engine: String,
    /// Bytes of one request.
    pub block_bytes: u64,
    /// What fio read, in bytes a second.
    pub fio: Estimate,
    /// What the twin read.
    pub ours: Estimate,
    /// Our speed over fio's, paired by round: 1 is agreement.
    pub ratio: Estimate,
    /// Rounds that have both.
    pub pairs: usize,
    /// Where they part, and why; that they agree, otherwise.
    pub why: String,
}

impl FioCheck {
    /// Whether the whole interval of the ratio lies within a tenth of 1.
    pub fn agrees(&self) -> bool {
        self.pairs >= FEWEST && self.ratio.low >= 0.9 && self.ratio.high <= 1.1
    }
}

/// Why there is no check.
#[derive(Debug)]
pub enum NoCheck {
    /// A sentence for the report's notes.
    Note(String),
    /// What ends the whole comparison.
    Broken(BenchError),
}

impl From<BenchError> for NoCheck {
    fn from(error: BenchError) -> Self {
        Self::Broken(error)
    }
}

/// Runs `program`, which is fio, against the twins on a file that is cached.
///
/// # Errors
/// [`NoCheck`]: fio is not there, says something else than expected, or the
/// file cannot be kept in the cache.
pub fn check(
    program: &Path,
    subject: &Subject,
    seed: u64,
    interrupted: &AtomicBool,
    on: &mut dyn FnMut(&str),
) -> Result<Vec<FioCheck>, NoCheck> {
    let task = Task { path: subject.path(), size: subject.size(), target: subject.path(), offsets: &[], interrupted };
    let mut random = Random::new(seed);
    let mut checks = Vec::new();
    for (engine, block) in JOBS {
        on(&format!("check with fio, {} {} KiB", engine.name(), block >> 10));
        let once = match twin(engine, &task, block, 1) {
            Ok(ns) => ns,
            Err(Fault::Unsupported(_)) => continue,
            Err(fault) => return Err(NoCheck::Note(format!("the check with fio stopped: {fault:?}"))),
        };
        let loops = (RUN_NS / once).ceil().clamp(1.0, 1000.0) as usize;
        let (mut fio, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(checks);
            }
            let mut turns = [true, false];
            random.shuffle(&mut turns);
            for is_fio in turns {
                warm(subject, interrupted)?;
                let bytes = subject.size() as f64 * loops as f64;
                if is_fio {
                    fio.push(run(program, engine, subject, block, loops)?);
                } else {
                    let ns = twin(engine, &task, block, loops)
                        .map_err(|fault| NoCheck::Note(format!("the check with fio stopped: {fault:?}")))?;
                    ours.push(bytes / ns * 1e9);
                }
            }
        }
        subject.ensure_unchanged()?;
        checks.push(verdict(engine, block, &fio, &ours, seed));
    }
    Ok(checks)
}

fn verdict(engine: Engine, block: usize, fio: &[f64], ours: &[f64], seed: u64) -> FioCheck {
    let ratios: Vec<f64> = ours.iter().zip(fio).map(|(ours, fio)| ours / fio).collect();
    let mut check = FioCheck {
        engine: engine.name().to_owned(),
        block_bytes: block as u64,
        fio: estimate(fio, seed),
        ours: estimate(ours, seed),
        ratio: estimate(&ratios, seed),
        pairs: ratios.len(),
        why: String::new(),
    };
    let each = |speed: &Estimate| block as f64 / speed.median * 1e9;
    let more = each(&check.fio) - each(&check.ours);
    check.why = if check.agrees() {
        "agrees within 10 %".to_owned()
    } else if check.ratio.low <= 1.0 && check.ratio.high >= 1.0 {
        "undecided: the interval is wider than 10 % and holds 1".to_owned()
    } else if more > 0.0 {
        format!("fio takes {} more for each request; {}", nanoseconds(more), engine.known())
    } else {
        format!("fio takes {} less for each request; {}", nanoseconds(-more), engine.known())
    };
    check
}

fn warm(subject: &Subject, interrupted: &AtomicBool) -> Result<(), NoCheck> {
    let whole = || {
        cache::residency(subject.file(), subject.size())
            .map(|residency| residency.is_warm())
            .map_err(|e| BenchError::io("ask what is cached of", subject.shown(), e))
    };
    if !whole()? {
        digest_of(subject.path(), interrupted)?;
        if !whole()? {
            return Err(NoCheck::Note("not checked with fio: the file does not stay cached".to_owned()));
        }
    }
    Ok(())
}

/// What fio reads in a second, by its own account.
fn run(program: &Path, engine: Engine, subject: &Subject, block: usize, loops: usize) -> Result<f64, NoCheck> {
    let mut command = Command::new(program);
    command
        .args(["--name=check", "--rw=read", "--readonly", "--invalidate=0", "--gtod_reduce=1", "--thread"])
        .args(["--output-format=json"])
        // Left to itself fio begins large buffers 16 bytes into a page, for which
        // the kernel's copy takes twice as long on some processors.
        .arg(format!("--iomem_align={}", page_size()))
        .arg(format!("--ioengine={}", engine.name()))
        .arg(format!("--bs={block}"))
        .arg(format!("--size={}", subject.size()))
        .arg(format!("--loops={loops}"))
        .arg(format!("--iodepth={}", if engine == Engine::Uring { DEPTH } else { 1 }))
        // A colon would be read as a list of files.
        .arg(format!("--filename={}", subject.path().display().to_string().replace(':', "\\:")))
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command.output().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => NoCheck::Note("not checked with fio: it is not installed".to_owned()),
        _ => NoCheck::Note(format!("not checked with fio: {}: {e}", program.display())),
    })?;
    speed(&output.stdout).ok_or_else(|| {
        NoCheck::Note(format!("not checked with fio: it ended with {} and no figure of its reads", output.status))
    })
}

/// Bytes a second of the first job in fio's JSON.
fn speed(json: &[u8]) -> Option<f64> {
    // Warnings of fio's may come before the JSON.
    let start = json.iter().position(|byte| *byte == b'{')?;
    let value: serde_json::Value = serde_json::from_slice(&json[start..]).ok()?;
    let job = value.get("jobs")?.get(0)?;
    if job.get("error")?.as_i64()? != 0 {
        return None;
    }
    let read = job.get("read")?;
    let (bytes, milliseconds) = (read.get("io_bytes")?.as_f64()?, read.get("runtime")?.as_f64()?);
    (bytes > 0.0 && milliseconds > 0.0).then(|| bytes / milliseconds * 1e3)
}

/// The nanoseconds of the same calls by ourselves. As fio does, each pass opens
/// and maps the file anew.
fn twin(engine: Engine, task: &Task<'_>, block: usize, loops: usize) -> Result<f64, Fault> {
    let mut buffer = Buffer::new(block).map_err(call("mmap a buffer"))?;
    let mut ns = 0.0;
    for _ in 0..loops {
        task.go_on()?;
        match engine {
            Engine::Psync => {
                let clock = Instant::now();
                let file = task.open()?;
                let (mut offset, mut calls) = (0, 0);
                while offset < task.size {
                    match pread_some(&file, buffer.bytes(), offset, &mut calls)? {
                        0 => return Err(Fault::Short),
                        n => offset += n as u64,
                    }
                }
                ns += clock.elapsed().as_nanos() as f64;
            }
            Engine::Mmap => {
                let clock = Instant::now();
                let file = task.open()?;
                let mapping = Mapping::file(&file, 0, task.size as usize, libc::PROT_READ, libc::MAP_SHARED)
                    .map_err(call("mmap"))?;
                for start in (0..mapping.len()).step_by(block) {
                    let part = block.min(mapping.len() - start);
                    // SAFETY: inside the live mapping; the buffer has a block of its own.
                    unsafe {
                        std::ptr::copy_nonoverlapping(mapping.address().add(start), buffer.bytes().as_mut_ptr(), part);
                    }
                    std::hint::black_box(buffer.bytes());
                }
                drop(mapping);
                ns += clock.elapsed().as_nanos() as f64;
            }
            Engine::Uring => {
                let run = uring::unseen(*task, block, DEPTH)?;
                let clock = Instant::now();
                run()?;
                ns += clock.elapsed().as_nanos() as f64;
            }
        }
    }
    Ok(ns)
}

/// The checks as lines of text, at most 80 columns.
pub fn lines(checks: &[FioCheck]) -> Vec<String> {
    let gib = |speed: f64| significant(speed / (1u64 << 30) as f64);
    checks
        .iter()
        .flat_map(|check| {
            let name = format!("{} {} KiB", check.engine, check.block_bytes >> 10);
            let r = &check.ratio;
            [
                format!(
                    "  {name:<18} fio {:>6} GiB/s  ours {:>6} GiB/s  ours/fio {:.2} [{:.2}\u{2013}{:.2}]",
                    gib(check.fio.median),
                    gib(check.ours.median),
                    r.median,
                    r.low,
                    r.high
                ),
                format!("    {}", check.why),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fios_figure_is_bytes_over_its_own_milliseconds() {
        let json = br#"note: something
            {"jobs": [{"error": 0, "read": {"io_bytes": 2000, "runtime": 4}}]}"#;
        assert_eq!(speed(json), Some(500_000.0));
        assert_eq!(speed(br#"{"jobs": [{"error": 5, "read": {"io_bytes": 2000, "runtime": 4}}]}"#), None);
        assert_eq!(speed(br#"{"jobs": [{"error": 0, "read": {"io_bytes": 0, "runtime": 0}}]}"#), None);
        assert_eq!(speed(b"fio: no such engine"), None);
    }

    #[test]
    fn agreement_needs_the_whole_interval_and_parting_has_its_cost() {
        let ours = [10e9; 9];
        assert!(verdict(Engine::Psync, 65536, &[9.8e9; 9], &ours, 1).agrees());
        let parted = verdict(Engine::Psync, 4096, &[5e9; 9], &ours, 1);
        assert!(!parted.agrees() && parted.why.contains("410 ns more"), "{}", parted.why);
        assert!(!verdict(Engine::Psync, 65536, &[10e9; 3], &ours[..3], 1).agrees(), "three pairs decide nothing");
    }
}
