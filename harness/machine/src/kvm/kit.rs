//! What the guest needs besides the tables under test: its instructions, the handlers of its faults, descriptors, a
//! stack, and tables that map all this. It lies in physical memory of its own, far above the memory under test.

use std::io;

use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use memmap2::MmapMut;

use crate::access::{Kind, Privilege};
use crate::entry::Bits;
use crate::{DescriptorTable, Paging, Scheme};

/// Physical address of the kit.
pub const AT: u64 = 0xe000_0000;
/// Bytes of it.
pub const LEN: usize = 10 * PAGE;
/// The port that a routine ends by writing to; a fault's handler writes to the port of its vector.
pub const DONE: u8 = 0x80;

/// Bytes of a page.
pub const PAGE: usize = 4096;
// The pages, in order.
const CODE: usize = 0;
const HANDLERS: usize = PAGE;
const DESCRIPTORS: usize = 2 * PAGE;
const TASK_STATE: usize = DESCRIPTORS + 0x800;
const STACK: usize = 3 * PAGE;
const STACK_END: usize = STACK + PAGE - 64;
const LONG_TABLE: usize = 4 * PAGE;
const LONG_DIRECTORY: usize = 5 * PAGE;
const LONG_POINTERS: usize = 6 * PAGE;
const LONG_ROOT: usize = 7 * PAGE;
const TABLE: usize = 8 * PAGE;
const ROOT: usize = 9 * PAGE;

/// Bytes of code that each routine and each handler has.
const ROUTINE: usize = 16;
const FIRST_HANDLER: usize = 0x400;
const VECTORS: usize = 32;

/// Entries of the kit's own tables: present, writable, for users, and used before, so that the processor need not
/// write to them.
const MAPPED: u64 = Bits::PRESENT | Bits::WRITE | Bits::USER | Bits::ACCESSED | Bits::DIRTY;

// Selectors in the kit's descriptors.
const CODE_0: u16 = 0x08;
const DATA_0: u16 = 0x10;
const CODE_3: u16 = 0x18 | 3;
const DATA_3: u16 = 0x20 | 3;
const TASK: u16 = 0x28;
/// Makes a selector of the local table of one of the global table.
const LOCAL: u16 = 4;

/// Interrupts off, and port access for users.
const FLAGS: u64 = 2 | 3 << 12;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    /// The access itself.
    Access(Kind),
    /// A wide store by the supervisor.
    Locate,
}

/// The routines' places in the code page.
#[derive(Clone, Copy)]
enum Place {
    /// By the supervisor: also loads CR3.
    Supervisor = 0,
    Locate = 3,
    ToUser = 4,
    User = 5,
    ByDataSegment = 8,
    ToUserUnpaged = 11,
}

/// The kit in its memory.
#[derive(Debug)]
pub struct Kit {
    memory: MmapMut,
}

impl Kit {
    /// A kit with its tables; what a run needs is put in by the `prepare` methods.
    pub fn new() -> io::Result<Kit> {
        let mut kit = Kit { memory: MmapMut::map_anon(LEN)? };
        kit.lay_tables();
        Ok(kit)
    }

    /// Its memory.
    pub fn memory(&self) -> &MmapMut {
        &self.memory
    }

    /// The entry of the highest table that maps the kit.
    pub fn top_entry(&self, scheme: Scheme) -> [u8; 8] {
        let next = match scheme {
            Scheme::Ia32 => TABLE,
            Scheme::FourLevel => LONG_POINTERS,
        };
        ((AT + next as u64) | MAPPED).to_le_bytes()
    }

    /// Lays out everything for a run of `routine`, mapped by entry `slot` of the root, and gives the registers to
    /// begin with.
    pub fn prepare(&mut self, scheme: Scheme, slot: u64, privilege: Privilege, routine: Routine) -> kvm_regs {
        let base = linear_base(scheme, slot);
        self.lay_tables();
        self.lay_code(scheme);
        self.lay_handlers(scheme, base, CODE_0);
        self.lay_descriptors(scheme, base, DATA_0);
        let begin = match (routine, privilege) {
            (Routine::Locate, _) => Place::Locate as usize,
            (Routine::Access(kind), Privilege::Supervisor) => Place::Supervisor as usize + offset(kind),
            (Routine::Access(kind), Privilege::User) => {
                let width = scheme.entry_size();
                self.lay_return(width, base, Place::User as usize + offset(kind), CODE_3, DATA_3);
                Place::ToUser as usize
            }
        };
        registers(base, begin)
    }

    /// The same for an access through a segment, without paging.
    pub fn prepare_segmented(&mut self, privilege: Privilege, kind: Kind) -> kvm_regs {
        self.lay_code(Scheme::Ia32);
        self.lay_handlers(Scheme::Ia32, AT, CODE_0 | LOCAL);
        self.lay_descriptors(Scheme::Ia32, AT, DATA_0 | LOCAL);
        let routine = Place::ByDataSegment as usize + offset(kind);
        match privilege {
            Privilege::Supervisor => registers(AT, routine),
            Privilege::User => {
                self.lay_return(4, AT, routine, CODE_3 | LOCAL, DATA_3 | LOCAL);
                registers(AT, Place::ToUserUnpaged as usize)
            }
        }
    }

