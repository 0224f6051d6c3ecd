//! The machine that a report was made on, in a few facts.

use serde::{Deserialize, Serialize};

/// What a reader of a report must know of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// `Linux 6.18.0`.
    pub kernel: String,
    /// `x86_64`.
    pub architecture: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Bytes of main memory.
    pub memory_bytes: u64,
    /// Effective user 0.
    pub root: bool,
}

impl Machine {
    /// This machine.
    pub fn here() -> Machine {
        let kernel = nix::sys::utsname::uname().map_or_else(
            |_| "unknown".to_owned(),
            |name| format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
        );
        Machine {
            kernel,
            architecture: std::env::consts::ARCH.to_owned(),
            cores: cores(),
            memory_bytes: memory_bytes(),
            root: nix::unistd::geteuid().is_root(),
        }
    }
}

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or(0, |kib| kib << 10)
}
