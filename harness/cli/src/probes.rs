//! What the machine offers, each thing found out by trying it, and what it costs to be without.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::Serialize;

/// How ptrace is to be had.
pub const PTRACE: &str = "in a container: --cap-add=SYS_PTRACE or a seccomp profile that allows ptrace; else kernel.yama.ptrace_scope below 3";
/// How user namespaces are to be had.
pub const USER_NAMESPACES: &str = "kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0; in a container: a profile that allows unshare";
/// How Landlock is to be had.
pub const LANDLOCK: &str = "Linux 5.13 or later with landlock in the lsm= list";

/// One thing that a machine may offer.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    /// Stable id.
    pub id: &'static str,
    /// Whether it is there.
    pub available: bool,
    /// What was found, or why it is not there.
    pub found: String,
    /// What is lost without it.
    pub costs: &'static str,
    /// How to get it.
    pub remedy: &'static str,
}

/// What was found, or why nothing was.
type Found = Result<String, String>;

/// Tries everything.
pub fn all() -> Vec<Offer> {
    let offer = |id, costs, remedy, found: Found| Offer {
        id,
        available: found.is_ok(),
        found: found.unwrap_or_else(|why| why),
        costs,
        remedy,
    };
    vec![
        offer("ptrace", "checks of what the kernel saw are skipped; verdicts are partial", PTRACE, ptrace()),
        offer(
            "seccomp",
            "every system call stops a traced program: much slower",
            "a kernel with CONFIG_SECCOMP_FILTER",
            seccomp(),
        ),
        offer(
            "user-namespaces",
            "programs run on a lower rung: less is contained, and leftovers are looked for by other means",
            USER_NAMESPACES,
            user_namespaces(),
        ),
        offer("landlock", "files outside the box are kept from submissions by namespaces alone", LANDLOCK, landlock()),
        offer(
            "kvm",
            "page tables are judged by the software MMU alone, without the processor's second opinion, and the exercise of a device is skipped",
            "join the group kvm, which owns it: sudo usermod -aG kvm $USER, and log in again; in a container: --device /dev/kvm; in a virtual machine: nested virtualisation",
            kvm(),
        ),
        offer(
            "userfaultfd",
            "the exercise of a pager of your own is skipped",
            "Linux 5.11 or later with CONFIG_USERFAULTFD; in a container: a profile that allows userfaultfd",
            userfaultfd(),
        ),
        offer(
            "frame-numbers",
            "`frames` prints `hidden` for the numbers of frames; in its box, where nobody is privileged, it always does",
            "run the program by itself, as root: sudo ./frames 8 2 5",
            frame_numbers(),
        ),
        offer(
            "io-uring",
            "strategies and exercises that use io_uring are skipped",
            "kernel.io_uring_disabled=0; in a container: a profile that allows io_uring_setup",
            io_uring(),
        ),
        offer("cachestat", "the comparer asks mincore what is cached, page by page", "Linux 6.5 or later", cachestat()),
        offer(
            "hardware-counters",
            "the comparer shows no cycles and cache misses; times and faults are not touched",
            "kernel.perf_event_paranoid=2 or less, and a machine (or hypervisor) that has the counters",
            hardware_counters(),
        ),
        offer(
            "huge-pages",
            "strategies on explicit huge pages are skipped",
            "sysctl vm.nr_hugepages=16 (as root)",
            huge_pages(),
        ),
        offer(
            "transparent-huge-pages",
            "page-size comparisons show one size only, and of `large_pages` what large pages save is skipped",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)",
            transparent_huge_pages(),
        ),
        offer(
            "cgroup-delegation",
            "memory is watched from outside instead of bounded by the kernel; the claim on thrashing is skipped",
            "systemd-run --user --scope -p Delegate=yes syslings …",
            cgroup_delegation(),
        ),
        offer(
            "c-compiler",
            "submissions in C cannot be graded",
            "install gcc or clang, so that `cc` is found",
            c_compiler(),
        ),
        offer(
            "two-processors",
            "programs of several processes take turns; the comparer's rows with two processes say little",
            "two processors or more",
            two_processors(),
        ),
    ]
}

/// A child of the probe's own executable, on which `prepare` is tried between fork and exec.
fn child(prepare: fn() -> io::Result<()>) -> io::Result<std::process::Child> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: every `prepare` in this file makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

