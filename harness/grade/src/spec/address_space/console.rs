//! `mmio_console`: a device, for a guest that does not know that it is one.

use std::path::Path;

use observe::{Action, Call, Deed, InputFile, Observation, On, Stdin, Trigger, kvm_refusal};

use crate::spec::Spec;
use crate::spec::common::calls::{READS, ROOT};
use crate::spec::common::plans::{bad_usage, cut, failing, interrupted, unreadable_text, unwritable_output};
use crate::spec::common::refusals::described;
use crate::spec::common::text::complaints;
use crate::spec::common::{OPENS, endings, output, reports, under_faults, usage};
use crate::spec::mmap::mapping::wrong_call;
use crate::{Check, Failure, Finding, Nonce, Objection, Plan, Reason, Run, Stage};

const KVM: &str = "/dev/kvm";
/// The requests that make a machine, and that let its guest go on.
const KVM_CREATE_VM: u64 = 0xae01;
const KVM_RUN: u64 = 0xae80;
/// What the kernel says where there is no device, where it may not be opened, and where others have the processor.
const NOT_HERE: [i32; 6] = [libc::ENOENT, libc::ENXIO, libc::ENODEV, libc::EACCES, libc::EPERM, libc::EBUSY];
const GUEST: &str = "guest";
/// Where stores go to standard output.
const OUTPUT: u32 = 0xa000_0000;
/// `mov [rcx], al` and `mov al, [rcx]`.
const STORE: [u8; 2] = [0x88, 0x01];
const LOAD: [u8; 2] = [0x8a, 0x01];

/// `mmio_console GUEST`
pub(crate) fn mmio_console() -> Spec {
    let checks = [
        Check::outside("usage", "a command line of anything but GUEST is refused", usage),
        Check::outside("reports", "a failing call is reported with the object that it was for", reports),
        Check::outside(
            "output",
            "what the guest stores appears on standard output, what it loads is the input",
            output,
        ),
        Check::outside("any-width", "it is right however wide the guest's loads and stores are", output),
        Check::outside("at-once", "what the guest stores appears before it asks for input", output),
        Check::outside("stray", "an access to no memory and no device is told with its address", stray),
        Check::seen("guest-runs", "it is the guest that does its work, on a processor of KVM's", guest_runs),
        Check::seen("short-io", "it is right when GUEST comes in pieces", under_faults),
        Check::seen("eintr", "it is right when calls are interrupted", under_faults),
    ];
    Spec {
        plans,
        checks: checks.map(|check| check.unless(no_kvm)).to_vec(),
        demo: |_| echo("hello", Width::Byte, 0x20, "hello").drawn(drawing),
    }
}

/// How often a guest is interrupted, and for how many of the processor's cycles it can be: a tenth of a second or so.
const TICKS: usize = 5;
const CYCLES: u32 = 200_000_000;

/// How wide a guest's loads and stores are.
#[derive(Clone, Copy)]
enum Width {
    /// Both one byte.
    Byte,
    /// Loads of four bytes, and stores of one.
    Word,
    /// Loads of eight bytes, of which the upper ones must be zeros, and stores of four, whose upper ones are not.
    Long,
}

/// `mov ebx, INPUT; mov ecx, OUTPUT`
const ADDRESSES: [u8; 10] = [0xbb, 0x00, 0x00, 0xff, 0xff, 0xb9, 0x00, 0x00, 0x00, 0xa0];

/// A guest that loads bytes, changes the bits of `key` in each, and stores it, until the end of input.
fn echoing(width: Width, key: u8) -> Vec<u8> {
    let turn: Vec<u8> = match width {
        // again: mov al, [rbx]; cmp al, -1; je end; xor al, key; mov [rcx], al; jmp again; end: hlt
        Width::Byte => vec![0x8a, 0x03, 0x3c, 0xff, 0x74, 0x06, 0x34, key, 0x88, 0x01, 0xeb, 0xf4, 0xf4],
        // The same with eax.
        Width::Word => vec![0x8b, 0x03, 0x83, 0xf8, 0xff, 0x74, 0x06, 0x34, key, 0x88, 0x01, 0xeb, 0xf3, 0xf4],
        // again: mov rax, [rbx]; cmp rax, -1; je end; mov rdx, rax; shr rdx, 8; setnz dl; shl dl, 7; xor al, dl;
        // xor eax, 0x11aa55 and the key; mov [rcx], eax; jmp again; end: hlt
        Width::Long => vec![
            0x48, 0x8b, 0x03, 0x48, 0x83, 0xf8, 0xff, 0x74, 0x18, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x08, 0x0f, 0x95,
            0xc2, 0xc0, 0xe2, 0x07, 0x30, 0xd0, 0x35, key, 0x55, 0xaa, 0x11, 0x89, 0x01, 0xeb, 0xdf, 0xf4,
        ],
    };
    [&ADDRESSES[..], &turn].concat()
}

