//! The software MMU by itself: what the manual says, and that nothing in memory keeps it from an answer.

use machine::{
    Access, Bits, DescriptorTable, End, ErrorCode, Kind, Machine, MachineError, Outcome, Page, PageFault, Paging,
    Privilege, Processor, Scheme, SegmentAccess, SoftwareMmu,
};
use proptest::prelude::*;

const ROOT: u64 = 0x1000;
const FULL: u64 = Bits::PRESENT | Bits::WRITE | Bits::USER;

/// A machine whose tables lead one page, 0x5000, at linear address 0x40_3000 to 0x5000, by these entries.
fn ia32(directory: u64, table: u64) -> SoftwareMmu {
    let mut image = vec![0; 0x6000];
    image[0x1004..0x1008].copy_from_slice(&(directory as u32).to_le_bytes());
    image[0x200c..0x2010].copy_from_slice(&(table as u32).to_le_bytes());
    let mut machine = SoftwareMmu::new(0x6000, Processor::default());
    machine.load(&image).unwrap();
    machine
}

fn fault(address: u64, code: u32) -> Outcome {
    Outcome::PageFault(PageFault { address, error_code: ErrorCode(code) })
}

#[test]
fn an_address_is_the_frame_of_its_page_and_its_own_offset() {
    let mut machine = ia32(0x2000 | FULL, 0x5000 | FULL);
    let outcome = machine.access(&Paging::ia32(ROOT), Access::load(0x40_3abc)).unwrap();
    assert_eq!(outcome, Outcome::Reached { physical: 0x5abc });
    let walk = machine.walk(&Paging::ia32(ROOT), 0x40_3abc);
    assert_eq!(walk.steps.iter().map(|step| (step.index, step.at)).collect::<Vec<_>>(), [(1, 0x1004), (3, 0x200c)]);
    assert!(matches!(walk.end, End::Page(page) if page.base == 0x5000 && page.size == 4096));
}

#[test]
fn a_load_marks_every_entry_accessed_and_a_store_the_last_one_dirty() {
    let mut machine = ia32(0x2000 | FULL, 0x5000 | FULL);
    let entries = |machine: &SoftwareMmu| (machine.memory()[0x1004], machine.memory()[0x200c]);
    machine.access(&Paging::ia32(ROOT), Access::load(0x40_3000)).unwrap();
    assert_eq!(entries(&machine), (0x27, 0x27));
    machine.access(&Paging::ia32(ROOT), Access::store(0x40_3000)).unwrap();
    assert_eq!(entries(&machine), (0x27, 0x67));
}

#[test]
fn rights_are_the_least_of_all_levels() {
    for (directory, table) in [(FULL & !Bits::WRITE, FULL), (FULL, FULL & !Bits::WRITE)] {
        let mut machine = ia32(0x2000 | directory, 0x5000 | table);
        assert_eq!(machine.access(&Paging::ia32(ROOT), Access::store(0x40_3000)).unwrap(), fault(0x40_3000, 7));
        let by_supervisor = Access::store(0x40_3000).by_supervisor();
        assert_eq!(machine.access(&Paging::ia32(ROOT), by_supervisor).unwrap(), fault(0x40_3000, 3));
        let unbound = Paging { write_protect: false, ..Paging::ia32(ROOT) };
        assert_eq!(machine.access(&unbound, by_supervisor).unwrap(), Outcome::Reached { physical: 0x5000 });
    }
    let mut machine = ia32(0x2000 | FULL, 0x5000 | FULL & !Bits::USER);
    assert_eq!(machine.access(&Paging::ia32(ROOT), Access::load(0x40_3000)).unwrap(), fault(0x40_3000, 5));
}

#[test]
fn a_page_that_is_not_there_is_told_with_what_was_tried() {
    let mut machine = ia32(0x2000 | FULL, 0);
    let paging = Paging::ia32(ROOT);
    assert_eq!(machine.access(&paging, Access::load(0x40_3000)).unwrap(), fault(0x40_3000, 4));
    assert_eq!(machine.access(&paging, Access::store(0x40_3000)).unwrap(), fault(0x40_3000, 6));
    assert_eq!(machine.access(&paging, Access::load(0x40_3000).by_supervisor()).unwrap(), fault(0x40_3000, 0));
}

