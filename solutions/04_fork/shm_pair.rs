//! A number from one child to another, through shared memory that has a name.
//!
//! usage: shm_pair NAME VALUE   (NAME begins with a slash, VALUE is an integer)
//!
//! One child makes NAME, gives it its size, stores VALUE and ends. Another opens
//! NAME and prints what it finds: the memory has outlived its writer, because it
//! has a name, which the parent then removes.
//!
//! See shm_overview(7), shm_open(3), ftruncate(2), mmap(2), fork(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::{env, fmt};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

const SIZE: usize = size_of::<AtomicI64>();

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let Some(&[name, value]) = words.as_deref() else {
        return usage();
    };
    let Ok(value) = value.parse() else { return usage() };
    if !name.starts_with('/') {
        return usage();
    }
    run(name, value).unwrap_or_else(|message| {
        complain(&message);
        ExitCode::FAILURE
    })
}

fn run(name: &str, value: i64) -> Result<ExitCode, String> {
    // The reader begins when the writer has ended: the memory stays as long as it has a name.
    if !in_child(|| write(name, value))? {
        return Ok(ExitCode::FAILURE);
    }
    let read = in_child(|| read(name));
    shm_unlink(name).map_err(failed(format!("shm_unlink {name}")))?;
    Ok(if read? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does this in a child, and says whether it went well; if not, the child has said why.
fn in_child(work: impl FnOnce() -> Result<(), String>) -> Result<bool, String> {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Parent { child } => wait_for(child),
        ForkResult::Child => {
            let status = match work() {
                Ok(()) => 0,
                Err(message) => {
                    complain(&message);
                    1
                }
            };
            // SAFETY: _exit asks for nothing and does not return.
            unsafe { libc::_exit(status) }
        }
    }
}

/// What it makes it removes again, should it come to no good end.
fn write(name: &str, value: i64) -> Result<(), String> {
    let file = open(name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR)?;
    store(&file, name, value).inspect_err(|_| {
        let _ = shm_unlink(name);
    })
}

fn store(file: &File, name: &str, value: i64) -> Result<(), String> {
    file.set_len(SIZE as u64).map_err(failed(format!("ftruncate {name}")))?;
    let mapping = MmapOptions::new().len(SIZE).map_raw(file).map_err(failed(format!("mmap {name}")))?;
    number_in(&mapping).store(value, Ordering::Release);
    Ok(())
}

fn read(name: &str) -> Result<(), String> {
    let file = open(name, OFlag::O_RDONLY)?;
    let mapping = MmapOptions::new().len(SIZE).map_raw_read_only(&file).map_err(failed(format!("mmap {name}")))?;
    let value = number_in(&mapping).load(Ordering::Acquire);
    let mut stdout = io::stdout();
    writeln!(stdout, "{value}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
}

/// Opens the memory, which is for this user's eyes only.
fn open(name: &str, flags: OFlag) -> Result<File, String> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    shm_open(name, flags, mode).map(File::from).map_err(failed(format!("shm_open {name}")))
}

/// The number at the beginning of the mapping.
fn number_in(mapping: &MmapRaw) -> &AtomicI64 {
    // SAFETY: a mapping begins on a page, so it is aligned; it is long enough and
    // lives as long as the reference; the reader only loads.
    unsafe { AtomicI64::from_ptr(mapping.as_mut_ptr().cast()) }
}

fn wait_for(child: Pid) -> Result<bool, String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait child")(error)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Err(format!("child: killed by {signal}")),
            Ok(status) => return Ok(matches!(status, WaitStatus::Exited(_, 0))),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: shm_pair NAME VALUE   (NAME begins with a slash, VALUE is an integer)");
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
