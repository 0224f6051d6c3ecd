//! What system calls cost, and what passes between threads and processes.

use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode};

use super::{Costs, per_operation, per_operation_timed};
use crate::memory::{Buffer, Mapping, page_size};
use crate::statistics::Estimate;
use crate::strategy::copy::pipe;

/// The system call itself.
pub(super) fn calls(costs: &mut Costs) {
    const CALLS: usize = 5000;
    costs.syscall_ns = Some(per_operation(CALLS, || {
        for _ in 0..CALLS {
            // SAFETY: takes nothing, changes nothing.
            black_box(unsafe { libc::syscall(libc::SYS_getppid) });
        }
    }));
}

/// Two threads or processes, and what passes between them.
pub(super) fn measure(costs: &mut Costs) {
    costs.splice_page_ns = splice_page();
    costs.uring_request_ns = uring_request();
    costs.line_round_trip_ns = line_round_trip();
    costs.pipe_round_trip_ns = round_trip(false);
    costs.pipe_round_trip_one_cpu_ns = round_trip(true);
    costs.signal_ns = signal();
    if let Some(fork) = fork_cost() {
        costs.fork_ns = Some(fork);
        const MIB: usize = 64;
        if let Ok(mapping) = Mapping::anonymous(MIB << 20, libc::MAP_PRIVATE) {
            let _ = mapping.advise(libc::MADV_NOHUGEPAGE);
            for at in (0..mapping.len()).step_by(page_size()) {
                // SAFETY: inside the live mapping.
                unsafe { mapping.address().add(at).write_volatile(1) };
            }
            if let Some(with) = fork_cost() {
                let part = |with: f64, without: f64| ((with - without) / MIB as f64).max(0.0);
                costs.fork_mib_ns = Some(Estimate {
                    median: part(with.median, fork.median),
                    low: part(with.low, fork.high),
                    high: part(with.high, fork.low),
                });
            }
        }
    }
}

/// Round trips of one byte through two pipes between this and another thread.
pub(crate) fn round_trip(one_cpu: bool) -> Option<Estimate> {
    const TRIPS: usize = 200;
    let (ping_out, ping_in) = pipe(4096).ok()?;
    let (pong_out, pong_in) = pipe(4096).ok()?;
    let pin = |cpu: usize| {
        let mut set = nix::sched::CpuSet::new();
        set.set(cpu).and_then(|()| nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set))
    };
    // Both ends in threads of their own, so that this thread keeps its place.
    std::thread::scope(|scope| {
        let first = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))
            .ok()
            .and_then(|set| (0..1024).find(|cpu| set.is_set(*cpu).unwrap_or(false)));
        let one_cpu = if one_cpu { Some(first?) } else { None };
        scope.spawn(move || {
            if let Some(cpu) = one_cpu {
                let _ = pin(cpu);
            }
            let mut byte = [0u8; 1];
            while nix::unistd::read(&ping_out, &mut byte) == Ok(1) {
                if nix::unistd::write(&pong_in, &byte) != Ok(1) {
                    break;
                }
            }
        });
        scope
            .spawn(move || {
                if let Some(cpu) = one_cpu {
                    let _ = pin(cpu);
                }
                let mut byte = [0u8; 1];
                per_operation_timed(TRIPS, || {
                    let clock = Instant::now();
                    for _ in 0..TRIPS {
                        nix::unistd::write(&ping_in, &byte).ok()?;
                        nix::unistd::read(&pong_out, &mut byte).ok()?;
                    }
                    Some(clock.elapsed().as_nanos() as f64)
                })
            })
            .join()
            .ok()?
    })
}

extern "C" fn on_signal(_: libc::c_int) {}

/// A signal that this process sends to its own thread, with a handler. Only a
/// signal whose action is the default is borrowed, and it is given back.
fn signal() -> Option<Estimate> {
    const SIGNALS: usize = 500;
    // SAFETY: all zeros is a valid sigaction: the default action, no flags.
    let mut previous: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // Restarting, so that a neighbour's call is not cut short.
    action.sa_flags = libc::SA_RESTART;
    let number = libc::SIGURG;
    // SAFETY: both point to valid structs; the handler does nothing.
    if unsafe { libc::sigaction(number, &raw const action, &raw mut previous) } != 0 {
        return None;
    }
    let cost = per_operation(SIGNALS, || {
        for _ in 0..SIGNALS {
            // SAFETY: the handler is in place.
            unsafe { libc::raise(number) };
        }
    });
    // SAFETY: puts back what was there.
    unsafe { libc::sigaction(number, &raw const previous, std::ptr::null_mut()) };
    Some(cost)
}

