//! Which tables there are and how they are read: the control registers, in the words of what they decide.

use crate::Processor;
use crate::entry::{Bits, Entry, bits};

/// The setting of a processor that pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// The format of the tables.
    pub scheme: Scheme,
    /// Physical address of the highest table (CR3); its low 12 bits are taken for zero.
    pub root: u64,
    /// The supervisor too is bound by read-only pages (CR0.WP).
    pub write_protect: bool,
    /// There is a no-execute bit (EFER.NXE); of 8-byte entries only.
    pub no_execute: bool,
    /// Entries of an IA-32 directory may be pages of 4 MiB (CR4.PSE).
    pub large_pages: bool,
}

impl Paging {
    /// IA-32's two levels, with everything that this scheme has, as an operating system sets it.
    pub fn ia32(root: u64) -> Paging {
        Paging { scheme: Scheme::Ia32, root, write_protect: true, no_execute: false, large_pages: true }
    }

    /// x86-64's four levels, with everything that this scheme has, as an operating system sets it.
    pub fn four_level(root: u64) -> Paging {
        Paging { scheme: Scheme::FourLevel, root, write_protect: true, no_execute: true, large_pages: true }
    }

    /// Physical address of the highest table.
    pub fn root_table(&self) -> u64 {
        self.root & bits(12..52)
    }

    /// Whether the scheme can translate such an address at all: 32 bits, or bits 63 to 47 all alike (SDM 5.5.1).
    pub fn is_canonical(&self, address: u64) -> bool {
        match self.scheme {
            Scheme::Ia32 => address <= u64::from(u32::MAX),
            Scheme::FourLevel => self.canonical(address) == address,
        }
    }

    /// The address of which the tables see these bits: in four levels, bit 47 repeated above.
    pub fn canonical(&self, address: u64) -> u64 {
        match self.scheme {
            Scheme::Ia32 => address & u64::from(u32::MAX),
            Scheme::FourLevel => ((address as i64) << 16 >> 16) as u64,
        }
    }

    /// Whether an entry of this level is of a page rather than of a table.
    pub fn is_page(&self, level: Level, entry: Entry) -> bool {
        match (self.scheme, level) {
            (_, Level::Table) => true,
            (Scheme::Ia32, Level::Directory) => self.large_pages && entry.has(Bits::LARGE),
            (_, Level::Directory | Level::PointerTable) => entry.has(Bits::LARGE),
            (_, Level::Map) => false,
        }
    }

    /// The bits of an entry that this processor wants to be zero (SDM 5.3, table 5-1; 5.5, tables 5-15 to 5-20).
    pub fn reserved_bits(&self, level: Level, entry: Entry, processor: &Processor) -> u64 {
        let page = self.is_page(level, entry);
        if self.scheme == Scheme::Ia32 {
            // The address of a large page has at most 40 bits, of which 32 and up lie from bit 13 on (PSE-36).
            let width = processor.physical_bits.clamp(32, 40);
            return if page && level == Level::Directory { bits(width - 32 + 13..22) } else { 0 };
        }
        let mut reserved = bits(processor.physical_bits.min(52)..52);
        if !self.no_execute {
            reserved |= Bits::NO_EXECUTE;
        }
        match level {
            Level::Map => reserved |= Bits::LARGE | u64::from(processor.bit_8_reserved) << 8,
            Level::PointerTable if page && !processor.gibibyte_pages => reserved |= Bits::LARGE,
            Level::PointerTable if page => reserved |= bits(13..30),
            Level::Directory if page => reserved |= bits(13..21),
            _ => {}
        }
        reserved
    }

    /// Physical address of the page that an entry leads to.
    pub fn page_base(&self, level: Level, entry: Entry) -> u64 {
        let base = entry.frame(level.shift(self.scheme));
        match (self.scheme, level) {
            (Scheme::Ia32, Level::Directory) => base | (entry.0 & bits(13..21)) << (32 - 13),
            _ => base,
        }
    }
}

/// The format of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// 32-bit paging: 10, 10 and 12 bits, entries of 4 bytes (SDM 5.3).
    Ia32,
    /// 4-level paging: four times 9 and 12 bits, entries of 8 bytes (SDM 5.5).
    FourLevel,
}

impl Scheme {
    /// The levels from the root down.
    pub fn levels(self) -> &'static [Level] {
        match self {
            Scheme::Ia32 => &[Level::Directory, Level::Table],
            Scheme::FourLevel => &[Level::Map, Level::PointerTable, Level::Directory, Level::Table],
        }
    }

    /// Bytes of an entry.
    pub fn entry_size(self) -> usize {
        match self {
            Scheme::Ia32 => 4,
            Scheme::FourLevel => 8,
        }
    }

    /// Bits of the address that choose an entry of a table.
    pub fn index_bits(self) -> u32 {
        match self {
            Scheme::Ia32 => 10,
            Scheme::FourLevel => 9,
        }
    }
}

/// A level of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// PML4: the root of four levels.
    Map,
    /// Page-directory-pointer table.
    PointerTable,
    /// Page directory: the root of two levels.
    Directory,
    /// Page table.
    Table,
}

impl Level {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Level::Map => "page map (PML4)",
            Level::PointerTable => "directory pointers (PDPT)",
            Level::Directory => "page directory",
            Level::Table => "page table",
        }
    }

    /// The lowest bit of the part of an address that chooses an entry: also, a page that such an entry leads to has
    /// 2^shift bytes.
    pub fn shift(self, scheme: Scheme) -> u32 {
        let above = match self {
            Level::Table => 0,
            Level::Directory => 1,
            Level::PointerTable => 2,
            Level::Map => 3,
        };
        12 + above * scheme.index_bits()
    }

    /// Which entry of such a table an address chooses.
    pub fn index(self, scheme: Scheme, address: u64) -> u64 {
        address >> self.shift(scheme) & bits(0..scheme.index_bits())
    }
}
