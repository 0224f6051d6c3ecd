//! A file that is cut while it is mapped, or a disk that is full when a page of
//! it is first stored to, must not kill the process.
//!
//! Touching such a page of a shared mapping raises SIGBUS. Here a handler puts zeros (an anonymous mapping) in place of
//! the rest of the mapping and notes that it did; the loop then runs to its
//! end, and the trial is thrown away with the reason. That needs no jump out
//! of a signal handler. Any other SIGBUS ends the process, as it would without.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Mappings that can be watched at the same time.
const SLOTS: usize = 16;

struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
}

static WATCHED: [Slot; SLOTS] = [const { Slot { start: AtomicUsize::new(0), len: AtomicUsize::new(0) } }; SLOTS];
static STRUCK: AtomicBool = AtomicBool::new(false);
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());
static INSTALLED: Mutex<()> = Mutex::new(());

/// The handler is in place while this lives; one at a time in a process.
pub struct Guard {
    previous: Box<libc::sigaction>,
    _only: MutexGuard<'static, ()>,
}

impl Guard {
    /// Puts the handler in place, after any other comparison of this process
    /// has ended.
    pub fn install() -> Self {
        let only = INSTALLED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: all zeros is a valid sigaction: the default action, no flags.
        let mut previous: Box<libc::sigaction> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: as above.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_sigbus as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: both point to valid structs; the handler keeps to calls that
        // are async-signal-safe.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const action, &raw mut *previous) };
        PREVIOUS.store(&raw mut *previous, Ordering::SeqCst);
        STRUCK.store(false, Ordering::SeqCst);
        Self { previous, _only: only }
    }

    /// Whether a watched mapping lost its file since this was last asked.
    pub fn struck() -> bool {
        STRUCK.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SAFETY: puts back what `install` found.
        unsafe { libc::sigaction(libc::SIGBUS, &raw const *self.previous, std::ptr::null_mut()) };
        PREVIOUS.store(std::ptr::null_mut(), Ordering::SeqCst);
    }
}

/// Watches one mapping while it lives; it must go before the mapping does.
#[derive(Debug)]
pub struct Watch(Option<usize>);

impl Watch {
    /// Begins to watch. With all slots taken it watches nothing, which is what
    /// an unwatched mapping has always had.
    pub fn over(address: usize, len: usize) -> Self {
        for (index, slot) in WATCHED.iter().enumerate() {
            let free = slot.len.compare_exchange(0, len, Ordering::SeqCst, Ordering::SeqCst);
            if free.is_ok() {
                slot.start.store(address, Ordering::SeqCst);
                return Self(Some(index));
            }
        }
        Self(None)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(index) = self.0 {
            WATCHED[index].start.store(0, Ordering::SeqCst);
            WATCHED[index].len.store(0, Ordering::SeqCst);
        }
    }
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo, whose address
    // field is set for SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &WATCHED {
        let start = slot.start.load(Ordering::SeqCst);
        let len = slot.len.load(Ordering::SeqCst);
        if start != 0 && address >= start && address - start < len {
            let page = address & !4095;
            // SAFETY: replaces pages of a mapping that this crate owns and only
            // reads through raw addresses; mmap is a plain system call.
            let zeros = unsafe {
                libc::mmap(
                    page as *mut libc::c_void,
                    start + len - page,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                    -1,
                    0,
                )
            };
            if zeros != libc::MAP_FAILED {
                STRUCK.store(true, Ordering::SeqCst);
                return;
            }
        }
    }
    // Not ours: back to what was there, and let the access fault again.
    let previous = PREVIOUS.load(Ordering::SeqCst);
    if !previous.is_null() {
        // SAFETY: points into the guard, which takes the pointer away before it
        // is dropped.
        unsafe { libc::sigaction(libc::SIGBUS, previous, std::ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Mapping;
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::ForkResult;
    use std::fs::File;
    use std::io::Write;
    use std::path::Path;

    #[test]
    fn a_file_cut_under_its_mapping_reads_as_zeros_and_is_reported() {
        let _guard = Guard::install();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1u8; 1 << 16]).unwrap();
        let mapping = Mapping::file(&file, 0, 1 << 16, libc::PROT_READ, libc::MAP_SHARED).unwrap();
        file.set_len(4096).unwrap();
        let sum = mapping.sum(0, 1 << 16);
        assert_eq!(sum, 0x0101_0101_0101_0101u64.wrapping_mul(512));
        assert!(Guard::struck());
        assert!(!Guard::struck());
    }

    #[test]
    fn a_page_that_a_full_disk_has_no_room_for_takes_the_store_and_is_reported() {
        let _guard = Guard::install();
        let dir = tempfile::tempdir().unwrap();
        // SAFETY: the child ends by _exit, and uses nothing of the other threads but the allocator, which fork keeps whole.
        match unsafe { nix::unistd::fork() }.unwrap() {
            ForkResult::Child => {
                let status = overfill(dir.path()).map_or(SKIPPED, |told| if told { 0 } else { 1 });
                // SAFETY: the call takes a number.
                unsafe { libc::_exit(status) }
            }
            ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
                WaitStatus::Exited(_, SKIPPED) => eprintln!("not tried: no user namespace may mount here"),
                ended => assert_eq!(ended, WaitStatus::Exited(child, 0)),
            },
        }
    }

    const SKIPPED: i32 = 77;

    /// Stores to four mebibytes of a file on a disk of one; `None` where there can be no such disk.
    fn overfill(dir: &Path) -> Option<bool> {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).ok()?;
        mount(Some("tmpfs"), dir, Some("tmpfs"), MsFlags::empty(), Some("size=1m")).ok()?;
        let file = File::options().read(true).write(true).create_new(true).open(dir.join("file")).ok()?;
        file.set_len(4 << 20).ok()?;
        let mapping = Mapping::file(&file, 0, 4 << 20, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED).ok()?;
        for page in (0..4 << 20).step_by(4096) {
            // SAFETY: within the mapping, which nothing else uses.
            unsafe { mapping.address().add(page).write_volatile(1) };
        }
        Some(Guard::struck())
    }
}
