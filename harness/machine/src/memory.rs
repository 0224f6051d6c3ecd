//! Physical memory in which every address is looked up with care.

/// Bytes from physical address 0 on.
#[derive(Clone, Debug)]
pub struct Memory {
    bytes: Vec<u8>,
}

impl Memory {
    /// Zeros.
    pub fn new(len: usize) -> Memory {
        Memory { bytes: vec![0; len] }
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The little-endian number of `size` bytes (at most 8) at `at`, if it is all in memory.
    pub fn number(&self, at: u64, size: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Sets these bits of the byte at `at`, if it is in memory.
    pub fn set_bits(&mut self, at: u64, bits: u8) {
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| self.bytes.get_mut(at)) {
            *byte |= bits;
        }
    }

    /// Stores a byte, if there is memory.
    pub fn store(&mut self, at: u64, value: u8) {
        if let Some(byte) = usize::try_from(at).ok().and_then(|at| self.bytes.get_mut(at)) {
            *byte = value;
        }
    }
}
