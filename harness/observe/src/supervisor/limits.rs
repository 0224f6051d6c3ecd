//! Limits that the kernel kept: read off what the program was told.

use std::time::Instant;

use super::usage::too_many_processes;
use crate::calls::Call;
use crate::objects::Registry;
use crate::observation::{Event, Exit, ObjectKind, What};
use crate::plan::Limits;

/// The first limit that the program met, in words.
pub(super) fn met(
    limits: &Limits,
    events: &[Event],
    objects: &Registry,
    exit: Option<(Exit, Instant)>,
) -> Option<String> {
    let told = events.iter().find_map(|event| match &event.what {
        What::Called { call, result: Some(Err(errno)), injected: false, .. } => refused(limits, call, *errno, objects),
        // The program can send itself the signal, too.
        What::Signalled { signal: libc::SIGXCPU, code, .. } if *code != libc::SI_KERNEL => None,
        What::Signalled { signal, .. } => forced(limits, *signal),
        _ => None,
    });
    told.or_else(|| match exit {
        Some((Exit::Signal(signal), _)) if events.is_empty() => forced(limits, signal),
        _ => None,
    })
}

/// The limit for which the kernel has refused a call, in words.
pub(super) fn refused(limits: &Limits, call: &Call, errno: i32, objects: &Registry) -> Option<String> {
    let Limits { address_space, descriptors, .. } = limits;
    match (errno, call) {
        (libc::EAGAIN, Call::Fork { .. }) => Some(too_many_processes(limits)),
        (libc::EMFILE, _) => Some(format!("had more than {descriptors} descriptors open in one process")),
        // /dev/full is full for everybody.
        (libc::ENOSPC, Call::Write { object: Some(object), .. })
            if matches!(objects.get(*object).kind, ObjectKind::Device(_)) =>
        {
            None
        }
        (libc::ENOSPC | libc::EFBIG, _) => Some(full(limits)),
        // More than there can ever be is refused on any machine.
        (libc::ENOMEM, Call::Mmap { len, .. }) if len <= address_space => Some(format!(
            "took more than {} MiB of address space, or 65530 mappings, in one process",
            address_space >> 20
        )),
        _ => None,
    }
}

fn forced(limits: &Limits, signal: i32) -> Option<String> {
    match signal {
        libc::SIGXFSZ => Some(full(limits)),
        libc::SIGXCPU => Some("used more processor time than there is before its deadline".into()),
        _ => None,
    }
}

fn full(&Limits { disk, files, .. }: &Limits) -> String {
    format!("wrote more than the {} MiB or the {files} files that its directory has room for", disk >> 20)
}
