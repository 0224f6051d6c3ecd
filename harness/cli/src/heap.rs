//! The C library's allocator, set so that a long grading holds no more memory than a short one.
//!
//! Left to itself, the GNU C library keeps what is freed: it raises the size from which a block is the kernel's again at
//! once to that of the largest freed yet, up to 32 MiB, and has a heap for each of many threads (mallopt(3),
//! `M_MMAP_THRESHOLD`). Observations of some ten MB, each freed after its verdict, then leave ever larger heaps with
//! holes in them.

/// From this many bytes on, what is freed is the kernel's again at once.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 128 << 10;

/// Sets that for good.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE), (libc::M_ARENA_MAX, 2)]
    {
        // SAFETY: mallopt takes plain numbers, and locks the allocator that it changes.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives back also what lies between blocks still in use (malloc_trim(3)).
pub fn trim() {
    // SAFETY: malloc_trim takes a plain number, and locks each heap that it looks through.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
