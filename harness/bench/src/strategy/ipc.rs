//! Messages of 64 bytes between two processes.
//!
//! There and back: the child adds 1 to the message's first word and returns it.
//! One way: the child numbers its messages and sends them as fast as they are
//! taken.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use super::pipe::Gate;
use super::{Fault, Prepared, Strategy, Task, Work, call, copy};
use crate::memory::Mapping;
use crate::process::{Child, End};

/// Bytes of a message.
pub const MESSAGE: usize = 64;

/// What is done with messages: the shapes of the workload.
pub const TRIPS: &str = "there and back";
pub const ONE_WAY: &str = "one way";

/// Every strategy for round trips; the first is what the others are compared with.
pub fn round_trips() -> Vec<Strategy> {
    let new = |name: &str, what: &str, wires: fn(&Task<'_>) -> Result<Wires, Fault>| {
        Strategy::new(name, what, Some(MESSAGE), move |task| by_descriptors(task, wires))
    };
    vec![
        new("pipe", "two pipes", |_| pipes(4096)),
        new("fifo", "two FIFOs", fifos),
        new("socket_stream", "a pair of stream sockets", |_| sockets(libc::SOCK_STREAM)),
        new("socket_packet", "a pair of sockets that keep messages apart", |_| sockets(libc::SOCK_SEQPACKET)),
        Strategy::new("futex", "shared memory, asleep on a futex", Some(MESSAGE), |task| by_memory(task, false)),
        Strategy::new("spin", "shared memory, both sides awake", Some(MESSAGE), |task| by_memory(task, true)),
    ]
}

/// Every strategy for messages one way; the first is what the others are
/// compared with.
pub fn one_way() -> Vec<Strategy> {
    let new = |name: &str, what: &str, batch: usize, wires: fn(&Task<'_>) -> Result<Wires, Fault>| {
        Strategy::new(name, what, Some(batch * MESSAGE), move |task| send_by_descriptors(task, batch, wires))
    };
    let ring = |name: &str, what: &str, spin: bool| {
        Strategy::new(name, what, Some(MESSAGE), move |task| send_by_memory(task, spin))
    };
    vec![
        new("pipe", "a call for each message", 1, |_| pipes(64 << 10)),
        new("pipe_batched", "64 messages a call", BATCH, |_| pipes(64 << 10)),
        new("fifo", "a FIFO", 1, fifos),
        new("socket_stream", "a pair of stream sockets", 1, |_| sockets(libc::SOCK_STREAM)),
        new("socket_packet", "a pair of sockets that keep messages apart", 1, |_| sockets(libc::SOCK_SEQPACKET)),
        ring("ring_futex", "a ring in shared memory; who waits for long sleeps on a futex", false),
        ring("ring_spin", "a ring in shared memory, both sides awake", true),
    ]
}

/// What the first words of the answers, or of the messages, add up to.
pub fn expected_sum(messages: u64) -> u64 {
    (1..=messages).sum()
}

/// Messages that go by one call where they are batched.
pub const BATCH: usize = 64;

struct Wires {
    child_in: OwnedFd,
    child_out: OwnedFd,
    parent_in: OwnedFd,
    parent_out: OwnedFd,
}

fn pipes(capacity: usize) -> Result<Wires, Fault> {
    let ((a, b), (c, d)) = (copy::pipe(capacity)?, copy::pipe(capacity)?);
    Ok(Wires { child_in: a, parent_out: b, parent_in: c, child_out: d })
}

fn fifos(task: &Task<'_>) -> Result<Wires, Fault> {
    let fifo = || -> Result<(OwnedFd, OwnedFd), Fault> {
        nix::unistd::mkfifo(task.target, nix::sys::stat::Mode::S_IRWXU).map_err(|e| call("mkfifo")(e.into()))?;
        let open = |options: &mut std::fs::OpenOptions| options.open(task.target).map_err(call("open a FIFO"));
        // One that reads and writes waits for nobody; then the others need not.
        let both = open(std::fs::OpenOptions::new().read(true).write(true))?;
        let ends = (open(std::fs::OpenOptions::new().read(true))?, open(std::fs::OpenOptions::new().write(true))?);
        drop(both);
        std::fs::remove_file(task.target).map_err(call("unlink"))?;
        Ok((ends.0.into(), ends.1.into()))
    };
    let ((a, b), (c, d)) = (fifo()?, fifo()?);
    Ok(Wires { child_in: a, parent_out: b, parent_in: c, child_out: d })
}

fn sockets(kind: i32) -> Result<Wires, Fault> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) } != 0 {
        return Err(call("socketpair")(io::Error::last_os_error()));
    }
    // SAFETY: both were just opened and belong to nobody else.
    let (parent, child) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    Ok(Wires {
        child_in: child.try_clone().map_err(call("dup"))?,
        child_out: child,
        parent_in: parent.try_clone().map_err(call("dup"))?,
        parent_out: parent,
    })
}