    /// The number on top of the stack, where `pointer` is the stack pointer in any mapping of the kit.
    pub fn pushed(&self, pointer: u64) -> u32 {
        let at = STACK + pointer as usize % PAGE;
        let bytes = self.memory.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// The processor's state at the beginning of a run with paging. CR3 is the kit's own, all of whose entries lead to
    /// the kit; the routine itself loads the one under test, which empties the TLB.
    pub fn paged_registers(&self, blank: &kvm_sregs, paging: &Paging, slot: u64) -> kvm_sregs {
        let base = linear_base(paging.scheme, slot);
        let (root, cr4, efer) = match paging.scheme {
            Scheme::Ia32 => (ROOT, u64::from(paging.large_pages) << 4, 0),
            Scheme::FourLevel => (LONG_ROOT, 1 << 5, 0x500 | u64::from(paging.no_execute) << 11),
        };
        kvm_sregs {
            cr0: 1 << 31 | u64::from(paging.write_protect) << 16 | 0x31,
            cr3: AT + root as u64,
            cr4,
            efer,
            gdt: kvm_dtable { base: base + DESCRIPTORS as u64, limit: 0x37, ..Default::default() },
            ..flat(blank, base, paging.scheme, 0)
        }
    }

    /// The processor's state at the beginning of a run without paging: the kit's descriptors are the local ones.
    pub fn segmented_registers(&self, blank: &kvm_sregs, table: &DescriptorTable) -> kvm_sregs {
        let limit = (u32::from(table.count) * 8 - 1) as u16;
        let local =
            kvm_segment { base: AT + DESCRIPTORS as u64, limit: 0x37, type_: 2, present: 1, ..Default::default() };
        kvm_sregs {
            cr0: 0x31,
            cr3: 0,
            cr4: 0,
            efer: 0,
            gdt: kvm_dtable { base: table.base.into(), limit, ..Default::default() },
            ldt: local,
            ..flat(blank, AT, Scheme::Ia32, LOCAL)
        }
    }

    fn lay_tables(&mut self) {
        let pages = (LEN / PAGE) as u64;
        for page in 0..pages {
            let entry = (AT + page * PAGE as u64) | MAPPED;
            self.put(LONG_TABLE + page as usize * 8, &entry.to_le_bytes());
            self.put(TABLE + page as usize * 4, &entry.to_le_bytes()[..4]);
        }
        self.put(LONG_DIRECTORY, &((AT + LONG_TABLE as u64) | MAPPED).to_le_bytes());
        self.put(LONG_POINTERS, &((AT + LONG_DIRECTORY as u64) | MAPPED).to_le_bytes());
        for slot in 0..512 {
            self.put(LONG_ROOT + slot * 8, &self.top_entry(Scheme::FourLevel));
        }
        for slot in 0..1024 {
            self.put(ROOT + slot * 4, &self.top_entry(Scheme::Ia32)[..4]);
        }
    }

    /// The instructions; most are the same bytes in 32-bit and 64-bit code.
    fn lay_code(&mut self, scheme: Scheme) {
        const LOAD: &[u8] = &[0x8a, 0x07]; // mov al, [rdi]
        const STORE: &[u8] = &[0x88, 0x07]; // mov [rdi], al
        const JUMP: &[u8] = &[0xff, 0xe7]; // jmp rdi
        const TAKE_TABLES: &[u8] = &[0x0f, 0x22, 0xdb]; // mov cr3, rbx
        const TAKE_SEGMENT: &[u8] = &[0x8e, 0xd9]; // mov ds, cx
        const JUMP_TO_SEGMENT: &[u8] = &[0x51, 0x57, 0xcb]; // push ecx; push edi; retf
        const RETURN: &[u8] = &[0xcf]; // iret
        let wide: &[u8] = if scheme == Scheme::FourLevel { &[0x48] } else { &[] };
        let locate = [wide, &[0x89, 0x07]].concat(); // mov [rdi], rax
        let to_user = [wide, RETURN].concat();
        self.memory[CODE..CODE + PAGE].fill(0xf4); // hlt
        let routines: [(usize, &[u8], &[u8]); 12] = [
            (Place::Supervisor as usize, TAKE_TABLES, LOAD),
            (Place::Supervisor as usize + 1, TAKE_TABLES, STORE),
            (Place::Supervisor as usize + 2, TAKE_TABLES, JUMP),
            (Place::Locate as usize, TAKE_TABLES, &locate),
            (Place::ToUser as usize, TAKE_TABLES, &to_user),
            (Place::User as usize, &[], LOAD),
            (Place::User as usize + 1, &[], STORE),
            (Place::User as usize + 2, &[], JUMP),
            (Place::ByDataSegment as usize, TAKE_SEGMENT, LOAD),
            (Place::ByDataSegment as usize + 1, TAKE_SEGMENT, STORE),
            (Place::ByDataSegment as usize + 2, &[], JUMP_TO_SEGMENT),
            (Place::ToUserUnpaged as usize, &[], RETURN),
        ];
        for (place, first, then) in routines {
            self.put(CODE + place * ROUTINE, &[first, then, &out(DONE)].concat());
        }
        for vector in 0..VECTORS {
            self.put(CODE + FIRST_HANDLER + vector * ROUTINE, &out(vector as u8));
        }
    }

    /// Interrupt gates, open to users, since `int3` is how a jump says that it has arrived.
    fn lay_handlers(&mut self, scheme: Scheme, base: u64, code: u16) {
        for vector in 0..VECTORS {
            let handler = base + (CODE + FIRST_HANDLER + vector * ROUTINE) as u64;
            let gate = handler & 0xffff | u64::from(code) << 16 | 0xee00 << 32 | (handler & 0xffff_0000) << 32;
            let size = if scheme == Scheme::FourLevel { 16 } else { 8 };
            self.put(HANDLERS + vector * size, &gate.to_le_bytes());
            if scheme == Scheme::FourLevel {
                self.put(HANDLERS + vector * size + 8, &(handler >> 32).to_le_bytes());
            }
        }
    }

    /// Flat segments, and the task state, which says where the stack is on which a user's fault is handled.
    fn lay_descriptors(&mut self, scheme: Scheme, base: u64, stack: u16) {
        let code = if scheme == Scheme::FourLevel { 0x00af_9b00_0000_ffff_u64 } else { 0x00cf_9b00_0000_ffff };
        let data = 0x00cf_9300_0000_ffff_u64;
        let for_users = 3 << 45;
        for (i, descriptor) in [0, code, data, code | for_users, data | for_users, 0, 0].into_iter().enumerate() {
            self.put(DESCRIPTORS + i * 8, &descriptor.to_le_bytes());
        }
        self.memory[TASK_STATE..TASK_STATE + 0x68].fill(0);
        let top = base + STACK_END as u64;
        match scheme {
            Scheme::FourLevel => self.put(TASK_STATE + 4, &top.to_le_bytes()),
            Scheme::Ia32 => {
                self.put(TASK_STATE + 4, &top.to_le_bytes()[..4]);
                self.put(TASK_STATE + 8, &stack.to_le_bytes());
            }
        }
    }

    /// What `iret` takes from the stack to go on as a user.
    fn lay_return(&mut self, width: usize, base: u64, routine: usize, code: u16, data: u16) {
        let begin = base + (CODE + routine * ROUTINE) as u64;
        // The user's stack lies lower in the same page.
        let stack = base + (STACK + PAGE / 2) as u64;
        let frame = [begin, code.into(), FLAGS, stack, data.into()];
        for (i, number) in frame.into_iter().enumerate() {
            self.put(STACK_END + i * width, &number.to_le_bytes()[..width]);
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// An entry of the highest table that the access cannot meet, whatever the tables are: not as an entry of any level's
/// table, nor as the memory that it touches, even if all these are the highest table itself.
pub fn free_slot(paging: &Paging, address: u64) -> u64 {
    let scheme = paging.scheme;
    let as_memory = address % PAGE as u64 / scheme.entry_size() as u64;
    let met = |slot: u64| scheme.levels().iter().any(|level| level.index(scheme, address) == slot);
    (1..).find(|slot| *slot != as_memory && !met(*slot)).unwrap_or_default()
}

fn linear_base(scheme: Scheme, slot: u64) -> u64 {
    slot << scheme.levels()[0].shift(scheme)
}

fn offset(kind: Kind) -> usize {
    match kind {
        Kind::Load => 0,
        Kind::Store => 1,
        Kind::Fetch => 2,
    }
}

/// `out PORT, al; hlt`.
fn out(port: u8) -> [u8; 3] {
    [0xe6, port, 0xf4]
}

fn registers(base: u64, routine: usize) -> kvm_regs {
    let rip = base + (CODE + routine * ROUTINE) as u64;
    kvm_regs { rip, rsp: base + STACK_END as u64, rflags: FLAGS, ..Default::default() }
}

/// Flat segments of the supervisor, and data segments that a user keeps.
fn flat(blank: &kvm_sregs, base: u64, scheme: Scheme, table: u16) -> kvm_sregs {
    let long = u8::from(scheme == Scheme::FourLevel);
    let whole = kvm_segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Default::default() };
    let code = kvm_segment { selector: CODE_0 | table, type_: 0xb, l: long, db: 1 - long, ..whole };
    let stack = kvm_segment { selector: DATA_0 | table, type_: 3, db: 1, ..whole };
    let data = kvm_segment { selector: DATA_3 | table, type_: 3, db: 1, dpl: 3, ..whole };
    let task = kvm_segment {
        base: base + TASK_STATE as u64,
        limit: 0x67,
        selector: TASK,
        type_: 0xb,
        present: 1,
        ..Default::default()
    };
    kvm_sregs {
        cs: code,
        ss: stack,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        tr: task,
        idt: kvm_dtable { base: base + HANDLERS as u64, limit: 0x1ff, ..Default::default() },
        ..*blank
    }
}
