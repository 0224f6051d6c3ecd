//! From registers to typed calls: what is known at a call's entry, and what its exit adds.

use std::cell::Cell;

use libc::c_long;

use crate::calls::{Call, Sysno};
use crate::memory;
use crate::observation::{Descriptors, Disposition, ObjectId};

/// What decoding needs to know of the calling thread.
pub(crate) struct Caller<'a> {
    /// Thread id outside the box.
    pub(crate) tid: i32,
    /// Descriptor table of its process.
    pub(crate) table: &'a Descriptors,
    /// Bytes of a transfer to keep.
    pub(crate) keep: usize,
    /// Bytes of paths kept so far, of all calls.
    pub(crate) names: &'a Cell<usize>,
}

impl Caller<'_> {
    fn object(&self, fd: i32) -> Option<ObjectId> {
        self.table.get(&fd).map(|d| d.object)
    }

    fn path(&self, address: u64) -> std::path::PathBuf {
        let path = memory::path(self.tid, address);
        self.names.set(self.names.get() + path.as_os_str().len());
        path
    }

    fn bytes(&self, address: u64, len: u64) -> Vec<u8> {
        memory::read(self.tid, address, (len as usize).min(self.keep))
    }

    fn timed(&self, pointer: u64) -> bool {
        pointer != 0
    }
}

/// Where the flags lie in `struct io_uring_params`.
const URING_FLAGS: u64 = 8;

/// Decodes a call at its entry.
pub(crate) fn entry(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Call {
    memory_call(sysno, a)
        .or_else(|| transfer(caller, sysno, a))
        .or_else(|| descriptor_call(caller, sysno, a))
        .or_else(|| name_call(caller, sysno, a))
        .or_else(|| process_call(caller, sysno, a))
        .or_else(|| waiting_call(caller, sysno, a))
        .unwrap_or(Call::Other { arguments: a })
}

fn memory_call(sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    Some(match c_long::from(sysno.0) {
        libc::SYS_mmap => Call::Mmap {
            address: a[0],
            len: a[1],
            prot: a[2] as i32,
            flags: a[3] as i32,
            fd: a[4] as i32,
            object: None,
            offset: a[5],
        },
        libc::SYS_munmap => Call::Munmap { address: a[0], len: a[1], snapshots: Vec::new() },
        libc::SYS_mprotect => Call::Mprotect { address: a[0], len: a[1], prot: a[2] as i32 },
        libc::SYS_mremap => Call::Mremap { address: a[0], old_len: a[1], new_len: a[2], flags: a[3] as i32 },
        libc::SYS_msync => Call::Msync { address: a[0], len: a[1], flags: a[2] as i32 },
        libc::SYS_madvise => Call::Madvise { address: a[0], len: a[1], advice: a[2] as i32 },
        libc::SYS_brk => Call::Brk { address: a[0] },
        _ => return None,
    })
}

fn transfer(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    let fd = a[0] as i32;
    let object = caller.object(fd);
    let read = |address, asked, offset| Call::Read { fd, object, address, asked, offset, data: Vec::new() };
    let write = |address, asked, offset, data| Call::Write { fd, object, address, asked, offset, data };
    Some(match c_long::from(sysno.0) {
        libc::SYS_read | libc::SYS_recvfrom => read(a[1], a[2], None),
        libc::SYS_pread64 => read(a[1], a[2], Some(a[3])),
        libc::SYS_readv => read(first_vector(caller, a[1]), memory::vectors(caller.tid, a[1], a[2], 0).1, None),
        libc::SYS_preadv | libc::SYS_preadv2 => {
            read(first_vector(caller, a[1]), memory::vectors(caller.tid, a[1], a[2], 0).1, Some(a[3]))
        }
        libc::SYS_recvmsg => {
            let vectors = memory::word(caller.tid, a[1] + 16).unwrap_or(0);
            read(first_vector(caller, vectors), message_vectors(caller, a[1]).1, None)
        }
        libc::SYS_write | libc::SYS_sendto => write(a[1], a[2], None, caller.bytes(a[1], a[2])),
        libc::SYS_pwrite64 => write(a[1], a[2], Some(a[3]), caller.bytes(a[1], a[2])),
        libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
            let (data, asked) = memory::vectors(caller.tid, a[1], a[2], caller.keep);
            write(first_vector(caller, a[1]), asked, (c_long::from(sysno.0) != libc::SYS_writev).then_some(a[3]), data)
        }
        libc::SYS_sendmsg => {
            let (data, asked) = message_vectors(caller, a[1]);
            let vectors = memory::word(caller.tid, a[1] + 16).unwrap_or(0);
            write(first_vector(caller, vectors), asked, None, data)
        }
        _ => return None,
    })
}