#[test]
fn addresses_between_the_halves_are_no_addresses() {
    let mut machine = SoftwareMmu::new(0x6000, Processor::default());
    let mut outcome = |address| machine.access(&Paging::four_level(ROOT), Access::load(address)).unwrap();
    assert_eq!(outcome(0x0000_8000_0000_0000), Outcome::Protection { error_code: 0 });
    assert_eq!(outcome(0xffff_7fff_ffff_ffff), Outcome::Protection { error_code: 0 });
    assert_eq!(outcome(0xffff_8000_0000_0000), fault(0xffff_8000_0000_0000, 4));
}

#[test]
fn a_segment_relocates_and_its_limit_is_the_last_offset_inside() {
    // Base 0x3000, limit 0xff, data for users that may be stored to.
    let mut image = vec![0; 0x6000];
    image[0x1008..0x1010].copy_from_slice(&0x0040_f200_3000_00ff_u64.to_le_bytes());
    let mut machine = SoftwareMmu::new(0x6000, Processor::default());
    machine.load(&image).unwrap();
    let table = DescriptorTable { base: 0x1000, count: 2 };
    let mut at = |segment, offset| {
        let access = SegmentAccess { segment, offset, kind: Kind::Store, privilege: Privilege::User };
        machine.access_segment(&table, access).unwrap()
    };
    assert_eq!(at(1, 0xff), Outcome::Reached { physical: 0x30ff });
    assert_eq!(at(1, 0x100), Outcome::Protection { error_code: 0 });
    assert_eq!(at(2, 0), Outcome::Protection { error_code: 0x10 });
    assert_eq!(at(0, 0), Outcome::Protection { error_code: 0 });
}

#[test]
fn the_pages_of_tables_are_those_that_can_be_reached() {
    let machine = ia32(0x2000 | FULL, 0x5000 | Bits::PRESENT);
    let page = Page { base: 0x5000, size: 4096, writable: false, user: false, executable: true };
    assert_eq!(machine.pages(&Paging::ia32(ROOT), 10), [(0x40_3000, page)]);
}

#[test]
fn a_table_that_is_its_own_table_maps_no_more_pages_than_are_wanted() {
    let image: Vec<u8> = (0..512).flat_map(|_| 7_u64.to_le_bytes()).collect();
    let mut machine = SoftwareMmu::new(0x1000, Processor::default());
    machine.load(&image).unwrap();
    assert_eq!(machine.pages(&Paging::four_level(0), 1000).len(), 1000);
}

fn paging() -> impl Strategy<Value = Paging> {
    (prop_oneof![Just(Scheme::Ia32), Just(Scheme::FourLevel)], any::<u64>(), any::<[bool; 3]>()).prop_map(
        |(scheme, root, [write_protect, no_execute, large_pages])| Paging {
            scheme,
            root: root % 0x1_0000,
            write_protect,
            no_execute,
            large_pages,
        },
    )
}

proptest! {
    #[test]
    fn any_bytes_and_any_address_have_an_outcome(
        image in prop::collection::vec(any::<u8>(), 0..0x5000),
        paging in paging(),
        address in any::<u64>(),
        physical_bits in 32_u32..=52,
        (base, count, segment, offset) in any::<(u32, u16, u16, u32)>(),
    ) {
        let processor = Processor { physical_bits, ..Processor::default() };
        let mut machine = SoftwareMmu::new(0x4800, processor);
        if let Err(error) = machine.load(&image) {
            let too_large = matches!(error, MachineError::ImageTooLarge { .. });
            prop_assert!(too_large && image.len() > 0x4800);
        }
        for kind in [Kind::Load, Kind::Store, Kind::Fetch] {
            for privilege in [Privilege::User, Privilege::Supervisor] {
                machine.access(&paging, Access { address, kind, privilege }).unwrap();
                let table = DescriptorTable { base: base % 0x8000, count };
                let access = SegmentAccess { segment: segment % 0x2000, offset, kind, privilege };
                match machine.access_segment(&table, access) {
                    Ok(_) | Err(MachineError::NoTable { .. }) => {}
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
    }
}