fn command(name: &str, guest: &str) -> Plan {
    let mut plan = Plan::new(name).arg(guest);
    plan.launch.kvm = true;
    plan
}

fn guest(name: &str, code: Vec<u8>, input: &str) -> Plan {
    let mut plan = command(name, GUEST).file(InputFile::new(GUEST, code));
    plan.launch.stdin = Stdin::Bytes(input.into());
    plan
}

fn echo(name: &str, width: Width, key: u8, input: &str) -> Plan {
    let text: Vec<u8> = input.bytes().map(|byte| byte ^ key).collect();
    guest(name, echoing(width, key), input).prints(text).judged_by(&["output", "guest-runs"])
}

fn plans(nonce: &mut Nonce) -> Vec<Plan> {
    let mut key = || nonce.number(1, 127) as u8;
    let keys = [key(), key(), key(), key(), key()];
    let len = nonce.number(20, 60) as usize;
    let plain = echo("a few words", Width::Word, keys[0], &nonce.sentence(len));
    let widths = [("bytes", Width::Byte, keys[1]), ("eight bytes", Width::Long, keys[2])];
    let widths = widths.map(|(name, width, key)| echo(name, width, key, &nonce.sentence(20)).judged_by(&["any-width"]));
    let strays = [
        stray_access("a store to nowhere", STORE, OUTPUT + 8),
        stray_access("a load from nowhere", LOAD, 0xb000_1000),
        stray_access("a load from where stores go", LOAD, OUTPUT),
    ];
    let unread = plain.again("standard input cannot be read", &[]).reports(&["read", "stdin"], None, libc::EIO);
    let mut plans = vec![
        plain.clone(),
        echo("no input", Width::Word, keys[3], ""),
        prompting(nonce, keys[4]),
        command("no GUEST", "nowhere").reports(OPENS, Some("nowhere"), libc::ENOENT),
        unread.fault(failing(READS, Some(On::Stdin), libc::EIO)),
        unreadable_text(&plain, GUEST),
        unwritable_output(&plain),
        bad_usage("no arguments", &[]),
        bad_usage("one too many", &[GUEST, GUEST]),
        cut(&plain, &[On::AnyFile], READS, "read", 7),
        interrupted(&plain, &[On::AnyFile, On::Stdin, On::Stdout]),
        signalled(),
    ];
    plans.extend(widths);
    plans.extend(strays);
    plans
}

/// A guest that touches an address that nobody answers for.
fn stray_access(name: &str, instruction: [u8; 2], address: u32) -> Plan {
    // mov ecx, address; the instruction; hlt
    let code = [&[0xb9][..], &address.to_le_bytes(), &instruction, &[0xf4]].concat();
    let mut plan = guest(name, code, "").prints("").exits(1).at(Stage::Refusal).judged_by(&["stray"]);
    plan.expect.object = Some(format!("{address:#x}"));
    plan
}

/// A guest that asks, and whose question is answered when it has been seen.
fn prompting(nonce: &mut Nonce, key: u8) -> Plan {
    let answer = nonce.sentence(12);
    // mov al, '?'; mov [rcx], al
    let question = [&ADDRESSES[..], &[0xb0, b'?', 0x88, 0x01], &echoing(Width::Word, key)].concat();
    let text: Vec<u8> = std::iter::once(b'?').chain(answer.bytes().map(|byte| byte ^ key)).collect();
    let mut plan = guest("a question", question, "").prints(text).judged_by(&["at-once"]);
    plan.launch.stdin = Stdin::Open(Vec::new());
    plan = plan.action(Action { when: Trigger::Printed(b"?".to_vec()), what: Deed::Feed(answer.into_bytes()) });
    plan.action(Action { when: Trigger::AfterPrevious, what: Deed::CloseStdin })
}

