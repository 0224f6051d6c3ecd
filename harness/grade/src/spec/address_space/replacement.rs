//! `accessed_dirty` and `clock_hand`: what the processor notes in page tables, and what is made of it.

use std::collections::{BTreeMap, VecDeque};

use machine::{Access, Bits, Entry, Kind, Machine, Paging, Privilege, Processor, SoftwareMmu};
use observe::{Content, InputFile, Observation, On};

use super::images::{refused, refuses};
use crate::spec::Spec;
use crate::spec::common::calls::{OPENS, READS, WRITES};
use crate::spec::common::plans::{bad_usage, cut, interrupted, unreadable_file, unwritable_output};
use crate::spec::common::{endings, output, reports, under_faults, usage};
use crate::{Check, Failure, Finding, Nonce, Plan, Reason, Run, Stage};

const PAGE: usize = 4096;
const ALL_RIGHTS: u32 = 7;
const READ_ONLY: u32 = 5;

/// `accessed_dirty IMAGE`
pub(crate) fn accessed_dirty() -> Spec {
    Spec {
        plans: bits_plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but IMAGE is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("output", "the pages that were accessed are listed, and which of them are dirty", output),
            Check::outside("own-bits", "a page's own bits count, not those of the table that it is in", output),
            Check::outside("other-bits", "the other bits of an entry say nothing of accesses", output),
            Check::outside("stale", "bits of entries that are not present mean nothing", output),
            Check::outside("large-pages", "a page of 4 MiB is listed once, by its directory entry", output),
            Check::outside("outside", "a table behind the end of IMAGE is an error, and nothing is listed", outside),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |nonce| {
            let mut tables = Tables::new();
            for page in [0x0040_3000, 0x0040_4000, 0x0040_5000, 0xbfff_f000] {
                tables.map(nonce, page, ALL_RIGHTS);
            }
            let mut machine = tables.machine();
            touch(&mut machine, 0x0040_3000, Kind::Load);
            touch(&mut machine, 0x0040_5000, Kind::Store);
            touch(&mut machine, 0xbfff_f000, Kind::Store);
            of_image("three of four pages were touched", machine.memory(), "output").drawn(bits_drawing)
        },
    }
}

/// IA-32 tables in the making.
struct Tables {
    image: Vec<u8>,
}

impl Tables {
    fn new() -> Tables {
        Tables { image: vec![0; PAGE] }
    }

    fn entry(&mut self, at: usize) -> &mut [u8] {
        &mut self.image[at..at + 4]
    }

    /// Where the page's entry is; its table is made if there is none.
    fn place(&mut self, address: u32) -> usize {
        let directory = (address >> 22) as usize * 4;
        if self.entry(directory) == [0; 4] {
            let table = self.image.len();
            self.image.resize(table + PAGE, 0);
            self.entry(directory).copy_from_slice(&(table as u32 | ALL_RIGHTS).to_le_bytes());
        }
        let entry = Entry(u64::from(u32::from_le_bytes(self.entry(directory).try_into().unwrap_or_default())));
        entry.frame(12) as usize + (address >> 12 & 0x3ff) as usize * 4
    }

    fn map(&mut self, nonce: &mut Nonce, address: u32, rights: u32) {
        let frame = (nonce.number(0x1000, 0xf_ffff) as u32) << 12;
        let place = self.place(address);
        self.entry(place).copy_from_slice(&(frame | rights).to_le_bytes());
    }

    fn machine(&self) -> SoftwareMmu {
        let mut machine = SoftwareMmu::new(self.image.len(), Processor::default());
        machine.load(&self.image).unwrap_or_else(|error| unreachable!("the image is the memory: {error}"));
        machine
    }
}

/// The machine makes one access, which leaves its marks in the tables.
fn touch(machine: &mut SoftwareMmu, address: u32, kind: Kind) {
    let access = Access { address: u64::from(address) + 0x123, kind, privilege: Privilege::User };
    let outcome = machine.access(&Paging::ia32(0), access);
    debug_assert!(matches!(outcome, Ok(machine::Outcome::Reached { .. })), "{outcome:?}");
}

