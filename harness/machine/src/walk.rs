//! The way of an address through the tables, as far as it goes. A walk changes nothing.

use crate::entry::{Bits, Entry};
use crate::{Level, Memory, Paging, Processor};

/// The entries that an address leads through, and where that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// From the root down.
    pub steps: Vec<Step>,
    /// Where it ends.
    pub end: End,
}

/// One entry met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Of the table that it is in.
    pub level: Level,
    /// Which of the table's entries.
    pub index: u64,
    /// Its physical address.
    pub at: u64,
    /// What it holds.
    pub entry: Entry,
}

/// Where a walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At a page.
    Page(Page),
    /// At an entry that is not present.
    Absent,
    /// At an entry that is present and has a reserved bit set.
    Reserved,
    /// It does not begin: the address is not canonical.
    NotCanonical,
    /// At an entry that is to be where there is no memory.
    NoMemory {
        /// Its physical address.
        physical: u64,
    },
}

/// What the entries say of a page together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// Where it begins.
    pub base: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Every entry allows stores.
    pub writable: bool,
    /// Every entry allows user code.
    pub user: bool,
    /// No entry forbids fetches.
    pub executable: bool,
}

impl Walk {
    /// Follows `address` through the tables in `memory`. Each level is visited once, so that tables which lead back
    /// to themselves end like all others.
    pub fn of(memory: &Memory, processor: &Processor, paging: &Paging, address: u64) -> Walk {
        let mut walk = Walk { steps: Vec::new(), end: End::NotCanonical };
        if !paging.is_canonical(address) {
            return walk;
        }
        let size = paging.scheme.entry_size();
        let mut table = paging.root_table();
        for level in paging.scheme.levels() {
            let index = level.index(paging.scheme, address);
            let at = table + index * size as u64;
            let Some(entry) = memory.number(at, size).map(Entry) else {
                walk.end = End::NoMemory { physical: at };
                return walk;
            };
            walk.steps.push(Step { level: *level, index, at, entry });
            if !entry.has(Bits::PRESENT) {
                walk.end = End::Absent;
                return walk;
            }
            if entry.0 & paging.reserved_bits(*level, entry, processor) != 0 {
                walk.end = End::Reserved;
                return walk;
            }
            if paging.is_page(*level, entry) {
                walk.end = End::Page(walk.page(paging, *level, entry));
                return walk;
            }
            table = entry.frame(12);
        }
        walk
    }

    /// Rights are the least of all levels' (SDM 5.6).
    fn page(&self, paging: &Paging, level: Level, entry: Entry) -> Page {
        let all = |bit| self.steps.iter().all(|step| step.entry.has(bit));
        let forbidden = paging.no_execute && self.steps.iter().any(|step| step.entry.has(Bits::NO_EXECUTE));
        Page {
            base: paging.page_base(level, entry),
            size: 1 << level.shift(paging.scheme),
            writable: all(Bits::WRITE),
            user: all(Bits::USER),
            executable: !forbidden,
        }
    }
}
