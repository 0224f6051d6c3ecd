//! What a process has in memory, and how much of that is its own share.
//!
//! usage: process_map PID
//!
//! Adds up, from /proc/PID/smaps, the memory of the executable's regions, of the
//! libraries', of the heap and of the stack, and of the C library once more by
//! itself: what is resident (RSS), and the same with each page divided by the number
//! of processes that have it (PSS).
//!
//! See proc_pid_smaps(5), proc_pid_exe(5).

use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::AddAssign;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt, fs};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [pid] = arguments.as_slice() else {
        return usage();
    };
    let Some(pid) = pid.to_str().and_then(|word| word.parse().ok()) else {
        return usage();
    };
    match run(pid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(pid: u32) -> Result<(), String> {
    let regions = regions(pid)?;
    let link = format!("/proc/{pid}/exe");
    let executable = fs::read_link(&link).map_err(failed(format!("readlink {link}")))?;
    let sum = |chosen: &dyn Fn(&Path) -> bool| {
        let mut sum = Kib::default();
        regions.iter().filter(|region| chosen(Path::new(&region.name))).for_each(|region| sum += region.memory);
        sum
    };
    let is_library = |name: &Path| name != executable && file_name(name).contains(".so");
    let lines = [
        format!("executable: {}\n", sum(&|name| name == executable)),
        format!("libraries: {}\n", sum(&is_library)),
        format!("heap: {}\n", sum(&|name| name == Path::new("[heap]"))),
        format!("stack: {}\n", sum(&|name| name == Path::new("[stack]"))),
        format!("libc: {}\n", sum(&|name| file_name(name).starts_with("libc.so"))),
    ];
    print(lines.concat().as_bytes())
}

/// A region of an address space.
struct Region {
    /// The file's path, a name in brackets, or nothing.
    name: String,
    memory: Kib,
}

/// Memory in KiB.
#[derive(Clone, Copy, Default)]
struct Kib {
    rss: u64,
    pss: u64,
}

impl AddAssign for Kib {
    fn add_assign(&mut self, other: Kib) {
        self.rss += other.rss;
        self.pss += other.pss;
    }
}

impl fmt::Display for Kib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rss {} pss {}", self.rss, self.pss)
    }
}

fn regions(pid: u32) -> Result<Vec<Region>, String> {
    let path = format!("/proc/{pid}/smaps");
    let text = fs::read_to_string(&path).map_err(failed(format!("open {path}")))?;
    let mut regions: Vec<Region> = Vec::new();
    for line in text.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !key.ends_with(':') {
            // A region's first line: addresses, permissions, offset, device, inode, name.
            let name = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start().to_owned();
            regions.push(Region { name, memory: Kib::default() });
        } else if let Some(region) = regions.last_mut() {
            let kib = || rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or_default();
            match key {
                "Rss:" => region.memory.rss = kib(),
                "Pss:" => region.memory.pss = kib(),
                _ => {}
            }
        }
    }
    Ok(regions)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn print(bytes: &[u8]) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

fn usage() -> ExitCode {
    complain("usage: process_map PID");
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
