//! Two machines that translate addresses as an x86 processor does: [`SoftwareMmu`], everywhere, and `KvmMachine`, which
//! asks the processor itself by running a few instructions in a guest, where `/dev/kvm` may be opened.
//!
//! A [`Machine`] has physical memory, in which page tables or segment descriptors lie, and is asked for one
//! [`Access`] at a time. What comes of it is an [`Outcome`]: the physical address that was reached, or the fault with
//! its error code; the accessed and dirty bits are in the memory afterwards. Whatever the memory holds, there is an
//! answer. This crate knows nothing of exercises.
//!
//! The rules are those of the *Intel 64 and IA-32 Architectures Software Developer's Manual*, volume 3A (SDM), whose
//! sections are named beside the code that follows them; where AMD's processors differ, [`Processor`] says so.

#![warn(missing_docs)]

mod access;
mod entry;
#[cfg_attr(not(target_arch = "x86_64"), path = "no_kvm.rs")]
mod kvm;
mod memory;
mod pages;
mod paging;
mod processor;
mod segments;
mod software;
mod walk;

pub use access::{Access, ErrorCode, Kind, Outcome, PageFault, Privilege, STORED};
pub use entry::{Bits, Entry};
pub use kvm::KvmMachine;
pub use memory::Memory;
pub use paging::{Level, Paging, Scheme};
pub use processor::Processor;
pub use segments::{Descriptor, DescriptorTable, SegmentAccess};
pub use software::SoftwareMmu;
pub use walk::{End, Page, Step, Walk};

/// Physical memory, and what a processor makes of an access to it.
pub trait Machine {
    /// Makes `image` the beginning of the physical memory; what it does not reach is zero.
    ///
    /// # Errors
    /// [`MachineError::ImageTooLarge`].
    fn load(&mut self, image: &[u8]) -> Result<(), MachineError>;

    /// The physical memory as it is now.
    fn memory(&self) -> &[u8];

    /// Makes one access through page tables.
    ///
    /// # Errors
    /// [`MachineError`] where this machine has no answer: never a statement about the tables.
    fn access(&mut self, paging: &Paging, access: Access) -> Result<Outcome, MachineError>;

    /// Loads a segment register and makes one access through it, without paging.
    ///
    /// # Errors
    /// As [`Machine::access`].
    fn access_segment(&mut self, table: &DescriptorTable, access: SegmentAccess) -> Result<Outcome, MachineError>;
}

/// Why a machine has no answer.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// More than the physical memory holds.
    #[error("an image of {bytes} bytes does not fit into a memory of {memory}")]
    ImageTooLarge {
        /// Of the image.
        bytes: usize,
        /// Of the memory.
        memory: usize,
    },
    /// The tables' root, or the descriptor table, is not in memory: no processor can be set up so.
    #[error("a table at {at:#x} is not in the physical memory")]
    NoTable {
        /// Where it was to be.
        at: u64,
    },
    /// There is no virtual machine here.
    #[error("/dev/kvm: {0}")]
    NoKvm(String),
    /// The guest was not able to make the access, for a reason that is not the tables'.
    #[error("the guest gave no answer: {0}")]
    NoAnswer(String),
}
