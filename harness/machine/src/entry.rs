//! One entry of a paging structure, SDM 5.3 (figure 5-4) and 5.5 (figure 5-11).

/// Bits that entries of both schemes have in the same place.
#[derive(Clone, Copy, Debug)]
pub struct Bits;

impl Bits {
    /// The rest of the entry means something.
    pub const PRESENT: u64 = 1 << 0;
    /// Stores are allowed (R/W).
    pub const WRITE: u64 = 1 << 1;
    /// User code is allowed (U/S).
    pub const USER: u64 = 1 << 2;
    /// The processor has used the entry (A).
    pub const ACCESSED: u64 = 1 << 5;
    /// The processor has stored to the page (D).
    pub const DIRTY: u64 = 1 << 6;
    /// The entry is of a large page rather than of a table (PS).
    pub const LARGE: u64 = 1 << 7;
    /// Instructions must not be fetched (XD), in entries of 8 bytes.
    pub const NO_EXECUTE: u64 = 1 << 63;
}

/// An entry as it lies in memory; those of 4 bytes have zeros above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry(pub u64);

impl Entry {
    /// Whether all of these bits are set.
    pub fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    /// The physical address of what the entry leads to, of which the low `shift` bits are zero.
    pub fn frame(self, shift: u32) -> u64 {
        self.0 & bits(shift..52)
    }

    /// Its flags in letters as tools print them: `P W U A D L NX`, a dash for each that is not set.
    pub fn letters(self) -> String {
        let letters = [
            (Bits::PRESENT, 'P'),
            (Bits::WRITE, 'W'),
            (Bits::USER, 'U'),
            (Bits::ACCESSED, 'A'),
            (Bits::DIRTY, 'D'),
            (Bits::LARGE, 'L'),
            (Bits::NO_EXECUTE, 'X'),
        ];
        letters.into_iter().map(|(bit, letter)| if self.has(bit) { letter } else { '-' }).collect()
    }
}

/// A mask of the bits of this range, the upper end not included.
pub(crate) fn bits(range: std::ops::Range<u32>) -> u64 {
    let below = |bit: u32| if bit >= 64 { u64::MAX } else { (1 << bit) - 1 };
    below(range.end) & !below(range.start)
}
