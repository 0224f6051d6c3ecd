//! `base_bounds` and `memory_fence`: segment descriptors that relocate and confine.

use machine::{Descriptor, DescriptorTable, Kind, KvmMachine, Machine, Outcome, Privilege, SegmentAccess};
use observe::{Content, InputFile, Observation, On};

use super::images::{IMAGE, Opinion, broken, loaded, made, over_another, refused, refuses};
use crate::spec::Spec;
use crate::spec::common::calls::{OPENS, OUTPUTS, READS, WRITES};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unreadable_file};
use crate::spec::common::{endings, reports, usage};
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run};

const REQUESTS: &str = "requests";
const MEBIBYTE: u64 = 1 << 20;
/// Bytes of the processor's machine: most of what programs reach lies behind it.
const MEMORY: usize = 1 << 16;
/// Bytes of a descriptor.
const DESCRIPTOR: u64 = 8;

/// A program's memory.
#[derive(Clone, Copy, Debug)]
struct Program {
    base: u64,
    size: u64,
}

/// One access, what must come of it, and what is wrong if something else does.
struct Trial {
    access: SegmentAccess,
    expected: Outcome,
    words: String,
}

/// `base_bounds REQUESTS IMAGE`
pub(crate) fn base_bounds() -> Spec {
    Spec {
        plans: bounds_plans,
        checks: vec![
            Check::outside("usage", "a command line of anything but REQUESTS and IMAGE is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside(
                "image",
                "IMAGE is made, and has two descriptors for each program behind the null one",
                sized,
            ),
            Check::outside("relocates", "each offset leads to the base and so many bytes more", relocates),
            Check::outside("confines", "the first offset behind the end, and all others, are refused", confines),
            Check::outside(
                "code-and-data",
                "the first segment can be run, in 32 bits, and the second stored to",
                code_and_data,
            ),
            Check::outside("refuses", "a program that cannot be confined is told with its line", refuses),
            Check::outside("processor", "the processor does the same (needs /dev/kvm)", processor_on_bounds),
            Check::seen("short-io", "it is right when reads and writes are cut short", bounds_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", bounds_under_faults),
        ],
        demo: |_| {
            bounds(
                "two programs",
                &[Program { base: 0x40_0000, size: 0x5000 }, Program { base: 0x80_0000, size: 0x20_0000 }],
            )
            .drawn(bounds_drawing)
        },
    }
}

fn bounds_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let small =
        |nonce: &mut Nonce| Program { base: nonce.number(0x10_0000, 0x7fff_ffff), size: nonce.number(2, 0xf_fff0) };
    let few = [
        small(nonce),
        Program { base: nonce.number(0x81, 0xef) << 24 | 0x12_3457, size: nonce.number(3, 0xffff) },
        Program { base: 0x10_0000, size: MEBIBYTE },
        Program { base: nonce.number(1, 200) << 20, size: MEBIBYTE + (nonce.number(1, 0x500) << 12) },
        Program { base: 0, size: 1 << 32 },
        Program { base: 0xffff_ffff, size: 1 },
    ];
    let line = |program: Program| format!("{:#x} {:#x}\n", program.base, program.size);
    let good = line(few[0]);
    let bad = |name: &str, text: &str| refused(from_text(&format!("refused: {name}"), &format!("{good}{text}\n")), 2);
    let plain = bounds("a few programs", &few);
    let mut plans = vec![
        plain.clone(),
        bounds("one program", &few[1..2]),
        bounds("no program", &[]),
        bad("no bytes", "0x1000 0x0"),
        bad("an end behind 4 GiB", "0xfffff000 0x1001"),
        bad("more than 1 MiB, and no multiple of 4096", "0x1000 0x100001"),
        bad("more than 4 GiB", "0x0 0x100001000"),
        bad("a base behind 4 GiB", "0x100000000 0x1000"),
        bad("one number", "0x1000"),
        bad("three numbers", "0x1000 0x1000 0x1000"),
        bad("a word", "0x1000 large"),
    ];
    let mut missing = plain.again("no REQUESTS", &[]).reports(OPENS, Some(REQUESTS), libc::ENOENT);
    missing.launch.files.clear();
    plans.extend([missing, unreadable_file(&plain, REQUESTS)]);
    plans.push(cut(&plain, &[On::AnyFile], READS, "read", 1));
    plans.extend(image_circumstances(&plain));
    plans.extend([bad_usage("no arguments", &[]), bad_usage("no IMAGE", &[REQUESTS])]);
    plans
}

