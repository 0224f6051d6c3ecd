//! What the page tables say of a mapping, from /proc.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::memory::PAGE;
use crate::observation::Pages;

/// Pages looked at, at most: 4 GiB of addresses.
const MOST: u64 = 1 << 20;
/// Bits of an entry of /proc/PID/pagemap, see its documentation in the kernel's tree.
const PRESENT: u64 = 1 << 63;
const OF_AN_OBJECT: u64 = 1 << 61;
const MAPPED_ONCE: u64 = 1 << 56;
const FRAME: u64 = (1 << 55) - 1;

/// The pages of a process from `address` on.
pub(crate) fn look(pid: i32, address: u64, len: u64) -> Option<Pages> {
    let total = len.div_ceil(PAGE);
    let file = File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mut entries = vec![0; (total.min(MOST) * 8) as usize];
    file.read_exact_at(&mut entries, address / PAGE * 8).ok()?;
    let entries = entries.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes));
    let mut pages = Pages { total, dirty: dirty(pid, address, total), ..Pages::default() };
    for entry in entries.filter(|entry| entry & PRESENT != 0) {
        pages.present += 1;
        pages.own += u64::from(entry & OF_AN_OBJECT == 0);
        pages.elsewhere += u64::from(entry & MAPPED_ONCE == 0);
        // Zero for those who may not know.
        pages.frame = pages.frame.or(Some(entry & FRAME).filter(|frame| *frame != 0));
    }
    Some(pages)
}

/// How many pages are dirty, if these are a mapping of their own: the kernel makes one of like neighbours.
fn dirty(pid: i32, address: u64, pages: u64) -> Option<u64> {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?;
    let range = format!("{address:08x}-{:08x} ", address + pages * PAGE);
    let mut of_it = smaps.lines().skip_while(|line| !line.starts_with(&range));
    of_it.next()?;
    let fields = of_it.take_while(|line| line.split(' ').next().is_some_and(|word| word.ends_with(':')));
    let kib = fields.filter_map(|line| {
        let rest = line.strip_prefix("Shared_Dirty:").or_else(|| line.strip_prefix("Private_Dirty:"))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(kib.sum::<u64>() * 1024 / PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_present_and_dirty_once_they_are_touched() {
        // SAFETY: no file can be cut short under an anonymous mapping.
        let mut map = memmap2::MmapMut::map_anon(8 * PAGE as usize).unwrap();
        let pid = std::process::id().cast_signed();
        let look = |map: &memmap2::MmapMut| look(pid, map.as_ptr() as u64, map.len() as u64).unwrap();
        assert_eq!((look(&map).total, look(&map).present), (8, 0));
        map[3 * PAGE as usize] = 1;
        let touched = look(&map);
        assert!(touched.present >= 1, "{touched:?}");
        assert!(touched.dirty.is_none_or(|dirty| (1..=touched.present).contains(&dirty)), "{touched:?}");
    }
}
