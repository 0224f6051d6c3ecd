//! All that is of one architecture: system call numbers, registers, the breakpoint instruction.
//! x86-64; another architecture is another file of this shape.

use libc::user_regs_struct;

use crate::calls::Sysno;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the observer knows the registers and system call numbers of x86-64 only: add them in arch.rs");

/// How a call is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watching {
    /// Whenever calls are traced.
    Always,
    /// Only when transfers are asked for.
    Transfer,
    /// Never: only named in explanations.
    Never,
}

use Watching::{Always, Never, Transfer};

/// Every call that the observer knows by name.
const TABLE: &[(libc::c_long, &str, Watching)] = &[
    (libc::SYS_read, "read", Transfer),
    (libc::SYS_write, "write", Transfer),
    (libc::SYS_open, "open", Always),
    (libc::SYS_close, "close", Always),
    (libc::SYS_stat, "stat", Always),
    (libc::SYS_fstat, "fstat", Always),
    (libc::SYS_lstat, "lstat", Always),
    (libc::SYS_poll, "poll", Always),
    (libc::SYS_lseek, "lseek", Always),
    (libc::SYS_mmap, "mmap", Always),
    (libc::SYS_mprotect, "mprotect", Always),
    (libc::SYS_munmap, "munmap", Always),
    (libc::SYS_brk, "brk", Always),
    (libc::SYS_rt_sigaction, "rt_sigaction", Always),
    (libc::SYS_rt_sigprocmask, "rt_sigprocmask", Always),
    (libc::SYS_rt_sigreturn, "rt_sigreturn", Always),
    (libc::SYS_ioctl, "ioctl", Always),
    (libc::SYS_pread64, "pread64", Transfer),
    (libc::SYS_pwrite64, "pwrite64", Transfer),
    (libc::SYS_readv, "readv", Transfer),
    (libc::SYS_writev, "writev", Transfer),
    (libc::SYS_access, "access", Always),
    (libc::SYS_pipe, "pipe", Always),
    (libc::SYS_select, "select", Always),
    (libc::SYS_madvise, "madvise", Always),
    (libc::SYS_dup, "dup", Always),
    (libc::SYS_dup2, "dup2", Always),
    (libc::SYS_pause, "pause", Always),
    (libc::SYS_nanosleep, "nanosleep", Always),
    (libc::SYS_alarm, "alarm", Always),
    (libc::SYS_setitimer, "setitimer", Always),
    (libc::SYS_sendfile, "sendfile", Always),
    (libc::SYS_socket, "socket", Always),
    (libc::SYS_connect, "connect", Always),
    (libc::SYS_accept, "accept", Always),
    (libc::SYS_sendto, "sendto", Transfer),
    (libc::SYS_recvfrom, "recvfrom", Transfer),
    (libc::SYS_sendmsg, "sendmsg", Transfer),
    (libc::SYS_recvmsg, "recvmsg", Transfer),
    (libc::SYS_bind, "bind", Always),
    (libc::SYS_listen, "listen", Always),
    (libc::SYS_socketpair, "socketpair", Always),
    (libc::SYS_clone, "clone", Always),
    (libc::SYS_fork, "fork", Always),
    (libc::SYS_vfork, "vfork", Always),
    (libc::SYS_execve, "execve", Always),
    (libc::SYS_exit, "exit", Always),
    (libc::SYS_wait4, "wait4", Always),
    (libc::SYS_kill, "kill", Always),
    (libc::SYS_fcntl, "fcntl", Always),
    (libc::SYS_flock, "flock", Always),
    (libc::SYS_fsync, "fsync", Always),
    (libc::SYS_fdatasync, "fdatasync", Always),
    (libc::SYS_truncate, "truncate", Always),
    (libc::SYS_ftruncate, "ftruncate", Always),
    (libc::SYS_rename, "rename", Always),
    (libc::SYS_mkdir, "mkdir", Always),
    (libc::SYS_rmdir, "rmdir", Always),
    (libc::SYS_creat, "creat", Always),
    (libc::SYS_link, "link", Always),
    (libc::SYS_unlink, "unlink", Always),
    (libc::SYS_symlink, "symlink", Always),
    (libc::SYS_chmod, "chmod", Always),
    (libc::SYS_fchmod, "fchmod", Always),
    (libc::SYS_umask, "umask", Always),
    (libc::SYS_ptrace, "ptrace", Always),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait", Always),
    (libc::SYS_rt_sigqueueinfo, "rt_sigqueueinfo", Always),
    (libc::SYS_rt_sigsuspend, "rt_sigsuspend", Always),
    (libc::SYS_mknod, "mknod", Always),
    (libc::SYS_prctl, "prctl", Always),
    (libc::SYS_tkill, "tkill", Always),
    (libc::SYS_futex, "futex", Always),
    (libc::SYS_epoll_wait, "epoll_wait", Always),
    (libc::SYS_timer_create, "timer_create", Always),
    (libc::SYS_timer_settime, "timer_settime", Always),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", Always),
    (libc::SYS_exit_group, "exit_group", Always),
    (libc::SYS_tgkill, "tgkill", Always),
    (libc::SYS_waitid, "waitid", Always),
    (libc::SYS_inotify_init, "inotify_init", Always),
    (libc::SYS_openat, "openat", Always),
    (libc::SYS_mkdirat, "mkdirat", Always),
    (libc::SYS_mknodat, "mknodat", Always),
    (libc::SYS_newfstatat, "newfstatat", Always),
    (libc::SYS_unlinkat, "unlinkat", Always),
    (libc::SYS_renameat, "renameat", Always),
    (libc::SYS_linkat, "linkat", Always),
    (libc::SYS_symlinkat, "symlinkat", Always),
    (libc::SYS_fchmodat, "fchmodat", Always),
    (libc::SYS_faccessat, "faccessat", Always),
    (libc::SYS_pselect6, "pselect6", Always),
    (libc::SYS_ppoll, "ppoll", Always),
    (libc::SYS_splice, "splice", Always),
    (libc::SYS_tee, "tee", Always),
    (libc::SYS_sync_file_range, "sync_file_range", Always),
    (libc::SYS_vmsplice, "vmsplice", Always),
    (libc::SYS_epoll_pwait, "epoll_pwait", Always),
    (libc::SYS_signalfd, "signalfd", Always),
    (libc::SYS_timerfd_create, "timerfd_create", Always),
    (libc::SYS_eventfd, "eventfd", Always),
    (libc::SYS_fallocate, "fallocate", Always),
    (libc::SYS_timerfd_settime, "timerfd_settime", Always),
    (libc::SYS_accept4, "accept4", Always),
    (libc::SYS_signalfd4, "signalfd4", Always),
    (libc::SYS_eventfd2, "eventfd2", Always),
    (libc::SYS_epoll_create, "epoll_create", Always),
    (libc::SYS_epoll_create1, "epoll_create1", Always),
    (libc::SYS_dup3, "dup3", Always),
    (libc::SYS_pipe2, "pipe2", Always),
    (libc::SYS_inotify_init1, "inotify_init1", Always),
    (libc::SYS_preadv, "preadv", Transfer),
    (libc::SYS_pwritev, "pwritev", Transfer),
    (libc::SYS_perf_event_open, "perf_event_open", Always),
    (libc::SYS_syncfs, "syncfs", Always),
    (libc::SYS_process_vm_readv, "process_vm_readv", Always),
    (libc::SYS_process_vm_writev, "process_vm_writev", Always),
    (libc::SYS_renameat2, "renameat2", Always),
    (libc::SYS_memfd_create, "memfd_create", Always),
    (libc::SYS_execveat, "execveat", Always),
    (libc::SYS_userfaultfd, "userfaultfd", Always),
    (libc::SYS_copy_file_range, "copy_file_range", Always),
    (libc::SYS_preadv2, "preadv2", Transfer),
    (libc::SYS_pwritev2, "pwritev2", Transfer),
    (libc::SYS_statx, "statx", Always),
    (libc::SYS_io_uring_setup, "io_uring_setup", Always),
    (libc::SYS_io_uring_enter, "io_uring_enter", Always),
    (libc::SYS_pidfd_send_signal, "pidfd_send_signal", Always),
    (libc::SYS_pidfd_open, "pidfd_open", Always),
    (libc::SYS_clone3, "clone3", Always),
    (libc::SYS_close_range, "close_range", Always),
    (libc::SYS_openat2, "openat2", Always),
    (libc::SYS_pidfd_getfd, "pidfd_getfd", Always),
    (libc::SYS_faccessat2, "faccessat2", Always),
    (449, "futex_waitv", Always),
    (libc::SYS_msync, "msync", Always),
    (libc::SYS_mremap, "mremap", Always),
    (libc::SYS_semget, "semget", Never),
    (libc::SYS_semop, "semop", Always),
    (libc::SYS_semtimedop, "semtimedop", Always),
    (libc::SYS_shmget, "shmget", Never),
    (libc::SYS_shmat, "shmat", Always),
    (libc::SYS_shmdt, "shmdt", Always),
    (libc::SYS_msgget, "msgget", Never),
    (libc::SYS_msgsnd, "msgsnd", Always),
    (libc::SYS_msgrcv, "msgrcv", Always),
    (libc::SYS_restart_syscall, "restart_syscall", Never),
    (libc::SYS_epoll_ctl, "epoll_ctl", Never),
    (libc::SYS_sched_getaffinity, "sched_getaffinity", Always),
    (libc::SYS_sched_setaffinity, "sched_setaffinity", Always),
    (libc::SYS_epoll_pwait2, "epoll_pwait2", Always),
    (libc::SYS_readlink, "readlink", Never),
    (libc::SYS_getcwd, "getcwd", Never),
    (libc::SYS_chdir, "chdir", Never),
    (libc::SYS_setsid, "setsid", Never),
    (452, "fchmodat2", Always),
    (455, "futex_wait", Always),
    (454, "futex_wake", Always),
];