fn bounds(name: &str, programs: &[Program]) -> Plan {
    let text: String = programs.iter().map(|p| format!("{:#x} {:#x}\n", p.base, p.size)).collect();
    from_text(name, &text).judged_by(&["image", "relocates", "confines", "code-and-data", "processor"])
}

fn from_text(name: &str, text: &str) -> Plan {
    Plan::new(name).arg(REQUESTS).arg(IMAGE).file(InputFile::new(REQUESTS, text)).prints("")
}

/// What may befall the writing of an image.
fn image_circumstances(plain: &Plan) -> Vec<Plan> {
    let full = plain.again("no space for IMAGE", &[]).reports(OUTPUTS, Some(IMAGE), libc::ENOSPC);
    vec![
        over_another(plain),
        full.fault(failing(WRITES, Some(On::File(IMAGE.into())), libc::ENOSPC))
            .because("When there is no space for IMAGE"),
        cut(plain, &[On::AnyFile], WRITES, "write", 3),
        interrupted(plain, &[On::AnyFile]),
    ]
}

fn programs(plan: &Plan) -> Vec<Program> {
    let file = plan.launch.files.iter().find(|file| file.path.as_os_str() == REQUESTS);
    let Some(Content::Bytes(bytes)) = file.map(|file| &file.content) else { return Vec::new() };
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(base, size)| Some(Program { base: number(base)?, size: number(size)? })).collect()
}

/// `image`: as many descriptors as it takes.
fn sized(run: &Run) -> Finding {
    made(run)?;
    of_size(run, 1 + 2 * programs(run.plan).len() as u64)
}

/// So many descriptors, of which the first is of zeros.
fn of_size(run: &Run, descriptors: u64) -> Finding {
    let (len, image) = run.seen.file(IMAGE).map_or((0, &[] as &[u8]), |file| (file.len, &file.bytes));
    if len != DESCRIPTOR * descriptors {
        let words =
            format!("IMAGE has {len} bytes instead of {}: {descriptors} descriptors of 8.", DESCRIPTOR * descriptors);
        return Failure::new(Reason::WrongState, words).found();
    }
    if bits(image, 0).is_some_and(|bits| bits != 0) {
        let words = "The first descriptor is not of zeros: its place is that of the selector 0, which stands for no segment, and the processor never reads it.";
        return Failure::new(Reason::WrongState, words).evidences(described(image, 0)).found();
    }
    Ok(())
}

fn reached(at: u64) -> Outcome {
    Outcome::Reached { physical: at }
}

const REFUSED: Outcome = Outcome::Protection { error_code: 0 };

/// A user's access to the data segment (or a jump to the code segment) of a program.
fn by_user(program: usize, offset: u64, kind: Kind) -> SegmentAccess {
    let segment = 2 * program as u16 + if kind == Kind::Fetch { 1 } else { 2 };
    SegmentAccess { segment, offset: offset as u32, kind, privilege: Privilege::User }
}

fn inside(plan: &Plan) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (i, program) in programs(plan).into_iter().enumerate() {
        for offset in [0, program.size / 2, program.size - 1] {
            let expected = reached(program.base + offset);
            let words = format!(
                "Program {} of {:#x} bytes at {:#x} must reach {:#x} by a load of offset {offset:#x}",
                i + 1,
                program.size,
                program.base,
                program.base + offset
            );
            trials.push(Trial { access: by_user(i, offset, Kind::Load), expected, words });
        }
    }
    trials
}

fn beyond(plan: &Plan) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (i, program) in programs(plan).into_iter().enumerate() {
        let outside = [program.size, program.size + 1, program.size.next_multiple_of(4096), 0xffff_ffff];
        for offset in outside.into_iter().filter(|offset| (program.size..1 << 32).contains(offset)) {
            let words = format!(
                "Program {} has {:#x} bytes, so its last offset is {:#x}, and a load of {offset:#x} must be refused",
                i + 1,
                program.size,
                program.size - 1
            );
            trials.push(Trial { access: by_user(i, offset, Kind::Load), expected: REFUSED, words });
        }
    }
    trials
}

