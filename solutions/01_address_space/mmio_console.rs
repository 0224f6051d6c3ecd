//! The device of a virtual machine: a console at two addresses.
//!
//! usage: mmio_console GUEST
//!
//! GUEST is code for a processor in 64-bit mode. What it stores at 0xA0000000 goes to
//! standard output, what it loads from 0xFFFF0000 comes from standard input. There is
//! no memory at either: the processor leaves the guest, and this program goes on.
//!
//! See the kernel's Documentation/virt/kvm/api.rst, KVM_RUN and KVM_EXIT_MMIO.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_sregs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use memmap2::MmapMut;

/// Where bytes go to, and where they come from.
const OUTPUT: u64 = 0xa000_0000;
const INPUT: u64 = 0xffff_0000;

/// The guest's memory, and where in it its code and its tables lie.
const MEMORY: usize = 1 << 20;
const CODE: usize = 0x1_0000;
const TABLES: usize = 0x1000;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [guest] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(guest)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(guest: &Path) -> Result<(), String> {
    let name = guest.display();
    let mut code = Vec::new();
    let mut file = File::open(guest).map_err(failed(format_args!("open {name}")))?;
    file.read_to_end(&mut code).map_err(failed(format_args!("read {name}")))?;
    let mut machine = Machine::new(&code)?;
    loop {
        match machine.vcpu.run() {
            // Of whatever the guest stores or loads, the lowest byte comes first.
            Ok(VcpuExit::MmioWrite(OUTPUT, data)) => print(data[0])?,
            Ok(VcpuExit::MmioRead(INPUT, data)) => match next_byte()? {
                Some(byte) => {
                    data.fill(0);
                    data[0] = byte;
                }
                None => data.fill(0xff),
            },
            Ok(VcpuExit::MmioWrite(address, _) | VcpuExit::MmioRead(address, _)) => {
                return Err(format!("{name}: there is nothing at {address:#x}"));
            }
            Ok(VcpuExit::Hlt) => return Ok(()),
            Ok(other) => return Err(format!("{name}: it ended by {other:?}")),
            Err(error) if error.errno() == libc::EINTR => {}
            Err(error) => return Err(failed("KVM_RUN")(error)),
        }
    }
}

/// A byte for standard output, at once: the guest may wait for the answer to it.
fn print(byte: u8) -> Result<(), String> {
    let mut stdout = io::stdout();
    stdout.write_all(&[byte]).and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// The next byte of standard input, if there is one.
fn next_byte() -> Result<Option<u8>, String> {
    io::stdin().lock().bytes().next().transpose().map_err(failed("read stdin"))
}

/// A processor that is to run the guest's code, and what it needs for that.
struct Machine {
    // Dropped before the memory that they use.
    vcpu: VcpuFd,
    _vm: VmFd,
    _memory: MmapMut,
}

impl Machine {
    /// A machine that is to begin with the first instruction of this code.
    fn new(code: &[u8]) -> Result<Machine, String> {
        let kvm = Kvm::new().map_err(failed("open /dev/kvm"))?;
        let vm = kvm.create_vm().map_err(failed("KVM_CREATE_VM"))?;
        let mut memory = MmapMut::map_anon(MEMORY).map_err(failed("mmap memory"))?;
        memory.get_mut(CODE..CODE + code.len()).ok_or("GUEST: too large")?.copy_from_slice(code);
        lay_tables(&mut memory);
        let region = kvm_userspace_memory_region {
            memory_size: MEMORY as u64,
            userspace_addr: memory.as_ptr().addr() as u64,
            ..Default::default()
        };
        // SAFETY: the memory is this program's, and stays until the machine goes.
        unsafe { vm.set_user_memory_region(region) }.map_err(failed("KVM_SET_USER_MEMORY_REGION"))?;
        let vcpu = vm.create_vcpu(0).map_err(failed("KVM_CREATE_VCPU"))?;
        let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(failed("KVM_GET_SUPPORTED_CPUID"))?;
        vcpu.set_cpuid2(&cpuid).map_err(failed("KVM_SET_CPUID2"))?;
        let blank = vcpu.get_sregs().map_err(failed("KVM_GET_SREGS"))?;
        let segment = |type_, l| {
            let (limit, selector, db) = (u32::MAX, 8, 1 - l);
            kvm_segment { limit, selector, type_, present: 1, db, s: 1, l, g: 1, ..Default::default() }
        };
        let data = kvm_segment { selector: 16, ..segment(3, 0) };
        // Protected mode with paging (cr0), entries of 8 bytes (cr4), four levels of them, in force (efer).
        let sregs = kvm_sregs {
            cr0: 1 << 31 | 1,
            cr3: TABLES as u64,
            cr4: 1 << 5,
            efer: 1 << 10 | 1 << 8,
            cs: segment(11, 1),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            ..blank
        };
        vcpu.set_sregs(&sregs).map_err(failed("KVM_SET_SREGS"))?;
        let regs = kvm_regs { rip: CODE as u64, rsp: CODE as u64, rflags: 2, ..Default::default() };
        vcpu.set_regs(&regs).map_err(failed("KVM_SET_REGS"))?;
        Ok(Machine { vcpu, _vm: vm, _memory: memory })
    }
}

/// Tables that map the first 4 GiB as they are, in pages of 2 MiB: the root, the pointers, and four directories.
fn lay_tables(memory: &mut [u8]) {
    let (present, write, large) = (1, 2, 1 << 7);
    let mut put = |at: usize, entry: usize| memory[at..at + 8].copy_from_slice(&(entry as u64).to_le_bytes());
    let (pointers, directories) = (TABLES + 0x1000, TABLES + 0x2000);
    put(TABLES, pointers | present | write);
    for number in 0..4 {
        put(pointers + 8 * number, (directories + 0x1000 * number) | present | write);
    }
    for number in 0..4 * 512 {
        put(directories + 8 * number, number << 21 | present | write | large);
    }
}

fn usage() -> ExitCode {
    complain("usage: mmio_console GUEST");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
