//! Limits that the kernel kept: read off what the program was told.

use std::time::Instant;

use super::usage::too_many_processes;
use crate::calls::Call;
use crate::observation::{Event, Exit, What};
use crate::plan::Limits;

/// The first limit that the program met, in words.
pub(super) fn met(limits: &Limits, events: &[Event], exit: Option<(Exit, Instant)>) -> Option<String> {
    let told = events.iter().find_map(|event| match &event.what {
        What::Called { call, result: Some(Err(errno)), injected: false, .. } => refused(limits, call, *errno),
        What::Signalled { signal, .. } => forced(limits, *signal),
        _ => None,
    });
    told.or_else(|| match exit {
        Some((Exit::Signal(signal), _)) => forced(limits, signal),
        _ => None,
    })
}

fn refused(limits: &Limits, call: &Call, errno: i32) -> Option<String> {
    let Limits { address_space, disk, descriptors, .. } = limits;
    match (errno, call) {
        (libc::EAGAIN, Call::Fork { .. }) => Some(too_many_processes(limits)),
        (libc::EMFILE, _) => Some(format!("descriptors: {descriptors} open in one process")),
        (libc::ENOSPC | libc::EFBIG, _) => Some(full(*disk)),
        // More than there can ever be is refused on any machine.
        (libc::ENOMEM, Call::Mmap { len, .. }) if len <= address_space => {
            Some(format!("memory: {} MiB of address space, or 65530 mappings, in one process", address_space >> 20))
        }
        _ => None,
    }
}

fn forced(limits: &Limits, signal: i32) -> Option<String> {
    match signal {
        libc::SIGXFSZ => Some(full(limits.disk)),
        libc::SIGXCPU => Some("processor time".into()),
        _ => None,
    }
}

fn full(disk: u64) -> String {
    format!("disk: {} MiB", disk >> 20)
}