fn kinds(plan: &Plan) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (i, program) in programs(plan).into_iter().enumerate() {
        let last = program.size - 1;
        let number = i + 1;
        let data = by_user(i, last, Kind::Load).segment;
        let jump = by_user(i, last, Kind::Fetch);
        let mut trial = |access, expected, words: String| trials.push(Trial { access, expected, words });
        let words = format!("Program {number} must be able to store to its segment {data}");
        trial(by_user(i, last, Kind::Store), reached(program.base + last), words);
        let words = format!("Program {number} must be able to run at offset {last:#x} of its segment {}", jump.segment);
        trial(jump, reached(program.base + last), words);
        let from_code = SegmentAccess { kind: Kind::Load, ..jump };
        let words = format!(
            "Program {number} must be able to load from its segment {}: what is constant lies among the code",
            jump.segment
        );
        trial(from_code, reached(program.base + last), words);
        let to_data = SegmentAccess { segment: data, ..jump };
        let words = format!("Program {number} must not be able to run its segment {data}, which is data");
        trial(to_data, Outcome::Protection { error_code: to_data.selector() & !3 }, words);
        if program.size < 1 << 32 {
            let words = format!("Program {number} must not run behind the end of its segment {}", jump.segment);
            trial(by_user(i, program.size, Kind::Fetch), REFUSED, words);
        }
    }
    trials
}

/// `relocates`
fn relocates(run: &Run) -> Finding {
    try_all(run, inside(run.plan))
}

/// `confines`
fn confines(run: &Run) -> Finding {
    try_all(run, beyond(run.plan))
}

/// `code-and-data`
fn code_and_data(run: &Run) -> Finding {
    try_all(run, kinds(run.plan))?;
    let image = run.seen.file(IMAGE).map_or(&[] as &[u8], |file| &file.bytes);
    for number in 1..=programs(run.plan).len() {
        let at = (2 * number - 1) * DESCRIPTOR as usize;
        if bits(image, at).is_some_and(|bits| !Descriptor::decode(bits).wide) {
            let words = format!(
                "The code of program {number} is taken for that of a processor of 16 bits: bit 54 (D) of its descriptor must be set."
            );
            return Failure::new(Reason::WrongState, words).evidences(described(image, at)).found();
        }
    }
    Ok(())
}

fn processor_on_bounds(run: &Run) -> Finding {
    on_processor(run, inside(run.plan).into_iter().chain(beyond(run.plan)))
}

fn bounds_under_faults(run: &Run) -> Finding {
    let blame = |objection: Objection| objection.amended(|failure| endings::blame_fault(run, failure));
    sized(run).map_err(blame)?;
    relocates(run).map_err(blame)
}

/// The table is the whole image.
fn table(len: usize) -> DescriptorTable {
    DescriptorTable { base: 0, count: (len as u64 / DESCRIPTOR) as u16 }
}

fn try_all(run: &Run, trials: Vec<Trial>) -> Finding {
    let mut machine = loaded(run)?;
    let image = machine.memory().to_vec();
    if (image.len() as u64) < DESCRIPTOR {
        return Err(Objection::open("there are no descriptors"));
    }
    for trial in trials {
        machine.load(&image).map_err(broken)?;
        let outcome = machine.access_segment(&table(image.len()), trial.access).map_err(broken)?;
        if outcome != trial.expected {
            let at = usize::from(trial.access.segment) * DESCRIPTOR as usize;
            let failure = Failure::new(Reason::WrongState, format!("{}; what came of it is: {outcome}.", trial.words));
            return failure.evidences(described(&image, at)).found();
        }
    }
    Ok(())
}

