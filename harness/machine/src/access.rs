//! One access to memory and what may come of it.

use std::fmt;

/// The byte that every store stores.
pub const STORED: u8 = 0x5a;

/// One byte touched by one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// The linear address.
    pub address: u64,
    /// What is done there.
    pub kind: Kind,
    /// By whom.
    pub privilege: Privilege,
}

impl Access {
    /// A load by user code.
    pub fn load(address: u64) -> Access {
        Access { address, kind: Kind::Load, privilege: Privilege::User }
    }

    /// A store by user code.
    pub fn store(address: u64) -> Access {
        Access { kind: Kind::Store, ..Access::load(address) }
    }

    /// A jump by user code.
    pub fn fetch(address: u64) -> Access {
        Access { kind: Kind::Fetch, ..Access::load(address) }
    }

    /// The same by the supervisor.
    pub fn by_supervisor(self) -> Access {
        Access { privilege: Privilege::Supervisor, ..self }
    }
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Loads a byte.
    Load,
    /// Stores [`STORED`].
    Store,
    /// Jumps there.
    Fetch,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Load => "load",
            Kind::Store => "store",
            Kind::Fetch => "jump",
        })
    }
}

/// Who makes an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// Code at privilege level 0.
    Supervisor,
    /// Code at privilege level 3.
    User,
}

/// What came of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was made at this physical address, whether or not there is memory.
    Reached {
        /// Of the byte.
        physical: u64,
    },
    /// `#PF`.
    PageFault(PageFault),
    /// `#GP` with this error code: a selector, or 0.
    Protection {
        /// As the handler finds it on its stack.
        error_code: u16,
    },
    /// `#NP`: the segment is not present.
    SegmentNotPresent {
        /// The selector.
        error_code: u16,
    },
    /// The walk needs a table where there is no memory; what a processor does then is its own affair.
    NoMemory {
        /// Of the table's entry.
        physical: u64,
    },
}

/// `#PF`, SDM 5.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageFault {
    /// CR2.
    pub address: u64,
    /// As the handler finds it on its stack.
    pub error_code: ErrorCode,
}

/// The error code of a page fault, SDM figure 5-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The page was present: the fault is one of rights, or of a reserved bit.
    pub const PRESENT: u32 = 1 << 0;
    /// A store.
    pub const WRITE: u32 = 1 << 1;
    /// By user code.
    pub const USER: u32 = 1 << 2;
    /// A reserved bit was set in an entry.
    pub const RESERVED: u32 = 1 << 3;
    /// An instruction fetch (told only where there is a no-execute bit).
    pub const FETCH: u32 = 1 << 4;

    /// Whether all of these bits are set.
    pub fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

impl fmt::Display for ErrorCode {
    /// `5: present, user`, in the words of the bits that are set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (ErrorCode::PRESENT, "present"),
            (ErrorCode::WRITE, "write"),
            (ErrorCode::USER, "user"),
            (ErrorCode::RESERVED, "reserved bit"),
            (ErrorCode::FETCH, "fetch"),
        ];
        let set: Vec<&str> = names.into_iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect();
        match set.is_empty() {
            true => f.write_str("0: not present"),
            false => write!(f, "{}: {}", self.0, set.join(", ")),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Reached { physical } => write!(f, "reached {physical:#x}"),
            Outcome::PageFault(fault) => write!(f, "page fault ({})", fault.error_code),
            Outcome::Protection { error_code } => write!(f, "#GP({error_code:#x})"),
            Outcome::SegmentNotPresent { error_code } => write!(f, "#NP({error_code:#x})"),
            Outcome::NoMemory { physical } => write!(f, "no memory at {physical:#x}, where a table was to be"),
        }
    }
}
