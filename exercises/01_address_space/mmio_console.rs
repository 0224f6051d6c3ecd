//! mmio_console GUEST
//!
//! Be a device. GUEST is code for an x86-64 processor in 64-bit mode; the machine that
//! runs it is given below. At two addresses there is no memory, but you:
//!
//!     store to 0xA0000000     its lowest byte appears on standard output, at once
//!     load from 0xFFFF0000    the next byte of standard input, zeros above it; at
//!                             the end of input all ones, however wide the load is
//!
//!     $ printf hello | mmio_console shout
//!     HELLO
//!
//! `vcpu.run()` lets the guest go on until it does what the processor cannot do by
//! itself, and says what: VcpuExit::MmioWrite(address, data), VcpuExit::MmioRead(address,
//! data), where what you put into data is what the guest loads, and VcpuExit::Hlt, with
//! which the guest has ended well. Any other access, as a load from 0xA0000000 is one, is
//! an error: one line on standard error with the address in hexadecimal, exit status 1.
//! A signal may interrupt vcpu.run() (EINTR): let it go on.
//!
//! Why: this is what devices are to a processor, addresses without memory; and how
//! virtual machines have disks and networks that are programs.
//!
//! Read: Documentation/virt/kvm/api.rst in the kernel's tree, KVM_RUN, KVM_EXIT_MMIO;
//! the crate kvm-ioctls. It takes /dev/kvm: `syslings doctor` says whether you have it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fmt};

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment, kvm_sregs, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
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
    // TODO: let the guest run, and do what it asks for, until it halts.
    let _ = (&mut machine.vcpu, OUTPUT, INPUT);
    Err("not written yet".into())
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
