//! The processor's own counters around a trial, by perf_event_open(2).
//!
//! Many virtual machines have none, and where a kernel keeps its part from
//! ordinary users only the program's part is counted: the name then ends in
//! `:u`, as perf(1) has it. A counter makes each switch between processes
//! dearer, so trials that wait for a device or for each other have none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// What is counted: a name, and type and config of linux/perf_event.h.
#[derive(Debug, Clone, Copy)]
struct Event {
    name: &'static str,
    kind: u32,
    config: u64,
}

const HARDWARE: u32 = 0;
const CACHE: u32 = 3;

const EVENTS: [Event; 4] = [
    Event { name: "cycles", kind: HARDWARE, config: 0 },
    Event { name: "instructions", kind: HARDWARE, config: 1 },
    Event { name: "cache-misses", kind: HARDWARE, config: 3 },
    // The data TLB (3), reads (0), misses (1).
    Event { name: "dTLB-load-misses", kind: CACHE, config: 3 | 1 << 16 },
];

/// The first version of `struct perf_event_attr`.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    config1: u64,
}

/// `PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING`.
const TIMES: u64 = 0b11;
/// Threads and children that are made later count too.
const INHERIT: u64 = 1 << 1;
const EXCLUDE_KERNEL: u64 = 1 << 5;
const EXCLUDE_HYPERVISOR: u64 = 1 << 6;

impl Event {
    /// Counts from now on, for this thread and what it starts.
    fn count(self, kernel: bool) -> std::io::Result<File> {
        /// `PERF_FLAG_FD_CLOEXEC` of linux/perf_event.h.
        const FD_CLOEXEC: libc::c_ulong = 8;
        let attributes = Attributes {
            kind: self.kind,
            size: size_of::<Attributes>() as u32,
            config: self.config,
            read_format: TIMES,
            flags: INHERIT | EXCLUDE_HYPERVISOR | if kernel { 0 } else { EXCLUDE_KERNEL },
            ..Attributes::default()
        };
        // SAFETY: the attributes outlive the call and are as long as they say.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attributes, 0, -1, -1, FD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into())
    }
}

/// Whether the cycle counter is to be had, or why not.
pub fn hardware() -> Result<(), String> {
    EVENTS[0].count(false).map(drop).map_err(|error| error.to_string())
}

/// The events that this machine has, each with whether the kernel's part counts.
fn offered() -> &'static [(Event, bool)] {
    static OFFERED: OnceLock<Vec<(Event, bool)>> = OnceLock::new();
    OFFERED.get_or_init(|| {
        let first = |event: Event| [true, false].into_iter().find(|kernel| event.count(*kernel).is_ok());
        EVENTS.into_iter().filter_map(|event| Some((event, first(event)?))).collect()
    })
}

/// Counters that run.
#[derive(Default)]
pub struct Counters(Vec<(String, File)>);

impl Counters {
    /// Starts those that there are.
    pub fn start() -> Self {
        let counters = offered().iter().filter_map(|(event, kernel)| {
            let name = format!("{}{}", event.name, if *kernel { "" } else { ":u" });
            Some((name, event.count(*kernel).ok()?))
        });
        Self(counters.collect())
    }

    /// What they have counted; one that shared the processor's few registers
    /// with others is scaled to the whole time.
    pub fn read(self) -> BTreeMap<String, u64> {
        self.0.into_iter().filter_map(|(name, file)| Some((name, value(file)?))).collect()
    }
}

fn value(mut file: File) -> Option<u64> {
    let mut words = [[0u8; 8]; 3];
    file.read_exact(words.as_flattened_mut()).ok()?;
    let [count, enabled, running] = words.map(u64::from_ne_bytes);
    scaled(count, enabled, running)
}

fn scaled(count: u64, enabled: u64, running: u64) -> Option<u64> {
    (running > 0).then(|| (count as f64 * enabled as f64 / running as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_offers_is_counted() {
        // The kernel's own counters exist wherever perf_event_open is permitted.
        const SOFTWARE: u32 = 1;
        let faults = Event { name: "page-faults", kind: SOFTWARE, config: 2 };
        let Ok(file) = faults.count(false) else {
            eprintln!("not tried: perf_event_open is not permitted here");
            return;
        };
        let mapping = crate::memory::Mapping::anonymous(64 * crate::memory::page_size(), libc::MAP_PRIVATE).unwrap();
        mapping.advise(libc::MADV_NOHUGEPAGE).unwrap();
        for page in 0..64 {
            // SAFETY: inside the live mapping.
            unsafe { mapping.address().add(page * crate::memory::page_size()).write_volatile(1) };
        }
        assert!(value(file).unwrap() >= 64);
        let read = Counters::start().read();
        assert!(read.len() <= offered().len());
    }

    #[test]
    fn a_counter_that_ran_for_half_of_the_time_is_doubled() {
        assert_eq!(scaled(50, 100, 50), Some(100));
        assert_eq!(scaled(50, 100, 0), None);
    }
}
