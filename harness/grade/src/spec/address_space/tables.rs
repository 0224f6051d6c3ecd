//! `two_level` and `four_level`: page tables that a machine takes for its own, and nothing that was not asked for.

use std::collections::BTreeSet;

use machine::{
    Access, End, ErrorCode, Kind, KvmMachine, Machine, Outcome, Page, PageFault, Paging, Privilege, Scheme, SoftwareMmu,
};
use observe::{Content, InputFile, Observation, On};

use super::images::{self, IMAGE, Opinion, broken, loaded, made, over_another, refused, refuses, told};
use crate::spec::Spec;
use crate::spec::common::calls::{OPENS, OUTPUTS, READS, WRITES};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unreadable_file};
use crate::spec::common::{reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

/// The name under which every plan has its requests.
const REQUESTS: &str = "requests";
/// Accesses that the processor is asked for, at most.
const ASKED: usize = 40;
/// Somewhere in a page.
const OFFSET: u64 = 0xabc;

/// One line of REQUESTS.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Request {
    address: u64,
    physical: u64,
    size: u64,
    write: bool,
    execute: bool,
    user: bool,
}

/// What a plan asks for.
struct Wanted {
    paging: Paging,
    requests: Vec<Request>,
}

/// `two_level REQUESTS IMAGE`
pub(crate) fn two_level() -> Spec {
    Spec {
        plans: two_level_plans,
        checks: checks(Vec::new()),
        demo: |nonce| {
            let requests =
                [page(nonce, 0x0040_3000, true), page(nonce, 0x0040_4000, false), page(nonce, 0xbfff_f000, true)];
            plan("three pages", Scheme::Ia32, &requests).drawn(drawing)
        },
    }
}

/// `four_level REQUESTS IMAGE`
pub(crate) fn four_level() -> Spec {
    let large = Check::outside("page-sizes", "each page has the size asked for", page_sizes);
    Spec {
        plans: four_level_plans,
        checks: checks(vec![large]),
        demo: |nonce| {
            let requests = [
                Request { execute: true, ..page(nonce, 0x40_1000, false) },
                Request { size: 2 << 20, physical: 0x1200_0000, ..page(nonce, 0x7f12_3460_0000, true) },
            ];
            plan("a page and a large one", Scheme::FourLevel, &requests).drawn(drawing)
        },
    }
}

fn checks(more: Vec<Check>) -> Vec<Check> {
    let mut checks = vec![
        Check::outside("usage", "a command line of anything but REQUESTS and IMAGE is refused", usage),
        Check::outside("reports", "a failing call is reported with the file that it was for", reports),
        Check::outside("image", "IMAGE is made", made),
        Check::outside("translates", "every page that was asked for leads to its frame", translates),
    ];
    checks.extend(more);
    checks.extend([
        Check::outside("rights", "every page has the rights asked for, and no others", rights),
        Check::outside("nothing-else", "no other page is mapped", nothing_else),
        Check::outside("memory", "there are no more tables than it takes", memory),
        Check::outside(
            "refuses",
            "a request that cannot be granted is told with its line, and no image is made",
            refuses,
        ),
        Check::outside("processor", "the processor finds the same in the tables (needs /dev/kvm)", processor),
        Check::seen("short-io", "it is right when reads and writes are cut short", under_faults),
        Check::seen("eintr", "it is right when calls are interrupted", under_faults),
    ]);
    checks
}

fn page(nonce: &mut Nonce, address: u64, write: bool) -> Request {
    let physical = nonce.number(0x1000, 0xf_ffff) << 12;
    Request { address, physical, size: 4096, write, execute: false, user: true }
}

const ALL: &[&str] = &["image", "translates", "rights", "nothing-else", "memory", "processor"];