fn ptrace() -> Found {
    let mut child = child(|| nix::sys::ptrace::traceme().map_err(io::Error::from)).map_err(|e| denied(&e))?;
    let status = waitpid(Pid::from_raw(child.id().cast_signed()), Some(WaitPidFlag::WUNTRACED));
    let found = match status {
        Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..)) => Ok("a child stopped at its exec".to_owned()),
        Ok(other) => Err(format!("a traced child did not stop ({other:?})")),
        Err(errno) => Err(errno.desc().to_owned()),
    };
    // It may have ended by itself; either way it is gone afterwards.
    let _ = child.kill();
    let _ = child.wait();
    found
}

fn seccomp() -> Found {
    let mut child = child(|| {
        let mut allow =
            libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW };
        let program = libc::sock_fprog { len: 1, filter: &raw mut allow };
        nix::sys::prctl::set_no_new_privs()?;
        // SAFETY: `program` and the one instruction it points to outlive the call.
        let status = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        Errno::result(status)?;
        Ok(())
    })
    .map_err(|e| denied(&e))?;
    match child.wait() {
        Ok(status) if status.success() => Ok("a filter was installed".to_owned()),
        Ok(status) => Err(format!("a filtered child ended with {status}")),
        Err(error) => Err(denied(&error)),
    }
}

fn user_namespaces() -> Found {
    use nix::sched::{CloneFlags, unshare};
    let all = || {
        let flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWNET;
        unshare(flags).map_err(io::Error::from)
    };
    let mut child = child(all).map_err(|e| denied(&e))?;
    child.wait().map_err(|e| denied(&e))?;
    Ok("user, PID, mount, IPC and network".to_owned())
}

fn landlock() -> Found {
    const VERSION: u32 = 1;
    // SAFETY: asks for the version only; no pointer is followed.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) };
    Errno::result(abi).map(|abi| format!("ABI {abi}")).map_err(|e| e.desc().to_owned())
}

fn kvm() -> Found {
    const KVM_CREATE_VM: libc::Ioctl = 0xAE01;
    if let Some(errno) = observe::kvm_refusal() {
        return Err(denied(&io::Error::from_raw_os_error(errno)));
    }
    let device = File::options().read(true).write(true).open("/dev/kvm").map_err(|e| denied(&e))?;
    // SAFETY: the ioctl takes no pointer; its result is a new descriptor.
    let machine = unsafe { libc::ioctl(device.as_raw_fd(), KVM_CREATE_VM, 0) };
    let machine = Errno::result(machine).map_err(|e| e.desc().to_owned())?;
    owned(machine);
    let in_software = std::path::Path::new("/sys/module/kvm_pvm").exists();
    let how = if in_software {
        " (by kvm_pvm, without hardware: it reads a 64-bit guest's tables in software, and runs no 32-bit guest, so segments and two-level tables have no second opinion)"
    } else {
        ""
    };
    Ok(format!("a virtual machine was made{how}"))
}

fn userfaultfd() -> Found {
    const USER_MODE_ONLY: i32 = 1;
    let open = |flags: i32| {
        // SAFETY: the call takes flags only; its result is a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | flags) };
        Errno::result(fd)
    };
    match open(0) {
        Ok(fd) => {
            owned(fd as i32);
            Ok("all faults".to_owned())
        }
        Err(_) => {
            let fd = open(USER_MODE_ONLY).map_err(|e| e.desc().to_owned())?;
            owned(fd as i32);
            Ok("faults in user mode only".to_owned())
        }
    }
}

/// What the page map says of the page that this function's own variable is in.
fn frame_numbers() -> Found {
    const PAGE: u64 = 4096;
    let touched = [0_u8; 8];
    let at = touched.as_ptr().addr() as u64 / PAGE * 8;
    let mut entry = touched;
    File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entry, at)).map_err(|e| denied(&e))?;
    match u64::from_ne_bytes(entry) & ((1 << 55) - 1) {
        0 => Err("the kernel tells 0 for each: CAP_SYS_ADMIN is missing".to_owned()),
        frame => Ok(format!("a page of this program is in frame {frame:#x}")),
    }
}