/// Writes or reads whole messages; false at the end of the stream.
fn exchange(fd: &OwnedFd, messages: &mut [u64], read: bool) -> bool {
    let fd = fd.as_raw_fd();
    let (mut done, len) = (0, size_of_val(messages));
    while done < len {
        // SAFETY: `done..len` lies inside the messages.
        let n = unsafe {
            let place = messages.as_mut_ptr().cast::<u8>().add(done);
            if read { libc::read(fd, place.cast(), len - done) } else { libc::write(fd, place.cast(), len - done) }
        };
        if n > 0 {
            done += n as usize;
        } else if n == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return false;
        }
    }
    true
}

fn by_descriptors<'a>(task: Task<'a>, wires: fn(&Task<'_>) -> Result<Wires, Fault>) -> Result<Prepared<'a>, Fault> {
    let Wires { child_in, child_out, parent_in, parent_out } = wires(&task)?;
    let parent_ends = [parent_in.as_raw_fd(), parent_out.as_raw_fd()];
    // SAFETY: the child closes, reads and writes.
    let child = unsafe {
        Child::fork(|| {
            for end in parent_ends {
                libc::close(end);
            }
            let mut message = [0u64; WORDS];
            while exchange(&child_in, &mut message, true) {
                message[0] += 1;
                if !exchange(&child_out, &mut message, false) {
                    return 1;
                }
            }
            0
        })
    }
    .map_err(call("fork"))?;
    drop((child_in, child_out));
    Ok(Box::new(move || {
        let mut work = Work::default();
        let mut message = [0u64; WORDS];
        for trip in 0..task.size / MESSAGE as u64 {
            task.go_on()?;
            message[0] = trip;
            if !exchange(&parent_out, &mut message, false) || !exchange(&parent_in, &mut message, true) {
                return Err(Fault::Short);
            }
            work.system_calls += 2;
            work.checksum = work.checksum.wrapping_add(message[0]);
        }
        drop((parent_in, parent_out));
        ended(child, work)
    }))
}

fn ended(child: Child, work: Work) -> Result<Work, Fault> {
    match child.wait().map_err(call("wait"))? {
        End::Exited(0) => Ok(work),
        end => Err(Fault::Unsupported(format!("the other process ended early: {end:?}"))),
    }
}

/// Waits until the word is no longer `old`: asleep, or awake. A sleeper wakes
/// now and then to look whether it should go on.
fn wait_while(word: &AtomicU32, old: u32, spin: bool) {
    if spin {
        for _ in 0..1 << 20 {
            if word.load(Ordering::Acquire) != old {
                return;
            }
            std::hint::spin_loop();
        }
    } else if word.load(Ordering::Acquire) == old {
        let a_while = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        // SAFETY: the word and the time are valid; the call changes neither.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, old, &raw const a_while) };
    }
}

fn publish(word: &AtomicU32, value: u32, spin: bool) {
    word.store(value, Ordering::Release);
    if !spin {
        wake(word);
    }
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word is valid; the call changes nothing.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// Words of a message.
const WORDS: usize = MESSAGE / 8;

fn send_by_descriptors<'a>(
    task: Task<'a>,
    batch: usize,
    wires: fn(&Task<'_>) -> Result<Wires, Fault>,
) -> Result<Prepared<'a>, Fault> {
    let Wires { child_in, child_out, parent_in, parent_out } = wires(&task)?;
    let messages = task.size / MESSAGE as u64;
    let mut block = vec![0u64; batch * WORDS];
    // SAFETY: the child waits for one message, then writes to its own copy of
    // the block and to a descriptor.
    let child = unsafe {
        Child::fork(|| {
            if !exchange(&child_in, &mut block[..WORDS], true) {
                return 1;
            }
            for number in 1..=messages {
                let place = (number - 1) as usize % batch;
                block[place * WORDS] = number;
                if place + 1 == batch && !exchange(&child_out, &mut block, false) {
                    return 1;
                }
            }
            0
        })
    }
    .map_err(call("fork"))?;
    drop((child_in, child_out));
    Ok(Box::new(move || {
        let mut work = Work::default();
        if !exchange(&parent_out, &mut block[..WORDS], false) {
            return Err(Fault::Short);
        }
        for _ in 0..messages / batch as u64 {
            task.go_on()?;
            if !exchange(&parent_in, &mut block, true) {
                return Err(Fault::Short);
            }
            work.system_calls += 1;
            work.checksum += block.iter().step_by(WORDS).sum::<u64>();
        }
        work.ended = Some(Instant::now());
        ended(child, work)
    }))
}

/// Messages that the ring holds.
const SLOTS: u32 = 1024;

/// Looks at a count before whoever waits for it sleeps: about what it takes to
/// sleep and be woken.
const AWAKE: u32 = 500;

/// One side of the ring: how many messages it has put in or taken out, and
/// whether the other sleeps until that changes.
#[repr(C, align(128))]
struct Side {
    count: AtomicU32,
    awaited: AtomicU32,
}

/// The ring: zeros are an empty one.
#[repr(C)]
struct Ring {
    sent: Side,
    taken: Side,
    slots: [[AtomicU64; WORDS]; SLOTS as usize],
}

impl Side {
    /// Waits until the count is no longer `old`, or a while.
    fn wait(&self, old: u32, spin: bool) {
        if spin {
            return wait_while(&self.count, old, true);
        }
        for _ in 0..AWAKE {
            if self.count.load(Ordering::Acquire) != old {
                return;
            }
            std::hint::spin_loop();
        }
        self.awaited.store(1, Ordering::SeqCst);
        wait_while(&self.count, old, false);
        self.awaited.store(0, Ordering::SeqCst);
    }

    fn advance(&self, count: u32, spin: bool) {
        // In one order with `awaited`, so that whoever is about to sleep either
        // sees the count or is seen.
        self.count.store(count, Ordering::SeqCst);
        if !spin && self.awaited.load(Ordering::SeqCst) == 1 {
            wake(&self.count);
        }
    }
}

fn send_by_memory(task: Task<'_>, spin: bool) -> Result<Prepared<'_>, Fault> {
    if spin && std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return Err(Fault::Unsupported("two processes that do not sleep need two processors".to_owned()));
    }
    let shared = Mapping::anonymous(size_of::<Ring>(), libc::MAP_SHARED).map_err(call("mmap"))?;
    crate::memory::touch(&shared);
    // SAFETY: page-aligned zeros, which are a ring; all of it is atomics, and
    // the mapping outlives both uses below.
    let ring = |shared: &Mapping| -> &Ring { unsafe { &*shared.address().cast::<Ring>() } };
    let messages = (task.size / MESSAGE as u64) as u32;
    let gate = Gate::new()?;
    // SAFETY: the child reads and writes memory, makes futex calls and reads one
    // byte.
    let child = unsafe {
        Child::fork(|| {
            let Ring { sent, taken, slots } = ring(&shared);
            if !gate.pass() {
                return 1;
            }
            let mut room = SLOTS;
            for number in 1..=messages {
                // Dies with its parent, should that not take any more.
                while number > room {
                    let seen = taken.count.load(Ordering::Acquire);
                    room = seen + SLOTS;
                    if number > room {
                        taken.wait(seen, spin);
                    }
                }
                slots[((number - 1) % SLOTS) as usize][0].store(u64::from(number), Ordering::Relaxed);
                sent.advance(number, spin);
            }
            0
        })
    }
    .map_err(call("fork"))?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        gate.open()?;
        let Ring { sent, taken, slots } = ring(&shared);
        let mut done = 0;
        while done < messages {
            task.go_on()?;
            let there = sent.count.load(Ordering::Acquire);
            if there == done {
                sent.wait(there, spin);
                continue;
            }
            for number in done..there {
                let slot = &slots[(number % SLOTS) as usize];
                work.checksum += slot[0].load(Ordering::Relaxed);
            }
            done = there;
            taken.advance(done, spin);
        }
        work.ended = Some(Instant::now());
        ended(child, work)
    }))
}

