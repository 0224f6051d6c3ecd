//! Move bytes from one process to another.
//!
//! A child sends the same touched bytes again and again; this process sums
//! what comes, unless the strategy says that nobody looks at it. Each is bound
//! to a processor of its own: where the scheduler puts them decides more than
//! most strategies do, and changes from trial to trial.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Fault, Prepared, Strategy, Task, Work, call, copy};
use crate::memory::{Buffer, LARGE_PAGE, Mapping, sum};
use crate::process::{Child, End, Seated, Seats, sit};

/// How the bytes go.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Bytes a call.
    block: usize,
    /// Bytes that the pipe is to hold.
    capacity: usize,
    /// The sender gives its pages instead of having them copied.
    give_pages: bool,
    /// The receiver moves them on to /dev/null instead of reading.
    splice_away: bool,
    /// Both sides ask again instead of sleeping.
    busy: bool,
    /// A pair of sockets instead of a pipe.
    socket: bool,
    /// Both ends on one processor, instead of one each.
    one_cpu: bool,
}

const PLAIN: Plan = Plan {
    block: 64 << 10,
    capacity: 64 << 10,
    give_pages: false,
    splice_away: false,
    busy: false,
    socket: false,
    one_cpu: false,
};

const WIDE: Plan = Plan { capacity: 1 << 20, ..PLAIN };

/// Every strategy of the workload; the first is what the others are compared with.
pub fn strategies() -> Vec<Strategy> {
    let by = |name: &str, what: &str, plan: Plan| Strategy::new(name, what, Some(plan.block), move |t| send(t, plan));
    vec![
        by("write_read_64k", "write and read 64 KiB, a pipe of 64 KiB", PLAIN),
        by("write_read_8k", "write and read 8 KiB, a pipe of 64 KiB", Plan { block: 8 << 10, ..PLAIN }),
        by("wide_64k", "the same calls, a pipe of 1 MiB", WIDE),
        by(
            "vmsplice_read",
            "pages given by vmsplice and read, 256 KiB, a pipe of 1 MiB",
            Plan { block: 256 << 10, give_pages: true, ..WIDE },
        ),
        by(
            "vmsplice_splice_busy",
            "pages given and moved on unseen, both sides busy: the most a pipe can do",
            Plan { block: 1 << 20, give_pages: true, splice_away: true, busy: true, ..WIDE },
        ),
        by_ring("shared_ring_8m", RING),
        by("socketpair_64k", "write and read 64 KiB, a pair of stream sockets", Plan { socket: true, ..PLAIN }),
        by("one_cpu_64k", "as write_read_64k, both ends on one processor", Plan { one_cpu: true, ..PLAIN }),
        by(
            "one_cpu_vmsplice",
            "as vmsplice_read, both ends on one processor",
            Plan { block: 256 << 10, give_pages: true, one_cpu: true, ..WIDE },
        ),
        by(
            "one_cpu_splice",
            "pages given and moved on unseen, 1 MiB, both ends on one processor",
            Plan { block: 1 << 20, give_pages: true, splice_away: true, one_cpu: true, ..WIDE },
        ),
        by_ring("shared_ring_1m", Ring { slots: 16, ..RING }).full(),
        by_ring("shared_ring_16k", Ring { slot: 4 << 10, slots: 4 }).full(),
        by("one_cpu_wide", "as wide_64k, both ends on one processor", Plan { one_cpu: true, ..WIDE }).full(),
        by("write_read_4k", "write and read 4 KiB, a pipe of 64 KiB", Plan { block: 4 << 10, ..PLAIN }).full(),
        by("wide_busy_64k", "a pipe of 1 MiB, both sides busy", Plan { busy: true, ..WIDE }).full(),
        by("narrow_64k", "a pipe of 4 KiB", Plan { capacity: 4 << 10, ..PLAIN }).full(),
        by(
            "vmsplice_splice",
            "pages given and moved on unseen, both sides sleep",
            Plan { block: 256 << 10, give_pages: true, splice_away: true, ..WIDE },
        )
        .full(),
    ]
}

