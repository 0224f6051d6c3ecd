//! Mappings, in words.

use nix::libc;
use observe::Call;

use super::{CallResult, Kind, Said, Speaker, finish};
use crate::timeline::readable::size;

impl Speaker<'_> {
    pub(super) fn memory(&self, call: &Call, result: CallResult) -> Said {
        let said = match call {
            Call::Mmap { len, prot, flags, fd, object, .. } => {
                let shared = flags & (libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE) != 0
                    && flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
                let anonymous = flags & libc::MAP_ANONYMOUS != 0;
                let how = if shared { "shared" } else { "private" };
                let place = place(*flags);
                match (anonymous, shared) {
                    (true, false) if *prot == libc::PROT_NONE => {
                        Said::same(Kind::Memory, format!("reserves {} of addresses{place}", size(*len))).quiet()
                    }
                    (true, false) => {
                        Said::same(Kind::Memory, format!("gets {} of private memory{place}", size(*len))).quiet()
                    }
                    (true, true) => Said::same(Kind::Memory, format!("maps {} of shared memory{place}", size(*len))),
                    (false, _) => {
                        let label = self.label(*object, *fd);
                        let may = if prot & libc::PROT_WRITE != 0 { "may be written" } else { "only read" };
                        let sentence = format!("maps {} of {label} into its memory ({how}, {may}){place}", size(*len));
                        Said::new(Kind::Memory, format!("maps {label}"), sentence).about(*object)
                    }
                }
            }
            Call::Munmap { len, .. } => Said::same(Kind::Memory, format!("unmaps {}", size(*len))).quiet(),
            Call::Mprotect { len, prot, .. } => {
                Said::same(Kind::Memory, format!("makes {} {}", size(*len), permission(*prot))).quiet()
            }
            Call::Mremap { old_len, new_len, .. } => {
                let sentence = format!("resizes a mapping from {} to {}", size(*old_len), size(*new_len));
                Said::new(Kind::Memory, format!("remaps to {}", size(*new_len)), sentence)
            }
            Call::Msync { len, flags, .. } => {
                let when = if flags & libc::MS_SYNC != 0 { "now" } else { "in its own time" };
                let sentence = format!("has the kernel write {} of a mapping to the file {when}", size(*len));
                Said::new(Kind::Memory, "syncs the mapping", sentence).waits("for the device to take the bytes")
            }
            Call::Madvise { len, .. } => {
                Said::same(Kind::Memory, format!("advises the kernel about {} of memory", size(*len))).quiet()
            }
            _ => Said::same(Kind::Memory, "moves the end of its heap").quiet(),
        };
        finish(said, result)
    }
}

/// Where a mapping is to be, if the program leaves no choice.
fn place(flags: i32) -> &'static str {
    if flags & libc::MAP_FIXED_NOREPLACE == libc::MAP_FIXED_NOREPLACE {
        ", at an address that must be free"
    } else if flags & libc::MAP_FIXED != 0 {
        ", in place of whatever was at its address"
    } else {
        ""
    }
}

fn permission(prot: i32) -> &'static str {
    let (read, write, run) = (prot & libc::PROT_READ, prot & libc::PROT_WRITE, prot & libc::PROT_EXEC);
    match (read != 0, write != 0, run != 0) {
        (_, _, true) => "executable",
        (_, true, _) => "writable",
        (true, ..) => "read-only",
        _ => "untouchable",
    }
}
