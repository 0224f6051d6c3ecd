//! `03_mmap`: files and memory, mapped.

mod anonymous;
mod cat;
mod device;
mod fixed;
mod grow;
mod lazy;
pub(super) mod mapping;
mod offset;
mod private;
mod read;
mod records;
mod ring;
mod shared;
mod sigbus;
mod sync;
mod unmap;
mod write;

pub(crate) use anonymous::map_anonymous;
pub(crate) use cat::map_cat;
pub(crate) use device::map_device;
pub(crate) use fixed::map_fixed;
pub(crate) use grow::map_grow;
pub(crate) use lazy::map_lazy;
pub(crate) use offset::map_offset;
pub(crate) use private::map_private;
pub(crate) use read::map_read;
pub(crate) use records::map_records;
pub(crate) use ring::map_ring;
pub(crate) use shared::map_shared;
pub(crate) use sigbus::map_sigbus;
pub(crate) use sync::map_sync;
pub(crate) use unmap::map_unmap;
pub(crate) use write::map_write;
