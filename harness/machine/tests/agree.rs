//! The software MMU and the processor are given the same random tables and accesses, and must say the same: place,
//! fault, error code, accessed and dirty bits. Where there is no KVM that is said, and the tests are ignored.
//!
//! The long form, of more than 100,000 accesses, is ignored too: `dev prove machine` makes it, and fails where it cannot.

use std::cell::RefCell;

use libtest_mimic::{Arguments, Trial};
use machine::{
    Access, Bits, Descriptor, DescriptorTable, End, Kind, KvmMachine, Machine, MachineError, Outcome, Paging,
    Privilege, Scheme, SegmentAccess, SoftwareMmu, Step, Walk,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const FRAME: u64 = 4096;
/// Few, so that tables often are each other's tables, and their own.
const FRAMES: u64 = 12;
const MEMORY: usize = (FRAMES * FRAME) as usize;
/// Cases of about fifteen accesses, of which KVM without hardware can be asked for half.
const SHORT: u32 = 100;
const LONG: u32 = 20_000;

/// Tables, and what is to be touched.
#[derive(Clone, Debug)]
struct Case {
    paging: Paging,
    mappings: Vec<Mapping>,
    accesses: Vec<(usize, u64, Access)>,
}

/// An address and the entries that are laid in its way.
#[derive(Clone, Debug)]
struct Mapping {
    address: u64,
    entries: Vec<u64>,
}

/// Mostly an entry that leads on; now and then one with bits that are reserved or ignored, of a large page, or of an
/// address where there is no memory.
fn entry() -> impl Strategy<Value = u64> {
    let flags = prop_oneof![
        8 => Just(Bits::PRESENT | Bits::WRITE | Bits::USER),
        3 => (0_u64..4).prop_map(|bits| bits << 1 | Bits::PRESENT),
        1 => (0_u64..512).prop_map(|bits| bits & !Bits::LARGE),
    ];
    let above = prop_oneof![16 => Just(0), 2 => Just(Bits::NO_EXECUTE), 1 => (0_u64..64).prop_map(|bit| 1 << bit)];
    let table = (0..FRAMES).prop_map(|frame| frame << 12);
    let large = prop_oneof![
        4 => Just(Bits::LARGE),
        1 => (0_u64..1 << 12).prop_map(|address| address << 20 | Bits::LARGE),
        1 => (0..FRAMES).prop_map(|frame| frame << 12 | Bits::LARGE),
    ];
    let nowhere = (0_u64..1 << 40).prop_map(|frame| frame << 12);
    let leads_to = prop_oneof![24 => table, 4 => large, 1 => nowhere];
    (flags, above, leads_to).prop_map(|(flags, above, leads_to)| flags | above | leads_to)
}

fn address(scheme: Scheme) -> BoxedStrategy<u64> {
    match scheme {
        Scheme::Ia32 => (0..=u64::from(u32::MAX)).boxed(),
        Scheme::FourLevel => {
            let lower = 0_u64..1 << 47;
            let upper = (0_u64..1 << 47).prop_map(|bits| bits | 0xffff << 48 | 1 << 47);
            // All indices alike: the tables may well be one.
            let alike = (0_u64..512, 0..FRAME).prop_map(|(i, low)| {
                let address = (i << 27 | i << 18 | i << 9 | i) << 12 | low;
                ((address as i64) << 16 >> 16) as u64
            });
            prop_oneof![8 => lower, 2 => upper, 4 => alike, 1 => any::<u64>()].boxed()
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let scheme = prop_oneof![1 => Just(Scheme::Ia32), 2 => Just(Scheme::FourLevel)];
    (scheme, 0..FRAMES, any::<[bool; 3]>()).prop_flat_map(|(scheme, root, [write_protect, no_execute, large_pages])| {
        let no_execute = no_execute && scheme == Scheme::FourLevel;
        let paging = Paging { scheme, root: root * FRAME, write_protect, no_execute, large_pages };
        let mapping = (address(scheme), prop::collection::vec(entry(), 4))
            .prop_map(|(address, entries)| Mapping { address, entries });
        let kind = prop_oneof![Just(Kind::Load), Just(Kind::Store), Just(Kind::Fetch)];
        let privilege = prop_oneof![Just(Privilege::User), Just(Privilege::Supervisor)];
        let access = (0_usize..8, 0..FRAME, kind, privilege, prop_oneof![9 => Just(0), 1 => address(scheme)])
            .prop_map(|(mapping, low, kind, privilege, address)| (mapping, low, Access { address, kind, privilege }));
        (Just(paging), prop::collection::vec(mapping, 1..5), prop::collection::vec(access, 8..24))
            .prop_map(|(paging, mappings, accesses)| Case { paging, mappings, accesses })
    })
}

impl Case {
    fn image(&self) -> Vec<u8> {
        let scheme = self.paging.scheme;
        let size = scheme.entry_size();
        let mut image = vec![0; MEMORY];
        for mapping in &self.mappings {
            let mut table = self.paging.root;
            for (level, entry) in scheme.levels().iter().zip(&mapping.entries) {
                let at = table + level.index(scheme, mapping.address) * size as u64;
                if let Some(room) = image.get_mut(at as usize..at as usize + size) {
                    room.copy_from_slice(&entry.to_le_bytes()[..size]);
                }
                table = entry & 0xf_ffff_ffff_f000;
            }
        }
        image
    }

    fn accesses(&self) -> impl Iterator<Item = Access> {
        self.accesses.iter().map(|(mapping, low, access)| match access.address {
            0 => Access { address: self.mappings[mapping % self.mappings.len()].address & !0xfff | low, ..*access },
            _ => *access,
        })
    }
}

/// Both machines, and how often they were asked.
struct Pair {
    software: SoftwareMmu,
    kvm: KvmMachine,
    asked: u64,
    reached: u64,
    unanswered: u64,
}

impl Pair {
    fn report(&self, through: &str) {
        let Pair { asked, reached, unanswered, .. } = self;
        say(format_args!(
            "{asked} accesses through {through} asked of both, {reached} of them reached memory; {unanswered} that KVM cannot run here"
        ));
    }

    /// What the guest cannot be asked: it would run, or overwrite, what it itself needs.
    fn can_be_asked(&self, paging: &Paging, access: Access, walk: &Walk) -> bool {
        match walk.end {
            End::NoMemory { .. } => false,
            End::Page(page) => {
                let physical = page.base | access.address & (page.size - 1);
                let size = paging.scheme.entry_size() as u64;
                let translates = |step: &Step| (step.at..step.at + size).contains(&physical);
                let runs = physical < MEMORY as u64 && !walk.steps.iter().any(translates);
                !self.kvm.occupies(physical) && (access.kind != Kind::Fetch || runs)
            }
            _ => true,
        }
    }

    fn agree(&mut self, paging: &Paging, access: Access) -> Result<(), TestCaseError> {
        let before = self.software.memory().to_vec();
        let walk = self.software.walk(paging, access.address);
        let expected = self.software.access(paging, access).map_err(fail)?;
        if !self.can_be_asked(paging, access, &walk) {
            return Ok(());
        }
        self.kvm.load(&before).map_err(fail)?;
        let seen = match self.kvm.access(paging, access) {
            Err(MachineError::NoAnswer(_)) if !self.kvm.in_hardware() => {
                self.unanswered += 1;
                return Ok(());
            }
            seen => seen.map_err(fail)?,
        };
        self.asked += 1;
        prop_assert_eq!(seen, expected, "{:?} {:?} {:x?}", paging, access, walk);
        let mut memory = self.kvm.memory().to_vec();
        if matches!(expected, Outcome::Reached { .. }) {
            self.reached += 1;
        } else {
            // Whether an access that faults marks the entries that it met is the processor's affair.
            for step in &walk.steps {
                let at = step.at as usize;
                memory[at] = memory[at] & !(Bits::ACCESSED as u8) | before[at] & Bits::ACCESSED as u8;
            }
        }
        let differ = memory.iter().zip(self.software.memory()).position(|(a, b)| a != b);
        prop_assert_eq!(differ, None, "memory differs after {:?} {:?}", access, walk);
        Ok(())
    }
}

fn fail(error: MachineError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// Every log says whether the machines were compared.
fn say(what: std::fmt::Arguments) {
    eprintln!("machine: {what}");
}

fn main() {
    let arguments = Arguments::from_args();
    let alone = KvmMachine::new(MEMORY).err();
    if let Some(error) = &alone {
        say(format_args!("not compared, for there is no other machine to ask: {error}"));
    }
    let trials = [
        trials("page_tables", agree_on_page_tables, alone.is_some()),
        trials("segments", agree_on_segments, alone.is_some()),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}

/// The short form and the long one.
fn trials(what: &str, agree: fn(u32), alone: bool) -> [Trial; 2] {
    let trial = |name: String, cases: u32| {
        Trial::test(name, move || {
            agree(cases);
            Ok(())
        })
    };
    let name = format!("the_processor_and_the_software_agree_on_{what}");
    [
        trial(name.clone(), SHORT).with_ignored_flag(alone),
        trial(format!("{name}_at_length"), LONG).with_ignored_flag(true),
    ]
}

fn pair() -> Pair {
    let kvm = KvmMachine::new(MEMORY).unwrap_or_else(|error| panic!("there is no other machine to ask: {error}"));
    let software = SoftwareMmu::new(MEMORY, kvm.processor());
    let who = if kvm.in_hardware() { "the processor" } else { "the kernel's MMU" };
    say(format_args!("{who} is asked: {:?}", kvm.processor()));
    Pair { software, kvm, asked: 0, reached: 0, unanswered: 0 }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() })
}

/// A store into the entry that led it there: afterwards the same address is elsewhere.
fn store_that_moves_its_page() -> Case {
    let flags = Bits::PRESENT | Bits::WRITE | Bits::USER;
    let entries = [1, 2, 3, 3].map(|frame| (frame * FRAME) | flags).to_vec();
    let (index, size) = (0x87, 8);
    let paging =
        Paging { scheme: Scheme::FourLevel, root: 0, write_protect: true, no_execute: true, large_pages: false };
    let access = Access { address: 0, kind: Kind::Store, privilege: Privilege::Supervisor };
    let mappings = vec![Mapping { address: index * FRAME, entries }];
    Case { paging, mappings, accesses: vec![(0, index * size + 1, access)] }
}

fn agree_on_page_tables(cases: u32) {
    let pair = RefCell::new(pair());
    let agree = |case: Case| {
        let mut pair = pair.borrow_mut();
        pair.software.load(&case.image()).map_err(fail)?;
        for access in case.accesses() {
            pair.agree(&case.paging, access)?;
        }
        Ok(())
    };
    if let Err(error) = agree(store_that_moves_its_page()) {
        panic!("{error}");
    }
    let result = runner(cases).run(&case(), agree);
    let pair = pair.into_inner();
    pair.report("page tables");
    if let Err(error) = result {
        panic!("{error}");
    }
    assert!(pair.reached * 10 > pair.asked, "most accesses came to nothing");
}

/// A table of descriptors in the third frame, and what is touched through them.
#[derive(Clone, Debug)]
struct Segments {
    descriptors: Vec<u64>,
    accesses: Vec<SegmentAccess>,
}

const TABLE: u32 = 0x2000;

fn descriptor() -> impl Strategy<Value = u64> {
    // Base and limit such that most of the segment is in memory, and the other bits as they come, mostly present.
    let limit = prop_oneof![3 => 0_u64..0x3000, 1 => 0_u64..0x10_0000];
    let base = prop_oneof![8 => 0_u64..0x8000, 1 => any::<u32>().prop_map(u64::from)];
    let access = prop_oneof![4 => (0_u64..16).prop_map(|kind| 0x90 | kind), 2 => any::<u8>().prop_map(u64::from)];
    let privilege = prop_oneof![Just(0_u64), Just(3)];
    (base, limit, access, privilege, 0_u64..16).prop_map(|(base, limit, access, privilege, flags)| {
        // A wide code segment that is also marked as of 64 bits is one here, for there is no 64-bit mode.
        let rights = access | privilege << 5;
        limit & 0xffff | (base & 0xff_ffff) << 16 | rights << 40 | (limit >> 16) << 48 | flags << 52 | base >> 24 << 56
    })
}

fn segments() -> impl Strategy<Value = Segments> {
    let kind = prop_oneof![3 => Just(Kind::Load), 3 => Just(Kind::Store), 1 => Just(Kind::Fetch)];
    let privilege = prop_oneof![Just(Privilege::User), Just(Privilege::Supervisor)];
    let offset = prop_oneof![6 => 0_u32..0x3000, 1 => any::<u32>()];
    let access = (0_u16..6, offset, kind, privilege, any::<bool>());
    (prop::collection::vec(descriptor(), 1..5), prop::collection::vec(access, 1..12)).prop_map(
        |(descriptors, accesses)| {
            let at_limit = |segment: u16, offset: u32| {
                let limit =
                    descriptors.get(usize::from(segment).wrapping_sub(1)).map(|bits| Descriptor::decode(*bits).limit);
                limit.map_or(offset, |limit| limit.wrapping_add(offset % 3).wrapping_sub(1))
            };
            let accesses = accesses.into_iter().map(|(segment, offset, kind, privilege, edge)| {
                let offset = if edge { at_limit(segment, offset) } else { offset };
                SegmentAccess { segment, offset, kind, privilege }
            });
            Segments { accesses: accesses.collect(), descriptors }
        },
    )
}

fn agree_on_segments(cases: u32) {
    let pair = RefCell::new(pair());
    let result = runner(cases).run(&segments(), |case| {
        let mut pair = pair.borrow_mut();
        let mut image = vec![0; MEMORY];
        for (i, descriptor) in (1..).zip(&case.descriptors) {
            image[TABLE as usize + i * 8..][..8].copy_from_slice(&descriptor.to_le_bytes());
        }
        let table = DescriptorTable { base: TABLE, count: case.descriptors.len() as u16 + 1 };
        for access in &case.accesses {
            pair.agree_on_segment(&image, &table, *access)?;
        }
        Ok(())
    });
    let pair = pair.into_inner();
    pair.report("segments");
    if let Err(error) = result {
        panic!("{error}");
    }
}

impl Pair {
    fn agree_on_segment(
        &mut self,
        image: &[u8],
        table: &DescriptorTable,
        access: SegmentAccess,
    ) -> Result<(), TestCaseError> {
        self.software.load(image).map_err(fail)?;
        let expected = self.software.access_segment(table, access).map_err(fail)?;
        let in_table = |physical: u64| (TABLE.into()..u64::from(TABLE) + 48).contains(&physical);
        match expected {
            // A jump is seen by what it finds, and finds nothing in the table or where there is no memory.
            Outcome::Reached { physical }
                if access.kind == Kind::Fetch && (in_table(physical) || physical >= MEMORY as u64) =>
            {
                return Ok(());
            }
            Outcome::Reached { physical } if self.kvm.occupies(physical) => return Ok(()),
            _ => {}
        }
        self.kvm.load(image).map_err(fail)?;
        let seen = match self.kvm.access_segment(table, access) {
            Err(MachineError::NoAnswer(_)) if !self.kvm.in_hardware() => {
                self.unanswered += 1;
                return Ok(());
            }
            seen => seen.map_err(fail)?,
        };
        self.asked += 1;
        self.reached += u64::from(matches!(expected, Outcome::Reached { .. }));
        prop_assert_eq!(seen, expected, "{:x?}", access);
        let differ = self.kvm.memory().iter().zip(self.software.memory()).position(|(a, b)| a != b);
        prop_assert_eq!(differ, None, "memory differs after {:?}", access);
        Ok(())
    }
}
