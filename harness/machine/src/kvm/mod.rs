//! The processor itself: a guest of KVM whose physical memory is ours, which makes one access and says what came of it.
//!
//! The tables under test are in force while the access is made, and belong to whoever made them. What the guest needs
//! besides (its instructions, the handlers of its faults, a stack: the [`kit`]) is mapped through one entry of the
//! highest table that the access cannot meet, put in for the moment and taken out again.
//!
//! A processor does not say where an access went. So the same address is also stored to, as a supervisor whom
//! read-only pages do not bind, with a number that is nowhere else in memory: where that is found is the place. Then
//! memory is put back as it was.

mod kit;

use std::path::Path;

use kvm_bindings::{
    CpuId, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_USE_SW_BP, KVM_MAX_CPUID_ENTRIES, kvm_guest_debug, kvm_regs, kvm_sregs,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use memmap2::MmapMut;

use crate::access::{Access, ErrorCode, Kind, Outcome, PageFault, Privilege, STORED};
use crate::{DescriptorTable, Machine, MachineError, Paging, Processor, Scheme, SegmentAccess};
use kit::{Kit, Routine};

const PAGE_FAULT: u8 = 14;
const PROTECTION: u8 = 13;
const NOT_PRESENT: u8 = 11;
const BREAKPOINT: u8 = 3;
/// The one-byte instruction `int3`.
const INT3: u8 = 0xcc;
/// The one-byte instruction `hlt`, which is the supervisor's.
const HLT: u8 = 0xf4;
/// Where Intel's processors keep three pages for themselves while a guest does not page.
const TASK_STATE: usize = 0xfffb_d000;
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;

/// A guest on the processor's own MMU.
#[derive(Debug)]
pub struct KvmMachine {
    // Dropped before the memory that they use.
    vcpu: VcpuFd,
    vm: VmFd,
    memory: MmapMut,
    kit: Kit,
    processor: Processor,
    blank: kvm_sregs,
    in_hardware: bool,
}

/// Loaded where KVM has no hardware under it (PVM). There it is the kernel that reads a guest's tables, not the
/// processor; a guest of 32 bits that pages is shut down as soon as it runs, one without paging at its first fault,
/// and its user code ends as an internal error. Of user code in 64 bits it answers that nothing in the upper half of
/// the addresses is present, whatever the tables say.
const WITHOUT_HARDWARE: &str = "/sys/module/kvm_pvm";
const NO_SUCH_GUEST: &str = "this KVM has no hardware under it (kvm_pvm), and runs no such guest";

/// How the guest came back.
enum Exit {
    /// It made its access.
    Done,
    /// By this exception.
    Exception(u8),
    /// It touched an address where there is no memory.
    Device(u64),
    /// It came upon a breakpoint at this linear address.
    Breakpoint(u64),
}

impl KvmMachine {
    /// A machine with so many bytes of memory, a multiple of the page size.
    ///
    /// # Errors
    /// [`MachineError::NoKvm`] where there is no virtual machine to be had.
    pub fn new(memory: usize) -> Result<KvmMachine, MachineError> {
        let none = |error: kvm_ioctls::Error| MachineError::NoKvm(std::io::Error::from(error).to_string());
        let kvm = Kvm::new().map_err(none)?;
        let vm = kvm.create_vm().map_err(none)?;
        vm.set_tss_address(TASK_STATE).map_err(none)?;
        let no_memory = |error: std::io::Error| MachineError::NoKvm(error.to_string());
        let memory = MmapMut::map_anon(memory).map_err(no_memory)?;
        let kit = Kit::new().map_err(no_memory)?;
        give(&vm, 0, 0, &memory).map_err(none)?;
        give(&vm, 1, kit::AT, kit.memory()).map_err(none)?;
        let vcpu = vm.create_vcpu(0).map_err(none)?;
        let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(none)?;
        vcpu.set_cpuid2(&cpuid).map_err(none)?;
        let blank = vcpu.get_sregs().map_err(none)?;
        let in_hardware = walks_in_hardware();
        Ok(KvmMachine { vcpu, vm, memory, kit, processor: processor(&cpuid), blank, in_hardware })
    }

    /// Whether it is the processor that reads the tables; else the kernel's own MMU in software does.
    pub fn in_hardware(&self) -> bool {
        self.in_hardware
    }

    fn can_run(&self, paging: &Paging, access: Access) -> Result<(), MachineError> {
        let by_user_above = access.privilege == Privilege::User && access.address >> 63 == 1;
        if self.in_hardware || (paging.scheme == Scheme::FourLevel && !by_user_above) {
            return Ok(());
        }
        Err(MachineError::NoAnswer(NO_SUCH_GUEST.into()))
    }

    /// The properties of this machine's processor.
    pub fn processor(&self) -> Processor {
        self.processor
    }

    /// Whether the guest's own instructions lie at this physical address: what is mapped there cannot be asked about.
    pub fn occupies(&self, physical: u64) -> bool {
        (kit::AT..kit::AT + kit::LEN as u64).contains(&physical)
    }

    /// Where the address leads, if it leads anywhere.
    fn locate(&mut self, paging: &Paging, address: u64) -> Result<Option<u64>, MachineError> {
        let width = paging.scheme.entry_size();
        let aligned = address & !(width as u64 - 1);
        let nonce = self.nonce(width);
        let asked = Access { address: aligned, kind: Kind::Store, privilege: Privilege::Supervisor };
        let unbound = Paging { write_protect: false, ..*paging };
        let physical = match self.run_paged(&unbound, asked, Routine::Locate, nonce)? {
            Exit::Done => {
                let number = nonce.to_le_bytes();
                let found = self.memory.chunks_exact(width).position(|chunk| *chunk == number[..width]);
                let chunk = found.ok_or_else(|| MachineError::NoAnswer("a store went nowhere".into()))?;
                Some((chunk * width) as u64)
            }
            Exit::Device(physical) => Some(physical),
            Exit::Exception(_) => None,
            Exit::Breakpoint(_) => return Err(MachineError::NoAnswer("a breakpoint that nobody set".into())),
        };
        Ok(physical.map(|physical| physical + (address - aligned)))
    }

    /// A number that is nowhere in memory, aligned.
    fn nonce(&self, width: usize) -> u64 {
        let mask = if width == 8 { u64::MAX } else { u64::from(u32::MAX) };
        let mut number = 0x9e37_79b9_7f4a_7c15_u64;
        loop {
            let bytes = (number & mask).to_le_bytes();
            if !self.memory.chunks_exact(width).any(|chunk| *chunk == bytes[..width]) {
                return number & mask;
            }
            number = number.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        }
    }

    /// A jump ends at its first instruction, which is put there for it. So its place must be known before.
    fn fetch(&mut self, paging: &Paging, access: Access) -> Result<Outcome, MachineError> {
        self.forget_translations()?;
        let before = self.memory.to_vec();
        let place = self.locate(paging, access.address);
        self.memory.copy_from_slice(&before);
        let place = place?;
        let Some(physical) = place else {
            let exit = self.run_paged(paging, access, Routine::Access(Kind::Fetch), 0)?;
            return self.fetched(exit, None);
        };
        self.forget_translations()?;
        let nowhere = || MachineError::NoAnswer(format!("there is no memory to run at {physical:#x}"));
        let byte = self.memory.get_mut(physical as usize).ok_or_else(nowhere)?;
        let instruction = if access.privilege == Privilege::Supervisor { HLT } else { INT3 };
        let kept = std::mem::replace(byte, instruction);
        let exit = self.run_paged(paging, access, Routine::Access(Kind::Fetch), 0);
        self.memory[physical as usize] = kept;
        self.fetched(exit?, place)
    }

    fn fetched(&self, exit: Exit, place: Option<u64>) -> Result<Outcome, MachineError> {
        match exit {
            Exit::Exception(BREAKPOINT) | Exit::Done => reached(place),
            Exit::Exception(vector) => self.exception(vector),
            Exit::Device(_) | Exit::Breakpoint(_) => Err(MachineError::NoAnswer("the jump ended nowhere".into())),
        }
    }

    /// Runs a routine of the kit with these tables in force.
    fn run_paged(
        &mut self,
        paging: &Paging,
        access: Access,
        routine: Routine,
        value: u64,
    ) -> Result<Exit, MachineError> {
        let slot = kit::free_slot(paging, access.address);
        let at = (paging.root_table() + slot * paging.scheme.entry_size() as u64) as usize;
        let room = at..at + paging.scheme.entry_size();
        let root = MachineError::NoTable { at: paging.root_table() };
        let entry = self.memory.get_mut(room.clone()).ok_or(root)?;
        let kept = entry.to_vec();
        entry.copy_from_slice(&self.kit.top_entry(paging.scheme)[..room.len()]);
        let start = self.kit.prepare(paging.scheme, slot, access.privilege, routine);
        let sregs = self.kit.paged_registers(&self.blank, paging, slot);
        let regs = kvm_regs { rax: value, rbx: paging.root_table(), rdi: access.address, ..start };
        let exit = self.run(&sregs, &regs);
        self.memory[room].copy_from_slice(&kept);
        exit
    }

    /// Where KVM translates by tables of its own, made after the guest's (shadow paging), it learns of the guest's
    /// stores to its tables, but not of ours. When memory is taken away it forgets them all: a page is given and taken.
    /// A processor that reads the guest's tables itself forgets when the guest loads CR3, as it always does here.
    fn forget_translations(&self) -> Result<(), MachineError> {
        if self.in_hardware {
            return Ok(());
        }
        let page = &self.kit.memory()[..kit::PAGE];
        give(&self.vm, 2, kit::AT + 2 * kit::LEN as u64, page).map_err(no_answer)?;
        give(&self.vm, 2, 0, &page[..0]).map_err(no_answer)
    }

    fn run(&mut self, sregs: &kvm_sregs, regs: &kvm_regs) -> Result<Exit, MachineError> {
        self.vcpu.set_sregs(sregs).map_err(no_answer)?;
        self.vcpu.set_regs(regs).map_err(no_answer)?;
        loop {
            return match self.vcpu.run() {
                Ok(VcpuExit::IoOut(port, _)) if port == u16::from(kit::DONE) => Ok(Exit::Done),
                Ok(VcpuExit::Hlt) => Ok(Exit::Done),
                Ok(VcpuExit::IoOut(port, _)) => Ok(Exit::Exception(port as u8)),
                Ok(VcpuExit::MmioRead(at, _) | VcpuExit::MmioWrite(at, _)) => {
                    self.complete()?;
                    Ok(Exit::Device(at))
                }
                Ok(VcpuExit::Debug(debug)) => Ok(Exit::Breakpoint(debug.pc)),
                Ok(other) if self.in_hardware => Err(MachineError::NoAnswer(format!("{other:?}"))),
                Ok(other) => Err(MachineError::NoAnswer(format!("{NO_SUCH_GUEST}, but ends it by {other:?}"))),
                Err(error) if [EINTR, EAGAIN].contains(&error.errno()) => continue,
                Err(error) => Err(no_answer(error)),
            };
        }
    }

    /// Ends the instruction that touched a device, or it would go on in the next run.
    fn complete(&mut self) -> Result<(), MachineError> {
        self.vcpu.set_kvm_immediate_exit(1);
        let ended = self.vcpu.run().map(|_| ());
        self.vcpu.set_kvm_immediate_exit(0);
        match ended {
            Err(error) if error.errno() != EINTR => Err(no_answer(error)),
            _ => Ok(()),
        }
    }

    /// The exception that the guest ended by, with what its handler found.
    fn exception(&self, vector: u8) -> Result<Outcome, MachineError> {
        let error_code = self.kit.pushed(self.vcpu.get_regs().map_err(no_answer)?.rsp);
        Ok(match vector {
            PAGE_FAULT => {
                let address = self.vcpu.get_sregs().map_err(no_answer)?.cr2;
                Outcome::PageFault(PageFault { address, error_code: ErrorCode(error_code) })
            }
            PROTECTION => Outcome::Protection { error_code: error_code as u16 },
            NOT_PRESENT => Outcome::SegmentNotPresent { error_code: error_code as u16 },
            other => return Err(MachineError::NoAnswer(format!("exception {other}"))),
        })
    }

    fn debug(&self, control: u32) -> Result<(), MachineError> {
        self.vcpu.set_guest_debug(&kvm_guest_debug { control, ..Default::default() }).map_err(no_answer)
    }

    /// A jump shows where it arrives by a breakpoint, which is everywhere but in the descriptors.
    fn jump(&mut self, table: &DescriptorTable, access: SegmentAccess) -> Result<Outcome, MachineError> {
        let start = table.base as usize;
        let descriptors = start..start + usize::from(table.count) * 8;
        let kept = self.memory.to_vec();
        self.memory[..descriptors.start].fill(INT3);
        self.memory[descriptors.end..].fill(INT3);
        self.debug(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP)?;
        let exit = self.run_segmented(table, access);
        self.debug(0)?;
        self.memory[..descriptors.start].copy_from_slice(&kept[..descriptors.start]);
        self.memory[descriptors.end..].copy_from_slice(&kept[descriptors.end..]);
        match exit? {
            Exit::Breakpoint(physical) => Ok(Outcome::Reached { physical }),
            Exit::Exception(vector) => self.exception(vector),
            Exit::Device(_) | Exit::Done => Err(MachineError::NoAnswer("the jump ended nowhere".into())),
        }
    }

    fn run_segmented(&mut self, table: &DescriptorTable, access: SegmentAccess) -> Result<Exit, MachineError> {
        let start = self.kit.prepare_segmented(access.privilege, access.kind);
        let sregs = self.kit.segmented_registers(&self.blank, table);
        let regs = kvm_regs { rax: STORED.into(), rcx: access.selector().into(), rdi: access.offset.into(), ..start };
        self.run(&sregs, &regs)
    }
}

impl Machine for KvmMachine {
    fn load(&mut self, image: &[u8]) -> Result<(), MachineError> {
        if image.len() > self.memory.len() {
            return Err(MachineError::ImageTooLarge { bytes: image.len(), memory: self.memory.len() });
        }
        let (beginning, rest) = self.memory.split_at_mut(image.len());
        beginning.copy_from_slice(image);
        rest.fill(0);
        Ok(())
    }

    fn memory(&self) -> &[u8] {
        &self.memory
    }

    fn access(&mut self, paging: &Paging, access: Access) -> Result<Outcome, MachineError> {
        self.can_run(paging, access)?;
        if access.kind == Kind::Fetch {
            return self.fetch(paging, access);
        }
        self.forget_translations()?;
        let before = self.memory.to_vec();
        match self.run_paged(paging, access, Routine::Access(access.kind), STORED.into())? {
            Exit::Exception(vector) => self.exception(vector),
            Exit::Done | Exit::Device(_) => {
                // A store may have changed the very entries that led it to its place.
                let after = self.memory.to_vec();
                self.memory.copy_from_slice(&before);
                self.forget_translations()?;
                let place = self.locate(paging, access.address);
                self.memory.copy_from_slice(&after);
                reached(place?)
            }
            Exit::Breakpoint(_) => Err(MachineError::NoAnswer("a breakpoint that nobody set".into())),
        }
    }

    fn access_segment(&mut self, table: &DescriptorTable, access: SegmentAccess) -> Result<Outcome, MachineError> {
        let end = u64::from(table.base) + u64::from(table.count) * 8;
        if table.count == 0 || end > self.memory.len() as u64 {
            return Err(MachineError::NoTable { at: table.base.into() });
        }
        if access.kind == Kind::Fetch {
            return self.jump(table, access);
        }
        match self.run_segmented(table, access)? {
            Exit::Done => {
                // The register's hidden part is what the processor made of the descriptor.
                let base = self.vcpu.get_sregs().map_err(no_answer)?.ds.base as u32;
                Ok(Outcome::Reached { physical: base.wrapping_add(access.offset).into() })
            }
            Exit::Device(physical) => Ok(Outcome::Reached { physical }),
            Exit::Exception(vector) => self.exception(vector),
            Exit::Breakpoint(_) => Err(MachineError::NoAnswer("a breakpoint that nobody set".into())),
        }
    }
}

/// Makes `memory` the guest's at this physical address, in a slot of this number; of no bytes, takes the slot away.
fn give(vm: &VmFd, slot: u32, at: u64, memory: &[u8]) -> Result<(), kvm_ioctls::Error> {
    let region = kvm_userspace_memory_region {
        slot,
        flags: 0,
        guest_phys_addr: at,
        memory_size: memory.len() as u64,
        userspace_addr: memory.as_ptr().addr() as u64,
    };
    // SAFETY: the memory belongs to the machine, lives as long as it, and is looked at only while the guest does not
    // run.
    unsafe { vm.set_user_memory_region(region) }
}

fn reached(place: Option<u64>) -> Result<Outcome, MachineError> {
    let physical = place.ok_or_else(|| MachineError::NoAnswer("memory was reached, but not found".into()))?;
    Ok(Outcome::Reached { physical })
}

fn no_answer(error: kvm_ioctls::Error) -> MachineError {
    MachineError::NoAnswer(std::io::Error::from(error).to_string())
}

/// Whether the processor reads a guest's tables itself (nested paging), as far as KVM's modules tell.
fn walks_in_hardware() -> bool {
    let off = |switch: &str| {
        let setting = std::fs::read_to_string(Path::new("/sys/module").join(switch));
        setting.is_ok_and(|setting| ["N", "0"].contains(&setting.trim()))
    };
    !Path::new(WITHOUT_HARDWARE).exists() && !off("kvm_intel/parameters/ept") && !off("kvm_amd/parameters/npt")
}

/// What the guest's processor says of itself (CPUID).
fn processor(cpuid: &CpuId) -> Processor {
    let leaf = |function: u32| cpuid.as_slice().iter().find(|entry| entry.function == function);
    let vendor = leaf(0).map_or(0, |entry| entry.ebx).to_le_bytes();
    Processor {
        physical_bits: leaf(0x8000_0008).map_or(36, |entry| entry.eax & 0xff),
        gibibyte_pages: leaf(0x8000_0001).is_some_and(|entry| entry.edx >> 26 & 1 == 1),
        bit_8_reserved: [b"Auth", b"Hygo"].contains(&&vendor),
    }
}
