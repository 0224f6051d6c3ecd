//! Reads and copies with several requests in flight, by io_uring.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use io_uring::{IoUring, opcode, squeue, types};

use super::scan::pread_some;
use super::{Fault, Prepared, Task, Work, call};
use crate::memory::{Buffer, sum};

/// A ring with one buffer a request. Whoever has requests in flight drains it
/// before the buffers and the descriptors go away.
struct Flight {
    ring: IoUring,
    buffers: Vec<Buffer>,
    in_flight: usize,
    calls: u64,
    /// The kernel knows the buffers and the file by their numbers.
    registered: bool,
}

impl Flight {
    fn new(depth: usize, block: usize) -> Result<Self, Fault> {
        let ring = IoUring::new(depth.next_power_of_two() as u32).map_err(|e| {
            Fault::Unsupported(match e.raw_os_error() {
                Some(libc::EPERM) => "io_uring is forbidden here (io_uring_disabled, or a seccomp filter)".to_owned(),
                Some(libc::ENOSYS) => "no io_uring (old kernel, or a seccomp filter)".to_owned(),
                _ => format!("io_uring_setup: {e}"),
            })
        })?;
        let buffers =
            (0..depth).map(|_| Buffer::large(block)).collect::<Result<Vec<_>, _>>().map_err(call("mmap a buffer"))?;
        Ok(Self { ring, buffers, in_flight: 0, calls: 0, registered: false })
    }

    /// Makes the buffers and the file to be read known to the kernel once, which
    /// then need not look them up for every request.
    fn register(&mut self, file: &File) -> Result<(), Fault> {
        let parts: Vec<libc::iovec> = self
            .buffers
            .iter_mut()
            .map(|buffer| buffer.bytes())
            .map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() })
            .collect();
        let refused = |what: &str, e: std::io::Error| Fault::Unsupported(format!("io_uring registers no {what}: {e}"));
        let submitter = self.ring.submitter();
        // SAFETY: the buffers live as long as the ring, or longer when a drain
        // fails; nothing unmaps them in between.
        unsafe { submitter.register_buffers(&parts) }.map_err(|e| refused("buffers", e))?;
        submitter.register_files(&[file.as_raw_fd()]).map_err(|e| refused("files", e))?;
        self.registered = true;
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result<(), Fault> {
        // SAFETY: every entry made in this file names a descriptor that its
        // caller holds open and a buffer of `self.buffers`, and every caller
        // drains the flight before it lets go of either.
        unsafe { self.ring.submission().push(entry) }
            .map_err(|_| Fault::Unsupported("the submission queue is full".to_owned()))?;
        self.in_flight += 1;
        Ok(())
    }

    fn read(&mut self, file: &File, slot: usize, offset: u64) -> Result<(), Fault> {
        let bytes = self.buffers[slot].bytes();
        let (place, len) = (bytes.as_mut_ptr(), bytes.len() as u32);
        let entry = if self.registered {
            opcode::ReadFixed::new(types::Fixed(0), place, len, slot as u16).offset(offset).build()
        } else {
            opcode::Read::new(types::Fd(file.as_raw_fd()), place, len).offset(offset).build()
        };
        self.push(&entry.user_data(slot as u64))
    }

    /// Submits what was pushed and waits for at least one completion.
    fn submit(&mut self) -> Result<Vec<(usize, i32)>, Fault> {
        self.calls += 1;
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(call("io_uring_enter")(e)),
        }
        let done: Vec<_> = self.ring.completion().map(|entry| (entry.user_data() as usize, entry.result())).collect();
        self.in_flight -= done.len();
        Ok(done)
    }
}

impl Flight {
    /// Waits for every request, whatever it says. To be called while the
    /// descriptors of the requests are open.
    fn drain(&mut self) {
        while self.in_flight > 0 {
            if self.submit().is_err() {
                // The kernel may still write into them: better leaked than reused.
                std::mem::forget(std::mem::take(&mut self.buffers));
                return;
            }
        }
    }
}

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Through the page cache, each naming its buffer and its file.
    Plain,
    /// Through the page cache, with registered buffers and a registered file.
    Registered,
    /// Past the page cache, with registered buffers and a registered file.
    Direct,
}

impl Mode {
    fn prepare(self, task: &Task<'_>, depth: usize, block: usize) -> Result<(File, Flight), Fault> {
        let file = if self == Self::Direct { task.open_direct()? } else { task.open()? };
        let mut flight = Flight::new(depth, block)?;
        if self != Self::Plain {
            flight.register(&file)?;
        }
        Ok((file, flight))
    }
}