/// Blocks that a sender of pages takes turns with, more than a pipe holds: what
/// is still in the pipe may not be written to. Each has large pages of its own,
/// or both processors would change the same count of references all the time.
const TURNS: usize = 8;

impl Plan {
    /// Bytes of the sender's buffer.
    fn source(&self) -> usize {
        if self.give_pages { TURNS * self.stride() } else { self.block }
    }

    /// From the start of a block of the sender's buffer to the next one's.
    fn stride(&self) -> usize {
        self.block.next_multiple_of(LARGE_PAGE)
    }

    /// Where byte `sent` of the stream lies in the sender's buffer, and how many
    /// bytes of its block follow.
    fn place(&self, sent: usize) -> (usize, usize) {
        let (block, within) = (sent / self.block, sent % self.block);
        let turn = if self.give_pages { block % TURNS } else { 0 };
        (turn * self.stride() + within, self.block - within)
    }
}

/// What the sender sends: no word is zero, so that a lost one is missed.
fn pattern(len: usize) -> Result<Buffer, Fault> {
    let mut buffer = Buffer::large(len).map_err(call("mmap a buffer"))?;
    for (index, word) in buffer.bytes().as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = word_at(index).to_ne_bytes();
    }
    Ok(buffer)
}

/// The same at every multiple of the smallest block, so that the sum of a
/// stream does not depend on the block.
fn word_at(index: usize) -> u64 {
    (index % 512) as u64 + 1
}

/// The sum of so many bytes of the stream.
pub fn expected_sum(bytes: u64) -> u64 {
    let words = (bytes / 8) as usize;
    (0..words % 512).map(word_at).sum::<u64>() + (words / 512) as u64 * (0..512).map(word_at).sum::<u64>()
}

fn ends(plan: &Plan) -> Result<(OwnedFd, OwnedFd), Fault> {
    let (read_end, write_end) = if plan.socket {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors.
        let made =
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) };
        if made != 0 {
            return Err(call("socketpair")(io::Error::last_os_error()));
        }
        // SAFETY: both were just opened and belong to nobody else.
        unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
    } else {
        copy::pipe(plan.capacity)?
    };
    if plan.busy {
        for end in [&read_end, &write_end] {
            // SAFETY: takes a descriptor and integers only.
            unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        }
    }
    Ok((read_end, write_end))
}

/// Makes a child wait for one byte before it begins.
pub struct Gate {
    wait: OwnedFd,
    open: OwnedFd,
}

impl Gate {
    pub fn new() -> Result<Self, Fault> {
        let (wait, open) = copy::pipe(4096)?;
        Ok(Self { wait, open })
    }

    /// To be called by the child.
    pub fn pass(&self) -> bool {
        let mut byte = 0u8;
        // SAFETY: one byte into `byte`.
        unsafe { libc::read(self.wait.as_raw_fd(), (&raw mut byte).cast(), 1) == 1 }
    }

    pub fn open(&self) -> Result<(), Fault> {
        // SAFETY: one byte from a string.
        if unsafe { libc::write(self.open.as_raw_fd(), c"g".as_ptr().cast(), 1) } == 1 {
            Ok(())
        } else {
            Err(call("write")(io::Error::last_os_error()))
        }
    }
}

/// Whether the last call is to be made again.
fn again() -> bool {
    let error = io::Error::last_os_error();
    let again = matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock);
    if again {
        std::hint::spin_loop();
    }
    again
}