fn bits_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let region = nonce.number(1, 800) as u32;
    let mut tables = Tables::new();
    let mut pages: Vec<u32> = (0..12).map(|_| nonce.number(0, 1023) as u32 | region << 10).collect();
    pages.extend([0, 0xf_ffff, region << 10 | 0x3ff, (region + 60) << 10 | 7]);
    pages.sort_unstable();
    pages.dedup();
    for (i, page) in pages.iter().enumerate() {
        tables.map(nonce, page << 12, if i % 4 == 1 { READ_ONLY } else { ALL_RIGHTS });
    }
    let mut machine = tables.machine();
    for (i, page) in pages.iter().enumerate() {
        match i % 4 {
            0 => touch(&mut machine, page << 12, Kind::Store),
            1 => touch(&mut machine, page << 12, Kind::Load),
            2 if i % 8 == 2 => touch(&mut machine, page << 12, Kind::Fetch),
            _ => {}
        }
    }
    let image = machine.memory().to_vec();
    let plain = of_image("pages of 4096 bytes", &image, "output");
    // The system has forgotten the table's bit since, and elsewhere only the table's bit is set.
    let mut cleared = image.clone();
    cleared[region as usize * 4] &= !(Bits::ACCESSED as u8);
    // The system asks again who is accessed; what is dirty still has to be written back.
    let mut asked_again = image.clone();
    for entry in asked_again[PAGE..].chunks_exact_mut(4).step_by(2) {
        entry[0] &= !(Bits::ACCESSED as u8);
    }
    // Caching (bits 3 and 4, and 7 of a table's entries), global (8), and what is the system's own (9 to 11).
    let mut flagged = image.clone();
    for (at, entry) in flagged.chunks_exact_mut(4).enumerate().filter(|(_, entry)| entry[0] & 1 != 0) {
        entry[0] |= if at < PAGE / 4 { 0x18 } else { nonce.pick(&[0x98, 0x80, 0x10]) };
        entry[1] |= nonce.number(1, 15) as u8;
    }
    // Marks of pages that have gone since, and of a whole table.
    let mut stale = image.clone();
    for entry in stale[PAGE..].chunks_exact_mut(4).filter(|entry| *entry == [0; 4]).step_by(97) {
        entry[0] = (Bits::ACCESSED | Bits::DIRTY) as u8;
    }
    stale[(region as usize + 60) * 4] &= !(Bits::PRESENT as u8);
    let large = |nonce: &mut Nonce, marks: u64| {
        let frame = (nonce.number(1, 1000) as u32) << 22;
        (frame | ALL_RIGHTS | (Bits::LARGE | marks) as u32).to_le_bytes()
    };
    let mut mixed = image.clone();
    for (place, marks) in [(901, Bits::ACCESSED), (902, Bits::ACCESSED | Bits::DIRTY), (1001, 0)] {
        let entry = large(nonce, marks);
        mixed[place * 4..place * 4 + 4].copy_from_slice(&entry);
    }
    // So many tables that an address of one has more than 16 bits.
    let mut tall = Tables::new();
    let scattered: Vec<u32> = (0..40).map(|i| (i * 25) << 22 | (nonce.number(0, 1023) as u32) << 12).collect();
    scattered.iter().for_each(|page| tall.map(nonce, *page, ALL_RIGHTS));
    let mut machine = tall.machine();
    scattered.iter().for_each(|page| touch(&mut machine, *page, Kind::Store));
    let tall = machine.memory().to_vec();
    let none = of_image("nothing was touched", &tables.image, "output");
    let mut cut_off = image.clone();
    let last = cut_off.len() - PAGE - 8;
    cut_off.truncate(last);
    let mut far = image.clone();
    far[903 * 4..904 * 4].copy_from_slice(&0xffff_f027_u32.to_le_bytes());
    vec![
        plain.clone(),
        none,
        of_image("forty tables", &tall, "output"),
        of_image("the table's bit was cleared", &cleared, "own-bits"),
        of_image("accessed bits were cleared, dirty ones were not", &asked_again, "other-bits"),
        of_image("all other flags", &flagged, "other-bits"),
        of_image("bits of entries that are not present", &stale, "stale"),
        of_image("large pages", &mixed, "large-pages"),
        beyond("a table that is cut off", cut_off),
        beyond("a table far behind the end", far),
        beyond("a directory that is cut off", image[..1000].to_vec()),
        Plan::new("no IMAGE").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        unreadable_file(&plain, "image"),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("one too many", &["image", "image"]),
        cut(&plain, &[On::AnyFile], READS, "read", 1000),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::AnyFile, On::Stdout]),
    ]
}

fn with_image(name: &str, image: &[u8]) -> Plan {
    Plan::new(name).arg("image").file(InputFile::new("image", image))
}

fn of_image(name: &str, image: &[u8], check: &'static str) -> Plan {
    with_image(name, image).prints(listed(image)).judged_by(&[check])
}