/// Where the first piece of an array of `struct iovec` lies.
fn first_vector(caller: &Caller<'_>, address: u64) -> u64 {
    memory::word(caller.tid, address).unwrap_or(0)
}

/// The vectors of a `struct msghdr`.
fn message_vectors(caller: &Caller<'_>, address: u64) -> (Vec<u8>, u64) {
    let base = memory::word(caller.tid, address + 16).unwrap_or(0);
    let count = memory::word(caller.tid, address + 24).unwrap_or(0);
    memory::vectors(caller.tid, base, count, caller.keep)
}

fn descriptor_call(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    let fd = a[0] as i32;
    let object = caller.object(fd);
    let new = |flags: u64| Call::NewDescriptor { flags: flags as i32, object: None };
    let moved = |from: u64, to: u64, asked| Call::Move {
        from_fd: from as i32,
        from: caller.object(from as i32),
        to_fd: to as i32,
        to: caller.object(to as i32),
        asked,
    };
    Some(match c_long::from(sysno.0) {
        libc::SYS_close => Call::Close { fd, object },
        libc::SYS_close_range => Call::CloseRange { first: a[0] as u32, last: a[1] as u32, flags: a[2] as i32 },
        libc::SYS_dup => Call::Dup { fd, object, onto: None, close_on_exec: false },
        libc::SYS_dup2 => Call::Dup { fd, object, onto: Some(a[1] as i32), close_on_exec: false },
        libc::SYS_dup3 => {
            Call::Dup { fd, object, onto: Some(a[1] as i32), close_on_exec: a[2] as i32 & libc::O_CLOEXEC != 0 }
        }
        libc::SYS_fcntl => match a[1] as i32 {
            libc::F_DUPFD => Call::Dup { fd, object, onto: None, close_on_exec: false },
            libc::F_DUPFD_CLOEXEC => Call::Dup { fd, object, onto: None, close_on_exec: true },
            command => Call::Fcntl { fd, object, command, argument: a[2] },
        },
        libc::SYS_pipe => Call::Pipe { read_fd: -1, write_fd: -1, flags: 0, object: None },
        libc::SYS_pipe2 => Call::Pipe { read_fd: -1, write_fd: -1, flags: a[1] as i32, object: None },
        libc::SYS_socketpair => {
            Call::Socketpair { first_fd: -1, second_fd: -1, kind: a[1] as i32, object: None, peer: None }
        }
        libc::SYS_pidfd_getfd => new(libc::O_CLOEXEC as u64),
        libc::SYS_memfd_create | libc::SYS_eventfd2 | libc::SYS_timerfd_create | libc::SYS_pidfd_open => new(a[1]),
        libc::SYS_socket => new(a[1]),
        libc::SYS_signalfd4 | libc::SYS_accept4 => new(a[3]),
        libc::SYS_epoll_create1 | libc::SYS_inotify_init1 | libc::SYS_userfaultfd => new(a[0]),
        libc::SYS_eventfd
        | libc::SYS_epoll_create
        | libc::SYS_inotify_init
        | libc::SYS_signalfd
        | libc::SYS_accept
        | libc::SYS_perf_event_open => new(0),
        libc::SYS_io_uring_setup => new(memory::half(caller.tid, a[1] + URING_FLAGS).map_or(0, u64::from)),
        libc::SYS_lseek => Call::Seek { fd, object, offset: a[1] as i64, whence: a[2] as i32 },
        libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync_file_range | libc::SYS_syncfs => {
            Call::Sync { fd, object }
        }
        libc::SYS_fallocate => Call::Allocate { fd, object, mode: a[1] as i32, offset: a[2], len: a[3] },
        libc::SYS_ioctl => Call::Ioctl { fd, object, request: a[1] },
        libc::SYS_sendfile => moved(a[1], a[0], a[3]),
        libc::SYS_splice | libc::SYS_copy_file_range => moved(a[0], a[2], a[4]),
        libc::SYS_tee => moved(a[0], a[1], a[2]),
        libc::SYS_vmsplice => moved(u64::MAX, a[0], memory::vectors(caller.tid, a[1], a[2], 0).1),
        _ => return None,
    })
}

