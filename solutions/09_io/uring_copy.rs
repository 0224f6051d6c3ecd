//! Copies a file with several requests in flight at once, by io_uring.
//!
//! usage: uring_copy SRC DST
//!
//! DST becomes equal to SRC, with its permission bits, or stays as it was. Not every kernel lets a program have a
//! ring; without one nothing is copied.
//!
//! See io_uring(7), io_uring_setup(2), io_uring_enter(2), rename(2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};
use std::{env, fmt, mem};

use io_uring::types::Fd;
use io_uring::{IoUring, opcode, squeue};
use nix::errno::Errno;

const BLOCK_BYTES: usize = 64 * 1024;
/// Blocks under way at once, each with one request in flight.
const DEPTH: usize = 8;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [src, dst] = arguments.as_slice() else {
        return usage();
    };
    match copy(Path::new(src), Path::new(dst)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Copies to a new file beside DST, which takes DST's name only when whole:
/// until then DST is as it was, and after a failure too.
fn copy(src: &Path, dst: &Path) -> Result<(), String> {
    let file = File::open(src).map_err(failed(format!("open {}", src.display())))?;
    let status = file.metadata().map_err(failed(format!("fstat {}", src.display())))?;
    refuse_same(&status, src, dst)?;

    let (temporary, new) = create_beside(dst)?;
    let copied = Flight::new(&file, &new)
        .and_then(|mut flight| flight.copy(status.len(), src, dst))
        .and_then(|()| {
            // After the contents: writing may clear bits of the mode.
            new.set_permissions(status.permissions()).map_err(failed(format!("fchmod {}", dst.display())))
        })
        .and_then(|()| fs::rename(&temporary, dst).map_err(failed(format!("rename {}", dst.display()))));
    if copied.is_err() {
        // The first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    copied
}

/// One file may have many names: only device and inode tell.
fn refuse_same(src_status: &Metadata, src: &Path, dst: &Path) -> Result<(), String> {
    match fs::metadata(dst) {
        Ok(status) if status.is_dir() => Err(failed(format!("open {}", dst.display()))(Errno::EISDIR)),
        Ok(status) if (status.dev(), status.ino()) == (src_status.dev(), src_status.ino()) => {
            Err(format!("copy {}: {} is the same file", src.display(), dst.display()))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(format!("stat {}", dst.display()))(error)),
    }
}

/// A new file of our own in DST's directory: rename stays within one file system.
fn create_beside(dst: &Path) -> Result<(PathBuf, File), String> {
    let directory = dst.parent().unwrap_or(Path::new(""));
    let mut attempt = 0;
    loop {
        let path = directory.join(format!(".copy-{}-{attempt}", process::id()));
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(failed(format!("open {}", path.display()))(error)),
        }
    }
}

/// A ring, and the blocks that its requests use: each has one in flight or none.
struct Flight<'a> {
    ring: IoUring,
    file: &'a File,
    new: &'a File,
    blocks: Vec<Block>,
    in_flight: usize,
}

/// A part of the file on its way.
struct Block {
    bytes: Box<[u8]>,
    /// Where in the file it begins.
    offset: u64,
    length: usize,
    /// How much of it has been read, or written.
    done: usize,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Free,
    Reading,
    Writing,
}

impl<'a> Flight<'a> {
    fn new(file: &'a File, new: &'a File) -> Result<Flight<'a>, String> {
        let ring = IoUring::new(DEPTH as u32).map_err(failed("io_uring_setup ring"))?;
        let block = || Block { bytes: vec![0; BLOCK_BYTES].into(), offset: 0, length: 0, done: 0, way: Way::Free };
        let blocks = std::iter::repeat_with(block).take(DEPTH).collect();
        Ok(Flight { ring, file, new, blocks, in_flight: 0 })
    }

    fn copy(&mut self, length: u64, src: &Path, dst: &Path) -> Result<(), String> {
        let mut offset = 0;
        loop {
            for number in 0..DEPTH {
                if self.blocks[number].way == Way::Free && offset < length {
                    let block = &mut self.blocks[number];
                    (block.offset, block.done, block.way) = (offset, 0, Way::Reading);
                    block.length = BLOCK_BYTES.min((length - offset) as usize);
                    offset += block.length as u64;
                    self.push(number).map_err(failed("io_uring queue"))?;
                }
            }
            if self.in_flight == 0 {
                return Ok(());
            }
            for (number, result) in self.wait().map_err(failed("io_uring_enter ring"))? {
                let words = match self.blocks[number].way {
                    Way::Writing => format!("write {}", dst.display()),
                    _ => format!("read {}", src.display()),
                };
                self.went_on(number, result).map_err(failed(words))?;
            }
        }
    }

    /// The next request for a block: the rest of what is to be read or written.
    fn push(&mut self, number: usize) -> io::Result<()> {
        let block = &mut self.blocks[number];
        let rest = &mut block.bytes[block.done..block.length];
        let (address, length, offset) = (rest.as_mut_ptr(), rest.len() as u32, block.offset + block.done as u64);
        let request: squeue::Entry = match block.way {
            Way::Writing => opcode::Write::new(Fd(self.new.as_raw_fd()), address, length).offset(offset).build(),
            _ => opcode::Read::new(Fd(self.file.as_raw_fd()), address, length).offset(offset).build(),
        };
        // SAFETY: the block's memory stays where it is and is used by nobody else until the request is done: a block
        // has one request at a time, and `drop` waits for all of them. Both descriptors are open as long.
        unsafe { self.ring.submission().push(&request.user_data(number as u64)) }
            .map_err(|_| io::Error::other("the submission queue is full"))?;
        self.in_flight += 1;
        Ok(())
    }

    /// Submits what was pushed, and waits until something is done: which block's request, and its result.
    fn wait(&mut self) -> io::Result<Vec<(usize, i32)>> {
        while let Err(error) = self.ring.submit_and_wait(1) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        let done: Vec<_> = self.ring.completion().map(|entry| (entry.user_data() as usize, entry.result())).collect();
        self.in_flight -= done.len();
        Ok(done)
    }

    /// What follows from a request's result: the rest of it, the writing of what was read, or nothing more.
    fn went_on(&mut self, number: usize, result: i32) -> io::Result<()> {
        let block = &mut self.blocks[number];
        match result {
            0 => return Err(io::Error::other("the file has become shorter")),
            1.. => block.done += result as usize,
            error if matches!(Errno::from_raw(-error), Errno::EINTR | Errno::EAGAIN) => {}
            error => return Err(Errno::from_raw(-error).into()),
        }
        if block.done == block.length {
            block.done = 0;
            block.way = if block.way == Way::Reading { Way::Writing } else { Way::Free };
        }
        if block.way == Way::Free { Ok(()) } else { self.push(number) }
    }
}

impl Drop for Flight<'_> {
    /// The kernel may still use the blocks: not before it is done with them may they go.
    fn drop(&mut self) {
        while self.in_flight > 0 {
            if self.wait().is_err() {
                // Nobody says any more when that will be: they stay as long as the process.
                mem::forget(mem::take(&mut self.blocks));
                return;
            }
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: uring_copy SRC DST");
    ExitCode::from(2)
}

/// Makes an error into `CALL OBJECT: REASON`, the reason in the C library's words.
fn failed<E: Into<io::Error>>(call: impl fmt::Display) -> impl FnOnce(E) -> String {
    move |error| {
        let error = error.into().to_string();
        let reason = error.split(" (os error").next().unwrap_or(&error);
        format!("{call}: {reason}")
    }
}

/// One line on standard error; where that fails too there is nobody left to tell.
fn complain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