fn plan(name: &str, scheme: Scheme, requests: &[Request]) -> Plan {
    let lines: String = requests.iter().map(|request| line(scheme, request)).collect();
    let plan = from_text(name, &lines).judged_by(ALL);
    if scheme == Scheme::FourLevel {
        let checks: Vec<&'static str> = ALL.iter().copied().chain(["page-sizes"]).collect();
        return plan.judged_by(&checks);
    }
    plan
}

fn from_text(name: &str, text: &str) -> Plan {
    Plan::new(name).arg(REQUESTS).arg(IMAGE).file(InputFile::new(REQUESTS, text)).prints("")
}

fn line(scheme: Scheme, request: &Request) -> String {
    let letter = |right: bool, letter: char| if right { letter } else { '-' };
    let (address, physical, write) = (request.address, request.physical, letter(request.write, 'w'));
    if scheme == Scheme::Ia32 {
        return format!("{address:#010x} {physical:#010x} r{write}\n");
    }
    let size = match request.size {
        4096 => "4K",
        0x20_0000 => "2M",
        _ => "1G",
    };
    let (execute, user) = (letter(request.execute, 'x'), letter(request.user, 'u'));
    format!("{address:#018x} {physical:#x} {size} r{write}{execute}{user}\n")
}

impl Wanted {
    /// What the plan's REQUESTS say, in three columns for two levels and in four for four.
    fn of(run: &Run) -> Wanted {
        let file = run.plan.launch.files.iter().find(|file| file.path.as_os_str() == REQUESTS);
        let text = match file.map(|file| &file.content) {
            Some(Content::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        let requests: Vec<Request> = text.lines().filter_map(parse).collect();
        let four = text.lines().next().is_some_and(|line| line.split(' ').count() == 4);
        Wanted { paging: if four { Paging::four_level(0) } else { Paging::ia32(0) }, requests }
    }

    /// What must come of an access.
    fn outcome(&self, access: Access) -> Outcome {
        let has = |request: &&Request| access.address & !(request.size - 1) == request.address;
        let request = self.requests.iter().find(has);
        let user = access.privilege == Privilege::User;
        let allowed = |request: &&Request| {
            (request.user || !user)
                && match access.kind {
                    Kind::Load => true,
                    Kind::Store => request.write,
                    Kind::Fetch => request.execute,
                }
        };
        if let Some(request) = request.filter(allowed) {
            return Outcome::Reached { physical: request.physical | access.address & (request.size - 1) };
        }
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        let error_code = bit(request.is_some(), ErrorCode::PRESENT)
            | bit(user, ErrorCode::USER)
            | bit(access.kind == Kind::Store, ErrorCode::WRITE)
            | bit(access.kind == Kind::Fetch && self.paging.no_execute, ErrorCode::FETCH);
        Outcome::PageFault(PageFault { address: access.address, error_code: ErrorCode(error_code) })
    }

    /// Bytes of the tables that the requests take: a root, and one table for each part of the address space that has
    /// a page in it.
    fn least_memory(&self) -> u64 {
        let scheme = self.paging.scheme;
        let mut tables = BTreeSet::new();
        for request in &self.requests {
            for level in scheme.levels().iter().map(|level| level.shift(scheme)) {
                if 1 << level > request.size {
                    tables.insert((level, request.address >> level));
                }
            }
        }
        4096 * (1 + tables.len() as u64)
    }
}

fn parse(line: &str) -> Option<Request> {
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let words: Vec<&str> = line.split(' ').collect();
    let (address, physical) = (number(words.first()?)?, number(words.get(1)?)?);
    let rights = words.last()?;
    let size = match *words.get(2)? {
        "2M" => 2 << 20,
        "1G" => 1 << 30,
        _ => 4096,
    };
    // With two levels there is no bit against execution, and all is the user's.
    let two = words.len() == 3;
    let has = |letter: char| rights.contains(letter);
    Some(Request { address, physical, size, write: has('w'), execute: two || has('x'), user: two || has('u') })
}

fn two_level_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let scheme = Scheme::Ia32;
    let region = nonce.number(2, 500) << 22;
    let far = nonce.number(520, 1000) << 22;
    let few = [
        page(nonce, region, true),
        page(nonce, region | 0x1000, false),
        page(nonce, region | 0x3f_f000, true),
        page(nonce, far | 0x5000, false),
        page(nonce, 0xffff_f000, true),
        page(nonce, 0, false),
    ];
    let mut many = BTreeSet::new();
    while many.len() < 300 {
        many.insert((nonce.number(0, 40) * 25) << 22 | nonce.number(0, 1023) << 12);
    }
    let many: Vec<Request> = many.into_iter().map(|address| page(nonce, address, address >> 12 & 1 == 1)).collect();
    let good = line(scheme, &few[0]);
    let bad = |name: &str, line: &str| refused(from_text(&format!("refused: {name}"), &format!("{good}{line}\n")), 2);
    let twice = format!("{} 0x00001000 rw", good.split(' ').next().unwrap_or_default());
    let mut plans = vec![
        plan("a few pages", scheme, &few),
        plan("one page", scheme, &few[1..2]),
        plan("no page", scheme, &[]),
        plan("300 pages", scheme, &many),
        bad("an address inside a page", "0x00001010 0x00001000 rw"),
        bad("a frame that is none", "0x00001000 0x00001010 rw"),
        bad("an address of 33 bits", "0x100000000 0x00001000 rw"),
        bad("no frame", "0x00001000 rw"),
        bad("unknown rights", "0x00001000 0x00001000 wr"),
        bad("a page twice", &twice),
    ];
    plans.extend(circumstances(&plan("a few pages", scheme, &few)));
    plans
}

fn four_level_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let scheme = Scheme::FourLevel;
    let region = nonce.number(1, 200) << 39 | nonce.number(3, 500) << 30;
    let aligned = |nonce: &mut Nonce, size: u64| nonce.number(1, (60 << 30) / size) * size;
    let mut request = |address: u64, size: u64, rights: &str| {
        let has = |letter: char| rights.contains(letter);
        let physical = aligned(nonce, size);
        Request { address, physical, size, write: has('w'), execute: has('x'), user: has('u') }
    };
    let few = [
        request(region, 4096, "u"),
        request(region | 0x1000, 4096, "wu"),
        request(region | 0x2000, 4096, "xu"),
        request(region | 0x1f_f000, 4096, "w"),
        request(region | 0x20_0000, 2 << 20, "wu"),
        request(region | 0x40_0000, 2 << 20, "x"),
        request(region + (1 << 30), 1 << 30, "wu"),
        request(0x7fff_ffff_f000, 4096, "wxu"),
        request(0xffff_8000_0000_0000, 4096, "x"),
        request(0xffff_ffff_c000_0000, 1 << 30, "w"),
    ];
    let small: Vec<Request> = few.iter().copied().filter(|request| request.size == 4096).collect();
    let good = line(scheme, &few[0]);
    let bad = |name: &str, line: &str| refused(from_text(&format!("refused: {name}"), &format!("{good}{line}\n")), 2);
    let inside = |request: &Request| format!("{:#018x} 0x1000 4K rw-u", request.address | 0x1000);
    let mut plans = vec![
        plan("pages of all sizes", scheme, &few),
        plan("small pages", scheme, &small),
        plan("one page", scheme, &few[1..2]),
        plan("one large page", scheme, &few[6..7]),
        bad("an address that is not canonical", "0x0000800000000000 0x1000 4K rw-u"),
        bad("another one", "0xffff7ffffffff000 0x1000 4K rw-u"),
        bad("a large page inside a large page", "0x0000000000101000 0x200000 2M rw-u"),
        bad("a frame that is none", "0x0000000000200000 0x201000 2M rw-u"),
        bad("an address one byte off", "0x0000000000200001 0x12000 4K rw-u"),
        bad("a page of 4M", "0x0000000000400000 0x400000 4M rw-u"),
        bad("unknown rights", "0x0000000000400000 0x400000 4K rwsu"),
        refused(
            from_text("refused: a small page in a large one", &[line(scheme, &few[4]), inside(&few[4])].concat()),
            2,
        ),
        refused(
            from_text(
                "refused: a large page over a small one",
                &[good.clone(), {
                    let address = few[0].address & !0x1f_ffff;
                    format!("{address:#018x} 0x200000 2M rw-u\n")
                }]
                .concat(),
            ),
            2,
        ),
    ];
    plans.extend(circumstances(&plan("pages of all sizes", scheme, &few)));
    plans
}