fn send(task: Task<'_>, plan: Plan) -> Result<Prepared<'_>, Fault> {
    let mut source = pattern(plan.source())?;
    let mut sink = Buffer::large(plan.block).map_err(call("mmap a buffer"))?;
    let note = plan.give_pages.then(|| source.layout().to_owned());
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null").map_err(call("open /dev/null"))?;
    let gate = Gate::new()?;
    let (read_end, write_end) = ends(&plan)?;
    let (bytes, size) = (source.bytes().as_ptr(), task.size);
    let seats = Seats::find();
    let (here, there) =
        (seats.map(|seats| seats.first), seats.map(|seats| if plan.one_cpu { seats.first } else { seats.second }));
    // SAFETY: the child reads the buffer it has inherited and makes system calls.
    let child = unsafe {
        Child::fork(|| {
            there.into_iter().for_each(sit);
            if gate.pass() && push(&plan, write_end.as_raw_fd(), bytes, size as usize) { 0 } else { 1 }
        })
    }
    .map_err(call("fork"))?;
    drop(write_end);
    let seated = here.map(Seated::on);
    Ok(Box::new(move || {
        let mut work = Work { unseen: plan.splice_away, note, kept: Some(Arc::new(seated)), ..Work::default() };
        gate.open()?;
        let mut left = size as usize;
        while left > 0 {
            task.go_on()?;
            work.system_calls += 1;
            let want = plan.block.min(left);
            let n = if plan.splice_away {
                let nothing = std::ptr::null_mut();
                let flags = if plan.busy { libc::SPLICE_F_NONBLOCK } else { 0 };
                // SAFETY: null offsets mean the descriptors' own.
                unsafe { libc::splice(read_end.as_raw_fd(), nothing, null.as_raw_fd(), nothing, want, flags) }
            } else {
                // SAFETY: the kernel writes at most `want` bytes into the buffer.
                unsafe { libc::read(read_end.as_raw_fd(), sink.bytes().as_mut_ptr().cast(), want) }
            };
            match n {
                0 => return Err(Fault::Short),
                n if n > 0 => {
                    // A read may end within a word only at the end of a call of
                    // the sender, whose blocks are whole words.
                    if !plan.splice_away {
                        work.checksum = work.checksum.wrapping_add(sum(&sink.bytes()[..n as usize]));
                    }
                    left -= n as usize;
                }
                _ if again() => {}
                _ => return Err(call("read")(io::Error::last_os_error())),
            }
        }
        work.ended = Some(Instant::now());
        sender_ended(child, work)
    }))
}

/// Waits for the sender, all of whose bytes have come.
fn sender_ended(child: Child, work: Work) -> Result<Work, Fault> {
    match child.wait().map_err(call("wait"))? {
        End::Exited(0) => Ok(work),
        end => Err(Fault::Unsupported(format!("the sender ended early: {end:?}"))),
    }
}

/// The child's part: `size` bytes from `bytes` into `fd`.
fn push(plan: &Plan, fd: i32, bytes: *const u8, size: usize) -> bool {
    let mut left = size;
    while left > 0 {
        // What was cut short goes on where it stopped, so that the stream stays
        // the same.
        let (place, rest) = plan.place(size - left);
        let part = rest.min(left);
        // SAFETY: the rest of a block lies in the buffer.
        let n = unsafe {
            let from = bytes.add(place);
            if plan.give_pages {
                let piece = libc::iovec { iov_base: from.cast_mut().cast(), iov_len: part };
                let flags = if plan.busy { libc::SPLICE_F_NONBLOCK } else { 0 };
                libc::vmsplice(fd, &raw const piece, 1, flags)
            } else {
                libc::write(fd, from.cast(), part)
            }
        };
        if n > 0 {
            left -= n as usize;
        } else if !again() {
            return false;
        }
    }
    true
}

/// A ring in shared memory.
#[derive(Debug, Clone, Copy)]
struct Ring {
    /// Bytes of a slot.
    slot: usize,
    /// How many there are.
    slots: u64,
}

/// Larger than a processor's own cache, so that the reader finds the bytes in
/// the one that both share and need not ask for each line in the writer's.
const RING: Ring = Ring { slot: 64 << 10, slots: 128 };

fn by_ring(name: &str, ring: Ring) -> Strategy {
    let Ring { slot, slots } = ring;
    let what = format!("a ring of {slots} times {} KiB in shared memory, both sides busy", slot >> 10);
    Strategy::new(name, &what, Some(slot), move |task| through_ring(task, ring))
}

/// Looks at the counter this often before it looks at the interrupt flag.
const LOOKS: u64 = 1 << 20;

fn through_ring(task: Task<'_>, Ring { slot: size, slots }: Ring) -> Result<Prepared<'_>, Fault> {
    if std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        return Err(Fault::Unsupported("two processes that do not sleep need two processors".to_owned()));
    }
    let shared = Mapping::anonymous(4096 + size * slots as usize, libc::MAP_SHARED).map_err(call("mmap"))?;
    crate::memory::touch(&shared);
    let mut source = pattern(size)?;
    let bytes = source.bytes().as_ptr();
    let gate = Gate::new()?;
    let seats = Seats::find();
    let (here, there) = (seats.map(|seats| seats.first), seats.map(|seats| seats.second));
    // A stream has whole blocks of 1 MiB, so whole slots.
    let blocks = task.size / size as u64;
    // Written by the child, and read by this process; and the other way round.
    let counters = |shared: &Mapping| -> (&AtomicU64, &AtomicU64) {
        // SAFETY: aligned, in the live mapping's first page, 128 bytes apart,
        // and accessed as atomics only. The references live as long as `shared`.
        unsafe { (&*shared.address().cast::<AtomicU64>(), &*shared.address().add(128).cast::<AtomicU64>()) }
    };
    let slot = move |shared: &Mapping, block: u64| {
        // SAFETY: one of the slots behind the first page.
        unsafe { shared.address().add(4096 + (block % slots) as usize * size) }
    };
    // SAFETY: the child reads and writes memory, and reads one byte.
    let child = unsafe {
        Child::fork(|| {
            there.into_iter().for_each(sit);
            // A child has no entries of a shared mapping in its page tables.
            for at in (4096..shared.len()).step_by(4096) {
                shared.address().add(at).write_volatile(0);
            }
            if !gate.pass() {
                return 1;
            }
            let (sent, taken) = counters(&shared);
            for block in 0..blocks {
                // Dies with its parent, should that not take any more.
                while block - taken.load(Ordering::Acquire) >= slots {
                    std::hint::spin_loop();
                }
                std::ptr::copy_nonoverlapping(bytes, slot(&shared, block), size);
                sent.store(block + 1, Ordering::Release);
            }
            0
        })
    }
    .map_err(call("fork"))?;
    let seated = here.map(Seated::on);
    Ok(Box::new(move || {
        let source = source;
        let mut work = Work { copied: task.size, kept: Some(Arc::new(seated)), ..Work::default() };
        gate.open()?;
        let (sent, taken) = counters(&shared);
        for block in 0..blocks {
            let mut looks = 0u64;
            while sent.load(Ordering::Acquire) <= block {
                std::hint::spin_loop();
                looks += 1;
                if looks.is_multiple_of(LOOKS) {
                    task.go_on()?;
                }
            }
            // SAFETY: the slot was filled, and is not written before it is taken.
            work.checksum = work.checksum.wrapping_add(unsafe { crate::memory::sum_at(slot(&shared, block), size) });
            taken.store(block + 1, Ordering::Release);
        }
        work.ended = Some(Instant::now());
        drop(source);
        sender_ended(child, work)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_giver_of_pages_goes_round_more_blocks_than_the_pipe_holds() {
        let plan = Plan { block: 256 << 10, give_pages: true, ..WIDE };
        assert_eq!(plan.place(0), (0, 256 << 10));
        assert_eq!(plan.place((256 << 10) + 100), (LARGE_PAGE + 100, (256 << 10) - 100));
        assert_eq!(plan.place(TURNS * plan.block), plan.place(0));
        assert!((TURNS - 1) * plan.block >= plan.capacity);
        assert_eq!(plan.source(), TURNS * LARGE_PAGE);
        assert_eq!(PLAIN.place(3 * PLAIN.block + 5), (5, PLAIN.block - 5));
    }

    #[test]
    fn the_sum_of_the_stream_is_that_of_its_blocks() {
        for block in [4096usize, 8192, 65536] {
            let mut buffer = pattern(block).unwrap();
            assert_eq!(sum(buffer.bytes()), expected_sum(block as u64));
        }
        assert_eq!(expected_sum(3 * 65536), 3 * expected_sum(65536));
    }
}