fn name_call(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    let open = |path: u64, flags: u64, mode: u64| Call::Open {
        path: caller.path(path),
        flags: flags as i32,
        mode: mode as u32,
        object: None,
    };
    let by_path = |path: u64| caller.path(path);
    let nowhere = std::path::PathBuf::new;
    Some(match c_long::from(sysno.0) {
        libc::SYS_open => open(a[0], a[1], a[2]),
        libc::SYS_creat => open(a[0], (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64, a[1]),
        libc::SYS_openat => open(a[1], a[2], a[3]),
        libc::SYS_openat2 => {
            let how = |n| memory::word(caller.tid, a[2] + n).unwrap_or(0);
            open(a[1], how(0), how(8))
        }
        libc::SYS_mknod => Call::MakeNode { path: by_path(a[0]), mode: a[1] as u32 },
        libc::SYS_mknodat => Call::MakeNode { path: by_path(a[1]), mode: a[2] as u32 },
        libc::SYS_mkdir => Call::MakeDirectory { path: by_path(a[0]), mode: a[1] as u32 },
        libc::SYS_mkdirat => Call::MakeDirectory { path: by_path(a[1]), mode: a[2] as u32 },
        libc::SYS_unlink | libc::SYS_rmdir => Call::Unlink { path: by_path(a[0]) },
        libc::SYS_unlinkat => Call::Unlink { path: by_path(a[1]) },
        libc::SYS_rename => Call::Rename { from: by_path(a[0]), to: by_path(a[1]), flags: 0 },
        libc::SYS_renameat => Call::Rename { from: by_path(a[1]), to: by_path(a[3]), flags: 0 },
        libc::SYS_renameat2 => Call::Rename { from: by_path(a[1]), to: by_path(a[3]), flags: a[4] as u32 },
        libc::SYS_link => Call::Link { from: by_path(a[0]), to: by_path(a[1]) },
        libc::SYS_linkat => Call::Link { from: by_path(a[1]), to: by_path(a[3]) },
        libc::SYS_symlink => Call::Symlink { target: by_path(a[0]), path: by_path(a[1]) },
        libc::SYS_symlinkat => Call::Symlink { target: by_path(a[0]), path: by_path(a[2]) },
        libc::SYS_chmod => Call::Chmod { path: by_path(a[0]), fd: -1, mode: a[1] as u32 },
        libc::SYS_fchmod => Call::Chmod { path: nowhere(), fd: a[0] as i32, mode: a[1] as u32 },
        libc::SYS_fchmodat | libc::SYS_fchmodat2 => Call::Chmod { path: by_path(a[1]), fd: -1, mode: a[2] as u32 },
        libc::SYS_truncate => Call::Truncate { path: by_path(a[0]), fd: -1, object: None, len: a[1] },
        libc::SYS_ftruncate => {
            let fd = a[0] as i32;
            Call::Truncate { path: nowhere(), fd, object: caller.object(fd), len: a[1] }
        }
        libc::SYS_lstat | libc::SYS_access => Call::Look { path: by_path(a[0]), fd: -1 },
        libc::SYS_fstat => Call::Look { path: nowhere(), fd: a[0] as i32 },
        libc::SYS_newfstatat | libc::SYS_statx | libc::SYS_faccessat | libc::SYS_faccessat2 => {
            Call::Look { path: by_path(a[1]), fd: a[0] as i32 }
        }
        _ => return None,
    })
}

fn process_call(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    let kill = |pid: u64, signal: u64| Call::Kill { pid: pid as i32, target: None, signal: signal as i32 };
    Some(match c_long::from(sysno.0) {
        libc::SYS_fork | libc::SYS_vfork => Call::Fork { flags: 0 },
        libc::SYS_clone => Call::Fork { flags: a[0] },
        libc::SYS_clone3 => Call::Fork { flags: memory::word(caller.tid, a[0]).unwrap_or(0) },
        libc::SYS_execve => Call::Exec { path: caller.path(a[0]) },
        libc::SYS_execveat => Call::Exec { path: caller.path(a[1]) },
        libc::SYS_wait4 => Call::Wait { pid: a[0] as i32, options: a[2] as i32, reaped: None },
        libc::SYS_waitid => {
            let pid = if a[0] == u64::from(libc::P_PID) { a[1] as i32 } else { -1 };
            Call::Wait { pid, options: a[3] as i32, reaped: None }
        }
        libc::SYS_exit | libc::SYS_exit_group => Call::Exit { status: a[0] as i32 },
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_rt_sigqueueinfo => kill(a[0], a[1]),
        libc::SYS_tgkill => kill(a[0], a[2]),
        libc::SYS_pidfd_send_signal => kill(u64::MAX, a[1]),
        libc::SYS_rt_sigaction => {
            let disposition = (a[1] != 0).then(|| match memory::word(caller.tid, a[1]) {
                Some(0) => Disposition::Default,
                Some(1) => Disposition::Ignored,
                _ => Disposition::Handler,
            });
            let flags = if a[1] == 0 { 0 } else { memory::word(caller.tid, a[1] + 8).unwrap_or(0) & 0xffff_ffff };
            Call::Sigaction { signal: a[0] as i32, disposition, flags }
        }
        libc::SYS_rt_sigprocmask => {
            let set = if a[1] == 0 { None } else { memory::word(caller.tid, a[1]) };
            Call::Sigmask { how: a[0] as i32, set }
        }
        libc::SYS_prctl => Call::Prctl { option: a[0] as i32 },
        _ => return None,
    })
}

fn waiting_call(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6]) -> Option<Call> {
    let milliseconds = |pointer: u64| match pointer {
        0 => -1,
        p => {
            let seconds = memory::word(caller.tid, p).unwrap_or(0) as i64;
            let nanoseconds = memory::word(caller.tid, p + 8).unwrap_or(0) as i64;
            seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000)
        }
    };
    let polled = |base: u64, count: u64| {
        memory::read(caller.tid, base, count.min(64) as usize * 8)
            .chunks_exact(8)
            .map(|c| i32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect()
    };
    Some(match c_long::from(sysno.0) {
        libc::SYS_futex => {
            Call::Futex { address: a[0], op: a[1] as i32, value: a[2] as u32, timed: caller.timed(a[3]) }
        }
        libc::SYS_nanosleep => Call::Sleep { nanoseconds: nanoseconds(caller, a[0]) },
        libc::SYS_clock_nanosleep => {
            let absolute = a[1] as i32 & libc::TIMER_ABSTIME != 0;
            Call::Sleep { nanoseconds: if absolute { 0 } else { nanoseconds(caller, a[2]) } }
        }
        libc::SYS_poll if a[1] == 0 && a[2] as i32 > 0 => Call::Sleep { nanoseconds: (a[2] as i32) as u64 * 1_000_000 },
        libc::SYS_ppoll if a[1] == 0 && milliseconds(a[2]) > 0 => {
            Call::Sleep { nanoseconds: nanoseconds(caller, a[2]) }
        }
        libc::SYS_poll => Call::Poll { timeout: i64::from(a[2] as i32), fds: polled(a[0], a[1]) },
        libc::SYS_ppoll => Call::Poll { timeout: milliseconds(a[2]), fds: polled(a[0], a[1]) },
        libc::SYS_select | libc::SYS_pselect6 => Call::Poll { timeout: milliseconds(a[4]), fds: Vec::new() },
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait => Call::Poll { timeout: i64::from(a[3] as i32), fds: Vec::new() },
        libc::SYS_pause | libc::SYS_rt_sigsuspend => Call::SignalWait { timed: false },
        libc::SYS_rt_sigtimedwait => Call::SignalWait { timed: caller.timed(a[2]) },
        libc::SYS_alarm
        | libc::SYS_setitimer
        | libc::SYS_timer_create
        | libc::SYS_timer_settime
        | libc::SYS_timerfd_settime => Call::Timer,
        _ => return None,
    })
}

