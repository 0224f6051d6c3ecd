//! What a program in the box may reach: files by Landlock, calls by seccomp. Both are set by the program's side
//! itself just before its exec, and last.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::arch;

/// Read and run, never write.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/lib32",
    "/etc",
    "/opt",
    "/nix",
    "/proc",
    "/sys/devices/system",
    "/sys/kernel/mm",
];

/// Read and write.
const OPEN: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm", "/dev/pts"];

/// Lets the program reach the system's own files, its executable and its working directory, and nothing else; and
/// signal nobody outside the box. Does as much of that as the kernel knows how to.
pub(super) fn files(program: &File, work: &Path) -> Result<(), String> {
    restrict(program, work).map_err(|e| format!("Landlock: {e}"))
}

fn restrict(program: &File, work: &Path) -> Result<(), landlock::RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?;
    for (places, access) in [(SYSTEM, AccessFs::from_read(abi)), (OPEN, all)] {
        for place in places {
            // What a machine lacks needs no rule.
            if let Ok(fd) = PathFd::new(place) {
                rules = rules.add_rule(PathBeneath::new(fd, access).set_compatibility(CompatLevel::BestEffort))?;
            }
        }
    }
    if let Ok(fd) = PathFd::new(work) {
        rules = rules.add_rule(PathBeneath::new(fd, all))?;
    }
    rules.add_rule(PathBeneath::new(program, AccessFs::ReadFile | AccessFs::Execute))?.restrict_self()?;
    Ok(())
}

/// Calls that no exercise needs and that could reach beyond the box; they fail with EPERM.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_vhangup,
    libc::SYS_syslog,
];

/// Flags of `clone` that make namespaces, or a child that the tracer does not see.
const FORBIDDEN_CLONES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_UNTRACED) as u32 as u64;

/// Installs the filters: what is forbidden, then what stops for the tracer.
pub(super) fn calls(trace: bool, transfers: bool, here: bool) -> Result<(), String> {
    let failed = |e: seccompiler::Error| format!("seccomp: {e}");
    if !here {
        seccompiler::apply_filter(&forbidding().map_err(|e| format!("seccomp: {e}"))?).map_err(failed)?;
        if !trace {
            seccompiler::apply_filter(&hiding_clone3().map_err(|e| format!("seccomp: {e}"))?).map_err(failed)?;
        }
    }
    if trace {
        let rules = arch::watched(transfers).map(|n| (n, Vec::new())).collect();
        let filter = program(rules, SeccompAction::Trace(0)).map_err(|e| format!("seccomp: {e}"))?;
        seccompiler::apply_filter(&filter).map_err(failed)?;
    }
    Ok(())
}

fn forbidding() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FORBIDDEN.iter().map(|n| (*n, Vec::new())).collect();
    let clones = (0..64)
        .map(|bit| 1 << bit)
        .filter(|flag| FORBIDDEN_CLONES & flag != 0)
        .map(|flag| {
            let has = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
            SeccompRule::new(vec![has])
        })
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clones);
    let faked_input = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, libc::TIOCSTI)?;
    rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![faked_input])?]);
    program(rules, SeccompAction::Errno(libc::EPERM as u32))
}

/// The flags of `clone3` lie in memory, where a filter cannot look: without a tracer it does not exist.
fn hiding_clone3() -> Result<BpfProgram, seccompiler::BackendError> {
    program(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Errno(libc::ENOSYS as u32))
}

fn program(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    action: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64)?.try_into()
}