/// The name of a call in section 2 of the manual.
pub(crate) fn name_of(sysno: Sysno) -> &'static str {
    TABLE.iter().find(|(number, ..)| *number == libc::c_long::from(sysno.0)).map_or("?", |(_, name, _)| name)
}

/// The number of a call.
pub(crate) fn number_of(name: &str) -> Option<Sysno> {
    TABLE.iter().find(|(_, n, _)| *n == name).map(|(number, ..)| Sysno(*number as u32))
}

/// The numbers of the calls to stop at.
pub(crate) fn watched(transfers: bool) -> impl Iterator<Item = libc::c_long> {
    TABLE.iter().filter(move |(_, _, w)| *w == Always || (transfers && *w == Transfer)).map(|(number, ..)| *number)
}

/// Length of a breakpoint instruction, by which the instruction pointer is ahead when it was hit.
pub(crate) const BREAKPOINT_LEN: u64 = 1;
/// Length of the `syscall` instruction.
const SYSCALL_LEN: u64 = 2;
/// `int3`.
pub(crate) const BREAKPOINT: u8 = 0xcc;

/// Number of the call that a thread stopped at.
pub(crate) fn sysno(regs: &user_regs_struct) -> Sysno {
    Sysno(regs.orig_rax as u32)
}

/// The six arguments of a call.
pub(crate) fn arguments(regs: &user_regs_struct) -> [u64; 6] {
    [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]
}