fn beyond(name: &str, image: Vec<u8>) -> Plan {
    let plan = with_image(name, &image).prints("").exits(1).at(Stage::Refusal);
    plan.judged_by(&["outside"]).because(format!("When IMAGE has {name}"))
}

/// What a right program prints of an image that is whole.
fn listed(image: &[u8]) -> String {
    let entries = |at: usize| {
        let table = image.get(at..at + PAGE).unwrap_or_default();
        table.chunks_exact(4).map(|entry| Entry(u32::from_le_bytes(entry.try_into().unwrap_or_default()).into()))
    };
    let line = |page: usize, entry: Entry| {
        let dirty = if entry.has(Bits::DIRTY) { " dirty" } else { "" };
        let listed = entry.has(Bits::PRESENT | Bits::ACCESSED);
        if listed { format!("{:#010x} accessed{dirty}\n", page << 12) } else { String::new() }
    };
    let of_directory = |(place, entry): (usize, Entry)| -> String {
        let first = place << 10;
        match entry {
            entry if !entry.has(Bits::PRESENT) => String::new(),
            entry if entry.has(Bits::LARGE) => line(first, entry),
            entry => entries(entry.frame(12) as usize).enumerate().map(|(i, entry)| line(first | i, entry)).collect(),
        }
    };
    entries(0).enumerate().map(of_directory).collect()
}

/// `outside`: the error is told, and nothing passes for a result.
fn outside(run: &Run) -> Finding {
    output(run)?;
    let stderr = run.seen.stderr.text();
    match stderr.lines().filter(|line| !line.trim().is_empty()).count() {
        1 => Ok(()),
        n => {
            let words = format!("Standard error has {n} lines: say in one that a table is behind the end of IMAGE.");
            Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run)).found()
        }
    }
}

/// The entries of the pages, with their marks.
fn bits_drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let Some(Content::Bytes(image)) = plan.launch.files.first().map(|file| &file.content) else { return Vec::new() };
    let mut machine = SoftwareMmu::new(image.len(), Processor::default());
    if machine.load(image).is_err() {
        return Vec::new();
    }
    let pages = machine.pages(&Paging::ia32(0), 100);
    let head = "page        entry       flags (A: accessed, D: dirty)".to_string();
    let lines = pages.into_iter().filter_map(|(address, _)| {
        let last = *machine.walk(&Paging::ia32(0), address).steps.last()?;
        Some(format!("{address:#010x}  {:#010x}  {}", last.entry.0, last.entry.letters()))
    });
    std::iter::once(head).chain(lines).collect()
}

