//! `03_mmap`: a mapped file, changed for oneself or for everybody.

mod private;
mod shared;

use observe::Call;

use super::common::calls::files;
use crate::Run;

pub(crate) use private::map_private;
pub(crate) use shared::map_shared;

/// A successful mapping of a file.
#[derive(Clone, Copy)]
struct Mapping {
    index: usize,
    flags: i32,
    writable: bool,
}

/// The mappings of this file, those made writable later included.
fn mappings(run: &Run, path: &str) -> Vec<Mapping> {
    let objects = files(run.seen, path);
    let made = run.seen.successes().filter_map(|(index, event, call, address)| match call {
        Call::Mmap { object: Some(object), prot, flags, len, .. } if objects.contains(object) => {
            let range = (address as u64, address as u64 + len.next_multiple_of(4096));
            let writable = prot & libc::PROT_WRITE != 0 || made_writable(run, index, event.process, range);
            Some(Mapping { index, flags: *flags, writable })
        }
        _ => None,
    });
    made.collect()
}

fn made_writable(run: &Run, after: usize, process: observe::ProcessId, range: (u64, u64)) -> bool {
    run.seen.successes().any(|(index, event, call, _)| {
        matches!(call, Call::Mprotect { address, prot, .. }
            if index > after && event.process == process && (range.0..range.1).contains(address) && prot & libc::PROT_WRITE != 0)
    })
}