fn io_uring() -> Found {
    /// Room for `struct io_uring_params`, all zero.
    #[repr(C, align(8))]
    struct Parameters([u8; 256]);
    let mut parameters = Parameters([0; 256]);
    // SAFETY: the kernel writes at most the 120 bytes of its structure into the 256 given.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters) };
    let fd = Errno::result(fd).map_err(|e| e.desc().to_owned())?;
    owned(fd as i32);
    Ok("a ring was set up".to_owned())
}

fn cachestat() -> Found {
    const SYS_CACHESTAT: libc::c_long = 451;
    // Of files that are not one's own the kernel does not tell.
    let file = memfd_create(c"syslings", MFdFlags::MFD_CLOEXEC).map_err(|e| e.desc().to_owned())?;
    let range = [0u64; 2];
    let mut counts = [0u64; 5];
    // SAFETY: the kernel reads two and writes five 64-bit numbers, as declared.
    let status = unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0) };
    Errno::result(status).map(|_| "the pages of an open file were counted".to_owned()).map_err(|e| e.desc().to_owned())
}

fn hardware_counters() -> Found {
    const SIZE: u32 = 64;
    /// The first published form of `struct perf_event_attr`: hardware event 0, cycles, of user mode only.
    #[repr(C, align(8))]
    struct Attributes {
        kind: u32,
        size: u32,
        rest: [u64; 7],
    }
    const EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 1 << 5 | 1 << 6;
    let mut attributes = Attributes { kind: 0, size: SIZE, rest: [0; 7] };
    attributes.rest[4] = EXCLUDE_KERNEL_AND_HYPERVISOR;
    // SAFETY: `attributes` has the size that it says, and outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attributes, 0, -1, -1, 0) };
    match Errno::result(fd) {
        Ok(fd) => {
            owned(fd as i32);
            Ok("cycles".to_owned())
        }
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) => {
            Err("this processor shows none (virtual machines often hide them)".to_owned())
        }
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

fn huge_pages() -> Found {
    const LENGTH: usize = 2 << 20;
    // SAFETY: a fresh anonymous mapping, unmapped at once and never touched.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
        let address = libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if address == libc::MAP_FAILED {
            return Err(format!("the pool is empty ({})", Errno::last().desc().to_lowercase()));
        }
        libc::munmap(address, LENGTH);
    }
    Ok("a page of 2 MiB was mapped".to_owned())
}

fn transparent_huge_pages() -> Found {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").map_err(|e| denied(&e))?;
    match text.split(['[', ']']).nth(1) {
        Some("never") | None => Err("switched off".to_owned()),
        Some(mode) => Ok(mode.to_owned()),
    }
}

fn cgroup_delegation() -> Found {
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(|e| denied(&e))?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or("no version 2 hierarchy")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|e| denied(&e))?;
    let root = mounts
        .lines()
        .find(|line| line.contains(" - cgroup2 "))
        .and_then(|line| line.split(' ').nth(4))
        .ok_or("version 2 is not mounted")?;
    let group = format!("{root}{}", own.trim_end_matches('/'));
    let controllers = fs::read_to_string(format!("{group}/cgroup.controllers")).map_err(|e| denied(&e))?;
    let trial = format!("{group}/syslings-{}", std::process::id());
    fs::create_dir(&trial).map_err(|e| denied(&e))?;
    fs::remove_dir(&trial).map_err(|e| denied(&e))?;
    if controllers.split_whitespace().any(|c| c == "memory") {
        Ok(format!("controllers: {}", controllers.trim()))
    } else {
        Err(format!("the memory controller is not among those of {group}"))
    }
}

fn c_compiler() -> Found {
    let output = Command::new("cc").arg("--version").stdin(Stdio::null()).output().map_err(|e| denied(&e))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .next()
        .map(str::to_owned)
        .filter(|_| output.status.success())
        .ok_or_else(|| "cc --version failed".to_owned())
}

fn two_processors() -> Found {
    match crate::machine::cores() {
        1 => Err("one".to_owned()),
        n => Ok(n.to_string()),
    }
}

/// Closes a descriptor that was made only to see that it can be.
fn owned(fd: i32) {
    // SAFETY: the descriptor was just made, and nobody else knows of it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

fn denied(error: &io::Error) -> String {
    crate::files::reason(error)
}
