//! The software MMU: what the manual says, done step by step.

use crate::access::{Access, ErrorCode, Kind, Outcome, PageFault, Privilege, STORED};
use crate::entry::Bits;
use crate::pages::Search;
use crate::{DescriptorTable, End, Machine, MachineError, Memory, Page, Paging, Processor, SegmentAccess, Walk};

/// A processor's memory management in software.
#[derive(Clone, Debug)]
pub struct SoftwareMmu {
    memory: Memory,
    processor: Processor,
}

impl SoftwareMmu {
    /// A machine with so many bytes of memory.
    pub fn new(memory: usize, processor: Processor) -> SoftwareMmu {
        SoftwareMmu { memory: Memory::new(memory), processor }
    }

    /// The entries that an address leads through; nothing is changed.
    pub fn walk(&self, paging: &Paging, address: u64) -> Walk {
        Walk::of(&self.memory, &self.processor, paging, address)
    }

    /// The pages that the tables map, each with its first address, in the order of the tables; at most so many.
    pub fn pages(&self, paging: &Paging, most: usize) -> Vec<(u64, Page)> {
        Search::new(&self.memory, &self.processor, paging, most).run()
    }

    /// An access to a page is made: the entries on its way get their accessed bits, and the page's own its dirty bit
    /// if it is stored to (SDM 5.8). Of an access that faults no bit is set, which the manual leaves to processors.
    fn mark(&mut self, walk: &Walk, kind: Kind) {
        for step in &walk.steps {
            self.memory.set_bits(step.at, Bits::ACCESSED as u8);
        }
        if let (Kind::Store, Some(last)) = (kind, walk.steps.last()) {
            self.memory.set_bits(last.at, Bits::DIRTY as u8);
        }
    }
}

impl Machine for SoftwareMmu {
    fn load(&mut self, image: &[u8]) -> Result<(), MachineError> {
        let memory = self.memory.bytes_mut();
        if image.len() > memory.len() {
            return Err(MachineError::ImageTooLarge { bytes: image.len(), memory: memory.len() });
        }
        let (beginning, rest) = memory.split_at_mut(image.len());
        beginning.copy_from_slice(image);
        rest.fill(0);
        Ok(())
    }

    fn memory(&self) -> &[u8] {
        self.memory.bytes()
    }

    fn access(&mut self, paging: &Paging, access: Access) -> Result<Outcome, MachineError> {
        let walk = self.walk(paging, access.address);
        let refused = |why: u32| {
            let error_code = ErrorCode(why | described(paging, access));
            Outcome::PageFault(PageFault { address: access.address, error_code })
        };
        Ok(match walk.end {
            End::NotCanonical => Outcome::Protection { error_code: 0 },
            End::NoMemory { physical } => Outcome::NoMemory { physical },
            End::Absent => refused(0),
            End::Reserved => refused(ErrorCode::PRESENT | ErrorCode::RESERVED),
            End::Page(page) if !allowed(paging, access, &page) => refused(ErrorCode::PRESENT),
            End::Page(page) => {
                let physical = page.base | access.address & (page.size - 1);
                self.mark(&walk, access.kind);
                if access.kind == Kind::Store {
                    self.memory.store(physical, STORED);
                }
                Outcome::Reached { physical }
            }
        })
    }

    fn access_segment(&mut self, table: &DescriptorTable, access: SegmentAccess) -> Result<Outcome, MachineError> {
        table.access(&mut self.memory, access)
    }
}

/// The bits of an error code that say what was tried, not why it failed (SDM 5.7).
fn described(paging: &Paging, access: Access) -> u32 {
    let mut code = 0;
    if access.kind == Kind::Store {
        code |= ErrorCode::WRITE;
    }
    if access.privilege == Privilege::User {
        code |= ErrorCode::USER;
    }
    if access.kind == Kind::Fetch && paging.no_execute {
        code |= ErrorCode::FETCH;
    }
    code
}

/// SDM 5.6.1, without the protections that are off here (SMEP, SMAP, protection keys).
fn allowed(paging: &Paging, access: Access, page: &Page) -> bool {
    let user = access.privilege == Privilege::User;
    if user && !page.user {
        return false;
    }
    match access.kind {
        Kind::Load => true,
        Kind::Store => page.writable || (!user && !paging.write_protect),
        Kind::Fetch => page.executable,
    }
}
