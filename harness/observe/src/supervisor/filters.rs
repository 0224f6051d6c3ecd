//! Which system calls a program in the box may make, and which of them stop for the tracer, by seccomp.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::arch;
use crate::plan::Rung;
use crate::process_files;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

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
    libc::SYS_seccomp,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_vhangup,
    libc::SYS_syslog,
];

/// Where no namespace keeps them in: ways to the network and to sockets of others (of which io_uring is one, since
/// its requests pass no filter), and names that would stay behind.
const FORBIDDEN_IN_THE_OPEN: &[libc::c_long] = &[
    libc::SYS_socket,
    libc::SYS_io_uring_setup,
    libc::SYS_shmget,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
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

/// Calls that act on a process named by this argument, each of them permitted among a user's own processes.
const AIMED: &[(libc::c_long, u8)] = &[
    (libc::SYS_kill, 0),
    (libc::SYS_tkill, 0),
    (libc::SYS_tgkill, 0),
    (libc::SYS_rt_sigqueueinfo, 0),
    (libc::SYS_rt_tgsigqueueinfo, 0),
    (libc::SYS_pidfd_open, 0),
    (libc::SYS_prlimit64, 0),
    (libc::SYS_process_vm_readv, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];

/// A flag of `userfaultfd`.
const USER_MODE_ONLY: u32 = 1;

/// Ancestors that are protected by number.
const ANCESTORS: usize = 8;

/// Calls of the x32 interface bear this bit, and would pass every rule made for the ordinary numbers.
const X32: u32 = 0x4000_0000;

/// What holds for every program in a box. After these no filter can be installed: one that asks the program about its
/// own calls would let them pass by the tracer.
pub(super) fn forbidding(rung: Rung) -> Result<Vec<BpfProgram>, String> {
    // The flags of `clone3` lie in memory, where a filter cannot look: it does not exist, and `clone` is used instead.
    let hidden = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let hiding = program(hidden, SeccompAction::Errno(libc::ENOSYS as u32)).map_err(failed)?;
    let refusing = refusing(rung).map_err(failed)?;
    Ok(vec![hiding, [without_x32(), refusing].concat()])
}

/// Makes watched calls stop for the tracer.
pub(super) fn watching(transfers: bool) -> Result<BpfProgram, String> {
    let rules = arch::watched(transfers).map(|n| (n, Vec::new())).collect();
    program(rules, SeccompAction::Trace(0)).map_err(failed)
}

pub(super) fn failed(error: impl std::fmt::Display) -> String {
    format!("seccomp: {error}")
}

/// Installs a filter, by one call that is not watched itself. This process must have given up new privileges.
pub(super) fn install(filter: &[sock_filter], flags: libc::c_ulong) -> io::Result<i64> {
    #[repr(C)]
    struct Filter {
        len: libc::c_ushort,
        filter: *const sock_filter,
    }
    let program = Filter { len: filter.len() as u16, filter: filter.as_ptr() };
    // SAFETY: the program is as long as it says, and is read during the call only.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &program) } {
        installed if installed >= 0 => Ok(installed),
        _ => Err(io::Error::last_os_error()),
    }
}

fn program(rules: Rules, action: SeccompAction) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, SeccompAction::Allow, action, TargetArch::x86_64)?.try_into()
}

/// One of the argument's values, by its lower half, which is what the kernel takes for an `int`.
fn argument(number: u8, value: u32) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(number, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(value))
}

fn refusing(rung: Rung) -> Result<BpfProgram, BackendError> {
    let mut rules: Rules = FORBIDDEN.iter().map(|n| (*n, Vec::new())).collect();
    let clones = (0..64)
        .map(|bit| 1 << bit)
        .filter(|flag| FORBIDDEN_CLONES & flag != 0)
        .map(|flag| {
            let has = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
            SeccompRule::new(vec![has])
        })
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clones);
    // Input put into a terminal as if it had been typed, and a console's selection, which can do the same.
    let typed = [libc::TIOCSTI as u32, libc::TIOCLINUX as u32]
        .map(|request| SeccompRule::new(vec![argument(1, request)?]))
        .into_iter()
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, typed);
    rules.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![argument(0, libc::PR_SET_SECCOMP as u32)?])?]);
    // Pages whose faults wait for the program, in the kernel too: who reads its memory would wait with it.
    let user_mode_only = u64::from(USER_MODE_ONLY);
    let anywhere = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(user_mode_only), 0)?;
    rules.insert(libc::SYS_userfaultfd, vec![SeccompRule::new(vec![anywhere])?]);
    if rung != Rung::F {
        rules.extend(FORBIDDEN_IN_THE_OPEN.iter().map(|n| (*n, Vec::new())));
        protect_others(&mut rules)?;
    }
    program(rules, SeccompAction::Errno(libc::EPERM as u32))
}

/// Without a PID namespace the box's ancestors have numbers, and `-1` means everybody. Landlock's scope says the same
/// of signals where the kernel has it, and more: it also protects those that are no ancestors.
fn protect_others(rules: &mut Rules) -> Result<(), BackendError> {
    let everybody = -1_i32;
    for (call, place) in AIMED {
        let mut refused = Vec::new();
        for pid in ancestors() {
            refused.push(SeccompRule::new(vec![argument(*place, pid as u32)?])?);
            if *call == libc::SYS_kill {
                refused.push(SeccompRule::new(vec![argument(*place, -pid as u32)?])?);
            }
        }
        if *call == libc::SYS_kill {
            refused.push(SeccompRule::new(vec![argument(*place, everybody as u32)?])?);
        }
        if matches!(*call, libc::SYS_setpriority | libc::SYS_ioprio_set) {
            // A process's own number is as good as "all of the user's processes" is bad.
            let one = if *call == libc::SYS_setpriority { libc::PRIO_PROCESS } else { IOPRIO_WHO_PROCESS };
            let others = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(one))?;
            refused.push(SeccompRule::new(vec![others])?);
        }
        rules.insert(*call, refused);
    }
    Ok(())
}

const IOPRIO_WHO_PROCESS: u32 = 1;

/// The guardian, the supervisor, the harness and those who called it.
fn ancestors() -> Vec<i32> {
    let own = std::process::id() as i32;
    let chain = std::iter::successors(Some(own), |pid| process_files::parent(*pid)).skip(1);
    chain.take_while(|pid| *pid > 1).take(ANCESTORS).collect()
}

/// The beginning of a filter: calls of the x32 interface do not exist.
fn without_x32() -> BpfProgram {
    let statement = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    // The number is the first word of `struct seccomp_data`.
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, X32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}
