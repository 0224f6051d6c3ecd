//! Mappings, buffers and the loop that reads every word of them.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::OnceLock;

use memmap2::{MmapOptions, MmapRaw};

use crate::guard::Watch;

/// The large page of x86-64 and of arm64 with 4 KiB pages.
pub const LARGE_PAGE: usize = 2 << 20;

/// Bytes of a page.
pub fn page_size() -> usize {
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        // SAFETY: takes an integer, changes nothing.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).unwrap_or(4096)
    })
}

/// A mapping that is undone when it is dropped.
///
/// It gives a raw address and never a slice: another process may change or cut
/// the file below it, which no Rust reference allows. While there is a
/// [`Guard`](crate::guard::Guard), a cut or a page for which the disk has no
/// room shows as zeros, not as a deadly SIGBUS.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    len: usize,
    /// Of a file's mapping.
    watch: Option<Watch>,
}

// SAFETY: a mapping belongs to the process, not to a thread, and this type
// gives out no references into it.
unsafe impl Send for Mapping {}

// SAFETY: what a shared reference permits is reading words and asking the kernel.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset`, a multiple of the page size.
    ///
    /// # Errors
    /// What mmap(2) says: EINVAL for a length of 0, ENODEV for a file that
    /// cannot be mapped, ENOMEM.
    pub fn file(file: &File, offset: u64, len: usize, prot: i32, flags: i32) -> io::Result<Self> {
        let mut mapping = Self::map(len, prot, flags, file.as_raw_fd(), offset)?;
        mapping.watch = Some(Watch::over(mapping.address() as usize, len));
        Ok(mapping)
    }

    /// Maps `len` bytes of zeros.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn anonymous(len: usize, flags: i32) -> io::Result<Self> {
        Self::map(len, libc::PROT_READ | libc::PROT_WRITE, flags | libc::MAP_ANONYMOUS, -1, 0)
    }

    fn map(len: usize, prot: i32, flags: i32, fd: i32, offset: u64) -> io::Result<Self> {
        // SAFETY: no MAP_FIXED comes from this crate, so nothing that exists is
        // replaced; all other arguments are checked by the kernel.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, offset as libc::off_t) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { address, len, watch: None })
    }

    /// The first byte's address.
    pub fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Advice for the whole mapping.
    ///
    /// # Errors
    /// What madvise(2) says: EINVAL for advice that this kernel does not know.
    pub fn advise(&self, advice: i32) -> io::Result<()> {
        self.advise_range(0, self.len, advice)
    }

    /// Advice for `len` bytes from `start`, which must lie inside.
    ///
    /// # Errors
    /// As [`advise`](Self::advise).
    pub fn advise_range(&self, start: usize, len: usize, advice: i32) -> io::Result<()> {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: the range lies inside this live mapping, and none of the
        // advices used in this crate takes pages away that hold written bytes.
        let result = unsafe { libc::madvise(self.address().add(start).cast(), len, advice) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The sum of the words of `len` bytes from `start`, which must lie inside.
    pub fn sum(&self, start: usize, len: usize) -> u64 {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: the range lies inside this live mapping.
        unsafe { sum_at(self.address().add(start), len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // First, or it would watch what somebody else maps there.
        drop(self.watch.take());
        // SAFETY: this value alone owns the range, and it is gone after this.
        unsafe { libc::munmap(self.address().cast(), self.len) };
    }
}

/// Reads one byte of every page.
pub fn touch(mapping: &Mapping) {
    for at in (0..mapping.len()).step_by(page_size()) {
        // SAFETY: `at` lies inside the live mapping; volatile, because the read
        // is the point.
        unsafe { mapping.address().add(at).read_volatile() };
    }
}

/// Page-aligned memory for I/O, touched before it is given out, so that no
/// trial pays for its first use.
#[derive(Debug)]
pub struct Buffer {
    map: MmapRaw,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` bytes in ordinary pages.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(len: usize) -> io::Result<Self> {
        let map = MmapRaw::from(MmapOptions::new().len(len).map_anon()?);
        let mut buffer = Self { map, start: 0, len };
        buffer.bytes().fill(1);
        Ok(buffer)
    }

    /// `len` bytes that begin on a large page and lie in large pages where the
    /// kernel gives them: one physical piece for a device to write into.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn large(len: usize) -> io::Result<Self> {
        let whole = len.next_multiple_of(LARGE_PAGE) + LARGE_PAGE;
        let map = MmapRaw::from(MmapOptions::new().len(whole).map_anon()?);
        let start = (map.as_ptr() as usize).next_multiple_of(LARGE_PAGE) - map.as_ptr() as usize;
        // SAFETY: the range lies inside the mapping just made; the advice
        // changes how it will be backed, not what it holds.
        unsafe {
            libc::madvise(map.as_mut_ptr().add(start).cast(), len.next_multiple_of(LARGE_PAGE), libc::MADV_HUGEPAGE);
        }
        let mut buffer = Self { map, start, len };
        buffer.bytes().fill(1);
        Ok(buffer)
    }

    /// The bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `start + len` lies inside the mapping, which is anonymous and
        // private, and `self` is borrowed for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(self.start), self.len) }
    }

    /// How the memory lies, for a note beside the figure; asks the kernel, so
    /// not to be called in a timed part.
    pub fn layout(&self) -> &'static str {
        if self.lies_in_large_pages() { "buffer in 2 MiB pages" } else { "buffer in 4 KiB pages" }
    }

    /// Asks the kernel what backs the buffer.
    fn lies_in_large_pages(&self) -> bool {
        smaps_kib("self", self.map.as_ptr() as usize + self.start, "AnonHugePages").is_some_and(|kib| kib > 0)
    }

    /// Has the kernel keep the buffer as an area of its own, whose figures are
    /// not mixed with its neighbours': by advice that those do not have.
    pub fn set_apart(&mut self) {
        // SAFETY: the range is the live mapping; the advice is about core dumps.
        unsafe { libc::madvise(self.map.as_mut_ptr().cast(), self.map.len(), libc::MADV_DONTDUMP) };
    }
}

/// A field of the entry of a process's smaps that holds `address`, in KiB.
pub fn smaps_kib(process: &str, address: usize, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps")).ok()?;
    let mut inside = false;
    for line in text.lines() {
        let first = line.split(' ').next()?;
        if let Some((from, to)) = first.split_once('-')
            && let (Ok(from), Ok(to)) = (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16))
        {
            inside = from <= address && address < to;
        } else if inside && first.strip_suffix(':') == Some(field) {
            return line.split_whitespace().nth(1)?.parse().ok();
        }
    }
    None
}

/// The wrapping sum of the 64-bit words of `bytes`; a tail shorter than a word
/// counts as if zeros followed it.
pub fn sum(bytes: &[u8]) -> u64 {
    // SAFETY: a slice is readable over its whole length.
    unsafe { sum_at(bytes.as_ptr(), bytes.len()) }
}

/// [`sum`] of memory that no slice may name, because others can change it.
///
/// # Safety
/// `len` bytes from `at` must be mapped and readable throughout the call.
pub unsafe fn sum_at(at: *const u8, len: usize) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2; the rest is promised by the caller.
        return std::hint::black_box(unsafe { sum_avx2(at, len) });
    }
    // SAFETY: promised by the caller.
    std::hint::black_box(unsafe { sum_words(at, len) })
}

/// # Safety
/// As [`sum_at`], and the processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sum_avx2(at: *const u8, len: usize) -> u64 {
    // SAFETY: promised by the caller.
    unsafe { sum_words(at, len) }
}

/// # Safety
/// As [`sum_at`].
#[inline(always)]
unsafe fn sum_words(at: *const u8, len: usize) -> u64 {
    // Sixteen sums at once, so that the processor waits for memory and not for
    // the addition before.
    let mut lanes = [0u64; 16];
    let strides = len / 128;
    for stride in 0..strides {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            // SAFETY: stride*128 + lane*8 + 8 <= len.
            let word = unsafe { at.add(stride * 128 + lane * 8).cast::<u64>().read_unaligned() };
            *sum = sum.wrapping_add(word);
        }
    }
    let mut total = lanes.iter().fold(0u64, |a, b| a.wrapping_add(*b));
    let mut done = strides * 128;
    while done < len {
        let mut word = [0u8; 8];
        for (i, byte) in word.iter_mut().enumerate().take(len - done) {
            // SAFETY: done + i < len.
            *byte = unsafe { at.add(done + i).read() };
        }
        total = total.wrapping_add(u64::from_ne_bytes(word));
        done += 8;
    }
    total
}

/// A digest that, unlike [`sum`], changes when words change places: for
/// comparing a copy with its source, outside every timed part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    lanes: [u64; 8],
    len: u64,
}

impl Digest {
    /// The digest of nothing.
    pub fn new() -> Self {
        Self { lanes: [0x51_7C_C1_B7_27_22_0A_95; 8], len: 0 }
    }

    /// Adds bytes; all pieces but the last must be multiples of 64 bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let mut chunks = bytes.chunks_exact(64);
        for chunk in &mut chunks {
            for (lane, word) in self.lanes.iter_mut().zip(chunk.as_chunks::<8>().0) {
                *lane = mix(*lane, u64::from_ne_bytes(*word));
            }
        }
        for byte in chunks.remainder() {
            self.lanes[0] = mix(self.lanes[0], u64::from(*byte));
        }
    }

    /// One number for all of it.
    pub fn value(&self) -> u64 {
        self.lanes.iter().fold(self.len, |a, b| mix(a, *b))
    }
}

fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_counts_every_byte_once_at_any_length() {
        for len in [0usize, 1, 7, 8, 9, 127, 128, 129, 1000, 4096] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + 3) as u8).collect();
            let slow = bytes.chunks(8).fold(0u64, |total, chunk| {
                let mut word = [0u8; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                total.wrapping_add(u64::from_ne_bytes(word))
            });
            assert_eq!(sum(&bytes), slow, "length {len}");
        }
    }

    #[test]
    fn the_digest_sees_words_that_changed_places() {
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::new();
            digest.add(bytes);
            digest.value()
        };
        let mut bytes: Vec<u8> = (0..4096).map(|i| (i / 64) as u8).collect();
        let before = digest(&bytes);
        bytes.swap(0, 4000);
        assert_ne!(digest(&bytes), before);
        assert_ne!(digest(&[0; 64]), digest(&[0; 65]));
    }

    #[test]
    fn buffers_are_aligned_and_of_the_length_asked_for() {
        let mut small = Buffer::new(100).unwrap();
        assert_eq!(small.bytes().len(), 100);
        let mut large = Buffer::large(1 << 20).unwrap();
        assert_eq!(large.bytes().len(), 1 << 20);
        assert_eq!(large.bytes().as_ptr() as usize % LARGE_PAGE, 0);
    }
}