/// Odd turns are the child's; this one ends it.
const OVER: u32 = u32::MAX;

fn by_memory(task: Task<'_>, spin: bool) -> Result<Prepared<'_>, Fault> {
    if spin && std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return Err(Fault::Unsupported("two processes that do not sleep need two processors".to_owned()));
    }
    let shared = Mapping::anonymous(4096, libc::MAP_SHARED).map_err(call("mmap"))?;
    crate::memory::touch(&shared);
    // SAFETY: aligned, in the live mapping, accessed as an atomic only; the
    // mapping outlives both uses below.
    let word = |shared: &Mapping| -> &AtomicU32 { unsafe { &*shared.address().cast::<AtomicU32>() } };
    // SAFETY: aligned and behind the word's cache line, in the live mapping.
    let message = |shared: &Mapping| unsafe { shared.address().add(128).cast::<u64>() };
    // SAFETY: the child reads and writes memory and makes futex calls.
    let child = unsafe {
        Child::fork(|| {
            let turn = word(&shared);
            let mut seen = 0;
            loop {
                let now = turn.load(Ordering::Acquire);
                if now == OVER {
                    return 0;
                }
                if now == seen || now % 2 == 0 {
                    wait_while(turn, now, spin);
                    continue;
                }
                let place = message(&shared);
                place.write(place.read() + 1);
                seen = now;
                publish(turn, now + 1, spin);
            }
        })
    }
    .map_err(call("fork"))?;
    Ok(Box::new(move || {
        let mut work = Work::default();
        let turn = word(&shared);
        for trip in 0..task.size / MESSAGE as u64 {
            let odd = 2 * trip as u32 + 1;
            // SAFETY: inside the live mapping; the child waits for its turn.
            unsafe { message(&shared).write(trip) };
            publish(turn, odd, spin);
            while turn.load(Ordering::Acquire) == odd {
                task.go_on()?;
                wait_while(turn, odd, spin);
            }
            // SAFETY: as above; it is this process's turn again.
            work.checksum = work.checksum.wrapping_add(unsafe { message(&shared).read() });
        }
        work.system_calls = if spin { 0 } else { 2 * (task.size / MESSAGE as u64) };
        publish(turn, OVER, spin);
        ended(child, work)
    }))
}