/// A guest that is interrupted at its work, several times, so that however late a signal comes one of them comes in time.
/// By default this signal does no more.
fn signalled() -> Plan {
    // mov al, '.'; mov [rcx], al; rdtsc; mov esi, eax; again: rdtsc; sub eax, esi; cmp eax, CYCLES; jb again
    let clock = [0xb0, b'.', 0x88, 0x01, 0x0f, 0x31, 0x89, 0xc6, 0x0f, 0x31, 0x29, 0xf0, 0x3d];
    let tick = [&clock[..], &CYCLES.to_le_bytes(), &[0x72, 0xf5]].concat();
    let code = [&ADDRESSES[..], &tick.repeat(TICKS), &[0xf4]].concat();
    let mut plan = guest("a guest at work is interrupted", code, "").prints(".".repeat(TICKS)).judged_by(&["eintr"]);
    for ticks in 1..=TICKS {
        let what = Deed::Signal(libc::SIGWINCH);
        plan = plan.action(Action { when: Trigger::Printed(".".repeat(ticks).into_bytes()), what });
    }
    plan.at(Stage::Hard).because("When a signal interrupts the guest (KVM_RUN fails with EINTR: let it go on)")
}

/// Where no virtual machine may be made, there is none to be a device of.
fn no_kvm(run: &Run) -> Option<String> {
    let told = |errno: i32| format!("{KVM}: {} (`syslings doctor` says how it can be had)", described(errno));
    let tried = |call: &Call| match call {
        Call::Open { path, .. } => path == Path::new(KVM),
        Call::Ioctl { request, .. } => *request == KVM_CREATE_VM,
        _ => false,
    };
    let results = run.seen.calls().filter(|(_, _, call, _)| tried(call)).filter_map(|(.., result)| result);
    let results: Vec<_> = results.collect();
    match results.iter().find_map(|result| result.err().filter(|errno| NOT_HERE.contains(errno))) {
        Some(errno) => Some(told(errno)),
        // Where calls cannot be seen, or this one was not made.
        None if results.is_empty() => kvm_refusal().map(told),
        None => None,
    }
}

/// `stray`: one line says where there is nothing.
fn stray(run: &Run) -> Finding {
    output(run)?;
    let address = run.plan.expect.object.clone().unwrap_or_default();
    let digits = address.trim_start_matches("0x");
    let stderr = run.seen.stderr.text().to_lowercase();
    if stderr.lines().filter(|line| line.contains(digits)).count() == 1 {
        return Ok(());
    }
    let words = format!(
        "The guest touches {address}, where there is neither memory nor a device: say so in one line, with the address."
    );
    let failure = Failure::new(Reason::WrongOutput, words).evidence(endings::command_line(run));
    failure.evidences(complaints(run.seen)).found()
}

/// How often the guest was let run.
fn entries(seen: &Observation) -> usize {
    seen.successes().filter(|(_, _, call, _)| matches!(call, Call::Ioctl { request: KVM_RUN, .. })).count()
}

/// `guest-runs`: it comes back for each byte that it loads, and for each that it stores.
fn guest_runs(run: &Run) -> Finding {
    let Stdin::Bytes(input) = &run.plan.launch.stdin else { return Ok(()) };
    let entries = entries(run.seen);
    if entries > input.len() {
        return Ok(());
    }
    if run.seen.exit().is_none() {
        return Err(Objection::open("the program came to no end"));
    }
    let words = format!(
        "The guest was let run {entries} times (KVM_RUN), and has {} bytes to load and to store, each of which brings it back: what was printed is not its work.",
        input.len()
    );
    let last = run.seen.successes().filter(|(_, event, ..)| event.process == ROOT).last().map(|(_, event, ..)| event);
    wrong_call(words, last)
}

/// Each load and store of the guest, and where its byte comes from and goes to.
fn drawing(plan: &Plan, seen: &Observation) -> Vec<String> {
    let Stdin::Bytes(input) = &plan.launch.stdin else { return Vec::new() };
    let line = |guest: &str, way: &str, program: &str| format!("{guest:<17} {way}   {program}");
    let (load, store) = ("──◀─ 0xffff0000 ─◀──", "──▶─ 0xa0000000 ─▶──");
    let byte = |byte: &u8| format!("'{}'", byte.escape_ascii());
    let turn = |(loaded, stored): (&u8, &u8)| {
        let first = line("mov al, [rbx]", load, &format!("{} from standard input", byte(loaded)));
        [
            first,
            line("xor al, 0x20", "", "").trim_end().into(),
            line("mov [rcx], al", store, &format!("{} to standard output", byte(stored))),
        ]
    };
    let mut lines = vec![line("guest", "physical address    ", "this program")];
    lines.extend(input.iter().zip(&seen.stdout.bytes).flat_map(turn));
    lines.push(line("mov al, [rbx]", load, "no more: all ones"));
    lines.push("hlt".into());
    let (loads, stores) = (input.len() + 1, seen.stdout.bytes.len());
    lines.push(format!("KVM_RUN {} times: it came back for {loads} loads, {stores} stores and the end", entries(seen)));
    lines
}