/// Bad usage, failing calls, and the hard conditions.
fn circumstances(plain: &Plan) -> Vec<Plan> {
    let mut missing = plain.again("no REQUESTS", &[]).reports(OPENS, Some(REQUESTS), libc::ENOENT);
    missing.launch.files.clear();
    let image = On::File(IMAGE.into());
    let full = plain.again("no space for IMAGE", &[]).reports(OUTPUTS, Some(IMAGE), libc::ENOSPC);
    let mut nowhere = plain.again("no such directory", &[]).reports(OPENS, Some("nowhere"), libc::ENOENT);
    nowhere.launch.args[1] = "nowhere/image".into();
    let mut plans = vec![
        over_another(plain),
        missing,
        unreadable_file(plain, REQUESTS),
        full.fault(failing(WRITES, Some(image), libc::ENOSPC)).because("When there is no space for IMAGE"),
        nowhere,
        bad_usage("no arguments", &[]),
        bad_usage("no IMAGE", &[REQUESTS]),
        bad_usage("one too many", &[REQUESTS, IMAGE, "more"]),
        interrupted(plain, &[On::AnyFile]),
    ];
    plans.push(cut(plain, &[On::AnyFile], READS, "read", 1));
    plans.push(cut(plain, &[On::AnyFile], WRITES, "write", 1000));
    plans
}