/// `clock_hand FRAMES GAP TRACE`
pub(crate) fn clock_hand() -> Spec {
    Spec {
        plans: clock_plans,
        checks: vec![
            Check::outside("usage", "numbers that make no sense are refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("clock", "the clock with one hand evicts what it should", |run| told_line(run, 0)),
            Check::outside("two-handed", "the clock with two hands does", |run| told_line(run, 1)),
            Check::outside("second-chance", "the queue with a second chance does", |run| told_line(run, 2)),
            Check::outside("others", "FIFO, LRU and OPT have as many faults as they should", others),
            Check::outside("output", "nothing else is printed", output),
            Check::outside("refuses", "a line of TRACE that is no page is told with its number", refuses),
            Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", under_faults),
        ],
        demo: |_| trace("three frames", 3, 2, &[1, 2, 3, 1, 4, 1, 5, 2, 1]).drawn(clock_drawing),
    }
}

const POLICIES: &[&str] = &["clock", "two-handed", "second-chance", "output", "others"];

fn clock_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let frames = nonce.number(4, 6) as usize;
    let mut local = Vec::new();
    for _ in 0..40 {
        let home = nonce.number(0, 8);
        local.extend((0..4).map(|_| home + nonce.number(0, 3)));
    }
    let plain = trace("an ordinary trace", frames, frames / 2, &local);
    let random: Vec<u64> = (0..120).map(|_| nonce.number(100, 109)).collect();
    let anomaly = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
    let cyclic: Vec<u64> = (0..40).map(|i| i % 5).collect();
    let text = |text: &str, name: &str, line| {
        let plan = Plan::new(format!("refused: {name}")).arg("3").arg("1").arg("trace");
        refused(plan.file(InputFile::new("trace", text)), line)
    };
    vec![
        plain.clone(),
        trace("pages at random", 6, nonce.number(1, 5) as usize, &random),
        trace("three frames", 3, 1, &anomaly),
        trace("four frames", 4, 3, &anomaly),
        trace("one page more than frames", 4, 2, &cyclic),
        trace("more frames than pages", 8, 3, &[u64::MAX, 1, u64::MAX, 2]),
        trace("one access", 2, 1, &[7]),
        trace("no access", 2, 1, &[]),
        text("1\n2\nx\n", "a word", 3),
        text("1\n\n2\n", "an empty line", 2),
        text("1\n2\n3\n-4\n", "a negative number", 4),
        Plan::new("no TRACE").arg("3").arg("1").arg("nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        unreadable_file(&plain, "trace"),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("no TRACE", &["3", "1"]),
        bad_usage("no frames", &["0", "0", "trace"]),
        bad_usage("no gap", &["3", "0", "trace"]),
        bad_usage("a gap of the whole circle", &["3", "3", "trace"]),
        bad_usage("a word for a number", &["three", "1", "trace"]),
        cut(&plain, &[On::AnyFile], READS, "read", 1),
        cut(&plain, &[On::Stdout], WRITES, "write", 3),
        interrupted(&plain, &[On::AnyFile, On::Stdout]),
    ]
}

fn trace(name: &str, frames: usize, gap: usize, pages: &[u64]) -> Plan {
    let text: String = pages.iter().map(|page| format!("{page}\n")).collect();
    let victims = |name: &str, (faults, victims): (usize, Vec<u64>)| {
        let victims: String = victims.iter().map(|page| format!(" {page}")).collect();
        format!("{name} {faults}:{victims}\n")
    };
    let lines = [
        victims("clock", Clock::new(frames, None).run(pages)),
        victims("two-handed", Clock::new(frames, Some(gap)).run(pages)),
        victims("second-chance", second_chance(frames, pages)),
        format!("fifo {}\n", evicting(frames, pages, |times, _, _| times.arrived)),
        format!("lru {}\n", evicting(frames, pages, |times, _, _| times.used)),
        format!("opt {}\n", evicting(frames, pages, |_, page, rest| next_use(page, rest))),
    ];
    let plan = Plan::new(name).arg(frames.to_string()).arg(gap.to_string()).arg("trace");
    plan.file(InputFile::new("trace", text)).prints(lines.concat()).judged_by(POLICIES)
}

/// Frames in a circle: in each a page, and whether it was accessed since a hand came by.
pub(super) struct Clock {
    frames: usize,
    /// How far the clearing hand is ahead of the evicting one; with one hand it is the same.
    gap: Option<usize>,
    circle: Vec<(u64, bool)>,
    hand: usize,
}

impl Clock {
    pub(super) fn new(frames: usize, gap: Option<usize>) -> Clock {
        Clock { frames, gap, circle: Vec::new(), hand: 0 }
    }

    /// The circle: a star for each page that was accessed since, and where the hand stands.
    pub(super) fn row(&self) -> String {
        let frames = self.circle.iter().enumerate().map(|(i, (page, accessed))| {
            let hand = if i == self.hand && self.circle.len() == self.frames { '>' } else { ' ' };
            format!("{hand}{page}{}", if *accessed { '*' } else { ' ' })
        });
        frames.collect::<Vec<_>>().join("  ")
    }

    /// The pages that one hand passes at a fault, each of which loses its star for it.
    fn passed(&self) -> Vec<u64> {
        let from_hand = self.circle.iter().cycle().skip(self.hand).take(self.circle.len());
        from_hand.take_while(|(_, accessed)| *accessed).map(|(page, _)| *page).collect()
    }

    /// One access; says which page had to go for it, and whether it was a fault.
    pub(super) fn access(&mut self, page: u64) -> (bool, Option<u64>) {
        if let Some(frame) = self.circle.iter_mut().find(|frame| frame.0 == page) {
            frame.1 = true;
            return (false, None);
        }
        if self.circle.len() < self.frames {
            self.circle.push((page, true));
            return (true, None);
        }
        loop {
            let here = self.hand;
            self.hand = (here + 1) % self.frames;
            if let Some(gap) = self.gap {
                self.circle[(here + gap) % self.frames].1 = false;
            }
            let (victim, accessed) = self.circle[here];
            if !accessed {
                self.circle[here] = (page, true);
                return (true, Some(victim));
            }
            if self.gap.is_none() {
                self.circle[here].1 = false;
            }
        }
    }

    fn run(mut self, pages: &[u64]) -> (usize, Vec<u64>) {
        let events: Vec<_> = pages.iter().map(|page| self.access(*page)).filter(|(fault, _)| *fault).collect();
        (events.len(), events.into_iter().filter_map(|(_, victim)| victim).collect())
    }
}

fn second_chance(frames: usize, pages: &[u64]) -> (usize, Vec<u64>) {
    let (mut queue, mut faults, mut victims) = (VecDeque::<(u64, bool)>::new(), 0, Vec::new());
    for page in pages {
        if let Some(waiting) = queue.iter_mut().find(|waiting| waiting.0 == *page) {
            waiting.1 = true;
            continue;
        }
        faults += 1;
        while queue.len() == frames {
            match queue.pop_front() {
                Some((first, true)) => queue.push_back((first, false)),
                Some((first, false)) => victims.push(first),
                None => break,
            }
        }
        queue.push_back((*page, true));
    }
    (faults, victims)
}

/// When a resident page came, and when it was last used.
struct Times {
    arrived: usize,
    used: usize,
}

/// Faults of a policy that evicts the page with the least key; a key has the page's times, the page, and what is to
/// come.
fn evicting(frames: usize, pages: &[u64], key: impl Fn(&Times, u64, &[u64]) -> usize) -> usize {
    let mut resident = BTreeMap::<u64, Times>::new();
    let mut faults = 0;
    for (now, page) in pages.iter().enumerate() {
        if let Some(times) = resident.get_mut(page) {
            times.used = now;
            continue;
        }
        faults += 1;
        if resident.len() == frames {
            let rest = &pages[now..];
            let victim = resident.iter().min_by_key(|(page, times)| key(times, **page, rest)).map(|(page, _)| *page);
            victim.and_then(|page| resident.remove(&page));
        }
        resident.insert(*page, Times { arrived: now, used: now });
    }
    faults
}

/// Less, the farther away the next use is: never is the least.
fn next_use(page: u64, rest: &[u64]) -> usize {
    usize::MAX - rest.iter().position(|next| *next == page).unwrap_or(usize::MAX)
}

/// One line of the output, whose first word is the policy.
fn told_line(run: &Run, number: usize) -> Finding {
    endings::ended(run)?;
    endings::status(run)?;
    let expected = run.plan.expect.stdout.clone().unwrap_or_default();
    let expected = String::from_utf8_lossy(&expected).into_owned();
    let got = run.seen.stdout.text();
    let (wanted, line) =
        (expected.lines().nth(number).unwrap_or_default(), got.lines().nth(number).unwrap_or_default());
    if wanted == line {
        return Ok(());
    }
    let same = wanted.split(' ').zip(line.split(' ')).take_while(|(a, b)| a == b).count();
    let place = match same {
        0 | 1 => String::new(),
        same => format!(" The first {} victims agree.", same.saturating_sub(2)),
    };
    let words = format!("Line {} is `{line}` where it should be `{wanted}`.{place}", number + 1);
    Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run)).found()
}

