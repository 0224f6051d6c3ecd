//! A lock whose holder has died, and what becomes of it.
//!
//! usage: robust_mutex
//!
//! The child takes a lock in shared memory and ends without giving it back. A
//! robust mutex is then not lost: whoever takes it next is told that its owner is
//! dead, sees to it that what it guards makes sense, and declares it consistent.
//!
//! See pthread_mutexattr_setrobust(3), pthread_mutexattr_setpshared(3),
//! pthread_mutex_consistent(3), pthread_mutex_lock(3p), fork(2), wait(2).

use std::cell::UnsafeCell;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::{env, fmt};

use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

fn main() -> ExitCode {
    if env::args_os().len() != 1 {
        return usage();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mutex = SharedMutex::new()?;

    // SAFETY: this process has one thread, so the child may do anything.
    let child = match unsafe { fork() }.map_err(failed("fork"))? {
        ForkResult::Child => {
            let status = match mutex.lock() {
                Ok(_) => 0,
                Err(message) => {
                    complain(&message);
                    1
                }
            };
            // SAFETY: _exit asks for nothing and does not return. The mutex stays locked.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => child,
    };
    wait_for(child)?;

    if mutex.lock()? != Taken::FromTheDead {
        return Err("child: did not leave the mutex locked".into());
    }
    // Here what the mutex guards would be looked after.
    mutex.make_consistent()?;
    mutex.unlock()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "recovered").and_then(|()| stdout.flush()).map_err(failed("write stdout"))?;

    mutex.lock()?; // as good as new
    mutex.unlock()
}

/// How a mutex came to its new owner.
#[derive(PartialEq)]
enum Taken {
    Free,
    FromTheDead,
}

/// A robust mutex for several processes. It is never unmapped: all processes
/// use it to their end, and end soon.
struct SharedMutex(&'static UnsafeCell<libc::pthread_mutex_t>);

impl SharedMutex {
    fn new() -> Result<SharedMutex, String> {
        let length = NonZeroUsize::new(size_of::<libc::pthread_mutex_t>()).ok_or("mmap: nothing to map")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
        let start = unsafe { mmap_anonymous(None, length, prot, MapFlags::MAP_SHARED) };
        let start = start.map_err(failed("mmap shared memory"))?;
        // SAFETY: a mapping begins on a page, so it is aligned; it is long enough
        // and never unmapped. All zeros are a valid pthread_mutex_t.
        let mutex = SharedMutex(unsafe { start.cast().as_ref() });

        let mut attributes = MaybeUninit::uninit();
        // SAFETY: each call is given what it asks for: room for attributes, then
        // attributes made by the first, and a mutex that nobody uses yet.
        unsafe {
            done("pthread_mutexattr_init", libc::pthread_mutexattr_init(attributes.as_mut_ptr()))?;
            let shared = libc::PTHREAD_PROCESS_SHARED;
            let robust = libc::PTHREAD_MUTEX_ROBUST;
            let attributes = attributes.as_mut_ptr();
            done("pthread_mutexattr_setpshared", libc::pthread_mutexattr_setpshared(attributes, shared))?;
            done("pthread_mutexattr_setrobust", libc::pthread_mutexattr_setrobust(attributes, robust))?;
            done("pthread_mutex_init", libc::pthread_mutex_init(mutex.0.get(), attributes))?;
        }
        Ok(mutex)
    }

    fn lock(&self) -> Result<Taken, String> {
        // SAFETY: the mutex was initialised and is never destroyed.
        match unsafe { libc::pthread_mutex_lock(self.0.get()) } {
            libc::EOWNERDEAD => Ok(Taken::FromTheDead),
            result => done("pthread_mutex_lock", result).map(|()| Taken::Free),
        }
    }

    fn make_consistent(&self) -> Result<(), String> {
        // SAFETY: as in `lock`; this process has the mutex.
        done("pthread_mutex_consistent", unsafe { libc::pthread_mutex_consistent(self.0.get()) })
    }

    fn unlock(&self) -> Result<(), String> {
        // SAFETY: as in `lock`; this process has the mutex.
        done("pthread_mutex_unlock", unsafe { libc::pthread_mutex_unlock(self.0.get()) })
    }
}

/// The functions of pthreads return an errno and leave `errno` alone.
fn done(call: &str, result: i32) -> Result<(), String> {
    if result == 0 { Ok(()) } else { Err(failed(call)(Errno::from_raw(result))) }
}

/// However it ended: that it left the mutex locked shows in the mutex.
fn wait_for(child: Pid) -> Result<(), String> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop).map_err(failed("wait child")),
        }
    }
}

fn usage() -> ExitCode {
    complain("usage: robust_mutex");
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
