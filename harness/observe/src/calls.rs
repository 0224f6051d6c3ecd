//! System calls as typed values: what a check or a picture asks about.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::observation::{ObjectId, ProcessId};

/// A system call's number; its name comes from the architecture's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sysno(pub u32);

impl Sysno {
    /// The name in section 2 of the manual, or `"?"` for a number that the observer does not decode.
    pub fn name(self) -> &'static str {
        crate::arch::name_of(self)
    }

    /// The number of this name, if the observer decodes it.
    pub fn named(name: &str) -> Option<Sysno> {
        crate::arch::number_of(name)
    }

    /// Whether a launch that watches transfers stops at this call, so that each is among its events.
    pub fn is_watched(self) -> bool {
        crate::arch::watched(true).any(|number| number == libc::c_long::from(self.0))
    }
}

/// A decoded call. Flags are the kernel's own (`libc::MAP_SHARED`, …).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Call {
    /// `mmap`; its result is the address.
    Mmap {
        /// Address asked for (0: anywhere).
        address: u64,
        /// Bytes.
        len: u64,
        /// `PROT_*`.
        prot: i32,
        /// `MAP_*`.
        flags: i32,
        /// Descriptor, or -1.
        fd: i32,
        /// What is mapped; for an anonymous shared mapping an object of its own.
        object: Option<ObjectId>,
        /// Offset in the file, bytes.
        offset: u64,
    },
    /// `munmap`.
    Munmap {
        /// Start.
        address: u64,
        /// Bytes.
        len: u64,
        /// What the writable shared mappings in it held, if asked for.
        snapshots: Vec<crate::observation::Snapshot>,
    },
    /// `mprotect`.
    Mprotect {
        /// Start.
        address: u64,
        /// Bytes.
        len: u64,
        /// `PROT_*`.
        prot: i32,
    },
    /// `mremap`; its result is the new address.
    Mremap {
        /// Old start.
        address: u64,
        /// Old length.
        old_len: u64,
        /// New length.
        new_len: u64,
        /// `MREMAP_*`.
        flags: i32,
    },
    /// `msync`.
    Msync {
        /// Start.
        address: u64,
        /// Bytes.
        len: u64,
        /// `MS_*`.
        flags: i32,
    },
    /// `madvise`.
    Madvise {
        /// Start.
        address: u64,
        /// Bytes.
        len: u64,
        /// `MADV_*`.
        advice: i32,
    },
    /// `brk`; its result is the new break.
    Brk {
        /// Asked for.
        address: u64,
    },
    /// `open`, `openat`, `openat2`, `creat`; its result is the descriptor.
    Open {
        /// As given.
        path: PathBuf,
        /// `O_*`.
        flags: i32,
        /// Mode of a file created.
        mode: u32,
        /// What was opened.
        object: Option<ObjectId>,
    },
    /// `close`.
    Close {
        /// Which.
        fd: i32,
        /// What it named.
        object: Option<ObjectId>,
    },
    /// `close_range`.
    CloseRange {
        /// First descriptor.
        first: u32,
        /// Last descriptor.
        last: u32,
        /// `CLOSE_RANGE_*`.
        flags: i32,
    },
    /// `dup`, `dup2`, `dup3`, `fcntl(F_DUPFD…)`; its result is the new descriptor.
    Dup {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// The number asked for, where one was.
        onto: Option<i32>,
        /// The new one is closed by exec.
        close_on_exec: bool,
    },
    /// `pipe`, `pipe2`.
    Pipe {
        /// Read end.
        read_fd: i32,
        /// Write end.
        write_fd: i32,
        /// `O_CLOEXEC`, `O_NONBLOCK`, `O_DIRECT`.
        flags: i32,
        /// The pipe.
        object: Option<ObjectId>,
    },
    /// A call whose result is a new descriptor of another kind: `memfd_create`, `eventfd2`, `socket`, `epoll_create1`, `io_uring_setup`, …
    NewDescriptor {
        /// Flags argument (for `io_uring_setup`, those of its parameters).
        flags: i32,
        /// What was made.
        object: Option<ObjectId>,
    },
    /// `socketpair`.
    Socketpair {
        /// One.
        first_fd: i32,
        /// The other.
        second_fd: i32,
        /// `SOCK_*` type and flags.
        kind: i32,
        /// The first.
        object: Option<ObjectId>,
        /// The second.
        peer: Option<ObjectId>,
    },
    /// `read`, `pread64`, `readv`, `preadv`, `preadv2`, `recvfrom`, `recvmsg`; its result is the bytes moved.
    Read {
        /// From.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// Where the bytes go in the reader's memory; of several pieces, the first.
        address: u64,
        /// Bytes asked for.
        asked: u64,
        /// Offset of the positioned kinds.
        offset: Option<u64>,
        /// The first bytes moved.
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// `write`, `pwrite64`, `writev`, `pwritev`, `pwritev2`, `sendto`, `sendmsg`; its result is the bytes moved.
    Write {
        /// To.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// Where the bytes lie in the writer's memory; of several pieces, the first.
        address: u64,
        /// Bytes asked for.
        asked: u64,
        /// Offset of the positioned kinds.
        offset: Option<u64>,
        /// The first bytes asked for (of which the result says how many were moved).
        #[serde(with = "serde_bytes")]
        data: Vec<u8>,
    },
    /// `sendfile`, `splice`, `tee`, `vmsplice`, `copy_file_range`: bytes moved inside the kernel.
    Move {
        /// From; -1 for `vmsplice`.
        from_fd: i32,
        /// What it names.
        from: Option<ObjectId>,
        /// To.
        to_fd: i32,
        /// What it names.
        to: Option<ObjectId>,
        /// Bytes asked for.
        asked: u64,
    },
    /// `lseek`.
    Seek {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// By how much.
        offset: i64,
        /// `SEEK_*`.
        whence: i32,
    },
    /// `mknod`, `mknodat` (`mkfifo` is one).
    MakeNode {
        /// As given.
        path: PathBuf,
        /// Type and permission bits.
        mode: u32,
    },
    /// `mkdir`, `mkdirat`.
    MakeDirectory {
        /// As given.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// `unlink`, `unlinkat`, `rmdir`.
    Unlink {
        /// As given.
        path: PathBuf,
    },
    /// `rename` and its kin.
    Rename {
        /// As given.
        from: PathBuf,
        /// As given.
        to: PathBuf,
        /// `RENAME_*`.
        flags: u32,
    },
    /// `link`, `linkat`.
    Link {
        /// As given.
        from: PathBuf,
        /// As given.
        to: PathBuf,
    },
    /// `symlink`, `symlinkat`.
    Symlink {
        /// What it says.
        target: PathBuf,
        /// As given.
        path: PathBuf,
    },
    /// `chmod`, `fchmod`, `fchmodat`.
    Chmod {
        /// As given, or empty where by descriptor.
        path: PathBuf,
        /// Descriptor, or -1.
        fd: i32,
        /// Permission bits.
        mode: u32,
    },
    /// `truncate`, `ftruncate`.
    Truncate {
        /// As given, or empty where by descriptor.
        path: PathBuf,
        /// Descriptor, or -1.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// Bytes.
        len: u64,
    },
    /// `fallocate`.
    Allocate {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// `FALLOC_FL_*`.
        mode: i32,
        /// From.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// `fsync`, `fdatasync`, `sync_file_range`, `syncfs`.
    Sync {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
    },
    /// `stat`, `fstat`, `newfstatat`, `statx`, `access`, `faccessat`, `faccessat2`: a look at a name or descriptor.
    Look {
        /// As given, or empty where by descriptor.
        path: PathBuf,
        /// Descriptor, or -1.
        fd: i32,
    },
    /// `fcntl` other than the dup kinds.
    Fcntl {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// `F_*`.
        command: i32,
        /// Third argument.
        argument: u64,
    },
    /// `ioctl`.
    Ioctl {
        /// Which.
        fd: i32,
        /// What it names.
        object: Option<ObjectId>,
        /// `TCGETS`, …
        request: u64,
    },
    /// `fork`, `vfork`, `clone`, `clone3` of a process or thread; its result is the new id.
    Fork {
        /// `CLONE_*`.
        flags: u64,
    },
    /// `execve`, `execveat` (its success is also an event of its own).
    Exec {
        /// As given.
        path: PathBuf,
    },
    /// `wait4`, `waitid`; its result is the process reaped.
    Wait {
        /// Whom, as given.
        pid: i32,
        /// `WNOHANG`, …
        options: i32,
        /// Who was reaped.
        reaped: Option<ProcessId>,
    },
    /// `exit`, `exit_group`.
    Exit {
        /// Status.
        status: i32,
    },
    /// `kill`, `tkill`, `tgkill`, `rt_sigqueueinfo`, `pidfd_send_signal`.
    Kill {
        /// To whom, as given.
        pid: i32,
        /// Who that is, if it is one of the launch.
        target: Option<ProcessId>,
        /// Signal number.
        signal: i32,
    },
    /// `rt_sigaction`.
    Sigaction {
        /// Signal number.
        signal: i32,
        /// What was arranged; `None` where it only asked.
        disposition: Option<crate::observation::Disposition>,
        /// `SA_*`.
        flags: u64,
    },
    /// `rt_sigprocmask`.
    Sigmask {
        /// `SIG_BLOCK`, …
        how: i32,
        /// The set, a bit a signal from 1; `None` where it only asked.
        set: Option<u64>,
    },
    /// `rt_sigsuspend`, `pause`, `rt_sigtimedwait`.
    SignalWait {
        /// With a time limit.
        timed: bool,
    },
    /// `futex`, `futex_waitv`.
    Futex {
        /// Word.
        address: u64,
        /// `FUTEX_*` with flags.
        op: i32,
        /// Value argument.
        value: u32,
        /// With a time limit.
        timed: bool,
    },
    /// `nanosleep`, `clock_nanosleep`, and `poll` or `ppoll` of no descriptors for a time.
    Sleep {
        /// How long (for an absolute time: 0).
        nanoseconds: u64,
    },
    /// `poll`, `ppoll`, `select`, `pselect6`, `epoll_wait`, `epoll_pwait`.
    Poll {
        /// Milliseconds, or -1.
        timeout: i64,
        /// The descriptors of `poll` and `ppoll`.
        fds: Vec<i32>,
    },
    /// `alarm`, `setitimer`, `timer_create`, `timer_settime`, `timerfd_settime`.
    Timer,
    /// `prctl`.
    Prctl {
        /// `PR_*`.
        option: i32,
    },
    /// Any other call that was asked about.
    Other {
        /// Its six arguments.
        arguments: [u64; 6],
    },
}
