//! Claims about pipes, FIFOs and standard I/O.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::lab::{Answer, End, Lab, Tried, broke, in_child, poke, refused};
use crate::BenchError;
use crate::memory::{Mapping, page_size};

/// Long enough that a thread which does not block has gone on by then.
const A_WHILE: Duration = Duration::from_millis(40);

/// A pipe whose ends close on exec, so that no other child keeps them open.
fn pipe() -> Result<(OwnedFd, OwnedFd), BenchError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(refused("pipe"))
}

fn set_nonblocking(fd: &impl AsFd) -> Result<(), BenchError> {
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop).map_err(refused("fcntl"))
}

/// Whether there is something to read within `wait`.
fn readable(fd: BorrowedFd<'_>, wait: Duration) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO);
    poll(&mut fds, timeout) == Ok(1) && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
}

/// Fills a pipe and says how many bytes that took.
fn fill(write_end: &OwnedFd, piece: usize) -> Result<usize, BenchError> {
    set_nonblocking(write_end)?;
    let bytes = vec![b'.'; piece];
    let mut held = 0;
    loop {
        match nix::unistd::write(write_end, &bytes) {
            Ok(n) => held += n,
            Err(Errno::EAGAIN) => return Ok(held),
            Err(errno) => return Err(refused("write to a pipe")(errno)),
        }
    }
}

pub fn open_string_mode(lab: &Lab) -> Tried {
    use std::os::unix::ffi::OsStrExt;
    let path = lab.path("opened");
    let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|e| broke("open")(e.into()))?;
    // Where the text lies is the number that open takes for its flags: here one
    // that asks for nothing, as any number might.
    let text = Mapping::anonymous(page_size(), libc::MAP_PRIVATE).map_err(broke("mmap"))?;
    poke(&text, 0, b'w');
    let flags = text.address() as usize as libc::c_int & (libc::O_CREAT - 1);
    // SAFETY: the name ends in 0; without O_CREAT no mode is read.
    let opened = unsafe { libc::open(name.as_ptr(), flags) };
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let made = path.exists();
    // SAFETY: both end in 0; a stream that was opened is closed, none is not.
    unsafe {
        let stream = libc::fopen(name.as_ptr(), c"w".as_ptr());
        if !stream.is_null() {
            libc::fclose(stream);
        }
    }
    let by_fopen = path.exists();
    // Its directory goes too.
    let _ = std::fs::remove_file(&path);
    let why = "open takes a number there, and an address is one that means nothing: no file was made (O_WRONLY, O_CREAT \
               and O_TRUNC are what \u{201c}w\u{201d} means); fopen takes the text, and made it";
    Ok(Answer::decided(opened >= 0 && made, why)
        .with("open_made_a_file", made)
        .with("open_errno", errno)
        .with("fopen_made_a_file", by_fopen))
}

pub fn pipe_capacity(_: &Lab) -> Tried {
    let (_read_end, write_end) = pipe()?;
    let held = fill(&write_end, 4096)?;
    let (_small_read, small) = pipe()?;
    let least = fcntl(&small, FcntlArg::F_SETPIPE_SZ(1)).unwrap_or(0);
    let most = std::fs::read_to_string("/proc/sys/fs/pipe-max-size")
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
        .unwrap_or(0);
    let (_large_read, large) = pipe()?;
    let got = fcntl(&large, FcntlArg::F_SETPIPE_SZ(most)).unwrap_or(0);
    let why = format!(
        "a new pipe took {held} bytes before it was full; F_SETPIPE_SZ makes it as small as {least} and, for an ordinary \
         user, as large as {got}"
    );
    Ok(Answer::decided((4096..=128 << 10).contains(&held), why)
        .with("default_bytes", held)
        .with("least_bytes", least)
        .with("most_bytes", got))
}

pub fn pipe_atomic_size(_: &Lab) -> Tried {
    const PIPE_BUF: usize = libc::PIPE_BUF;
    let room_of_a_page = || -> Result<(OwnedFd, OwnedFd, usize), BenchError> {
        let (read_end, write_end) = pipe()?;
        let held = fill(&write_end, PIPE_BUF)?;
        let mut page = vec![0u8; PIPE_BUF];
        nix::unistd::read(&read_end, &mut page).map_err(refused("read a pipe"))?;
        Ok((read_end, write_end, held))
    };
    let (_a, large_end, capacity) = room_of_a_page()?;
    let large = nix::unistd::write(&large_end, &vec![b'L'; 2 * PIPE_BUF]);
    let (_b, small_end, _) = room_of_a_page()?;
    let first = nix::unistd::write(&small_end, &vec![b'S'; PIPE_BUF / 2 + 1]);
    let second = nix::unistd::write(&small_end, &vec![b'S'; PIPE_BUF]);
    let torn = matches!(large, Ok(n) if n < 2 * PIPE_BUF);
    let whole_or_not = first.is_ok() && second == Err(Errno::EAGAIN);
    let why = format!(
        "in a pipe of {capacity} bytes with room for {PIPE_BUF}, a write of {} was torn after {} bytes; one of up to \
         PIPE_BUF ({PIPE_BUF}) is written whole or not at all: that is the limit, not the pipe\u{2019}s size",
        2 * PIPE_BUF,
        large.unwrap_or(0)
    );
    Ok(Answer::decided(!torn, why)
        .with("capacity_bytes", capacity)
        .with("pipe_buf_bytes", PIPE_BUF)
        .with("written_of_8192_bytes", large.unwrap_or(0))
        .with("small_write_whole_or_not", whole_or_not))
}

