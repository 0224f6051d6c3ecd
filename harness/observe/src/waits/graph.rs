//! What each thread waits for, read from the call that it is blocked in.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

use libc::c_long;

use super::look::{Kind, Open, Snapshot, Tables, Task};
use crate::memory;
use crate::process_files;

/// One descriptor of a poll, select or epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Polled {
    pub(super) fd: i32,
    pub(super) read: bool,
    pub(super) write: bool,
}

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Any,
    /// By its id inside the box.
    Inner(i32),
    /// By its id outside the box.
    Outer(i32),
}

/// What one thread waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wait {
    /// Runs, or is in something that ends by itself.
    Alive,
    /// Uses the processor.
    Running,
    /// Its call may not be looked at.
    Hidden,
    /// Bytes, a connection, a signal, an event: whatever a read of this descriptor brings.
    Read(i32),
    Write(i32),
    /// Room in the queue of a listener.
    Connect(i32),
    OpenFifo {
        path: PathBuf,
        seen: PathBuf,
        writing: bool,
    },
    Child(Which),
    /// The child that borrows its memory until it execs or ends.
    Vfork,
    Futex(u64),
    Poll(Vec<Polled>),
    Lock(i32),
    /// A signal; of this set, if it is known.
    Signal(Option<u64>),
    Stopped,
    /// A System V or POSIX queue or semaphore.
    Queue(String),
    /// A page that whoever serves a userfaultfd is to bring.
    Page,
    /// What was asked for through an io_uring.
    Completion(i32),
    /// A sleep or a wait with a time limit, and that limit in seconds where it is known.
    Timed(&'static str, Option<f64>),
}

/// What this thread waits for. `resumed` is the call that `restart_syscall` goes on with, where that is known.
pub(super) fn wait_of(process: &Snapshot, task: &Task, tables: &Tables, resumed: Option<u32>) -> Wait {
    if task.stopped {
        return Wait::Stopped;
    }
    if task.hidden {
        return Wait::Hidden;
    }
    let Some((number, a)) = task.state.call else {
        return match task.state.letter {
            'R' => Wait::Running,
            // Of all that blocks outside a system call, only such a fault can be interrupted.
            'S' => Wait::Page,
            _ => Wait::Alive,
        };
    };
    let number = match c_long::from(number) {
        libc::SYS_restart_syscall => c_long::from(resumed.unwrap_or(number)),
        number => number,
    };
    match task.state.letter {
        'R' => Wait::Running,
        // The wait of vfork cannot be interrupted; any other such wait is for a device or a moment.
        'D' if process_files::is_vfork(task.tid, number, a) => Wait::Vfork,
        'S' => transfer(process, tables, number, a)
            .or_else(|| naming(process, task.tid, number, a))
            .or_else(|| synchronisation(process.pid, task.tid, tables, number, a))
            .or_else(|| polling(process.pid, task.tid, tables, number, a))
            .or_else(|| sleeping(task.tid, number, a))
            .unwrap_or(Wait::Alive),
        _ => Wait::Alive,
    }
}

fn transfer(process: &Snapshot, tables: &Tables, number: c_long, a: [u64; 6]) -> Option<Wait> {
    let fd = a[0] as i32;
    let is_pipe = |fd: i32| matches!(tables.get(process.pid, fd), Some(Open { kind: Kind::Pipe, .. }));
    Some(match number {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_preadv2
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_accept
        | libc::SYS_accept4 => Wait::Read(fd),
        libc::SYS_recvmmsg if a[4] == 0 => Wait::Read(fd),
        libc::SYS_connect => Wait::Connect(fd),
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_pwritev2
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_sendmmsg
        | libc::SYS_vmsplice
        | libc::SYS_sendfile => Wait::Write(fd),
        // Whichever of the two is a pipe may be what it waits for.
        libc::SYS_splice if is_pipe(fd) && !is_pipe(a[2] as i32) => Wait::Read(fd),
        libc::SYS_splice if is_pipe(fd) => Wait::Poll(vec![
            Polled { fd, read: true, write: false },
            Polled { fd: a[2] as i32, read: false, write: true },
        ]),
        libc::SYS_splice => Wait::Write(a[2] as i32),
        libc::SYS_tee => Wait::Poll(vec![
            Polled { fd, read: true, write: false },
            Polled { fd: a[1] as i32, read: false, write: true },
        ]),
        _ => return None,
    })
}