/// `others`: the last three lines.
fn others(run: &Run) -> Finding {
    (3..6).try_for_each(|number| told_line(run, number))
}

/// The circle after each fault: a star for each page that was accessed since, and where the hand stands.
fn clock_drawing(plan: &Plan, _: &Observation) -> Vec<String> {
    let Some(Content::Bytes(text)) = plan.launch.files.first().map(|file| &file.content) else { return Vec::new() };
    let pages: Vec<u64> = String::from_utf8_lossy(text).lines().filter_map(|line| line.parse().ok()).collect();
    let mut clock = Clock::new(plan.argument(0).parse().unwrap_or(1), None);
    let mut lines = vec![
        "The hand goes round the frames, from left to right and from the last to the first.".to_string(),
        "What was accessed since it came by (*) it lets stay, and takes the mark away; the first without one goes."
            .into(),
        String::new(),
        "access  frames (> the hand)".into(),
    ];
    for page in pages {
        let passed: String = clock.passed().iter().map(|page| format!(" {page}")).collect();
        let (fault, victim) = clock.access(page);
        let frames = clock.row();
        let event = match (fault, victim) {
            (_, Some(victim)) if passed.is_empty() => format!("fault: {victim} goes"),
            (_, Some(victim)) => format!("fault: the hand passes{passed}; {victim} goes"),
            (true, None) => "fault: a frame is free".to_string(),
            _ => String::new(),
        };
        lines.push(format!("{page:>6}  {frames:<20} {event}").trim_end().to_string());
    }
    lines
}
