//! Stands for the processor's own machine where the processor is no x86 one: there never is any.

use crate::{Access, DescriptorTable, Machine, MachineError, Outcome, Paging, Processor, SegmentAccess};

/// A guest on the processor's own MMU, of which there is none here.
#[derive(Debug)]
pub enum KvmMachine {}

impl KvmMachine {
    /// No machine.
    ///
    /// # Errors
    /// Always [`MachineError::NoKvm`].
    pub fn new(_memory: usize) -> Result<KvmMachine, MachineError> {
        Err(MachineError::NoKvm("the processor here is no x86 one".into()))
    }

    /// Whether it is the processor that reads the tables.
    pub fn in_hardware(&self) -> bool {
        match *self {}
    }

    /// The properties of this machine's processor.
    pub fn processor(&self) -> Processor {
        match *self {}
    }

    /// Whether the guest's own instructions lie at this physical address.
    pub fn occupies(&self, _physical: u64) -> bool {
        match *self {}
    }
}

impl Machine for KvmMachine {
    fn load(&mut self, _image: &[u8]) -> Result<(), MachineError> {
        match *self {}
    }

    fn memory(&self) -> &[u8] {
        match *self {}
    }

    fn access(&mut self, _paging: &Paging, _access: Access) -> Result<Outcome, MachineError> {
        match *self {}
    }

    fn access_segment(&mut self, _table: &DescriptorTable, _access: SegmentAccess) -> Result<Outcome, MachineError> {
        match *self {}
    }
}
