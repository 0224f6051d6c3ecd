//! What the page tables say of a mapping, from /proc.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::memory::PAGE;
use crate::observation::{Page, Pages};

/// Pages looked at, at most: 4 GiB of addresses.
const MOST: u64 = 1 << 20;
/// Cells that a mapping is told of in, at most.
const MOST_CELLS: usize = 64;
/// Bits of an entry of /proc/PID/pagemap, see its documentation in the kernel's tree.
const PRESENT: u64 = 1 << 63;
const OF_AN_OBJECT: u64 = 1 << 61;
const MAPPED_ONCE: u64 = 1 << 56;
const FRAME: u64 = (1 << 55) - 1;
/// A bit of an entry of /proc/kpageflags.
const DIRTY: u64 = 1 << 4;

/// The pages of a process from `address` on.
pub(crate) fn look(pid: i32, address: u64, len: u64) -> Option<Pages> {
    let total = len.div_ceil(PAGE);
    let file = File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mut entries = vec![0; (total.min(MOST) * 8) as usize];
    file.read_exact_at(&mut entries, address / PAGE * 8).ok()?;
    let entries: Vec<Page> = entries.as_chunks().0.iter().map(|bytes| page(u64::from_ne_bytes(*bytes))).collect();
    let count = |which: fn(&Page) -> bool| entries.iter().filter(|page| which(page)).count() as u64;
    let mut pages = Pages {
        address,
        total,
        present: count(|p| p.present),
        dirty: dirty(pid, address, total),
        own: count(|p| p.own),
        elsewhere: count(|p| p.elsewhere),
        frame: entries.iter().find_map(|p| p.frame),
        cells: entries,
        per_cell: 1,
    };
    which_are_dirty(&mut pages);
    draw_together(&mut pages);
    Some(pages)
}

/// Makes so few cells of the pages that a reader can see them all.
fn draw_together(pages: &mut Pages) {
    let per_cell = pages.cells.len().div_ceil(MOST_CELLS);
    if per_cell > 1 {
        pages.per_cell = per_cell as u64;
        pages.cells = pages.cells.chunks(per_cell).map(together).collect();
    }
}

fn together(pages: &[Page]) -> Page {
    let mut present = pages.iter().filter(|page| page.present).peekable();
    let dirty = |known| move |page: &Page| page.dirty == known;
    Page {
        present: present.peek().is_some(),
        own: pages.iter().any(|page| page.own),
        elsewhere: present.peek().is_some() && present.clone().all(|page| page.elsewhere),
        dirty: match pages.iter().any(dirty(Some(true))) {
            true => Some(true),
            false => Some(false).filter(|_| present.all(dirty(Some(false)))),
        },
        frame: None,
    }
}

fn page(entry: u64) -> Page {
    if entry & PRESENT == 0 {
        return Page::default();
    }
    Page {
        present: true,
        own: entry & OF_AN_OBJECT == 0,
        elsewhere: entry & MAPPED_ONCE == 0,
        dirty: None,
        // Zero for those who may not know.
        frame: Some(entry & FRAME).filter(|frame| *frame != 0),
    }
}

/// Tells dirty pages from clean ones, as far as that follows from how many there are: a process's own copies are dirty,
/// and of the others either none is, or all are, or the kernel says which to those who may know.
fn which_are_dirty(pages: &mut Pages) {
    let Some(dirty) = pages.dirty else { return };
    let others = pages.present - pages.own;
    let flags = File::open("/proc/kpageflags").ok();
    let flagged = |page: &Page| {
        let mut entry = [0; 8];
        flags.as_ref()?.read_exact_at(&mut entry, page.frame? * 8).ok()?;
        Some(u64::from_ne_bytes(entry) & DIRTY != 0)
    };
    let known: Vec<Option<bool>> = match dirty.checked_sub(pages.own) {
        None => return,
        Some(rest) if rest == 0 || rest == others => pages.cells.iter().map(|_| Some(rest > 0)).collect(),
        Some(rest) => {
            let seen: Vec<_> = pages.cells.iter().map(flagged).collect();
            let of_others = pages.cells.iter().zip(&seen).filter(|(p, dirty)| !p.own && **dirty == Some(true));
            if of_others.count() as u64 == rest { seen } else { vec![None; seen.len()] }
        }
    };
    for (page, known) in pages.cells.iter_mut().zip(known).filter(|(page, _)| page.present) {
        page.dirty = if page.own { Some(true) } else { known };
    }
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
        assert!(
            touched.cells[3].present && touched.cells[3].own && touched.cells[3].dirty != Some(false),
            "{touched:?}"
        );
    }

    #[test]
    fn which_page_is_dirty_is_said_only_where_it_follows() {
        let (file, own) =
            (Page { present: true, ..Page::default() }, Page { present: true, own: true, ..Page::default() });
        let told = |each: &[Page], dirty| {
            let count = |which: fn(&&Page) -> bool| each.iter().filter(which).count() as u64;
            let (present, own) = (count(|p| p.present), count(|p| p.own));
            let mut pages = Pages { present, own, dirty, cells: each.to_vec(), ..Pages::default() };
            which_are_dirty(&mut pages);
            pages.cells.iter().map(|p| p.dirty).collect::<Vec<_>>()
        };
        let absent = Page::default();
        assert_eq!(told(&[file, absent, file], Some(0)), [Some(false), None, Some(false)]);
        assert_eq!(told(&[file, file], Some(2)), [Some(true); 2]);
        assert_eq!(told(&[file, own], Some(1)), [Some(false), Some(true)]);
        assert_eq!(told(&[file, file], Some(1)), [None; 2]);
        assert_eq!(told(&[file, own], None), [None; 2]);
    }

    #[test]
    fn many_pages_are_told_of_some_at_a_time() {
        let own = |elsewhere| Page { present: true, own: true, elsewhere, ..Page::default() };
        let mut cells = vec![Page::default(); 3 * MOST_CELLS];
        cells[3] = own(true);
        (cells[6], cells[7]) = (own(true), own(false));
        let mut pages = Pages { cells, ..Pages::default() };
        draw_together(&mut pages);
        assert_eq!((pages.cells.len(), pages.per_cell), (MOST_CELLS, 3));
        let first: Vec<_> = pages.cells[..3].iter().map(|page| (page.present, page.own, page.elsewhere)).collect();
        assert_eq!(first, [(false, false, false), (true, true, true), (true, true, false)]);
    }
}
