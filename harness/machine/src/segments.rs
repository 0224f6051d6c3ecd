//! Segments in protected mode: a base that relocates and a limit that confines, SDM 3.4 and 6.

use crate::access::{Kind, Outcome, Privilege, STORED};
use crate::{MachineError, Memory};

/// Bytes of a descriptor.
const SIZE: u64 = 8;
/// The bit of the type that the processor sets when it loads the descriptor, in its sixth byte.
const ACCESSED: u8 = 1;

/// A table of descriptors in physical memory (the GDT), whose first entry is never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorTable {
    /// Physical address.
    pub base: u32,
    /// How many descriptors, the unused first one included.
    pub count: u16,
}

/// One byte touched through a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentAccess {
    /// Which descriptor, from 0.
    pub segment: u16,
    /// Where in the segment.
    pub offset: u32,
    /// What is done there: a jump is to a code segment, a load or store through a data segment register.
    pub kind: Kind,
    /// By whom; the selector asks for the same privilege.
    pub privilege: Privilege,
}

impl SegmentAccess {
    /// The selector that names the segment: its index and the privilege asked for (SDM 3.4.2).
    pub fn selector(&self) -> u16 {
        self.segment << 3 | self.level()
    }

    fn level(&self) -> u16 {
        match self.privilege {
            Privilege::Supervisor => 0,
            Privilege::User => 3,
        }
    }
}

/// A descriptor, taken apart (SDM 3.4.5, figure 3-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// Where the segment begins.
    pub base: u32,
    /// The last offset of an ordinary segment; the last *forbidden* one of a segment that expands down.
    pub limit: u32,
    /// It may be loaded.
    pub present: bool,
    /// Who may load it, from 0 to 3.
    pub privilege: u8,
    /// Code or data, rather than something of the system's.
    pub ordinary: bool,
    /// Code.
    pub code: bool,
    /// Data above the limit instead of below.
    pub expands_down: bool,
    /// Code that keeps its caller's privilege.
    pub conforming: bool,
    /// Data that may be stored to, or code that may be loaded from.
    pub grants: bool,
    /// Offsets have 32 bits.
    pub wide: bool,
}

impl Descriptor {
    /// Takes a descriptor apart.
    pub fn decode(bits: u64) -> Descriptor {
        let flag = |bit: u32| bits >> bit & 1 == 1;
        let limit = (bits & 0xffff | bits >> 32 & 0xf_0000) as u32;
        let (ordinary, code) = (flag(44), flag(43));
        Descriptor {
            base: (bits >> 16 & 0xff_ffff | bits >> 32 & 0xff00_0000) as u32,
            limit: if flag(55) { limit << 12 | 0xfff } else { limit },
            present: flag(47),
            privilege: (bits >> 45 & 3) as u8,
            ordinary,
            code,
            expands_down: !code && flag(42),
            conforming: code && flag(42),
            grants: flag(41),
            wide: flag(54),
        }
    }

    /// Whether one byte at this offset is inside (SDM 6.3).
    pub fn contains(&self, offset: u32) -> bool {
        if self.expands_down {
            let top = if self.wide { u32::MAX } else { 0xffff };
            offset > self.limit && offset <= top
        } else {
            offset <= self.limit
        }
    }
}

impl DescriptorTable {
    /// Loads the segment and makes the access, in the order in which a processor checks.
    pub(crate) fn access(&self, memory: &mut Memory, access: SegmentAccess) -> Result<Outcome, MachineError> {
        let inside = |count: u16| memory.number(u64::from(self.base) + u64::from(count) * SIZE - SIZE, SIZE as usize);
        if self.count == 0 || inside(1).is_none() || inside(self.count).is_none() {
            return Err(MachineError::NoTable { at: self.base.into() });
        }
        let refused = Outcome::Protection { error_code: 0 };
        let selector = access.selector();
        if access.segment == 0 {
            return Ok(refused);
        }
        let at = u64::from(self.base) + u64::from(access.segment) * SIZE;
        let bits = memory.number(at, SIZE as usize).filter(|_| access.segment < self.count);
        let wrong = Outcome::Protection { error_code: selector & !3 };
        let Some(descriptor) = bits.map(Descriptor::decode) else { return Ok(wrong) };
        if !loadable(&descriptor, access) {
            return Ok(wrong);
        }
        if !descriptor.present {
            return Ok(Outcome::SegmentNotPresent { error_code: selector & !3 });
        }
        if access.kind == Kind::Fetch && !descriptor.contains(access.offset) {
            return Ok(refused);
        }
        memory.set_bits(at + 5, ACCESSED);
        if access.kind == Kind::Store && (descriptor.code || !descriptor.grants) || !descriptor.contains(access.offset)
        {
            return Ok(refused);
        }
        let physical = u64::from(descriptor.base.wrapping_add(access.offset));
        if access.kind == Kind::Store {
            memory.store(physical, STORED);
        }
        Ok(Outcome::Reached { physical })
    }
}

/// Whether the segment register takes the descriptor: SDM 6.5 and 6.6 for data, 6.8.1 for a jump.
fn loadable(descriptor: &Descriptor, access: SegmentAccess) -> bool {
    let level = access.level() as u8;
    let data = || !descriptor.code || descriptor.grants;
    descriptor.ordinary
        && match access.kind {
            Kind::Fetch if descriptor.conforming => descriptor.code && descriptor.privilege <= level,
            Kind::Fetch => descriptor.code && descriptor.privilege == level,
            Kind::Load | Kind::Store => data() && (descriptor.conforming || descriptor.privilege >= level),
        }
}
