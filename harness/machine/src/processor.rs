//! What processors differ in, as far as page tables show it.

/// The properties of a processor that decide what an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Width of a physical address (MAXPHYADDR); entry bits above are reserved.
    pub physical_bits: u32,
    /// Entries of the second level may be pages of 1 GiB.
    pub gibibyte_pages: bool,
    /// Bit 8 of an entry of the highest of four levels is reserved (AMD) or ignored (Intel).
    pub bit_8_reserved: bool,
}

impl Default for Processor {
    /// A common one: 48 bits of physical address, pages of 1 GiB, Intel's reserved bits.
    fn default() -> Processor {
        Processor { physical_bits: 48, gibibyte_pages: true, bit_8_reserved: false }
    }
}