fn naming(process: &Snapshot, tid: i32, number: c_long, a: [u64; 6]) -> Option<Wait> {
    let (directory, path, flags) = match number {
        libc::SYS_open => (libc::AT_FDCWD, a[0], a[1]),
        libc::SYS_creat => (libc::AT_FDCWD, a[0], libc::O_WRONLY as u64),
        libc::SYS_openat => (a[0] as i32, a[1], a[2]),
        libc::SYS_openat2 => (a[0] as i32, a[1], memory::word(tid, a[2]).unwrap_or(0)),
        _ => return None,
    };
    let path = memory::path(tid, path);
    let pid = process.door;
    let seen = if path.is_absolute() {
        PathBuf::from(format!("/proc/{pid}/root{}", path.display()))
    } else if directory == libc::AT_FDCWD {
        PathBuf::from(format!("/proc/{pid}/cwd")).join(&path)
    } else {
        PathBuf::from(format!("/proc/{pid}/fd/{directory}")).join(&path)
    };
    let fifo = match fs::metadata(&seen) {
        Ok(metadata) => metadata.file_type().is_fifo(),
        // Only the opening of a FIFO outlasts its name.
        Err(error) => error.kind() == ErrorKind::NotFound && !path.as_os_str().is_empty(),
    };
    let writing = flags as i32 & libc::O_ACCMODE != libc::O_RDONLY;
    Some(if fifo { Wait::OpenFifo { path, seen, writing } } else { Wait::Alive })
}

/// `futex_wait` of Linux 6.7.
const FUTEX_WAIT_CALL: c_long = 455;

fn synchronisation(pid: i32, tid: i32, tables: &Tables, number: c_long, a: [u64; 6]) -> Option<Wait> {
    let signals = |address: u64| memory::word(tid, address);
    Some(match number {
        libc::SYS_wait4 => Wait::Child(if a[0] as i32 > 0 { Which::Inner(a[0] as i32) } else { Which::Any }),
        libc::SYS_waitid => Wait::Child(match a[0] as u32 {
            libc::P_PID => Which::Inner(a[1] as i32),
            libc::P_PIDFD => match tables.get(pid, a[1] as i32) {
                Some(Open { kind: Kind::Process(child), .. }) => Which::Outer(*child),
                _ => Which::Any,
            },
            _ => Which::Any,
        }),
        libc::SYS_futex => {
            let waits = matches!(
                a[1] as i32 & 0x7f,
                libc::FUTEX_WAIT | libc::FUTEX_LOCK_PI | libc::FUTEX_WAIT_BITSET | libc::FUTEX_WAIT_REQUEUE_PI
            ) || a[1] as i32 & 0x7f == libc::FUTEX_LOCK_PI2;
            match (waits, a[3]) {
                (true, 0) => Wait::Futex(a[0]),
                (true, limit) => Wait::Timed("a wait on a futex", relative(tid, limit, a[1])),
                (false, _) => Wait::Alive,
            }
        }
        FUTEX_WAIT_CALL if a[4] == 0 => Wait::Futex(a[0]),
        FUTEX_WAIT_CALL => Wait::Timed("a wait on a futex", None),
        libc::SYS_flock => Wait::Lock(a[0] as i32),
        libc::SYS_fcntl if matches!(a[1] as i32, libc::F_SETLKW | libc::F_OFD_SETLKW) => Wait::Lock(a[0] as i32),
        libc::SYS_pause => Wait::Signal(None),
        libc::SYS_rt_sigsuspend => Wait::Signal(signals(a[0]).map(|blocked| !blocked)),
        libc::SYS_rt_sigtimedwait if a[2] == 0 => Wait::Signal(signals(a[0])),
        libc::SYS_rt_sigtimedwait => Wait::Timed("a wait for a signal", seconds(tid, a[2])),
        libc::SYS_msgrcv => Wait::Queue(format!("a message on System V queue {}", a[0])),
        libc::SYS_msgsnd => Wait::Queue(format!("room on System V queue {}", a[0])),
        libc::SYS_semop => Wait::Queue(format!("System V semaphore {}", a[0])),
        libc::SYS_semtimedop if a[3] == 0 => Wait::Queue(format!("System V semaphore {}", a[0])),
        libc::SYS_mq_timedreceive if a[4] == 0 => Wait::Queue(format!("a message on queue descriptor {}", a[0])),
        libc::SYS_io_uring_enter if a[2] > 0 => Wait::Completion(a[0] as i32),
        libc::SYS_mq_timedsend if a[4] == 0 => Wait::Queue(format!("room on queue descriptor {}", a[0])),
        _ => return None,
    })
}