/// Checksums the file with `depth` reads of `block` bytes in flight.
pub fn scan(task: Task<'_>, block: usize, depth: usize, mode: Mode) -> Result<Prepared<'_>, Fault> {
    let direct = mode == Mode::Direct;
    let (file, mut flight) = mode.prepare(&task, depth, block)?;
    let note = direct.then(|| flight.buffers[0].layout().to_owned());
    Ok(Box::new(move || {
        let mut checksum = 0u64;
        let mut copied = 0;
        let offsets = (0..task.size).step_by(block);
        pump(&mut flight, &task, &file, offsets, |file, bytes, offset, got, calls| {
            let expected = (bytes.len() as u64).min(task.size - offset) as usize;
            let got = complete(file, bytes, offset, got, expected, calls)?;
            checksum = checksum.wrapping_add(sum(&bytes[..got]));
            copied += got as u64;
            Ok(())
        })?;
        let copied = if direct { 0 } else { copied };
        Ok(Work { checksum, system_calls: flight.calls, copied, note, ..Work::default() })
    }))
}

/// Reads the file in blocks, `depth` in flight, and looks at none of it.
pub fn unseen(task: Task<'_>, block: usize, depth: usize) -> Result<Prepared<'_>, Fault> {
    let (file, mut flight) = Mode::Plain.prepare(&task, depth, block)?;
    Ok(Box::new(move || {
        let offsets = (0..task.size).step_by(block);
        pump(&mut flight, &task, &file, offsets, |_, _, _, _, _| Ok(()))?;
        Ok(Work { unseen: true, system_calls: flight.calls, copied: task.size, ..Work::default() })
    }))
}

/// Checksums 4 KiB blocks at the task's offsets, `depth` in flight.
pub fn random(task: Task<'_>, depth: usize, mode: Mode) -> Result<Prepared<'_>, Fault> {
    let direct = mode == Mode::Direct;
    let (file, mut flight) = mode.prepare(&task, depth, 4096)?;
    Ok(Box::new(move || {
        let mut checksum = 0u64;
        let mut copied = 0;
        let offsets = task.offsets.iter().copied();
        pump(&mut flight, &task, &file, offsets, |file, bytes, offset, got, calls| {
            let got = complete(file, bytes, offset, got, 4096, calls)?;
            checksum = checksum.wrapping_add(sum(&bytes[..got]));
            copied += got as u64;
            Ok(())
        })?;
        let copied = if direct { 0 } else { copied };
        Ok(Work { checksum, system_calls: flight.calls, copied, ..Work::default() })
    }))
}

/// Copies the file: reads in flight, each written at its place as it comes.
pub fn copy(task: Task<'_>, block: usize, depth: usize) -> Result<Prepared<'_>, Fault> {
    let source = task.open()?;
    let mut flight = Flight::new(depth, block)?;
    Ok(Box::new(move || {
        let target = task.create()?;
        let result = transfer(&task, &source, &target, &mut flight, block);
        flight.drain();
        result?;
        Ok(Work { system_calls: flight.calls, copied: 2 * task.size, ..Work::default() })
    }))
}

fn transfer(task: &Task<'_>, source: &File, target: &File, flight: &mut Flight, block: usize) -> Result<(), Fault> {
    let depth = flight.buffers.len();
    let mut written = vec![0u64; depth];
    let mut offsets = (0..task.size).step_by(block);
    let mut at = vec![0u64; depth];
    let mut writing = vec![false; depth];
    for (slot, place) in at.iter_mut().enumerate() {
        if let Some(offset) = offsets.next() {
            *place = offset;
            flight.read(source, slot, offset)?;
        }
    }
    while flight.in_flight > 0 {
        task.go_on()?;
        for (slot, result) in flight.submit()? {
            if result < 0 {
                return Err(call("io_uring read or write")(from_result(result)));
            }
            if writing[slot] {
                let missing = written[slot] as usize - result as usize;
                if missing > 0 {
                    // A short write is rare: end it in the plain way.
                    let done = result as usize;
                    let rest = &flight.buffers[slot].bytes()[done..done + missing];
                    target.write_all_at(rest, at[slot] + done as u64).map_err(call("pwrite"))?;
                    flight.calls += 1;
                }
                writing[slot] = false;
                if let Some(offset) = offsets.next() {
                    at[slot] = offset;
                    flight.read(source, slot, offset)?;
                }
            } else {
                let expected = (block as u64).min(task.size - at[slot]) as usize;
                let mut calls = 0;
                let bytes = flight.buffers[slot].bytes();
                let got = complete(source, bytes, at[slot], result as usize, expected, &mut calls)?;
                let pointer = bytes.as_ptr();
                flight.calls += calls;
                written[slot] = got as u64;
                writing[slot] = true;
                let entry = opcode::Write::new(types::Fd(target.as_raw_fd()), pointer, got as u32)
                    .offset(at[slot])
                    .build()
                    .user_data(slot as u64);
                flight.push(&entry)?;
            }
        }
    }
    Ok(())
}

/// Keeps every slot reading until the offsets are used up, and gives each
/// block read to `take`.
fn pump(
    flight: &mut Flight,
    task: &Task<'_>,
    file: &File,
    offsets: impl Iterator<Item = u64>,
    take: impl FnMut(&File, &mut [u8], u64, usize, &mut u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let result = pump_until_done(flight, task, file, offsets, take);
    flight.drain();
    result
}

fn pump_until_done(
    flight: &mut Flight,
    task: &Task<'_>,
    file: &File,
    mut offsets: impl Iterator<Item = u64>,
    mut take: impl FnMut(&File, &mut [u8], u64, usize, &mut u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let depth = flight.buffers.len();
    let mut at = vec![0u64; depth];
    for (slot, place) in at.iter_mut().enumerate() {
        if let Some(offset) = offsets.next() {
            *place = offset;
            flight.read(file, slot, offset)?;
        }
    }
    while flight.in_flight > 0 {
        task.go_on()?;
        for (slot, result) in flight.submit()? {
            if result < 0 {
                return Err(call("io_uring read")(from_result(result)));
            }
            let mut calls = 0;
            take(file, flight.buffers[slot].bytes(), at[slot], result as usize, &mut calls)?;
            flight.calls += calls;
            if let Some(offset) = offsets.next() {
                at[slot] = offset;
                flight.read(file, slot, offset)?;
            }
        }
    }
    Ok(())
}

/// A short read is completed in the plain way.
fn complete(
    file: &File,
    bytes: &mut [u8],
    offset: u64,
    mut got: usize,
    expected: usize,
    calls: &mut u64,
) -> Result<usize, Fault> {
    while got < expected {
        let n = pread_some(file, &mut bytes[got..expected], offset + got as u64, calls)?;
        if n == 0 {
            return Err(Fault::Short);
        }
        got += n;
    }
    Ok(expected)
}

fn from_result(result: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(-result)
}