pub fn pipe_full_fails(_: &Lab) -> Tried {
    let (read_end, write_end) = pipe()?;
    let held = fill(&write_end, 4096)?;
    let nonblocking = nix::unistd::write(&write_end, b"x");
    fcntl(&write_end, FcntlArg::F_SETFL(OFlag::empty())).map_err(refused("fcntl"))?;
    let (waited, result) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let clock = Instant::now();
            let result = nix::unistd::write(&write_end, b"x");
            (clock.elapsed(), result)
        });
        std::thread::sleep(A_WHILE);
        let mut bytes = vec![0u8; held];
        // Lets the writer go on; what is read does not matter.
        let _ = nix::unistd::read(&read_end, &mut bytes);
        writer.join().unwrap_or((Duration::ZERO, Err(Errno::EIO)))
    });
    let blocked = waited >= A_WHILE / 2 && result == Ok(1);
    let why = format!(
        "a write to a full pipe waited {} ms, until it was read, and then succeeded; only with O_NONBLOCK does it fail, \
         with EAGAIN",
        waited.as_millis()
    );
    Ok(Answer::decided(!blocked, why)
        .with("blocking_write_waited_ms", waited.as_secs_f64() * 1e3)
        .with("nonblocking_write", format!("{nonblocking:?}")))
}

pub fn sigpipe_all_readers(_: &Lab) -> Tried {
    let (read_end, write_end) = pipe()?;
    let second = read_end.try_clone().map_err(broke("dup"))?;
    let (first_fd, write_fd) = (read_end.as_raw_fd(), write_end.as_raw_fd());
    let write_after = |closed: &[i32]| {
        // SAFETY: the child closes its own descriptors and writes a byte.
        unsafe {
            in_child(|| {
                for fd in closed {
                    libc::close(*fd);
                }
                i32::from(libc::write(write_fd, c"x".as_ptr().cast(), 1) != 1)
            })
        }
    };
    let one_open = write_after(&[first_fd])?;
    drop((second, read_end));
    let none_open = write_after(&[])?;
    let why = "with one of two read ends open the write succeeds; with none the writer dies of SIGPIPE";
    Ok(Answer::decided(one_open == End::Exited(0) && none_open == End::Killed(libc::SIGPIPE), why)
        .with("one_read_end_open", format!("{one_open:?}"))
        .with("no_read_end_open", format!("{none_open:?}")))
}

/// A C stream on a descriptor, closed with it.
struct Stream(*mut libc::FILE);