fn nanoseconds(caller: &Caller<'_>, pointer: u64) -> u64 {
    let seconds = memory::word(caller.tid, pointer).unwrap_or(0);
    let rest = memory::word(caller.tid, pointer + 8).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// The two descriptors that a successful `pipe` or `socketpair` wrote into the caller's memory.
pub(crate) fn pair(tid: i32, sysno: Sysno, a: [u64; 6]) -> Option<(i32, i32)> {
    let address = if c_long::from(sysno.0) == libc::SYS_socketpair { a[3] } else { a[0] };
    let both = memory::word(tid, address)?;
    Some((both as u32 as i32, (both >> 32) as i32))
}

/// The bytes that a read has brought.
pub(crate) fn received(caller: &Caller<'_>, sysno: Sysno, a: [u64; 6], moved: u64) -> Vec<u8> {
    let limit = (moved as usize).min(caller.keep);
    let vectors = |base, count| memory::vectors(caller.tid, base, count, limit).0;
    match c_long::from(sysno.0) {
        libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => vectors(a[1], a[2]),
        libc::SYS_recvmsg => {
            let base = memory::word(caller.tid, a[1] + 16).unwrap_or(0);
            let count = memory::word(caller.tid, a[1] + 24).unwrap_or(0);
            vectors(base, count)
        }
        _ => memory::read(caller.tid, a[1], limit),
    }
}

/// The process that a successful `waitid` reaped: `si_pid` of its `siginfo_t`.
pub(crate) fn waitid_pid(tid: i32, a: [u64; 6]) -> Option<i32> {
    if a[2] == 0 { None } else { memory::half(tid, a[2] + 16).map(|p| p as i32) }
}