fn bits(image: &[u8], at: usize) -> Option<u64> {
    image.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A descriptor's bytes, and what a processor makes of them.
fn described(image: &[u8], at: usize) -> Vec<String> {
    let Some(bits) = bits(image, at) else {
        return vec![format!("there is no descriptor {}", at / 8)];
    };
    let d = Descriptor::decode(bits);
    let kind = match (d.ordinary, d.code, d.expands_down) {
        (false, ..) => "of the system",
        (true, true, _) => "code",
        (true, false, true) => "data that expands down",
        (true, false, false) => "data",
    };
    let access = if d.grants && !d.code { ", writable" } else { "" };
    let present = if d.present { "" } else { ", not present" };
    vec![
        format!("descriptor {}: {bits:#018x}", at / 8),
        format!("  base {:#x}, limit {:#x}, {kind}{access}, privilege {}{present}", d.base, d.limit, d.privilege),
    ]
}

/// The same accesses by the processor, as far as it can be asked here.
fn on_processor(run: &Run, trials: impl Iterator<Item = Trial>) -> Finding {
    let mut software = loaded(run)?;
    let image = software.memory().to_vec();
    let mut opinion = Opinion::default();
    let mut kvm = KvmMachine::new(MEMORY).map_err(broken)?;
    for trial in trials {
        let table = table(image.len());
        software.load(&image).map_err(broken)?;
        let by_software = software.access_segment(&table, trial.access).map_err(broken)?;
        if matches!(by_software, Outcome::Reached { physical } if kvm.occupies(physical)) {
            continue;
        }
        kvm.load(&image).map_err(broken)?;
        let by_processor = kvm.access_segment(&table, trial.access);
        if let Some(outcome) = opinion.differs(by_processor, by_software, trial.expected)? {
            let words = format!("{}; what the processor does is: {outcome}.", trial.words);
            return Failure::new(Reason::WrongState, words).found();
        }
    }
    opinion.given()
}

/// Each program in the memory, and two accesses of it.
fn bounds_drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let image = seen.file(IMAGE).map(|file| file.bytes.clone()).unwrap_or_default();
    let mut lines = Vec::new();
    for (i, program) in programs(plan).into_iter().enumerate() {
        let (base, end, last) = (program.base, program.base + program.size, program.size - 1);
        if i > 0 {
            lines.push(String::new());
        }
        lines.push(format!("program {}", i + 1));
        lines.extend(described(&image, (2 * i + 2) * 8).into_iter().map(|line| format!("  {line}")));
        lines.push(format!("  0 ───────── {base:#x} ██████████ {end:#x} ─────────"));
        lines.push(format!(
            "  offset {last:#x} + base = {:#x};  offset {:#x} is behind the limit: #GP",
            base + last,
            program.size
        ));
    }
    lines
}

/// `memory_fence FENCE IMAGE`
pub(crate) fn memory_fence() -> Spec {
    Spec {
        plans: fence_plans,
        checks: vec![
            Check::outside("usage", "what is no fence is refused", usage),
            Check::outside("reports", "a failing call is reported with the file that it was for", reports),
            Check::outside("image", "IMAGE is made, and has three descriptors", fence_sized),
            Check::outside("protected", "user code reaches nothing below the fence", |run| {
                try_all(run, below(fence(run.plan)))
            }),
            Check::outside("open", "user code reaches everything from the fence on", |run| {
                try_all(run, above(fence(run.plan)))
            }),
            Check::outside("system", "the system reaches everything, by a segment that is its own", |run| {
                try_all(run, system(fence(run.plan)))
            }),
            Check::outside("processor", "the processor does the same (needs /dev/kvm)", |run| {
                let fence = fence(run.plan);
                on_processor(run, below(fence).into_iter().chain(above(fence)).chain(system(fence)))
            }),
            Check::seen("short-io", "it is right when writes are cut short", fence_under_faults),
            Check::seen("eintr", "it is right when calls are interrupted", fence_under_faults),
        ],
        demo: |_| fenced("a fence at 1 MiB", MEBIBYTE).drawn(fence_drawing),
    }
}