impl Stream {
    fn new(fd: OwnedFd, mode: &std::ffi::CStr) -> Result<Self, BenchError> {
        // SAFETY: the descriptor is open and given away; the mode ends in 0.
        let stream = unsafe { libc::fdopen(fd.into_raw_fd(), mode.as_ptr()) };
        if stream.is_null() { Err(broke("fdopen")(std::io::Error::last_os_error())) } else { Ok(Self(stream)) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: opened by fdopen, not yet closed.
        unsafe { libc::fclose(self.0) };
    }
}

pub fn stdio_line(_: &Lab) -> Tried {
    let puts = |fd: OwnedFd| -> Result<Stream, BenchError> {
        let stream = Stream::new(fd, c"w")?;
        // SAFETY: the stream is open and the text ends in 0.
        unsafe { libc::fputs(c"line\n".as_ptr(), stream.0) };
        Ok(stream)
    };
    let (pipe_out, pipe_in) = pipe()?;
    let on_pipe = puts(pipe_in)?;
    let pipe_at_once = readable(pipe_out.as_fd(), Duration::ZERO);
    drop(on_pipe);
    let pipe_at_end = readable(pipe_out.as_fd(), A_WHILE);
    let Ok(terminal) = nix::pty::openpty(None, None) else {
        return Ok(Answer::skipped("no pseudo-terminal can be opened here"));
    };
    let on_terminal = puts(terminal.slave)?;
    let terminal_at_once = readable(terminal.master.as_fd(), A_WHILE);
    drop(on_terminal);
    let why = "a line put into a C stream was on the terminal at once, and in the pipe only when the stream was closed";
    Ok(Answer::decided(terminal_at_once && !pipe_at_once && pipe_at_end, why)
        .with("on_terminal_at_once", terminal_at_once)
        .with("on_pipe_at_once", pipe_at_once)
        .with("on_pipe_after_close", pipe_at_end))
}

pub fn fscanf_newline(_: &Lab) -> Tried {
    let (read_end, write_end) = pipe()?;
    nix::unistd::write(&write_end, b"42 ").map_err(refused("write"))?;
    let stream = Stream::new(read_end, c"r")?;
    let mut number: libc::c_int = 0;
    let (waited, scanned) = std::thread::scope(|scope| {
        let (told, hear) = std::sync::mpsc::channel::<()>();
        let end = write_end.as_fd();
        scope.spawn(move || {
            // Ends the wait, should the claim be right.
            if hear.recv_timeout(A_WHILE * 5).is_err() {
                let _ = nix::unistd::write(end, b"\n");
            }
        });
        let clock = Instant::now();
        // SAFETY: the stream is open, the format ends in 0 and asks for one int.
        let scanned = unsafe { libc::fscanf(stream.0, c"%d".as_ptr(), &raw mut number) };
        let waited = clock.elapsed();
        // The thread may have given up already.
        let _ = told.send(());
        (waited, scanned)
    });
    let at_once = waited < A_WHILE * 4 && scanned == 1 && number == 42;
    let why = format!(
        "with \u{201c}42\u{201d} and a blank in the pipe and the writer still there, fscanf gave {number} after {:.1} ms: \
         any byte that is no digit ends a number",
        waited.as_secs_f64() * 1e3
    );
    Ok(Answer::decided(!at_once, why).with("waited_ms", waited.as_secs_f64() * 1e3).with("scanned", number))
}

pub fn ftell_2g(lab: &Lab) -> Tried {
    const SIZE: u64 = 5 << 30;
    let file = lab.file()?;
    if let Err(error) = file.set_len(SIZE) {
        return Ok(Answer::skipped(format!("no sparse file of 5 GiB can be made here: {error}")));
    }
    let stream = Stream::new(file.into(), c"r")?;
    // SAFETY: the stream is open.
    let told = unsafe {
        libc::fseek(stream.0, 0, libc::SEEK_END);
        libc::ftell(stream.0)
    };
    let bits = libc::c_long::BITS;
    let why = format!("ftell says {told} of a file of {SIZE} bytes: long has {bits} bits here");
    let exact = u64::try_from(told) == Ok(SIZE);
    Ok(Answer::decided(!exact, why).with("ftell", told).with("bits_of_long", bits))
}

/// A FIFO, gone when dropped.
struct Fifo<'a>(&'a Path);

impl<'a> Fifo<'a> {
    fn new(path: &'a Path) -> Result<Self, BenchError> {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).map_err(refused("mkfifo"))?;
        Ok(Self(path))
    }
}

impl Drop for Fifo<'_> {
    fn drop(&mut self) {
        // Its directory goes too.
        let _ = std::fs::remove_file(self.0);
    }
}

pub fn fifo_blocks(lab: &Lab) -> Tried {
    let path = lab.path("fifo");
    let _fifo = Fifo::new(&path)?;
    let nonblocking = std::fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
    let no_reader = nonblocking.err().and_then(|e| e.raw_os_error());
    let waited = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let clock = Instant::now();
            File::open(&path).map(|_| clock.elapsed())
        });
        std::thread::sleep(A_WHILE);
        // Both ends of its own: it waits for nobody, and lets the reader go on.
        let both = std::fs::OpenOptions::new().read(true).write(true).open(&path);
        let waited = reader.join();
        drop(both);
        waited
    });
    let waited = match waited {
        Ok(Ok(waited)) => waited,
        Ok(Err(error)) => return Err(broke("open a FIFO")(error)),
        Err(_) => return Ok(Answer::skipped("the thread that opens the FIFO could not be run")),
    };
    let why = format!(
        "an open for reading waited {} ms, until there was a writer; an open for writing with O_NONBLOCK said ENXIO",
        waited.as_millis()
    );
    Ok(Answer::decided(waited >= A_WHILE / 2 && no_reader == Some(libc::ENXIO), why)
        .with("reader_waited_ms", waited.as_secs_f64() * 1e3)
        .with("errno_nonblocking_writer", no_reader.unwrap_or(0)))
}

pub fn fifo_destroyed(lab: &Lab) -> Tried {
    let path = lab.path("fifo");
    let _fifo = Fifo::new(&path)?;
    let mut writer = std::fs::OpenOptions::new().read(true).write(true).open(&path).map_err(broke("open a FIFO"))?;
    writer.write_all(b"hello").map_err(broke("write"))?;
    drop(writer);
    let mut reader = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .map_err(broke("open a FIFO"))?;
    let mut left = Vec::new();
    let read = reader.read_to_end(&mut left);
    let there = path.exists();
    let why = format!(
        "after an O_RDWR writer had closed, {} of its 5 bytes were left to read, but the name is still there and can be \
         opened again: the bytes are destroyed, the FIFO is not",
        left.len()
    );
    Ok(Answer::decided(!there, why)
        .with("bytes_left", left.len())
        .with("name_left", there)
        .with("read", format!("{:?}", read.map_err(|e| e.kind()))))
}