/// Only the plain wait takes a time from now; the others take a moment.
fn relative(tid: i32, limit: u64, operation: u64) -> Option<f64> {
    if operation as i32 & 0x7f == libc::FUTEX_WAIT { seconds(tid, limit) } else { None }
}

fn sleeping(tid: i32, number: c_long, a: [u64; 6]) -> Option<Wait> {
    Some(match number {
        libc::SYS_nanosleep => Wait::Timed("a sleep", seconds(tid, a[0])),
        libc::SYS_clock_nanosleep if a[1] as i32 & libc::TIMER_ABSTIME == 0 => {
            Wait::Timed("a sleep", seconds(tid, a[2]))
        }
        libc::SYS_clock_nanosleep => Wait::Timed("a sleep", None),
        libc::SYS_semtimedop | libc::SYS_mq_timedreceive | libc::SYS_mq_timedsend | libc::SYS_recvmmsg => {
            Wait::Timed("a wait", None)
        }
        _ => return None,
    })
}

fn seconds(tid: i32, timespec: u64) -> Option<f64> {
    let whole = memory::word(tid, timespec)? as i64;
    let rest = memory::word(tid, timespec + 8)? as i64;
    Some(whole as f64 + rest as f64 / 1e9)
}

fn polling(pid: i32, tid: i32, tables: &Tables, number: c_long, a: [u64; 6]) -> Option<Wait> {
    let timed = |seconds| Some(Wait::Timed("a poll", seconds));
    let milliseconds = |limit: u64| Some(f64::from(limit as i32) / 1000.0);
    match number {
        libc::SYS_poll if a[2] as i32 >= 0 => timed(milliseconds(a[2])),
        libc::SYS_ppoll if a[2] != 0 => timed(seconds(tid, a[2])),
        libc::SYS_select if a[4] != 0 => timed(None),
        libc::SYS_pselect6 if a[4] != 0 => timed(seconds(tid, a[4])),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait if a[3] as i32 >= 0 => timed(milliseconds(a[3])),
        libc::SYS_epoll_pwait2 if a[3] != 0 => timed(seconds(tid, a[3])),
        libc::SYS_poll | libc::SYS_ppoll => Some(Wait::Poll(polled(tid, a))),
        libc::SYS_select | libc::SYS_pselect6 => Some(Wait::Poll(selected(tid, a))),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => {
            Some(Wait::Poll(members(pid, a[0] as i32, tables)))
        }
        _ => None,
    }
}

fn polled(tid: i32, a: [u64; 6]) -> Vec<Polled> {
    memory::read(tid, a[0], a[1].min(256) as usize * 8)
        .chunks_exact(8)
        .map(|c| {
            let events = i16::from_le_bytes([c[4], c[5]]);
            Polled {
                fd: i32::from_le_bytes([c[0], c[1], c[2], c[3]]),
                read: events & libc::POLLIN != 0,
                write: events & libc::POLLOUT != 0,
            }
        })
        .filter(|p| p.fd >= 0)
        .collect()
}

fn selected(tid: i32, a: [u64; 6]) -> Vec<Polled> {
    let count = (a[0] as usize).min(1024);
    let set = |address: u64| if address == 0 { Vec::new() } else { memory::read(tid, address, count.div_ceil(8)) };
    let (read, write) = (set(a[1]), set(a[2]));
    let has = |set: &[u8], fd: usize| set.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
    (0..count)
        .map(|fd| Polled { fd: fd as i32, read: has(&read, fd), write: has(&write, fd) })
        .filter(|p| p.read || p.write)
        .collect()
}

fn members(pid: i32, set: i32, tables: &Tables) -> Vec<Polled> {
    let Some(Open { kind: Kind::Epoll(members), .. }) = tables.get(pid, set) else { return Vec::new() };
    let wants = |events: u32, flag: i32| events & flag as u32 != 0;
    members
        .iter()
        .map(|(fd, events)| Polled {
            fd: *fd,
            read: wants(*events, libc::EPOLLIN),
            write: wants(*events, libc::EPOLLOUT),
        })
        .collect()
}