/// Replaces one argument.
pub(crate) fn set_argument(regs: &mut user_regs_struct, index: usize, value: u64) {
    let slot = match index {
        0 => &mut regs.rdi,
        1 => &mut regs.rsi,
        2 => &mut regs.rdx,
        3 => &mut regs.r10,
        4 => &mut regs.r8,
        _ => &mut regs.r9,
    };
    *slot = value;
}

/// Makes it another call, or at its exit the one that it was, as the kernel looks there for what to make again.
pub(crate) fn set_call(regs: &mut user_regs_struct, sysno: Sysno, arguments: [u64; 6]) {
    regs.orig_rax = u64::from(sysno.0);
    for (index, argument) in arguments.into_iter().enumerate() {
        set_argument(regs, index, argument);
    }
}

/// Makes the call not be made; its result is then what [`set_result`] says at its exit.
pub(crate) fn skip_call(regs: &mut user_regs_struct) {
    regs.orig_rax = u64::MAX;
}

/// At the exit of a call that was skipped: back to the instruction that makes it.
pub(crate) fn call_again(regs: &mut user_regs_struct, sysno: Sysno) {
    regs.rip -= SYSCALL_LEN;
    regs.rax = u64::from(sysno.0);
}

/// Where the register that holds a call's result lies in the registers.
pub(crate) const RESULT: usize = std::mem::offset_of!(user_regs_struct, rax);

/// Result of a call at its exit, from its register: a value or an errno.
pub(crate) fn result(register: u64) -> Result<i64, i32> {
    let value = register as i64;
    if (-4095..0).contains(&value) { Err(-value as i32) } else { Ok(value) }
}

/// Sets the result of a call at its exit.
pub(crate) fn set_result(regs: &mut user_regs_struct, result: Result<i64, i32>) {
    regs.rax = match result {
        Ok(value) => value as u64,
        Err(errno) => (-i64::from(errno)) as u64,
    };
}

/// Instruction, stack and frame pointer.
pub(crate) fn pointers(regs: &user_regs_struct) -> (u64, u64, u64) {
    (regs.rip, regs.rsp, regs.rbp)
}

/// Puts the instruction pointer back onto a breakpoint that was hit.
pub(crate) fn rewind_breakpoint(regs: &mut user_regs_struct) {
    regs.rip -= BREAKPOINT_LEN;
}
