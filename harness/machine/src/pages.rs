//! All pages that tables map, found by going through the tables.

use std::collections::HashSet;

use crate::entry::{Bits, Entry};
use crate::{Memory, Page, Paging, Processor};

/// A search through tables for the pages that they map.
pub(crate) struct Search<'a> {
    pub memory: &'a Memory,
    pub processor: &'a Processor,
    pub paging: &'a Paging,
    /// No more than so many are wanted: tables that lead back to themselves map more than anyone can count.
    pub most: usize,
    /// What was found: the first address of each page, and the page.
    pub found: Vec<(u64, Page)>,
    /// Tables by depth in which there is nothing.
    empty: HashSet<(usize, u64)>,
}

impl<'a> Search<'a> {
    pub fn new(memory: &'a Memory, processor: &'a Processor, paging: &'a Paging, most: usize) -> Search<'a> {
        Search { memory, processor, paging, most, found: Vec::new(), empty: HashSet::new() }
    }

    /// Searches from the root.
    pub fn run(mut self) -> Vec<(u64, Page)> {
        let root = Page { base: 0, size: 0, writable: true, user: true, executable: true };
        self.table(0, self.paging.root_table(), 0, &root);
        self.found
    }

    /// Searches one table, which is reached with these rights; `above` has the indices of the tables above.
    fn table(&mut self, depth: usize, table: u64, above: u64, rights: &Page) {
        let scheme = self.paging.scheme;
        let Some(level) = scheme.levels().get(depth) else { return };
        if self.empty.contains(&(depth, table)) {
            return;
        }
        let before = self.found.len();
        for index in 0..1_u64 << scheme.index_bits() {
            if self.found.len() >= self.most {
                return;
            }
            let at = table + index * scheme.entry_size() as u64;
            let Some(entry) = self.memory.number(at, scheme.entry_size()).map(Entry) else { break };
            let reserved = self.paging.reserved_bits(*level, entry, self.processor);
            if !entry.has(Bits::PRESENT) || entry.0 & reserved != 0 {
                continue;
            }
            let address = above | index << level.shift(scheme);
            let reached = Page {
                writable: rights.writable && entry.has(Bits::WRITE),
                user: rights.user && entry.has(Bits::USER),
                executable: rights.executable && !(self.paging.no_execute && entry.has(Bits::NO_EXECUTE)),
                base: self.paging.page_base(*level, entry),
                size: 1 << level.shift(scheme),
            };
            if self.paging.is_page(*level, entry) {
                self.found.push((self.paging.canonical(address), reached));
            } else {
                self.table(depth + 1, entry.frame(12), address, &reached);
            }
        }
        if self.found.len() == before {
            self.empty.insert((depth, table));
        }
    }
}
