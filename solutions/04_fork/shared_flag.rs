//! A number in a mapped file that a child changes and the parent waits for.
//!
//! usage: shared_flag FILE
//!
//! Both processes have the first number of FILE mapped. The child changes it
//! from 1 to 2 and ends. The parent does not look again and again: it waits for
//! the end of file of a pipe that only the child holds, which comes when the
//! child is done, and also when it dies before.
//!
//! See mmap(2) (MAP_SHARED), fork(2), pipe(7), wait(2).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{env, fmt};

use memmap2::{MmapOptions, MmapRaw};
use nix::errno::Errno;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [path] = arguments.as_slice() else {
        return usage();
    };
    match run(Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let name = path.display();
    let file = File::options().read(true).write(true).open(path).map_err(failed(format!("open {name}")))?;
    if file.metadata().map_err(failed(format!("stat {name}")))?.len() < size_of::<AtomicI32>() as u64 {
        return Err(format!("{name}: too short"));
    }
    let mapping =
        MmapOptions::new().len(size_of::<AtomicI32>()).map_raw(&file).map_err(failed(format!("mmap {name}")))?;
    let flag = flag_in(&mapping);
    if flag.load(Ordering::Relaxed) != 1 {
        return Err(format!("{name}: does not begin with 1"));
    }
    let (mut done, doing) = io::pipe().map_err(failed("pipe"))?;

    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            flag.store(2, Ordering::Release);
            // SAFETY: _exit asks for nothing and does not return. It closes `doing`.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(doing); // or the end of file would never come
            done.read_to_end(&mut Vec::new()).map_err(failed("read pipe"))?;
            let seen = flag.load(Ordering::Acquire);
            wait_for(child)?;
            if seen != 2 {
                return Err("child died".into());
            }
            let mut stdout = io::stdout();
            writeln!(stdout, "seen {seen}").and_then(|()| stdout.flush()).map_err(failed("write stdout"))
        }
    }
}

/// The number at the beginning of the mapping, as both processes may use it.
fn flag_in(mapping: &MmapRaw) -> &AtomicI32 {
    // SAFETY: a mapping begins on a page, so it is aligned; it is long enough and
    // lives as long as the reference; both processes use it as an atomic only.
    unsafe { AtomicI32::from_ptr(mapping.as_mut_ptr().cast()) }
}

/// However it ended: what it was to do shows in the number.
fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop).map_err(failed("wait child")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: shared_flag FILE");
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