/// Under faults the same must come out: the translations tell.
fn under_faults(run: &Run) -> Finding {
    let blame =
        |objection: Objection| objection.amended(|failure| crate::spec::common::endings::blame_fault(run, failure));
    made(run).map_err(blame)?;
    translates(run).map_err(blame)?;
    rights(run).map_err(blame)
}

fn by(request: &Request, kind: Kind) -> Access {
    let privilege = if request.user { Privilege::User } else { Privilege::Supervisor };
    Access { address: request.address | OFFSET, kind, privilege }
}

/// `translates`: where a load of each page ends.
fn translates(run: &Run) -> Finding {
    let (mut machine, wanted) = (loaded(run)?, Wanted::of(run));
    for request in &wanted.requests {
        let address = request.address | OFFSET;
        let walk = machine.walk(&wanted.paging, address);
        let expected = Outcome::Reached { physical: request.physical | OFFSET };
        let load = by(request, Kind::Load).by_supervisor();
        if machine.access(&wanted.paging, load).map_err(broken)? == expected {
            continue;
        }
        let page = format!("The page {:#x}, asked for at {:#x},", request.address, request.physical);
        let depth = walk.steps.len();
        let last = walk.steps.last().map(|step| format!("entry {} of the {}", step.index, step.level.name()));
        let last = last.unwrap_or_default();
        let words = match walk.end {
            End::Page(found) if found.size > request.size => {
                format!(
                    "{page} is part of a page of {} bytes at {:#x}: {last} has bit 7 (PS) set.",
                    found.size, found.base
                )
            }
            End::Page(found) => format!(
                "{page} leads to {:#x}: look at the address in {last} (a frame's address is its number shifted left by 12, and its low bits are the flags).",
                found.base | address & (found.size - 1) & !0xfff
            ),
            End::Absent => format!("{page} is not mapped: in level {depth} {last} has bit 0 (present) clear."),
            End::Reserved => format!("{page} is not mapped: {last} has a bit set that must be zero."),
            End::NoMemory { .. } => format!("{page} is not mapped: {last} leads to a table behind the end of IMAGE."),
            End::NotCanonical => format!("{page} is no address."),
        };
        return Failure::new(Reason::WrongState, words).evidences(told(&walk, &wanted.paging, address)).found();
    }
    Ok(())
}