/// fork(2), `_exit` in the child, and the wait for it.
pub(crate) fn fork_cost() -> Option<Estimate> {
    const FORKS: usize = 5;
    per_operation_timed(FORKS, || {
        let clock = Instant::now();
        for _ in 0..FORKS {
            // SAFETY: the child calls nothing but _exit, which is safe after a
            // fork of a process with threads.
            let pid = unsafe { libc::fork() };
            match pid {
                0 => {
                    // SAFETY: ends the child without running anything of the parent's.
                    unsafe { libc::_exit(0) }
                }
                pid if pid > 0 => {
                    // SAFETY: waits for the child just made; no status is wanted.
                    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
                }
                _ => return None,
            }
        }
        Some(clock.elapsed().as_nanos() as f64)
    })
}

/// A page given to a pipe and moved on to /dev/null: by one thread, which is
/// what two at a time take together.
fn splice_page() -> Option<Estimate> {
    const BYTES: usize = 256 << 10;
    const TIMES: usize = 32;
    let (read_end, write_end) = pipe(1 << 20).ok()?;
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null").ok()?;
    let mut buffer = Buffer::large(BYTES).ok()?;
    let part = libc::iovec { iov_base: buffer.bytes().as_mut_ptr().cast(), iov_len: BYTES };
    let nothing = std::ptr::null_mut();
    let mut broken = false;
    let cost = per_operation(TIMES * BYTES / page_size(), || {
        for _ in 0..TIMES {
            // SAFETY: the part is `buffer`, which outlives the pipe's use of it:
            // all that goes in comes out again before this ends.
            let given = unsafe { libc::vmsplice(write_end.as_raw_fd(), &raw const part, 1, libc::SPLICE_F_NONBLOCK) };
            let mut left = given;
            while left > 0 {
                // SAFETY: null offsets mean the descriptors' own.
                let moved =
                    unsafe { libc::splice(read_end.as_raw_fd(), nothing, null.as_raw_fd(), nothing, left as usize, 0) };
                if moved <= 0 {
                    break;
                }
                left -= moved;
            }
            broken |= given != BYTES as isize || left != 0;
        }
    });
    (!broken).then_some(cost)
}

/// Submission and completion of requests that do nothing.
fn uring_request() -> Option<Estimate> {
    const DEPTH: usize = 32;
    const TIMES: usize = 50;
    let mut ring = IoUring::new(DEPTH as u32).ok()?;
    let mut broken = false;
    let cost = per_operation(DEPTH * TIMES, || {
        for _ in 0..TIMES {
            for _ in 0..DEPTH {
                // SAFETY: the request names no memory and no descriptor.
                broken |= unsafe { ring.submission().push(&opcode::Nop::new().build()) }.is_err();
            }
            broken |= ring.submit_and_wait(DEPTH).is_err();
            black_box(ring.completion().count());
        }
    });
    (!broken).then_some(cost)
}

/// A word to another thread and back, while both watch it.
fn line_round_trip() -> Option<Estimate> {
    const TRIPS: u32 = 500;
    const OVER: u32 = u32::MAX;
    /// Longer than any wait that is not for a processor.
    const PATIENCE: Duration = Duration::from_millis(200);
    if std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return None;
    }
    let turn = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                match turn.load(Ordering::Acquire) {
                    OVER => return,
                    now if now % 2 == 1 => turn.store(now + 1, Ordering::Release),
                    _ => std::hint::spin_loop(),
                }
            }
        });
        let cost = per_operation_timed(TRIPS as usize, || {
            let clock = Instant::now();
            for trip in 0..TRIPS {
                turn.store(2 * trip + 1, Ordering::Release);
                let mut looks = 0u32;
                while turn.load(Ordering::Acquire) != 2 * trip + 2 {
                    std::hint::spin_loop();
                    looks += 1;
                    if looks.is_multiple_of(1 << 16) && clock.elapsed() > PATIENCE {
                        return None;
                    }
                }
            }
            Some(clock.elapsed().as_nanos() as f64)
        });
        turn.store(OVER, Ordering::Release);
        cost
    })
}