fn fence_plans(nonce: &mut Nonce) -> Vec<Plan> {
    let plain = fenced("a fence below 64 KiB", nonce.number(2, 0xff00));
    let mut nowhere = plain.again("no such directory", &[]).reports(OPENS, Some("nowhere"), libc::ENOENT);
    nowhere.launch.args[1] = "nowhere/image".into();
    let mut plans = vec![
        plain.clone(),
        fenced("a fence above 64 KiB", nonce.number(0x1_0001, 0xf_fffe)),
        fenced("a fence at 1 MiB", MEBIBYTE),
        fenced("a fence above 1 MiB", MEBIBYTE + (nonce.number(1, 0xf_0000) << 12)),
        fenced("one byte", 1),
        fenced("all but a page", 0xffff_f000),
        nowhere,
    ];
    plans.extend(image_circumstances(&plain));
    plans.extend([
        bad_usage("no arguments", &[]),
        bad_usage("no IMAGE", &["0x1000"]),
        bad_usage("a fence at 0", &["0x0", IMAGE]),
        bad_usage("above 1 MiB, and no multiple of 4096", &["0x100001", IMAGE]),
        bad_usage("a fence behind everything", &["0x100000000", IMAGE]),
        bad_usage("a word", &["fence", IMAGE]),
    ]);
    plans
}

fn fenced(name: &str, fence: u64) -> Plan {
    let plan = Plan::new(name).arg(format!("{fence:#x}")).arg(IMAGE).prints("");
    plan.judged_by(&["image", "protected", "open", "system", "processor"])
}

fn fence(plan: &Plan) -> u64 {
    u64::from_str_radix(plan.argument(0).trim_start_matches("0x"), 16).unwrap_or_default()
}

fn fence_sized(run: &Run) -> Finding {
    made(run)?;
    of_size(run, 3)
}

fn fence_under_faults(run: &Run) -> Finding {
    let blame = |objection: Objection| objection.amended(|failure| endings::blame_fault(run, failure));
    fence_sized(run).map_err(blame)?;
    try_all(run, above(fence(run.plan))).map_err(blame)
}

/// An access of user code by the third descriptor.
fn user(offset: u64, kind: Kind) -> SegmentAccess {
    SegmentAccess { segment: 2, offset: offset as u32, kind, privilege: Privilege::User }
}

fn below(fence: u64) -> Vec<Trial> {
    let at = |offset: u64, kind: Kind| Trial {
        access: user(offset, kind),
        expected: REFUSED,
        words: format!("The fence is at {fence:#x}, so a {kind} at {offset:#x} by user code must be refused"),
    };
    vec![at(0, Kind::Load), at(fence - 1, Kind::Load), at(fence - 1, Kind::Store), at(fence / 2, Kind::Load)]
}

fn above(fence: u64) -> Vec<Trial> {
    let at = |offset: u64, kind: Kind| Trial {
        access: user(offset, kind),
        expected: reached(offset),
        words: format!("The fence is at {fence:#x}, so a {kind} at {offset:#x} by user code must reach {offset:#x}"),
    };
    vec![
        at(fence, Kind::Load),
        at(fence, Kind::Store),
        at(fence.max(0x12_3456), Kind::Load),
        at(0xffff_ffff, Kind::Load),
    ]
}

fn system(fence: u64) -> Vec<Trial> {
    let by_system = |offset: u64, kind: Kind| Trial {
        access: SegmentAccess { segment: 1, offset: offset as u32, kind, privilege: Privilege::Supervisor },
        expected: reached(offset),
        words: format!("A {kind} at {offset:#x} by the system must reach {offset:#x}"),
    };
    let borrowed = Trial {
        access: SegmentAccess { segment: 1, ..user(0, Kind::Load) },
        expected: Outcome::Protection { error_code: 8 },
        words: "User code must not be able to load the system's segment".into(),
    };
    vec![
        by_system(0, Kind::Load),
        by_system(fence - 1, Kind::Store),
        by_system(fence, Kind::Load),
        by_system(0xffff_ffff, Kind::Load),
        borrowed,
    ]
}

/// The memory with its fence.
fn fence_drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let fence = fence(plan);
    let image = seen.file(IMAGE).map(|file| file.bytes.clone()).unwrap_or_default();
    let mut lines = vec![
        format!("0 ▒▒▒▒▒▒ the system ▒▒▒▒▒▒ {fence:#x} ────── user code ────── 0xffffffff"),
        format!("user: {:#x} is refused, {fence:#x} is the first address that is not", fence - 1),
        String::new(),
    ];
    lines.extend([8, 16].into_iter().flat_map(|at| described(&image, at)));
    lines
}