/// `page-sizes`: at which level the walk ends.
fn page_sizes(run: &Run) -> Finding {
    let (machine, wanted) = (loaded(run)?, Wanted::of(run));
    for request in &wanted.requests {
        let walk = machine.walk(&wanted.paging, request.address);
        let End::Page(page) = walk.end else { return Err(Objection::open("a page is not mapped at all")) };
        if page.size != request.size {
            let words = format!(
                "The page {:#x} was asked for with {} bytes and is mapped with {}: a large page is one entry higher up, with bit 7 (PS) set.",
                request.address, request.size, page.size
            );
            return Failure::new(Reason::WrongState, words)
                .evidences(told(&walk, &wanted.paging, request.address))
                .found();
        }
    }
    Ok(())
}

/// `rights`: what all entries on the way allow together.
fn rights(run: &Run) -> Finding {
    let (machine, wanted) = (loaded(run)?, Wanted::of(run));
    let mut pages = 0;
    for request in &wanted.requests {
        let walk = machine.walk(&wanted.paging, request.address);
        let End::Page(page) = walk.end else { continue };
        pages += 1;
        if let Some(words) = wrong_right(request, &page) {
            let words = format!("The page {:#x} {words}", request.address);
            return Failure::new(Reason::WrongState, words)
                .evidences(told(&walk, &wanted.paging, request.address))
                .found();
        }
    }
    if pages == 0 && !wanted.requests.is_empty() {
        return Err(Objection::open("no page is mapped at all"));
    }
    Ok(())
}

fn wrong_right(request: &Request, page: &Page) -> Option<&'static str> {
    match () {
        () if page.user && !request.user => {
            Some("is the supervisor's, but user code can use it: bit 2 (U/S) is set in every entry on its way.")
        }
        () if !page.user && request.user => Some(
            "is no use to user code: bit 2 (U/S) must be set in every entry on the way, not only in the last (rights are the least of all levels).",
        ),
        () if page.writable && !request.write => {
            Some("was asked for read-only, but a store to it succeeds: bit 1 (R/W) of its entry must be clear.")
        }
        () if !page.writable && request.write => Some(
            "was asked for to be stored to, but a store faults: bit 1 (R/W) must be set in every entry on the way, not only in the last.",
        ),
        () if page.executable && !request.execute => {
            Some("was asked for without x, but a jump to it succeeds: bit 63 (NX) of its entry must be set.")
        }
        () if !page.executable && request.execute => {
            Some("was asked for with x, but a jump to it faults: bit 63 (NX) is set in an entry on the way.")
        }
        () => None,
    }
}

/// `nothing-else`: everything that the tables map was asked for.
fn nothing_else(run: &Run) -> Finding {
    let (machine, wanted) = (loaded(run)?, Wanted::of(run));
    let asked = |address: u64| wanted.requests.iter().any(|r| r.address <= address && address - r.address < r.size);
    let most = wanted.requests.len() * 513 + 1;
    let pages = machine.pages(&wanted.paging, most);
    let Some((address, _)) = pages.iter().find(|(address, _)| !asked(*address)) else { return Ok(()) };
    let walk = machine.walk(&wanted.paging, *address);
    let words = format!("The page {address:#x} is mapped, and nobody asked for it: an access to it must fault.");
    Failure::new(Reason::WrongState, words).evidences(told(&walk, &wanted.paging, *address)).found()
}

/// `memory`: the size of the image.
fn memory(run: &Run) -> Finding {
    let wanted = Wanted::of(run);
    let image = run.seen.file(IMAGE).ok_or_else(|| Objection::open("there is no image"))?;
    let least = wanted.least_memory();
    if image.len <= least {
        return Ok(());
    }
    let words = format!(
        "IMAGE has {} bytes, where {least} are enough: a table of 4096 bytes for each part of the address space that has pages in it, and none for what is empty.",
        image.len
    );
    Failure::new(Reason::WrongState, words).found()
}

/// `processor`: loads and stores, made on the processor's own MMU, end as they were asked for. What it cannot be asked
/// here is left out; if that is all, so is the check.
fn processor(run: &Run) -> Finding {
    let (mut software, wanted) = (loaded(run)?, Wanted::of(run));
    let image = software.memory().to_vec();
    let mut opinion = Opinion::default();
    let mut kvm = KvmMachine::new(image.len().next_multiple_of(4096).max(4096)).map_err(broken)?;
    for access in accesses(&wanted).take(ASKED) {
        let walk = software.walk(&wanted.paging, access.address);
        if !can_be_asked(&walk.end, &kvm, access, image.len() as u64) {
            continue;
        }
        software.load(&image).map_err(broken)?;
        kvm.load(&image).map_err(broken)?;
        let by_software = software.access(&wanted.paging, access).map_err(broken)?;
        let by_processor = kvm.access(&wanted.paging, access);
        if let Some(outcome) = opinion.differs(by_processor, by_software, wanted.outcome(access))? {
            let words = format!("A {} at {:#x} ends on the processor so: {outcome}.", access.kind, access.address);
            let lines = told(&walk, &wanted.paging, access.address);
            return Failure::new(Reason::WrongState, words).evidences(lines).found();
        }
    }
    opinion.given()
}

/// Loads and stores of what was asked for, jumps to what must not be run, and the pages beside.
fn accesses(wanted: &Wanted) -> impl Iterator<Item = Access> {
    wanted.requests.iter().flat_map(|request| {
        let beside = Access::load(request.address.wrapping_add(request.size) | OFFSET);
        let jump = (!request.execute).then(|| by(request, Kind::Fetch));
        let beside = (beside.address >> 47 == request.address >> 47).then_some(beside);
        [by(request, Kind::Load), by(request, Kind::Store)].into_iter().chain(jump).chain(beside)
    })
}

/// Not what the guest itself needs, nor a jump to where there is no memory, nor a page larger than the processor has.
fn can_be_asked(end: &End, kvm: &KvmMachine, access: Access, memory: u64) -> bool {
    match end {
        End::NoMemory { .. } => false,
        End::Page(page) => {
            let physical = page.base | access.address & (page.size - 1);
            let runs = access.kind != Kind::Fetch || !page.executable;
            (page.size <= 2 << 20 || kvm.processor().gibibyte_pages)
                && !kvm.occupies(physical)
                && runs
                && physical >= memory
        }
        _ => true,
    }
}

/// The first and the last page asked for, and the one before it, from their bits through the tables to the frame.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let run = Run { plan, seen, baseline: None, sometimes_right: true };
    let Ok(machine) = loaded(&run) else { return Vec::new() };
    let wanted = Wanted::of(&run);
    let (Some(first), Some(last)) = (wanted.requests.first(), wanted.requests.last()) else { return Vec::new() };
    let shown =
        [(first.address, "asked for"), (last.address, "asked for"), (last.address - last.size, "not asked for")];
    let mut lines: Vec<String> =
        shown.iter().flat_map(|(page, words)| walked(&machine, &wanted.paging, page | OFFSET, words)).collect();
    lines.push(
        "P present  W may be stored to  U for user code  A accessed  D dirty  L large page  X not to be run".into(),
    );
    lines
}

fn walked(machine: &SoftwareMmu, paging: &Paging, address: u64, words: &str) -> Vec<String> {
    let walk = machine.walk(paging, address);
    let mut lines = vec![format!("{address:#x}, {words}")];
    lines.extend(images::split(&walk, paging, address));
    lines.extend(told(&walk, paging, address));
    lines.push(String::new());
    lines
}
